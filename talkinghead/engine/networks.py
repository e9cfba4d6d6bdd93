"""Rows of `talkinghead reference`: single networks that run alone on named arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from talkinghead.bounds import check_fields

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ReferenceOptions:
    """Where and how a reference network runs; the defaults are the reference."""

    device: str = "cpu"
    precision: str = "float32"
    backend: str = "torch"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ReferenceNetwork:
    """One row of `talkinghead reference list`."""

    name: str
    """Family and network, with a dot between them."""
    summary: str
    inputs: Mapping[str, str]
    """Name to shape, dtype and range, for the listing. Optional inputs end in "(optional)"."""
    outputs: Mapping[str, str]
    run: Callable[[Arrays, Arrays, Mapping[str, Any], ReferenceOptions], dict[str, NDArray[Any]]]
    """(weights, inputs, config, options) -> outputs."""
    needs_weights: bool = True
    config: str = ""
    """What `--config` takes, or empty."""
