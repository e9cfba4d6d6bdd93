"""Where model files are kept and looked for."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from talkinghead.places import given_folder, user_folder

HOME_VARIABLE = "TALKINGHEAD_HOME"
"""Environment variable that names the package's data folder; models are in `models` below it."""


def model_folder() -> Path:
    """Where detectors look for model files: `TALKINGHEAD_HOME`/models, else the user's data folder."""
    given = os.environ.get(HOME_VARIABLE)
    return (given_folder(given) if given else user_folder("data")) / "models"


def find_model(patterns: Sequence[str]) -> Path | None:
    """The file of `model_folder()` (or a folder directly below) that matches the first pattern it can."""
    folder = model_folder()
    try:
        files = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.is_file())
    except OSError:
        return None
    for pattern in patterns:
        for path in files:
            if fnmatch.fnmatchcase(path.name.lower(), pattern.lower()):
                return path
    return None
