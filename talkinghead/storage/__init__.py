"""Files that may lie elsewhere: on this machine, in object storage, behind HTTP."""
