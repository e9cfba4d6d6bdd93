"""BlazeFace with the MediaPipe face mesh: boxes and key points from 468 or 478 landmarks, run by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from talkinghead.contracts import Detection, FloatArray, Frame, NetworkRun
from talkinghead.face.detectors.base import check_frame, reduced_size
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.mesh.networks import MIN_SCORE, FaceMesh, MeshFace, load_mesh


class MeshDetector:
    """The mesh as a detector."""

    name = "mesh"
    has_key_points = True
    batch_size = 8
    looks_at_pixels = True
    network = NetworkRun("face detector mesh", "opencv")

    def __init__(
        self,
        mesh: FaceMesh,
        *,
        min_score: float = MIN_SCORE,
        max_side: int | None = None,
        small: bool = False,
        refine: bool = True,
    ) -> None:
        """Use a mesh.

        Args:
            small: look for small faces, too, which takes long where there is none.
            refine: place each mesh twice: boxes are a hundredth of the face more exact, in twice the time.
        """
        self.mesh = mesh
        self.min_score = min_score
        self.max_side = max_side
        self.small = small
        self.refine = refine

    def for_small_faces(self) -> MeshDetector | None:
        """See `DeepDetector`."""
        if self.small:
            return None
        return self._with(small=True)

    def quick(self) -> MeshDetector:
        """One for whoever places the mesh once more anyway: it places each mesh once, and within a batch of frames
        carries it along with what BlazeFace sees."""
        return self._with(refine=False)

    def _with(self, *, small: bool | None = None, refine: bool | None = None) -> MeshDetector:
        return MeshDetector(
            self.mesh,
            min_score=self.min_score,
            max_side=self.max_side,
            small=self.small if small is None else small,
            refine=self.refine if refine is None else refine,
        )

    @property
    def identity(self) -> str:
        import cv2

        at = f"{self.mesh.files.identity} side {self.max_side} score {self.min_score} small {self.small}"
        return f"mesh/3 OpenCV {cv2.__version__} {at}{'' if self.refine else ' quick'}"

    @property
    def description(self) -> str:
        at = "" if self.max_side is None else f" at {self.max_side} pixels"
        return f"mesh ({self.mesh.files.source.name}{at})"

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """See `Detector.detect`."""
        found: list[list[Detection]] = []
        before: Sequence[MeshFace] = ()
        for frame in frames:
            faces, factor = self._find(frame, before)
            before = () if self.refine else faces
            whole = [replace(face, points=face.points * factor) for face in faces]
            found.append([Detection(face.box_xyxy, face.score, face.key_points) for face in whole])
        return found

    def meshes(self, frame: Frame) -> list[MeshFace]:
        """All faces with their landmarks, in pixels of the frame, best score first."""
        faces, factor = self._find(frame, ())
        return [replace(face, points=face.points * factor, detected=None) for face in faces]

    def _find(self, frame: Frame, before: Sequence[MeshFace]) -> tuple[list[MeshFace], FloatArray]:
        """All faces in pixels of the reduced frame, and by how much it was reduced along x, y and z."""
        frame, scale = self._reduced(frame)
        faces = self.mesh.find(frame, min_score=self.min_score, small=self.small, refine=self.refine, before=before)
        return faces, np.append(scale, scale.mean()).astype(np.float32)

    def _reduced(self, frame: Frame) -> tuple[Frame, FloatArray]:
        """The frame with at most `max_side` pixels, and how many of its own lie in one of those, along x and y."""
        import cv2

        check_frame(frame)
        height, width = frame.shape[:2]
        scale = np.ones(2, np.float32)
        if self.max_side is not None:
            size = reduced_size(width, height, self.max_side)
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
            scale = np.array([width / size[0], height / size[1]], np.float32)
        return frame, scale


def build(options: FaceOptions, model: Path | None) -> MeshDetector:
    assert model is not None
    return MeshDetector(
        load_mesh(model),
        min_score=MIN_SCORE if options.min_score is None else options.min_score,
        max_side=options.max_side,
    )
