"""Find faces and place the mesh on them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from queue import LifoQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.errors import BackendError, WrongCheckpoint
from talkinghead.face.detectors.base import check_frame
from talkinghead.face.identity import overlap
from talkinghead.face.mesh import blaze
from talkinghead.face.mesh.files import ACCEPTED, MeshFiles, find_mesh_file, missing, read_mesh_files
from talkinghead.face.mesh.points import EYE_CORNERS, NUM_POINTS, NUM_WITH_IRISES, face_box, key_points
from talkinghead.media.pictures import quietly

ROOM = 1.5
"""Side of the square that the mesh network sees, over the longer side of the face in it."""
MIN_SCORE = 0.5
"""Of the detector, and least presence of a face under a mesh."""
SAME_FACE = 0.3
"""Faces that overlap by more are one."""
CARRIED_SHARE = 0.15
"""Of the square around a face: by how much it may have moved, grown (logarithm) and turned (radians) since its mesh was
placed, for the mesh to be carried along."""
TILE_OVERLAP = 0.5
LARGE = 0.3
"""Share of a frame's shorter side from which on a face is large: none of its size is missed in the whole frame."""
SMALLEST_TILE = 240
"""Pixels; a face of a sixth of it is found."""
MAX_FACES = 20
AT_ONCE = 2
"""Pictures that may go through a network at the same time: OpenCV runs these small networks in one thread."""
SIDEWAYS_PX = {192: 0.0, 256: 0.37}
"""By which the networks of these input sizes place all points too far to the right, in pixels of their input: half the
difference between faces and their mirror images, mean of 61 frames of five talking people (the smaller one: -0.16)."""


@dataclass(frozen=True)
class Square:
    """A turned square of a frame."""

    x: float
    """Of its middle, pixels."""
    y: float
    side: float
    angle: float
    """Radians by which the face is turned clockwise in the picture."""

    def to_frame(self, size: int) -> NDArray[np.float64]:
        """[2, 3] matrix from a picture of it of `size` pixels a side to the frame."""
        scale = self.side / size
        c, s = scale * np.cos(self.angle), scale * np.sin(self.angle)
        half = size / 2
        return np.array([[c, -s, self.x - (c - s) * half], [s, c, self.y - (s + c) * half]])


@dataclass(frozen=True, eq=False)
class MeshFace:
    """A face with its mesh."""

    points: FloatArray
    """[468 or 478, 3] float32: x and y in pixels of the frame (they may leave it), z in the same unit: smaller is
    nearer, 0 about the middle of the head."""
    presence: float
    """In [0, 1]: how sure the network is that a face lies under the mesh."""
    score: float
    """In [0, 1], of the detector; the presence where the face was followed."""
    detected: Square | None = None
    """Where the detector saw it; None where the face was followed."""

    @property
    def box_xyxy(self) -> FloatArray:
        """[4] float32, around its outline."""
        return face_box(self.points)

    @property
    def key_points(self) -> FloatArray:
        """[5, 2] float32 in the order of `KEY_POINT_NAMES`."""
        return key_points(self.points)

    @property
    def square(self) -> Square:
        """Where the network would look for it in the next frame."""
        flat = self.points[:NUM_POINTS, :2].astype(np.float64)
        return _square_around(flat, *flat[list(EYE_CORNERS)])

    def carried(self, square: Square, score: float) -> MeshFace | None:
        """The same face where the detector sees it now; None where that is elsewhere, or was not known.

        Far cheaper than to place the mesh anew, and as exact as the detector: a few hundredths of the face.
        """
        before = self.detected
        if before is None:
            return None
        grown, turned = square.side / before.side, square.angle - before.angle
        shift = np.array([square.x - before.x, square.y - before.y])
        if np.hypot(*shift) > CARRIED_SHARE * before.side or abs(np.log(grown)) > CARRIED_SHARE:
            return None
        if abs(np.sin(turned / 2)) > CARRIED_SHARE / 2:
            return None
        c, s = grown * np.cos(turned), grown * np.sin(turned)
        flat = (self.points[:, :2] - [before.x, before.y]) @ np.array([[c, s], [-s, c]]) + [square.x, square.y]
        points = np.concatenate([flat, grown * self.points[:, 2:]], axis=1).astype(np.float32)
        return replace(self, points=points, score=score, detected=square)


class FaceMesh:
    """Both networks, ready to run. It keeps nothing between calls and may be used by several threads."""

    def __init__(self, files: MeshFiles) -> None:
        """Read the networks.

        Raises:
            WrongCheckpoint: OpenCV cannot read them, or their outputs are of other networks.
        """
        self.files = files
        self._detector = _Network(files.detector, files.source)
        self._mesh = _Network(files.mesh, files.source)
        self.input_px = next((side for side in SIDEWAYS_PX if self._fits(side)), 0)
        sizes = [output.size for output in self._detector.run(np.zeros((1, 3, blaze.INPUT_PX, blaze.INPUT_PX)))]
        wanted = [blaze.NUM_ANCHORS, blaze.NUM_ANCHORS * 16]
        if self.input_px == 0 or sorted(sizes) != wanted:
            raise WrongCheckpoint(f"{files.source} holds other networks.", accepted=ACCEPTED)
        self.sideways_px = SIDEWAYS_PX[self.input_px]

    def _fits(self, side: int) -> bool:
        try:
            outputs = quietly(lambda: self._mesh.run(np.zeros((1, 3, side, side))))
        except BackendError:
            return False
        return any(output.size in (3 * NUM_POINTS, 3 * NUM_WITH_IRISES) for output in outputs)

    def find(
        self,
        frame: Frame,
        *,
        min_score: float = MIN_SCORE,
        refine: bool = True,
        small: bool = True,
        before: Sequence[MeshFace] = (),
    ) -> list[MeshFace]:
        """All faces of a frame, best score first.

        Small ones are looked for in parts of the frame, in smaller and smaller ones until there is a face; where it is
        small itself, in the next smaller ones, too, so that others of its size are seen.

        Args:
            frame: RGB uint8 [H, W, 3].
            small: look in parts smaller than the frame's shorter side, too: faces of 30 pixels are found in a frame
                of 1920 x 1080 then, else of 100; a frame without any takes 20 times as long.
            refine: place each mesh a second time, in a square that the first one gave.
            before: what was found in a frame shortly before: faces that hardly moved are carried along from there.
        """
        check_frame(frame)
        height, width = frame.shape[:2]
        faces: list[MeshFace] = []
        squares: list[tuple[Square, float]] = []

        @cache
        def placed(number: int) -> MeshFace | None:
            return self._placed(frame, *squares[number], before, refine=refine)

        for tiles in _levels(width, height, small=small):
            seen = bool(faces)
            squares += [found for tile in tiles for found in self._detected(frame, tile, min_score)]
            best = sorted(range(len(squares)), key=lambda number: -squares[number][1])
            faces = _distinct(placed(number) for number in best)
            sides = [float((face.box_xyxy[2:] - face.box_xyxy[:2]).max()) for face in faces]
            if seen or max(sides, default=0.0) >= LARGE * min(width, height):
                break
        return faces

    def fit(self, frame: Frame, square: Square, *, score: float | None = None) -> MeshFace | None:
        """The mesh of the face in a square of a frame, or None where there is none."""
        to_frame = square.to_frame(self.input_px)
        picture = cut(frame, to_frame, self.input_px).astype(np.float32) / np.float32(255)
        outputs = self._mesh.run(picture.transpose(2, 0, 1)[None])
        (values,) = (output.reshape(-1, 3) for output in outputs if output.size > NUM_POINTS)
        logit = next(float(output.ravel()[0]) for output in outputs if output.size == 1 and output.ndim == 4)
        presence = 1.0 / (1.0 + float(np.exp(-np.clip(logit, -60, 60))))
        if presence < MIN_SCORE or not np.isfinite(values).all():
            return None
        flat = (values[:, :2] - [self.sideways_px, 0]) @ to_frame[:, :2].T + to_frame[:, 2]
        depth = values[:, 2:] * (square.side / self.input_px)
        points = np.concatenate([flat, depth], axis=1).astype(np.float32)
        return MeshFace(points, presence, presence if score is None else score)

    def follow(self, frame: Frame, last: MeshFace) -> MeshFace | None:
        """The same face in the next frame, or None where it is lost."""
        return self.fit(frame, last.square)

    def _detected(self, frame: Frame, tile: _Tile, min_score: float) -> Iterator[tuple[Square, float]]:
        part = frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        picture, scale, left, top = _letterboxed(part)
        blob = (picture.astype(np.float32) / np.float32(127.5) - 1).transpose(2, 0, 1)[None]
        scores, regressors = sorted(self._detector.run(blob), key=lambda output: output.size)
        for found in blaze.faces(scores.reshape(-1), regressors.reshape(-1, 16), min_score):
            points = np.concatenate([found.box.reshape(2, 2), found.key_points]) * blaze.INPUT_PX
            placed = (points - np.array([left, top])) / scale + np.array([tile.x, tile.y])
            yield _square_around(placed[:2], placed[2], placed[3]), found.score

    def _placed(
        self, frame: Frame, square: Square, score: float, before: Sequence[MeshFace], *, refine: bool
    ) -> MeshFace | None:
        """The face that was detected in a square; None where the mesh sees none."""
        for known in before:
            carried = known.carried(square, score)
            if carried is not None:
                return carried
        face = self.fit(frame, square, score=score)
        if face is not None and refine:
            face = self.fit(frame, face.square, score=score)
        return None if face is None else replace(face, detected=square)


class _Network:
    """A network that OpenCV read from a TFLite file; copies of it run at the same time."""

    def __init__(self, data: bytes, source: Path) -> None:
        self._data, self._source = data, source
        self._free: LifoQueue[cv2.dnn.Net] = LifoQueue()
        self._copies, self._lock = 1, threading.Lock()
        network = self._read()
        self._outputs = network.getUnconnectedOutLayersNames()
        self._free.put(network)

    def run(self, picture: NDArray[Any]) -> list[FloatArray]:
        """All outputs for one picture, [1, 3, side, side]."""
        try:
            with self._taken() as network:
                network.setInput(np.ascontiguousarray(picture, np.float32))
                return [np.array(output, np.float32) for output in network.forward(self._outputs)]
        except cv2.error as error:
            raise BackendError(f"OpenCV cannot run the networks of {self._source}: {error.err}") from error

    @contextmanager
    def _taken(self) -> Iterator[cv2.dnn.Net]:
        """A copy that nobody else uses: the input is state of a network."""
        with self._lock:
            another = self._free.empty() and self._copies < AT_ONCE
            self._copies += another
        network = self._read() if another else self._free.get()
        try:
            yield network
        finally:
            self._free.put(network)

    def _read(self) -> cv2.dnn.Net:
        try:
            return cv2.dnn.readNetFromTFLite(np.frombuffer(self._data, np.uint8))
        except cv2.error as error:
            raise WrongCheckpoint(f"OpenCV cannot read {self._source}: {error.err}", accepted=ACCEPTED) from error


def load_mesh(path: Path | None = None) -> FaceMesh:
    """The face mesh from a file, or from where it is found; read once, as long as the file stays as it is.

    Raises:
        MissingWeights, WrongCheckpoint
    """
    path = path or find_mesh_file()
    if path is None:
        raise missing()
    return _kept(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _kept(path: Path, _changed: int) -> FaceMesh:
    return FaceMesh(read_mesh_files(path))


def found_mesh() -> FaceMesh | None:
    """The face mesh where its file is found; None where there is none.

    Raises:
        WrongCheckpoint: there is one, and it cannot be read.
    """
    path = find_mesh_file()
    return None if path is None else load_mesh(path)


def placed_in_box(mesh: FaceMesh, frame: Frame, box_xyxy: NDArray[Any], angle: float = 0.0) -> MeshFace | None:
    """The mesh of a face whose box [4] is known, placed a second time from the first; None where none is seen.

    Args:
        angle: by which the face is tilted, radians.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    face = mesh.fit(frame, Square((x1 + x2) / 2, (y1 + y2) / 2, ROOM * max(x2 - x1, y2 - y1), angle))
    return None if face is None else mesh.follow(frame, face)


def cut(frame: Frame, to_frame: NDArray[np.float64], size: int) -> Frame:
    """A picture [size, size, 3] of a turned square of a frame; black outside it. Large ones are averaged.

    The networks find drawn heads a little better so (corners of the mouth at the picture's edge 1.5 and 2.3 % off) than
    with repeated borders and a Gaussian filter, as patches for the picture's evidence have them (1.7 and 2.6 %).
    """
    scale = float(np.hypot(to_frame[0, 0], to_frame[1, 0]))
    if scale > 2:
        frame, to_frame = _shrunk(frame, to_frame, size, scale)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(frame, to_frame, (size, size), flags=flags), np.uint8)


def _shrunk(frame: Frame, to_frame: NDArray[np.float64], size: int, scale: float) -> tuple[Frame, NDArray[np.float64]]:
    """The part of the frame that a square needs, made smaller by its scale, and the matrix to that."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ to_frame.T
    low = np.clip(np.floor(corners.min(axis=0)) - scale, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + scale, low + 1, [width, height]).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    small_size = np.maximum(np.rint((high - low) / scale), 1).astype(int)
    small = cv2.resize(part, (int(small_size[0]), int(small_size[1])), interpolation=cv2.INTER_AREA)
    factor = small_size / (high - low)
    offset = (to_frame[:, 2] - low) * factor + (factor - 1) / 2  # middles of pixels stay where they are
    return np.asarray(small, np.uint8), np.column_stack([to_frame[:, :2] * factor[:, None], offset])


@dataclass(frozen=True)
class _Tile:
    """A part of a frame, pixels."""

    x: int
    y: int
    width: int
    height: int


def _levels(width: int, height: int, *, small: bool) -> Iterator[list[_Tile]]:
    """The whole frame, then squares of half its shorter side that overlap, then of a quarter, and so on."""
    yield [_Tile(0, 0, width, height)]
    side = min(width, height)
    if max(width, height) > 1.3 * side:
        yield list(_tiles(width, height, side))
    while small and side // 2 >= SMALLEST_TILE:
        side //= 2
        yield list(_tiles(width, height, side))


def _tiles(width: int, height: int, side: int) -> Iterator[_Tile]:
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield _Tile(x, y, side, side)


def _starts(length: int, side: int) -> list[int]:
    """Where parts of `side` begin so that they cover a length and overlap by half."""
    count = max(1, int(np.ceil((length - side) / (side * (1 - TILE_OVERLAP)))) + 1)
    return [round(start) for start in np.linspace(0, length - side, count)]


def _letterboxed(part: Frame) -> tuple[Frame, float, int, int]:
    """[128, 128, 3] with black bars; pixels of it per pixel of the part; its left and top bar."""
    height, width = part.shape[:2]
    scale = blaze.INPUT_PX / max(height, width)
    small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(part, (small_width, small_height), interpolation=cv2.INTER_AREA)
    left, top = (blaze.INPUT_PX - small_width) // 2, (blaze.INPUT_PX - small_height) // 2
    picture = np.zeros((blaze.INPUT_PX, blaze.INPUT_PX, 3), np.uint8)
    picture[top : top + small_height, left : left + small_width] = small
    return picture, scale, left, top


def _square_around(points: NDArray[np.float64], left_eye: Any, right_eye: Any) -> Square:
    """The square that the mesh network sees, around points of a face whose eyes tell its tilt."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, side = (low + high) / 2, float((high - low).max()) * ROOM
    across = np.asarray(right_eye) - np.asarray(left_eye)
    return Square(float(middle[0]), float(middle[1]), side, float(np.arctan2(across[1], across[0])))


def _distinct(found: Iterable[MeshFace | None]) -> list[MeshFace]:
    """The first faces of some, without those that are nearly where another one is."""
    faces: list[MeshFace] = []
    for face in found:
        if face is None:
            continue
        boxes = np.stack([face.box_xyxy, *(other.box_xyxy for other in faces)])
        if len(faces) and overlap(boxes[:1], boxes[1:]).max() >= SAME_FACE:
            continue
        faces.append(face)
        if len(faces) == MAX_FACES:
            break
    return faces
