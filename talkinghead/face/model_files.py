"""Files of the face detectors and of the landmark network: where they are published, and how they are recognised."""

from __future__ import annotations

from pathlib import Path

from talkinghead.face.mesh.files import holds_mesh
from talkinghead.weights.catalogue import HUB, NOT_STATED, CatalogueEntry, Licence
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind, accepted_by, graph_bytes, text_of

_S3FD = Licence(
    "not stated for the weights",
    "Published with face-alignment, whose code is under the BSD licence; the weights carry no terms of their own. Ask "
    "before commercial use.",
    "https://github.com/1adrianb/face-alignment",
)
_APACHE = Licence("Apache 2.0", "Any use, with the licence and its notices.", commercial=True)
_MIT = Licence("MIT", "Any use, with the copyright notice.", commercial=True)

CATALOGUE = (
    CatalogueEntry(
        name="s3fd",
        purpose="S3FD, the face detector that Wav2Lip was published with",
        path="s3fd/s3fd.pth",
        licence=_S3FD,
        found_in="the README of github.com/Rudrabha/Wav2Lip (address); size and hash as pinned by public projects",
        kind="s3fd",
        urls=(
            "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
            f"{HUB}/camenduru/Wav2Lip/resolve/main/face_detection/detection/sfd/s3fd.pth",
        ),
        size_bytes=89_843_225,
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        convert=True,
    ),
    CatalogueEntry(
        name="yunet",
        purpose="YuNet, a small and fast face detector with five key points",
        path="yunet/face_detection_yunet_2023mar.onnx",
        licence=_MIT,
        found_in="models/face_detection_yunet of github.com/opencv/opencv_zoo (LFS pointer and README)",
        kind="yunet",
        urls=(
            "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
            "face_detection_yunet_2023mar.onnx",
        ),
        size_bytes=232_589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
    CatalogueEntry(
        name="face-mesh",
        purpose="MediaPipe's face landmarker: BlazeFace and the face mesh of 478 landmarks",
        path="face-mesh/face_landmarker.task",
        licence=_APACHE,
        found_in="developers.google.com/mediapipe (face landmarker, float16, version 1); hash of the file there",
        kind="face-mesh",
        urls=(
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
            "face_landmarker.task",
        ),
        size_bytes=3_758_596,
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    ),
    CatalogueEntry(
        name="scrfd",
        purpose="SCRFD 2.5G with key points, the face detector of SyncTalk_2D's preparation",
        path="scrfd/scrfd_2.5g_kps.onnx",
        licence=NOT_STATED,
        found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (size and hash of the file there)",
        kind="scrfd",
        size_bytes=3_291_017,
        sha256="32d20c77b9e2dc1d07e94c2ab9d25bdd5cd05eddbe0b46e7b38e7a1eca22e99a",
        obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
        "talkinghead models import data_utils/scrfd_2.5g_kps.onnx",
    ),
    CatalogueEntry(
        name="pfld",
        purpose="The landmark network of SyncTalk_2D's preparation (110 points)",
        path="pfld/checkpoint_epoch_335.pth.tar",
        licence=NOT_STATED,
        found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
        kind="pfld",
        obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
        "talkinghead models import data_utils/checkpoint_epoch_335.pth.tar",
        brings=("pfld-mean-face",),
    ),
    CatalogueEntry(
        name="pfld-mean-face",
        purpose="The mean face that the landmark network's output is added to",
        path="pfld/mean_face.txt",
        licence=NOT_STATED,
        found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
        kind="pfld-mean-face",
        obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: talkinghead models import data_utils/mean_face.txt",
    ),
)


def _is_s3fd(checkpoint: Checkpoint) -> bool:
    from talkinghead.face.detectors.s3fd import check_weights

    return accepted_by(check_weights, checkpoint)


def _is_pfld(checkpoint: Checkpoint) -> bool:
    from talkinghead.face.landmarks.pfld import fold_pfld

    return accepted_by(fold_pfld, checkpoint)


def _is_yunet(path: Path) -> bool:
    data = graph_bytes(path)
    return b"obj_8" in data and b"cls_8" in data


def _is_face_mesh(path: Path) -> bool:
    return holds_mesh(graph_bytes(path))


def _is_scrfd(path: Path) -> bool:
    """Nine outputs at three strides: scores, boxes, key points (or six, without key points)."""
    data = graph_bytes(path)
    names = (b"out8", b"kps_8", b"bbox_8", b"score_8")
    return b"Conv" in data and (any(name in data for name in names) or b"448" in data)


def _is_mean_face(path: Path) -> bool:
    try:
        return len([float(word) for word in text_of(path).split()]) == 220
    except ValueError:  # not numbers
        return False


KINDS = (
    Kind("s3fd", "the S3FD face detector", holds=_is_s3fd),
    Kind("pfld", "the landmark network", holds=_is_pfld, key="pfld_backbone"),
    Kind("yunet", "a YuNet detector", is_file=_is_yunet, suffixes=(".onnx",)),
    Kind("face-mesh", "MediaPipe's face landmarker", is_file=_is_face_mesh, suffixes=(".task", ".tflite")),
    Kind("scrfd", "an SCRFD detector", is_file=_is_scrfd, suffixes=(".onnx",)),
    Kind("pfld-mean-face", "mean_face.txt of the landmark network", is_file=_is_mean_face, suffixes=(".txt",)),
)
