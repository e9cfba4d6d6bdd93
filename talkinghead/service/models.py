"""The model store with what families and shared parts know: their public files, and the kinds that they recognise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkinghead.audio.encoders import model_files as speech_files
from talkinghead.enhance import model_files as enhance_files
from talkinghead.face import model_files as face_files
from talkinghead.registry import FAMILIES, named
from talkinghead.weights.catalogue import CatalogueEntry
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind
from talkinghead.weights.store import ModelStore


def catalogue() -> dict[str, CatalogueEntry]:
    """Every public file by name: those of the families in their order, then those of detectors, speech encoders and
    sharpening."""
    own = [row for facts in FAMILIES.values() if facts.catalogue is not None for row in named(facts.catalogue)]
    return {row.name: row for row in (*own, *face_files.CATALOGUE, *speech_files.CATALOGUE, *enhance_files.CATALOGUE)}


def kinds() -> tuple[Kind, ...]:
    """Every kind of file that is recognised, in the order in which they are asked."""
    own = [kind for facts in FAMILIES.values() if facts.kinds is not None for kind in named(facts.kinds)]
    return (*own, *face_files.KINDS, *speech_files.KINDS, *enhance_files.KINDS)


def model_store() -> ModelStore:
    """The store as it is to be used; made anew so that it knows the families of now."""
    return ModelStore(catalogue(), kinds())


def tensors_of_export(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The tensors of an ONNX file under the published names, where a family knows the network; else None."""
    for facts in FAMILIES.values():
        if facts.exported_tensors is not None:
            tensors: Mapping[str, Any] | None = named(facts.exported_tensors)(checkpoint)
            if tensors is not None:
                return tensors
    return None
