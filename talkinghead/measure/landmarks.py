"""How far the landmarks of two faces lie apart, and what finds them in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame

if TYPE_CHECKING:
    from talkinghead.face.landmarks.pfld import PfldLandmarks
    from talkinghead.face.mesh.networks import FaceMesh

PFLD_MOUTH = slice(90, 110)
"""Outline and inner lips among the 110 landmarks: the 20 points that 68-point models number 48 to 67."""


@dataclass(frozen=True, eq=False)
class SeenFace:
    """Landmarks of one face."""

    mouth: FloatArray
    """[n, 2] float32, pixels: outline and inner edges of the lips."""
    whole: FloatArray
    """[m, 2] float32, pixels: all landmarks, those of the mouth included."""


class FaceLandmarks(Protocol):
    """Finds the landmarks of the face in a frame."""

    @property
    def name(self) -> str: ...

    def find(self, frame: Frame) -> SeenFace | None:
        """Those of the largest face; None without a face."""


def landmark_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean distance in pixels of two sets of points after the mean of each set is removed.

    Args:
        a, b: [n, 2] points, same order.
    """
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2:
        raise ValueError(f"points must both be [n, 2], not {list(a.shape)} and {list(b.shape)}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm((x - x.mean(0)) - (y - y.mean(0)), axis=1).mean())


class MeshLandmarks:
    """The face mesh."""

    def __init__(self, mesh: FaceMesh) -> None:
        self._mesh = mesh

    @property
    def name(self) -> str:
        return f"face mesh ({self._mesh.files.source.name})"

    def find(self, frame: Frame) -> SeenFace | None:
        """See `FaceLandmarks`."""
        from talkinghead.face.mesh.points import LIPS_INSIDE, LIPS_OUTSIDE, NUM_POINTS

        faces = self._mesh.find(frame)
        if not faces:
            return None
        largest = max(faces, key=lambda face: float(np.prod(face.box_xyxy[2:] - face.box_xyxy[:2])))
        flat = largest.points[:NUM_POINTS, :2]
        return SeenFace(flat[[*LIPS_OUTSIDE, *LIPS_INSIDE]], flat)


class Pfld110:
    """The PFLD network that this package uses for person templates.

    The published evaluations use other landmark networks, so its figures are not comparable digit by digit.
    """

    name = "PFLD, 110 points"

    def __init__(self, network: PfldLandmarks) -> None:
        from talkinghead.face import FaceOptions, load_detector

        self._network = network
        self._detector = load_detector(FaceOptions())

    @classmethod
    def read(cls, path: Path) -> Pfld110:
        from talkinghead.face.landmarks.pfld import read_pfld

        return cls(read_pfld(path))

    def find(self, frame: Frame) -> SeenFace | None:
        """See `FaceLandmarks`."""
        found = self._detector.detect([frame])[0]
        if not found:
            return None
        boxes = np.stack([face.box_xyxy for face in found])
        largest = boxes[int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())]
        x1, y1, x2, y2 = (float(value) for value in largest)
        points = self._network.landmarks(frame, (x1, y1, x2 - x1, y2 - y1)).astype(np.float32)
        return SeenFace(points[PFLD_MOUTH], points)
