"""Files that come with the package. All were made by scripts of this repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path


def demo_speech_path() -> Path:
    """The bundled sentence: mono 16-bit WAV, a few seconds, made by `scripts/make_demo_speech.py`."""
    return Path(str(files(__name__) / "demo_speech.wav"))


def demo_phones_path() -> Path:
    """Exact phone times of the bundled sentence, JSON as `talkinghead.audio.phones.read_phones` takes it."""
    return Path(str(files(__name__) / "demo_speech.phones.json"))


def demo_text() -> str:
    """What the bundled sentence says."""
    return str(json.loads(demo_phones_path().read_text("utf-8"))["text"])


@cache
def help_texts() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Sentences that the sources hold, for when there are none: `scripts/write_help.py` copies them into `help.json`.

    Returns:
        "fields": "module:class" to field to sentence. "commands": "module" to function to docstring.
    """
    texts: dict[str, dict[str, dict[str, str]]] = json.loads((files(__name__) / "help.json").read_text("utf-8"))
    return texts
