"""The built-in animator: no weights."""
