"""The web page and its HTTP API: thin, over the same functions as the command line. Importing this loads no gradio.

options.py   how the page is served            studio.py    sessions, limits, jobs: what every handler calls
page.py      the page                           show.py      progress, reports and errors as HTML
endpoints.py the HTTP API                       guard.py     what stands before gradio's own server
server.py    serving it, and nothing else going out
"""

from __future__ import annotations

from talkinghead.webui.options import AppOptions
from talkinghead.webui.server import RunningApp, open_app, serve

__all__ = ["AppOptions", "RunningApp", "open_app", "serve"]
