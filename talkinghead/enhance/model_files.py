"""Files of face restoration networks and upscalers: where they are published, and how they are recognised."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, replace

from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind
from talkinghead.weights.store import records

_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_APACHE = Licence(
    "Apache 2.0",
    "Any use, with the licence and its notices. Trained on FFHQ, whose own terms are non-commercial: ask before "
    "commercial use.",
    "https://github.com/TencentARC/GFPGAN/blob/master/LICENSE",
)
_BSD = Licence(
    "BSD 3-Clause",
    "Any use, with the copyright notice.",
    "https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE",
    commercial=True,
)
_PINNED = "address in the README of the project; size and hash as pinned by public projects"

CATALOGUE = (
    CatalogueEntry(
        name="gfpgan-1.4",
        purpose="GFPGAN 1.4 for --enhance: restores faces, with more detail than 1.3",
        path="enhance/GFPGANv1.4.pth",
        licence=_APACHE,
        found_in=_PINNED,
        kind="gfpgan",
        urls=(f"{_GFPGAN}/v1.3.0/GFPGANv1.4.pth",),
        size_bytes=348_632_874,
        sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
    ),
    CatalogueEntry(
        name="gfpgan-1.3",
        purpose="GFPGAN 1.3 for --enhance: restores faces, softer than 1.4",
        path="enhance/GFPGANv1.3.pth",
        licence=_APACHE,
        found_in=_PINNED,
        kind="gfpgan",
        urls=(f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth",),
        size_bytes=348_632_874,
        sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
    ),
    CatalogueEntry(
        name="restoreformer",
        purpose="RestoreFormer for --enhance: restores faces from a dictionary of facial parts",
        path="enhance/RestoreFormer.pth",
        licence=replace(_APACHE, url="https://github.com/wzhouxiff/RestoreFormer/blob/main/LICENSE"),
        found_in="`inference_gfpgan.py` of github.com/TencentARC/GFPGAN (address)",
        kind="restoreformer",
        urls=(f"{_GFPGAN}/v1.3.4/RestoreFormer.pth",),
    ),
    CatalogueEntry(
        name="realesrgan-x2",
        purpose="Real-ESRGAN x2plus for --enhance: an upscaler that sharpens whatever it sees",
        path="enhance/RealESRGAN_x2plus.pth",
        licence=_BSD,
        found_in=_PINNED,
        kind="upscaler",
        urls=(f"{_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",),
        size_bytes=67_061_725,
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    CatalogueEntry(
        name="realesrgan-x4",
        purpose="Real-ESRGAN x4plus for --enhance: as x2plus, for smaller faces",
        path="enhance/RealESRGAN_x4plus.pth",
        licence=_BSD,
        found_in=_PINNED,
        kind="upscaler",
        urls=(f"{_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",),
        size_bytes=67_040_989,
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    CatalogueEntry(
        name="realesr-general-x4",
        purpose="Real-ESRGAN general x4v3 for --enhance: a small upscaler, the fastest one on processors",
        path="enhance/realesr-general-x4v3.pth",
        licence=_BSD,
        found_in=_PINNED,
        kind="upscaler",
        urls=(f"{_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",),
        size_bytes=4_885_111,
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
)


@dataclass(frozen=True)
class Look:
    """How a network looks from outside."""

    title: str
    """As a noun phrase."""
    marks: tuple[str, ...]
    """Names of tensors that all have to be there."""
    kind: str = ""
    """Of `KINDS`; empty where it does not run here."""

    @property
    def runs(self) -> bool:
        return bool(self.kind)


_LOOKS = (
    Look("a GFPGAN network", ("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"), "gfpgan"),
    Look(
        "CodeFormer (its licence, S-Lab 1.0, forbids commercial use, and spandrel has no such network)",
        ("quantize.embedding.weight", "position_emb", "idx_pred_layer.0.weight"),
    ),
    Look("a GPEN network (spandrel has none)", ("ecd0.0.weight", "generator.style.1.weight")),
    Look("RestoreFormer++ (spandrel has the first RestoreFormer)", ("vqvae.quantize.embedding.weight",)),
    Look(
        "a RestoreFormer network",
        ("quantize.embedding.weight", "encoder.conv_in.weight", "quant_conv.weight", "decoder.conv_out.weight"),
        "restoreformer",
    ),
    Look("an ESRGAN upscaler", ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"), "upscaler"),
    Look("an ESRGAN upscaler", ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight", "conv_last.weight"), "upscaler"),
    Look("an ESRGAN upscaler", ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"), "upscaler"),
    Look("a compact upscaler", ("body.0.weight", "body.1.weight", "body.2.weight"), "upscaler"),
    Look("a Wav2Lip generator, which makes faces", ("face_encoder_blocks.0.0.conv_block.0.weight",)),
    Look("a language model", ("model.embed_tokens.weight",)),
    Look("a language model", ("transformer.wte.weight",)),
    Look("a language model", ("wte.weight",)),
    Look("a text encoder", ("embeddings.word_embeddings.weight",)),
)


def what_it_is(names: Iterable[str]) -> Look | None:
    """What a checkpoint holds, by the names of its tensors; None where it is none of these."""
    there = set(names)
    return next((look for look in _LOOKS if there.issuperset(look.marks)), None)


def installed_networks() -> tuple[str, ...]:
    """Names of the model store that `--enhance` takes now: none without the package that builds the networks."""
    if importlib.util.find_spec("spandrel") is None:
        return ()
    kinds = {kind.name for kind in KINDS}
    return tuple(record.name for record in records().values() if record.kind in kinds)


def _kind(name: str, title: str) -> Kind:
    def holds(checkpoint: Checkpoint) -> bool:
        found = what_it_is(checkpoint.tensors)
        return found is not None and found.kind == name

    return Kind(name, title, holds=holds, folder="enhance")


KINDS = (
    _kind("gfpgan", "a GFPGAN network"),
    _kind("restoreformer", "a RestoreFormer network"),
    _kind("upscaler", "an upscaler of the ESRGAN family"),
)
