"""Files of the speech encoders: where they are published, and how they are recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.weights.catalogue import HUB, NOT_STATED, CatalogueEntry, Licence
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind, accepted_by, graph_bytes, json_of

_APACHE = "Any use, with the licence text and the authors' notices."
_HUBERT = Licence("Apache-2.0", _APACHE, "https://huggingface.co/facebook/hubert-large-ls960-ft", commercial=True)
_ESPERANTO = Licence(
    "Apache-2.0", _APACHE, "https://huggingface.co/cpierse/wav2vec2-large-xlsr-53-esperanto", commercial=True
)


def _encoder(
    name: str, repository: str, file: str, licence: Licence, found_in: str, kind: str, purpose: str, **facts: Any
) -> CatalogueEntry:
    """A file of a network on the Hugging Face hub, kept in a folder that transformers reads."""
    return CatalogueEntry(
        name=name,
        purpose=purpose,
        path=f"{name.removesuffix('-config')}/{file}",
        licence=licence,
        found_in=found_in,
        kind=kind,
        urls=(f"{HUB}/{repository}/resolve/main/{file}",),
        **facts,
    )


CATALOGUE = (
    CatalogueEntry(
        name="ave",
        purpose="The audio-visual encoder of SyncTalk and SyncTalk_2D",
        path="ave/audio_visual_encoder.pth",
        licence=NOT_STATED,
        found_in="model/checkpoints of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
        kind="ave",
        obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
        "talkinghead models import model/checkpoints/audio_visual_encoder.pth",
    ),
    CatalogueEntry(
        name="wenet",
        purpose="The WeNet speech encoder of SyncTalk_2D's and Ultralight-Digital-Human's mode wenet",
        path="wenet/encoder.onnx",
        licence=NOT_STATED,
        found_in="the README of github.com/anliyuan/Ultralight-Digital-Human (link)",
        kind="wenet",
        obtain="Download it in a browser from "
        "https://drive.google.com/file/d/1e4Z9zS053JEWl6Mj3W9Lbc9GDtzHIg6b/view, then: "
        "talkinghead models import encoder.onnx",
    ),
    _encoder(
        "hubert",
        "facebook/hubert-large-ls960-ft",
        "pytorch_model.bin",
        _HUBERT,
        "the model that SyncTalk_2D and TalkingGaussian name; address and hash as pinned by public projects",
        "hubert",
        "HuBERT large, the speech features of SyncTalk_2D's mode hubert and of HuBERT heads of TalkingGaussian",
        sha256="9cf43abec3f0410ad6854afa4d376c69ccb364b48ddddfd25c4c5aa16398eab0",
        brings=("hubert-config",),
    ),
    _encoder(
        "hubert-config",
        "facebook/hubert-large-ls960-ft",
        "config.json",
        _HUBERT,
        "beside the weights, as fetched by public projects",
        "hubert-config",
        "HuBERT large: the sizes of its network",
        listed=False,
    ),
    _encoder(
        "esperanto",
        "cpierse/wav2vec2-large-xlsr-53-esperanto",
        "pytorch_model.bin",
        _ESPERANTO,
        "the model that TalkingGaussian names; address as fetched by public projects",
        "esperanto",
        "The Esperanto wav2vec 2.0, the speech features of Esperanto heads of TalkingGaussian",
        brings=("esperanto-config",),
    ),
    _encoder(
        "esperanto-config",
        "cpierse/wav2vec2-large-xlsr-53-esperanto",
        "config.json",
        _ESPERANTO,
        "beside the weights, as fetched by public projects",
        "esperanto-config",
        "The Esperanto wav2vec 2.0: the sizes of its network",
        listed=False,
    ),
    CatalogueEntry(
        name="deepspeech",
        purpose="DeepSpeech 0.1.0, the speech features that many TalkingGaussian heads listen to",
        path="deepspeech/deepspeech-0_1_0-b90017e8.pb",
        licence=Licence(
            "MPL-2.0 (Mozilla DeepSpeech)",
            "Any use; changes to the files themselves are published. The mirror states no terms of its own.",
            "https://github.com/mozilla/DeepSpeech/blob/master/LICENSE",
            commercial=True,
        ),
        found_in="release v0.0.1 of github.com/osmr/deepspeech_features (address, SHA-1); LICENSE of "
        "github.com/mozilla/DeepSpeech",
        kind="deepspeech",
        urls=("https://github.com/osmr/deepspeech_features/releases/download/v0.0.1/deepspeech-0_1_0-b90017e8.pb.zip",),
        archive_member="deepspeech-0_1_0-b90017e8.pb",
        member_sha1="b90017e816572ddce84f5843f1fa21e6a377975e",
    ),
)


def _is_ave(checkpoint: Checkpoint) -> bool:
    from talkinghead.audio.encoders.ave import encoder_tensors

    return accepted_by(encoder_tensors, checkpoint)


def _is_hubert(checkpoint: Checkpoint) -> bool:
    """The large one, as transformers saves it: with or without the head that it was fine-tuned with."""
    names = [name.removeprefix("hubert.") for name in checkpoint.tensors]
    return "encoder.layers.23.attention.q_proj.weight" in names and "masked_spec_embed" in names


def _is_esperanto(checkpoint: Checkpoint) -> bool:
    head = checkpoint.tensors.get("lm_head.weight")
    return (
        head is not None
        and head.shape == (44, 1024)
        and any(name.startswith("wav2vec2.encoder.") for name in checkpoint.tensors)
    )


def _is_wenet(path: Path) -> bool:
    data = graph_bytes(path)
    return all(name in data for name in (b"att_cache", b"cnn_cache", b"chunk"))


def _is_deepspeech(path: Path) -> bool:
    if path.stat().st_size == 0:
        return False
    data: Any = np.memmap(path, dtype=np.uint8, mode="r")
    head = bytes(data[: 1 << 20])
    return b"input_node" in head and b"input_lengths" in head


def _is_hubert_config(path: Path) -> bool:
    config = json_of(path)
    return config.get("model_type") == "hubert" and config.get("hidden_size") == 1024


def _is_esperanto_config(path: Path) -> bool:
    config = json_of(path)
    return config.get("model_type") == "wav2vec2" and config.get("vocab_size") == 44


KINDS = (
    Kind("ave", "the audio-visual encoder", holds=_is_ave),
    Kind("esperanto", "the Esperanto wav2vec 2.0", holds=_is_esperanto),
    Kind("hubert", "HuBERT large", holds=_is_hubert),
    Kind("wenet", "a WeNet encoder", is_file=_is_wenet, suffixes=(".onnx",)),
    Kind("deepspeech", "the frozen graph of DeepSpeech 0.1.0", is_file=_is_deepspeech, suffixes=(".pb",)),
    Kind("hubert-config", "config.json of HuBERT large", is_file=_is_hubert_config, suffixes=(".json",)),
    Kind(
        "esperanto-config",
        "config.json of the Esperanto wav2vec 2.0",
        is_file=_is_esperanto_config,
        suffixes=(".json",),
    ),
)
