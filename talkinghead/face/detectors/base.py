"""The interface of a face detector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from talkinghead.contracts import ArrayStore, Detection, Frame, FrameSource, NetworkRun
from talkinghead.errors import MissingWeights

if TYPE_CHECKING:
    from talkinghead.face.detectors.options import FaceOptions


@runtime_checkable
class Detector(Protocol):
    """Finds faces in single frames; keeps nothing between calls."""

    @property
    def name(self) -> str:
        """Its name in `DETECTORS`."""

    @property
    def has_key_points(self) -> bool:
        """Whether detections carry five key points."""

    @property
    def identity(self) -> str:
        """Everything that changes its answers, as text: part of a cache key."""

    @property
    def description(self) -> str:
        """Name and settings for people."""

    @property
    def batch_size(self) -> int:
        """How many frames per call suit it."""

    @property
    def looks_at_pixels(self) -> bool:
        """False where the answer depends on the size of the frame alone: one frame then answers for all."""

    @property
    def network(self) -> NetworkRun | None:
        """Where it computes; None where it computes nothing."""

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Faces of each frame, best score first; a batch gives what its frames give one by one.

        Frames may differ in size. They are not changed.
        """


@runtime_checkable
class DeepDetector(Protocol):
    """A detector that can look for smaller faces, at a price."""

    def for_small_faces(self) -> Detector | None:
        """The detector to try where this one found nothing at all; None where there is no other."""


@runtime_checkable
class SettlingDetector(Protocol):
    """A detector that has to see a frame before it knows how precisely it may compute."""

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Why it computes otherwise than asked, as sentences; known once it is settled."""

    def settle(self, look: Callable[[], Frame], store: ArrayStore | None) -> None:
        """Decide, once; `identity`, `description` and `network` say from then on what was decided.

        Args:
            look: gives a frame; called only where something has to be measured.
            store: where the measurement is remembered.
        """


def settle(detector: Detector, source: FrameSource, store: ArrayStore | None) -> tuple[str, ...]:
    """Let a detector decide how precisely it computes, from the first frame of a source.

    Returns:
        Why it computes otherwise than asked, as sentences.
    """
    if not isinstance(detector, SettlingDetector):
        return ()
    detector.settle(lambda: next(iter(source.read(0, 1))), store)
    return detector.fallbacks


@dataclass(frozen=True)
class DetectorEntry:
    """One row of the registry."""

    name: str
    summary: str
    """What it is and when to take it, one sentence."""
    build: Callable[[FaceOptions, Path | None], Detector]
    """Makes it from the options and its model file (None where `model_patterns` is empty)."""
    has_key_points: bool = False
    """Usually; a model without them is accepted where the format knows both."""
    model_patterns: tuple[str, ...] = ()
    """File names (shell patterns, any case) under which its model is known; empty if it needs none."""
    package: str | None = None
    """Import name of the optional package it needs."""
    extra: str | None = None
    """Extra of this package that brings it."""
    auto_rank: int | None = None
    """Place in the order in which "auto" tries, lowest first; None: never chosen by itself."""
    find: Callable[[], Path | None] | None = None
    """Finds its model file; None looks for `model_patterns` below the model folder."""
    recognises: Callable[[bytes], bool] | None = None
    """Whether a model file's content is for this detector (for "auto" with a given file)."""


@dataclass(frozen=True)
class AvailableDetector:
    """What `talkinghead doctor` shows about one detector."""

    name: str
    summary: str
    usable: bool
    why_not: str
    """Empty when usable."""
    model: Path | None
    """The model file found."""
    has_key_points: bool
    automatic: bool
    """Whether "auto" would choose it now."""


def read_model(path: Path, detector: str) -> bytes:
    """A model file's content.

    Raises:
        MissingWeights: no such file, a folder, or no permission.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingWeights(
            f"The model file {path} of the face detector {detector!r} cannot be read: {error.strerror or error}.",
            remedy="check the path, or use the built-in detector 'haar'.",
        ) from error


def short_hash(data: bytes) -> str:
    """Enough of the SHA-256 to tell files apart."""
    return hashlib.sha256(data).hexdigest()[:16]


def check_frame(frame: Frame) -> None:
    """Refuse what is not a frame.

    Raises:
        ValueError: not [H, W, 3] uint8, or empty.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise ValueError(f"a frame must be [H, W, 3] uint8 and not empty, not {list(frame.shape)} {frame.dtype}")


def reduced_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """(width, height) with the longer side at most `max_side`, same shape as nearly as whole pixels allow."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
