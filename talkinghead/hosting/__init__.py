"""What every server of the package stands on: who may ask, what is sent, where it lies, and how an order becomes work.

hosts.py     under which names a server is reached     logins.py    attempts that are used up and come back
uploads.py   what is sent, with limits                 folders.py   private folders that are gone at the end
fields.py    options that a stranger may set           workshop.py  checks, requests, one queue, one pool of models
faults.py    what a stranger is told                   asgi.py      what passes between a server and applications
"""
