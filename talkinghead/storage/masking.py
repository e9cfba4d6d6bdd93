"""Texts that people and files may keep: without passwords, keys and signatures."""

from __future__ import annotations

import os
import re

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^\s/?#'\"]*@")
"""From a scheme to the last `@` of its host: a name, and maybe a password."""
_QUERY = re.compile(r"(?i)([?&]|%3F|%26)([^\s=&#'\"%]+)(=|%3D)((?!%26)[^\s&#'\"])*")
"""One value of a query, also where the whole URL was encoded."""
_ASSIGNED = re.compile(
    r"(?i)((?:secret|password|passwd|token|signature|credential|authorization|account_?key|access_?key)[\w-]*"
    r"['\"]?\s*[=:]\s*)(['\"]?)(?:(?:Bearer|Basic)\s+)?[^\s'\",;&]+\2"
)
_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
_HARMLESS = frozenset({"versionid", "v", "version", "generation", "page", "id", "name", "format"})
_SECRET_NAME = re.compile(r"(?i)SECRET|TOKEN|PASSWORD|_KEY$|ACCESS_KEY|CONNECTION_STRING|SAS")
_SHORTEST = 8
"""Shorter values of variables are words that texts hold anyway."""


def masked(text: str) -> str:
    """A text without the secrets that addresses and messages of storage libraries are known to hold.

    Names and passwords before a host, values of a query, what is assigned to a name such as `secret` or `token`, and
    values of this process's environment variables that are named so.
    """
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(lambda m: m[0] if m[2].lower() in _HARMLESS else f"{m[1]}{m[2]}{m[3]}{HIDDEN}", text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    text = _ACCESS_KEY.sub(HIDDEN, text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name) and value in text:
            text = text.replace(value, HIDDEN)
    return text
