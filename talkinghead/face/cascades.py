"""OpenCV's bundled cascades."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def open_cascade(name: str) -> Any:
    """A cascade that comes with OpenCV, as a `cv2.CascadeClassifier`; empty where there is none that can be read.

    OpenCV itself does not open it: on Windows it finds no file with letters in its path that the system's code page
    lacks, such as the name of a user.

    Args:
        name: of its file.
    """
    import cv2

    cascade = cv2.CascadeClassifier()
    try:
        text = (Path(cv2.__file__).parent / "data" / name).read_text(encoding="utf-8")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        cascade.read(storage.getFirstTopLevelNode())
    except (OSError, UnicodeDecodeError, cv2.error):
        return cv2.CascadeClassifier()
    return cascade
