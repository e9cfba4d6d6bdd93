"""Files that may lie elsewhere: on this machine, in object storage, behind HTTP.

`address` names them, `store` moves them whole or not at all, `scratch` keeps copies of them for a while.
"""
