"""The registry of face detectors, and choosing among them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from talkinghead.errors import MissingDependency, MissingWeights, OptionError, choices
from talkinghead.face.detectors.base import (
    AvailableDetector,
    Detector,
    DetectorEntry,
    read_model,
)
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.mesh import files as mesh_files
from talkinghead.weights.folder import HOME_VARIABLE, find_model, model_folder


def _build_mesh(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import mesh

    return mesh.build(options, model)


def _build_haar(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import haar

    return haar.build(options, model)


def _build_yunet(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import yunet

    return yunet.build(options, model)


def _build_scrfd(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import scrfd

    return scrfd.build(options, model)


def _build_s3fd(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import s3fd

    return s3fd.build(options, model)


def _build_box(options: FaceOptions, model: Path | None) -> Detector:
    from talkinghead.face.detectors import fixed

    return fixed.build(options, model)


def _is_yunet(data: bytes) -> bool:
    return b"obj_8" in data and b"cls_8" in data


def _is_scrfd(data: bytes) -> bool:
    return not (_is_yunet(data) or mesh_files.holds_mesh(data))


DETECTORS: dict[str, DetectorEntry] = {
    entry.name: entry
    for entry in (
        DetectorEntry(
            "mesh",
            "BlazeFace with the MediaPipe face mesh of 478 landmarks, run by OpenCV; the most exact key points.",
            _build_mesh,
            has_key_points=True,
            model_patterns=mesh_files.PATTERNS,
            find=mesh_files.find_mesh_file,
            auto_rank=-1,
            recognises=mesh_files.holds_mesh,
        ),
        DetectorEntry(
            "scrfd",
            "SCRFD network with five key points, run by ONNX Runtime; the steadiest, slower than yunet.",
            _build_scrfd,
            has_key_points=True,
            model_patterns=("scrfd_2.5g_kps*.onnx", "scrfd*.onnx", "det_2.5g.onnx", "det_500m.onnx", "det_10g.onnx"),
            package="onnxruntime",
            extra="models",
            auto_rank=1,
            recognises=_is_scrfd,
        ),
        DetectorEntry(
            "yunet",
            "YuNet network with five key points, run by OpenCV; the fastest, and finds large, small and tilted faces.",
            _build_yunet,
            has_key_points=True,
            model_patterns=("face_detection_yunet_2023mar.onnx", "face_detection_yunet*.onnx", "yunet*.onnx"),
            auto_rank=0,
            recognises=_is_yunet,
        ),
        DetectorEntry(
            "haar",
            "Viola-Jones cascade, built in, no model file; upright frontal faces.",
            _build_haar,
            auto_rank=2,
        ),
        DetectorEntry(
            "s3fd",
            "S3FD network, the detector that Wav2Lip was published with; slow, for results that equal the published.",
            _build_s3fd,
            model_patterns=("s3fd.pth", "s3fd-619a316812.pth", "s3fd*.pth", "s3fd*.safetensors"),
        ),
        DetectorEntry(
            "box",
            "A fixed box given by the user; nothing is detected.",
            _build_box,
        ),
    )
}
"""Every detector by name."""


def load_detector(options: FaceOptions) -> Detector:
    """Make the detector that the options ask for.

    "auto" takes, in this order: the fixed box if one is given; the detector of the model file if one is given;
    else the first of `DETECTORS` (by `auto_rank`) whose package is installed and whose model file is found. What
    was taken is in the detector's `description`, and from there in `FaceTrack.detector`.

    Raises:
        MissingWeights: the named detector's model file is not found.
        MissingDependency: its package is not installed.
        WrongCheckpoint: the file is not such a model.
    """
    if options.box is not None:
        return DETECTORS["box"].build(options, None)
    if options.detector != "auto":
        entry = DETECTORS[options.detector]
        return _build(entry, options, options.detector_model or _found(entry))
    if options.detector_model is not None:
        data = read_model(options.detector_model, "auto")
        for entry in _automatic():
            if entry.recognises is not None and entry.recognises(data):
                return _build(entry, options, options.detector_model)
        raise OptionError(
            f"No face detector takes the model file {options.detector_model}.",
            accepted="a model of " + choices([e.name for e in DETECTORS.values() if e.model_patterns]) + ".",
        )
    for entry in _automatic():
        model = _found(entry)
        if _obstacle(entry, model) is None:
            return _build(entry, options, model)
    raise AssertionError("the built-in detector is always usable")


def available_detectors() -> list[AvailableDetector]:
    """Every detector with whether it can be used now, for `talkinghead doctor`. Loads no model."""
    chosen = next((e.name for e in _automatic() if _obstacle(e, _found(e)) is None), None)
    rows = []
    for entry in DETECTORS.values():
        model = _found(entry)
        why_not = _obstacle(entry, model)
        rows.append(
            AvailableDetector(
                name=entry.name,
                summary=entry.summary,
                usable=why_not is None,
                why_not=why_not or "",
                model=model,
                has_key_points=entry.has_key_points,
                automatic=entry.name == chosen,
            )
        )
    return rows


def _automatic() -> list[DetectorEntry]:
    ranked = [(entry.auto_rank, entry) for entry in DETECTORS.values() if entry.auto_rank is not None]
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def _found(entry: DetectorEntry) -> Path | None:
    if entry.find is not None:
        return entry.find()
    return find_model(entry.model_patterns) if entry.model_patterns else None


def _obstacle(entry: DetectorEntry, model: Path | None) -> str | None:
    """Why a detector cannot be used, or None."""
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        return f'package {entry.package} is not installed (pip install "talkinghead[{entry.extra}]")'
    if entry.model_patterns and model is None:
        return f"no model file {choices(entry.model_patterns)} in {model_folder()}"
    return None


def _build(entry: DetectorEntry, options: FaceOptions, model: Path | None) -> Detector:
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        raise MissingDependency(entry.package, extra=entry.extra or "all", purpose=f"The face detector {entry.name!r}")
    if entry.model_patterns and model is None:
        raise MissingWeights(
            f"The face detector {entry.name!r} needs a model file, and none was found in {model_folder()}.",
            accepted=f"a file named {choices(entry.model_patterns)}.",
            remedy=f"give its path with the detector, put it there (or set {HOME_VARIABLE}), "
            "or use the built-in detector 'haar'.",
        )
    return entry.build(options, model)
