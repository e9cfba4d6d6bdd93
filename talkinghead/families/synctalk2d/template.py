"""A person's template folder: numbered frames with landmarks, and the order in which they are shown.

FOLDER/full_body_img/0.jpg, 1.jpg, ...   the frames
FOLDER/landmarks/0.lms, 1.lms, ...       110 points "x y" each, absolute pixels
FOLDER/parsing/0.png, ...                optional
FOLDER/aud_ave.npy, aud_hu.npy, ...      optional, features of the training sound
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, IntArray
from talkinghead.engine.timeline import looped
from talkinghead.errors import InputError, MediaNotFound, OptionError
from talkinghead.families.synctalk2d.crop import NUM_LANDMARKS
from talkinghead.reading import read_text, reading

IMAGES, LANDMARKS, PARSING = "full_body_img", "landmarks", "parsing"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
FEATURE_FILES = {"ave": "aud_ave.npy", "hubert": "aud_hu.npy", "wenet": "aud_wenet.npy"}
"""Features of the training sound, by mode: which of them lies there tells how a network was trained."""

Naming = Callable[[int], str]


@dataclass(frozen=True)
class TemplateFolder:
    """A template folder that has been looked through: frames 0..num_frames - 1, each with landmarks."""

    path: Path
    images: tuple[Path, ...]
    landmarks: tuple[Path, ...]
    parsing: tuple[Path | None, ...]
    """Per frame, None where there is none."""
    strays: tuple[Path, ...]
    """Files that are no frames; the published script counts them and crashes at the turn."""

    @property
    def num_frames(self) -> int:
        return len(self.images)

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes whose training features lie in the folder."""
        return tuple(mode for mode, name in FEATURE_FILES.items() if (self.path / name).is_file())

    def read_frame(self, index: int) -> Frame:
        """Frame RGB uint8 [H, W, 3].

        Raises:
            UnreadableMedia: not a picture.
        """
        return read_image(self.images[index])

    def read_landmarks(self, index: int) -> IntArray:
        return read_landmarks(self.landmarks[index])

    def content_hash(self) -> str:
        """Hex digest of names, sizes and times of all files."""
        digest = hashlib.sha256()
        for path in (*self.images, *self.landmarks, *(p for p in self.parsing if p is not None)):
            status = path.stat()
            digest.update(f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def open_template(folder: str | Path) -> TemplateFolder:
    """Look through a template folder; nothing is decoded.

    Raises:
        MediaNotFound: no such folder, or one without frames.
        InputError: a hole in the numbering, or frames without landmarks.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MediaNotFound(
            f"The template folder {folder} {what}.",
            accepted=f"a folder with {IMAGES}/0.jpg ... and {LANDMARKS}/0.lms ...",
            remedy="talkinghead template build VIDEO -o FOLDER",
        )
    images, strays = numbered_files(folder / IMAGES, IMAGE_SUFFIXES)
    if not images:
        raise MediaNotFound(
            f"The template folder {folder} holds no frames.",
            accepted=f"{IMAGES}/0.jpg, {IMAGES}/1.jpg, ...",
            remedy="talkinghead template build VIDEO -o FOLDER",
        )
    holes = [k for k in range(max(images) + 1) if k not in images]
    if holes:
        raise InputError(
            f"The template folder {folder} has holes: of {max(images) + 1} numbers {_some(holes)} have no frame.",
            accepted="frames numbered from 0 without a gap",
            remedy="talkinghead template check",
        )
    landmarks, _ = numbered_files(folder / LANDMARKS, (".lms",))
    missing = [k for k in images if k not in landmarks]
    if missing:
        raise InputError(
            f"In the template folder {folder} frames {_some(sorted(missing))} have no landmarks.",
            accepted=f"{LANDMARKS}/K.lms for every {IMAGES}/K.jpg",
            remedy="talkinghead template build VIDEO -o FOLDER (it goes on where it stopped)",
        )
    parsing = numbered_files(folder / PARSING, (".png",))[0] if (folder / PARSING).is_dir() else {}
    count = len(images)
    return TemplateFolder(
        folder,
        tuple(images[k] for k in range(count)),
        tuple(landmarks[k] for k in range(count)),
        tuple(parsing.get(k) for k in range(count)),
        tuple(strays),
    )


def numbered_files(folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[int, Path], list[Path]]:
    """Files whose name is a number, by number; and all others. An empty result where the folder is missing."""
    found: dict[int, Path] = {}
    strays: list[Path] = []
    if not folder.is_dir():
        return found, strays
    for path in sorted(folder.iterdir()):
        stem = path.stem
        if path.suffix.lower() in suffixes and stem.isdecimal() and stem == str(int(stem)) and int(stem) not in found:
            found[int(stem)] = path
        else:
            strays.append(path)
    return found, strays


def _some(numbers: list[int]) -> str:
    shown = ", ".join(str(n) for n in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"


def read_image(path: Path) -> Frame:
    """A picture as OpenCV reads it, as RGB uint8 [H, W, 3].

    Raises:
        MediaNotFound, UnreadableMedia: missing, empty, not a picture, or absurdly large.
    """
    import cv2

    from talkinghead.media.pictures import read_stored

    return np.ascontiguousarray(read_stored(path, cv2.IMREAD_COLOR_RGB), np.uint8)


MAX_LANDMARK_BYTES = 100_000


def parse_landmarks(text: str, source: str | Path) -> IntArray:
    """The points of a `.lms` file.

    Args:
        text: "x y" per line; blank lines and extra spaces are allowed (the published reader stops at them).
    Returns:
        [110, 2] int32, pixels: read as float32, truncated toward zero.
    Raises:
        InputError: not 110 pairs of finite numbers.
    """
    accepted = f"{NUM_LANDMARKS} lines of two numbers, x and y in pixels"
    rows = [line.split() for line in text.splitlines() if line.strip()]
    with reading(source, what="does not hold landmarks", accepted=accepted):
        points = np.array([[float(value) for value in row] for row in rows], np.float32)
    if points.shape != (NUM_LANDMARKS, 2):
        hint = " (a 68-point scheme does not fit: it numbers other points)" if len(rows) == 68 else ""
        raise InputError(
            f"{source} holds {len(rows)} lines, not {NUM_LANDMARKS} points{hint}.",
            accepted=accepted,
            remedy="talkinghead template build makes landmarks that fit",
        )
    if not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise InputError(f"{source} holds numbers that are no pixels.", accepted=accepted)
    return points.astype(np.int32)


def read_landmarks(path: Path) -> IntArray:
    """`parse_landmarks` of a file."""
    return parse_landmarks(read_text(path, max_bytes=MAX_LANDMARK_BYTES), path)


def landmark_text(points: NDArray[np.int32]) -> str:
    """The text of a `.lms` file: "x y" per line, integers."""
    return "".join(f"{int(x)} {int(y)}\n" for x, y in points)


def template_order(num_templates: int, num_frames: int, start_frame: int = 0) -> NDArray[np.int64]:
    """Which template each output frame shows: forwards and backwards, beginning with the second one.

        5 templates:  1 2 3 4 3 2 1 0 1 2 ...

    Args:
        num_templates: M, files in the folder.
        num_frames: output frames.
        start_frame: templates before this one are not used.
    Returns:
        [num_frames] int64 in [start_frame, M). One template alone is shown throughout.
    Raises:
        OptionError: start_frame is not in [0, M).
    Kept from the published script: the first frame shows template 1, not 0 (and start_frame + 1, not start_frame).
    Left: it adds start_frame to the numbers without shortening the range, so that it reads past the end.
    """
    if not 0 <= start_frame < num_templates:
        raise OptionError(
            f"start_frame {start_frame} is out of range: the template folder has {num_templates} frames.",
            accepted=f"0 to {num_templates - 1}",
        )
    return template_at(np.arange(num_frames, dtype=np.int64), num_templates, start_frame)


def template_at(frames: NDArray[np.int64], num_templates: int, start_frame: int) -> NDArray[np.int64]:
    """As `template_order`, of some output frames: [n] int64 each."""
    return looped(frames + 1, num_templates - start_frame, "pingpong") + start_frame
