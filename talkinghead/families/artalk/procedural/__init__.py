"""A head of our own making in FLAME's format, so that a mesh speaks without any download."""
