"""Files that come with the package. All were made by scripts of this repository."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def demo_speech_path() -> Path:
    """The bundled sentence: mono 16-bit WAV, a few seconds, made by `scripts/make_demo_speech.py`."""
    return Path(str(files(__name__) / "demo_speech.wav"))


def demo_phones_path() -> Path:
    """Exact phone times of the bundled sentence, JSON as `talkinghead.audio.phones.read_phones` takes it."""
    return Path(str(files(__name__) / "demo_speech.phones.json"))
