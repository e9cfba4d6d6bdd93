"""What a model file is, from what it holds, never from its name alone; each family is asked about its own files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.errors import TalkingHeadError, WrongCheckpoint, choices
from talkinghead.weights.checkpoint import Checkpoint, read_checkpoint

Test = Callable[[Checkpoint], bool]


@dataclass(frozen=True)
class Kind:
    """A kind of file that can be recognised."""

    name: str
    title: str
    model: str | None
    """Name in the registry of the model that takes such a file as its checkpoint."""
    is_it: Test


def _accepts(module: str, function: str) -> Test:
    """Whether a function that checks tensors accepts them; it is imported when asked."""

    def test(checkpoint: Checkpoint) -> bool:
        check = getattr(importlib.import_module(module), function)
        try:
            check(checkpoint.tensors, str(checkpoint.path))
        except TalkingHeadError:
            return False
        return True

    return test


def _wav2lip(architecture: str) -> Test:
    def test(checkpoint: Checkpoint) -> bool:
        weights: Any = importlib.import_module("talkinghead.families.wav2lip.weights")
        blocks: Any = importlib.import_module("talkinghead.families.wav2lip.architecture")
        tensors = weights.published_names(checkpoint.tensors)
        if not any(name.startswith("face_encoder_blocks") for name in tensors):
            return False
        try:
            return bool(blocks.recognise(tensors, str(checkpoint.path)) is getattr(blocks, architecture))
        except WrongCheckpoint:
            return False

    return test


def _holds(*names: str) -> Test:
    return lambda checkpoint: all(name in checkpoint.tensors for name in names)


def _synctalk2d(checkpoint: Checkpoint) -> bool:
    family: Any = importlib.import_module("talkinghead.families.synctalk2d.weights")
    try:
        family.recognise(family.to_published_layout(checkpoint.tensors)[0], str(checkpoint.path))
    except TalkingHeadError:
        return False
    return True


def _talkinggaussian(checkpoint: Checkpoint) -> bool:
    family: Any = importlib.import_module("talkinghead.families.talkinggaussian.checkpoint")
    try:
        family.read_trained_head(checkpoint.path)
    except (TalkingHeadError, KeyError, IndexError, TypeError):
        return False
    return True


def _style(checkpoint: Checkpoint) -> bool:
    arrays = list(checkpoint.tensors.values())
    return len(arrays) == 1 and arrays[0].shape == (50, 106)


def _avatars(checkpoint: Checkpoint) -> bool:
    tree = checkpoint.tree
    return (
        isinstance(tree, Mapping)
        and len(tree) > 0
        and all(isinstance(e, Mapping) and {"image", "transform_matrix", "shapecode"} <= set(e) for e in tree.values())
    )


def _artalk(checkpoint: Checkpoint) -> bool:
    names = checkpoint.tensors
    return any(name.startswith("basic_vae.") for name in names) and any(
        name.startswith("audio_encoder.") for name in names
    )


def _hubert(checkpoint: Checkpoint) -> bool:
    """The large one, as transformers saves it: with or without the head that it was fine-tuned with."""
    names = [name.removeprefix("hubert.") for name in checkpoint.tensors]
    return "encoder.layers.23.attention.q_proj.weight" in names and "masked_spec_embed" in names


def _esperanto(checkpoint: Checkpoint) -> bool:
    head = checkpoint.tensors.get("lm_head.weight")
    return (
        head is not None
        and head.shape == (44, 1024)
        and any(name.startswith("wav2vec2.encoder.") for name in checkpoint.tensors)
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("wav2lip-96", "a Wav2Lip generator of 96 pixels", "wav2lip", _wav2lip("GENERATOR_96")),
        Kind("wav2lip-256", "a Wav2Lip generator of 256 pixels", "wav2lip", _wav2lip("GENERATOR_256")),
        Kind("synctalk2d", "a SyncTalk_2D generator of one person", "synctalk2d", _synctalk2d),
        Kind("talkinggaussian", "a TalkingGaussian head of one person", "talkinggaussian", _talkinggaussian),
        Kind("artalk-motion", "ARTalk's motion network", None, _artalk),
        Kind("gagavatar", "GAGAvatar", None, _holds("head_base")),
        Kind("artalk-avatars", "tracked avatars of ARTalk", None, _avatars),
        Kind("artalk-style", "a speaking style of ARTalk", None, _style),
        Kind("flame", "a FLAME head", None, _holds("v_template", "shapedirs")),
        Kind("s3fd", "the S3FD face detector", None, _accepts("talkinghead.face.detectors.s3fd", "check_weights")),
        Kind("ave", "the audio-visual encoder", None, _accepts("talkinghead.audio.encoders.ave", "encoder_tensors")),
        Kind("esperanto", "the Esperanto wav2vec 2.0", None, _esperanto),
        Kind("hubert", "HuBERT large", None, _hubert),
        Kind("pfld", "the landmark network", None, _accepts("talkinghead.face.landmarks.pfld", "fold_pfld")),
    )
}
"""Every kind that the keys of a checkpoint tell, in the order in which they are asked."""

OTHER_KINDS = ("yunet", "scrfd", "wenet", "deepspeech", "pfld-mean-face", "hubert-config", "esperanto-config")
"""Kinds that are told by their bytes."""


def recognise(path: Path) -> str:
    """The kind of a file: a name in KINDS or OTHER_KINDS.

    Raises:
        WrongCheckpoint: none that is known, damaged, or not a model file. UnsafeCheckpoint: loading it would run code.
    """
    if (found := _by_bytes(path)) is not None:
        return found
    checkpoint = read_checkpoint(path, keep_classes=("chumpy.", "scipy.sparse."))
    for kind in KINDS.values():
        if kind.is_it(checkpoint):
            return kind.name
    inner = read_inner(checkpoint)
    for kind in KINDS.values():
        if inner is not None and kind.is_it(inner):
            return kind.name
    held = ", ".join(list(checkpoint.tensors)[:3]) or "no tensors"
    raise WrongCheckpoint(
        f"{path} is not a model file that this package knows; it holds {len(checkpoint.tensors)} tensors ({held}).",
        accepted=choices(
            [*(kind.title for kind in KINDS.values()), "a YuNet or SCRFD detector", "DeepSpeech 0.1.0", "WeNet"]
        ),
    )


def read_inner(checkpoint: Checkpoint) -> Checkpoint | None:
    """The landmark network keeps its weights under a key of its own."""
    tree = checkpoint.tree
    if isinstance(tree, Mapping) and "pfld_backbone" in tree:
        return read_checkpoint(checkpoint.path, key="pfld_backbone")
    return None


def _by_bytes(path: Path) -> str | None:
    """ONNX files, the frozen graph of DeepSpeech, and the small files of text beside some networks."""
    if path.suffix.lower() in (".json", ".txt") and path.is_file():
        return _by_text(path)
    if path.suffix.lower() == ".onnx" and path.is_file() and path.stat().st_size < 100_000_000:
        data = path.read_bytes()
        if b"obj_8" in data and b"cls_8" in data:
            return "yunet"
        if all(name in data for name in (b"att_cache", b"cnn_cache", b"chunk")):
            return "wenet"
        if _is_scrfd(data):
            return "scrfd"
    if path.suffix.lower() == ".pb" and path.is_file():
        data_view: Any = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
        head = bytes(data_view[: 1 << 20])
        if b"input_node" in head and b"input_lengths" in head:
            return "deepspeech"
        raise WrongCheckpoint(f"{path} is not the frozen graph of DeepSpeech 0.1.0.")
    return None


def _by_text(path: Path) -> str:
    """A configuration of transformers, or the mean face of the landmark network.

    Raises:
        WrongCheckpoint: some other text.
    """
    wrong = WrongCheckpoint(
        f"{path} is not a text file that this package knows.",
        accepted="config.json of HuBERT large or of the Esperanto wav2vec 2.0, or mean_face.txt",
    )
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size < 1_000_000 else ""
        if path.suffix.lower() == ".txt":
            if len([float(word) for word in text.split()]) == 220:
                return "pfld-mean-face"
            raise wrong
        config = json.loads(text)
    except ValueError:  # not UTF-8, not JSON, not numbers
        raise wrong from None
    if isinstance(config, dict) and config.get("model_type") == "hubert" and config.get("hidden_size") == 1024:
        return "hubert-config"
    if isinstance(config, dict) and config.get("model_type") == "wav2vec2" and config.get("vocab_size") == 44:
        return "esperanto-config"
    raise wrong


def _is_scrfd(data: bytes) -> bool:
    """Nine outputs at three strides: scores, boxes, key points (or six, without key points)."""
    names = (b"out8", b"kps_8", b"bbox_8", b"score_8")
    return b"Conv" in data and (any(name in data for name in names) or b"448" in data)
