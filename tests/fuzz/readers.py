"""Everything in the package that reads a file which a stranger may have made.

A reader is a function of a path; its seeds lie in `seeds/NAME/`, the files that once did harm in `findings/NAME/`. It
takes what it read to the end (arrays are summed, frames decoded), because much is read late.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

FOLDER = Path(__file__).parent
FRAMES = 40
"""Frames of a video that are decoded."""


@dataclass(frozen=True)
class Reader:
    """A reader of files."""

    name: str
    read: Callable[[Path], object]
    kind: Literal["table", "media"] = "table"

    @property
    def seeds(self) -> list[Path]:
        return sorted((FOLDER / "seeds" / self.name).glob("*"))

    @property
    def findings(self) -> list[Path]:
        return sorted((FOLDER / "findings" / self.name).glob("*"))

    @property
    def least(self) -> int:
        """Damaged files of every run, however short."""
        return 400 if self.kind == "media" else 300


def used(value: Any) -> None:
    """Touch every number of what was read."""
    if isinstance(value, np.ndarray):
        np.array(value, copy=True)
    elif isinstance(value, Mapping):
        for each in value.values():
            used(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            used(each)


def checkpoint(path: Path) -> None:
    from talkinghead.weights import read_checkpoint

    used(read_checkpoint(path).tensors)


def body_checkpoint(path: Path) -> None:
    from talkinghead.weights import read_checkpoint

    read_checkpoint(path, keep_classes=("chumpy.", "scipy.sparse."))


def recognised(path: Path) -> None:
    from talkinghead.service.models import model_store

    model_store().recognise(path)


def reference_arrays(path: Path) -> None:
    from talkinghead.cli.reference import read_arrays, read_config

    used(read_config(path) if path.suffix == ".json" else read_arrays(path))


def arrays(path: Path) -> None:
    """One array, as features, shapes, styles and motion are given."""
    from talkinghead.engine.steps import read_array
    from talkinghead.families.synctalk2d.features import load_array

    used(load_array(path))
    used(read_array(path, (None, 3), "rows"))


def head_shapes(path: Path) -> None:
    from talkinghead.families.artalk.look import read_shape

    used(read_shape(path))


def motion(path: Path) -> None:
    from talkinghead.families.artalk.steps import read_motion

    used(read_motion(path))


def styles(path: Path) -> None:
    from talkinghead.families.artalk.weights import load_style

    used(load_style(path))


def motion_config(path: Path) -> None:
    from talkinghead.families.artalk.weights import read_motion_config

    read_motion_config(path)


def tracked_heads(path: Path) -> None:
    from talkinghead.families.artalk.weights import read_tracked

    read_tracked(path)


def flame(path: Path) -> None:
    from talkinghead.families.artalk.flame import load_flame

    load_flame(path)


def gaussian_head(path: Path) -> None:
    from talkinghead.families.talkinggaussian.checkpoint import read_trained_head

    read_trained_head(path)


def speech_features(path: Path) -> None:
    from talkinghead.families.talkinggaussian.extractors import EXTRACTORS
    from talkinghead.families.talkinggaussian.windows import read_features

    used(np.asarray(read_features(path, EXTRACTORS["deepspeech"])))


def poses(path: Path) -> None:
    from talkinghead.families.talkinggaussian.scene import read_poses

    read_poses(path)


def action_units(path: Path) -> None:
    from talkinghead.families.talkinggaussian.scene import read_action_units

    read_action_units(path)


def landmarks(path: Path) -> None:
    from talkinghead.families.synctalk2d.template import read_landmarks

    read_landmarks(path)


def scene_landmarks(path: Path) -> None:
    from talkinghead.families.talkinggaussian.annotations import read_landmarks

    read_landmarks(path)


def mean_face(path: Path) -> None:
    from talkinghead.face.landmarks.pfld import read_mean_face

    read_mean_face(path)


def deepspeech(path: Path) -> None:
    from talkinghead.audio.encoders.deepspeech_graph import read_deepspeech

    read_deepspeech(path)


def yunet_model(path: Path) -> None:
    from talkinghead.face import FaceOptions, load_detector

    load_detector(FaceOptions(detector="yunet", detector_model=path))


def scrfd_model(path: Path) -> None:
    from talkinghead.face import FaceOptions, load_detector

    load_detector(FaceOptions(detector="scrfd", detector_model=path))


def face_mesh(path: Path) -> None:
    from talkinghead.face.mesh.networks import load_mesh

    if path.suffix == ".tflite":
        path.with_name("face_detection_short_range.tflite").write_bytes(path.read_bytes())
    load_mesh(path)


def onnx_file(path: Path) -> None:
    from talkinghead.reading.onnx_file import check_onnx_file, read_onnx

    check_onnx_file(path)
    read_onnx(path)


def generators(path: Path) -> None:
    """The networks that redraw a mouth, by both readers."""
    from talkinghead.errors import WrongCheckpoint
    from talkinghead.families.synctalk2d.weights import read_generator
    from talkinghead.families.wav2lip.weights import load_generator

    for read in (load_generator, read_generator):
        with suppress(WrongCheckpoint):
            read(path)


def landmark_networks(path: Path) -> None:
    from talkinghead.audio.encoders.ave import read_ave_encoder
    from talkinghead.errors import TalkingHeadError
    from talkinghead.face.landmarks.pfld import read_pfld

    for read in (read_pfld, read_ave_encoder):
        with suppress(TalkingHeadError):
            read(path)


def step_features(path: Path) -> None:
    from talkinghead.families.artalk.steps import read_features

    used(read_features(path)[0])


def vertices(path: Path) -> None:
    from talkinghead.families.artalk.steps import read_vertices

    used(read_vertices(path))


def logo(path: Path) -> None:
    from talkinghead.families.artalk.look import read_logo

    read_logo(path)


def table_column(path: Path) -> None:
    from talkinghead.families.talkinggaussian.annotations import read_column

    read_column(path, "AU25_r")


def archive_member(path: Path) -> None:
    from talkinghead.weights.store import unpack_member

    unpack_member(path, "arrays/mel.npy", path.with_name("member.npy"))


def model_folder(path: Path) -> None:
    """A folder of transformers, as it is checked before transformers reads it."""
    from talkinghead.audio.encoders.model_folder import check_model_folder

    folder = path.parent / "folder"
    folder.mkdir(exist_ok=True)
    (folder / f"config{path.suffix}" if path.suffix == ".json" else folder / f"model{path.suffix}").write_bytes(
        path.read_bytes()
    )
    if path.suffix != ".json":
        (folder / "config.json").write_text('{"model_type": "hubert", "hidden_size": 16}')
    check_model_folder(folder)


def stage_record(path: Path) -> None:
    from talkinghead.engine.steps import read_record, record_path

    output = path.with_name("mel.npy")
    output.write_bytes(b"x")
    record_path(output).write_bytes(path.read_bytes())
    read_record(output)


def cues(path: Path) -> None:
    from talkinghead.audio.cues import read_cues

    read_cues(path)


def phones(path: Path) -> None:
    from talkinghead.audio.phones import read_phones

    read_phones(path)


def request(path: Path) -> None:
    """What the HTTP service and a fleet are given."""
    from talkinghead.service.request import Request

    try:
        row = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    Request.from_dict(row)


def seam_manifest(path: Path) -> None:
    from talkinghead.measure.seams import read_manifest

    folder = path.parent / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_bytes(path.read_bytes())
    read_manifest(folder)


def picture(path: Path) -> None:
    from talkinghead.media import probe, read_picture

    probe(path)
    read_picture(path)


def moving_picture(path: Path) -> None:
    from talkinghead.media import FrameOptions, open_frames

    for _ in islice(open_frames(path, options=FrameOptions()).read(), FRAMES):
        pass


def video(path: Path) -> None:
    from talkinghead.media import probe

    probe(path)
    moving_picture(path)


def sound(path: Path) -> None:
    from talkinghead.media import probe, read_audio

    probe(path)
    read_audio(path, 16_000)


READERS = (
    Reader("checkpoint", checkpoint),
    Reader("body-checkpoint", body_checkpoint),
    Reader("recognised", recognised),
    Reader("reference", reference_arrays),
    Reader("arrays", arrays),
    Reader("head-shapes", head_shapes),
    Reader("motion", motion),
    Reader("styles", styles),
    Reader("motion-config", motion_config),
    Reader("tracked-heads", tracked_heads),
    Reader("flame", flame),
    Reader("gaussian-head", gaussian_head),
    Reader("speech-features", speech_features),
    Reader("poses", poses),
    Reader("action-units", action_units),
    Reader("landmarks", landmarks),
    Reader("scene-landmarks", scene_landmarks),
    Reader("mean-face", mean_face),
    Reader("deepspeech", deepspeech),
    Reader("yunet-model", yunet_model),
    Reader("scrfd-model", scrfd_model),
    Reader("face-mesh", face_mesh),
    Reader("onnx-file", onnx_file),
    Reader("generators", generators),
    Reader("landmark-networks", landmark_networks),
    Reader("step-features", step_features),
    Reader("vertices", vertices),
    Reader("logo", logo),
    Reader("table-column", table_column),
    Reader("archive-member", archive_member),
    Reader("model-folder", model_folder),
    Reader("stage-record", stage_record),
    Reader("cues", cues),
    Reader("phones", phones),
    Reader("request", request),
    Reader("seam-manifest", seam_manifest),
    Reader("picture", picture, "media"),
    Reader("moving-picture", moving_picture, "media"),
    Reader("sound", sound, "media"),
    Reader("video", video, "media"),
)
