"""Run one network of one family alone, on named arrays: what ports, backends and golden tests are compared through.

A family lists its networks in a module named by `Manifest.reference_module`, as a tuple `NETWORKS`. Weight names
are those of the published checkpoint; input and output names are those of the golden files (what stands before a `/`
in an input name is dropped).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import InputError, OptionError
from talkinghead.registry import FAMILIES

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ReferenceOptions:
    """Where and how a reference network runs; the defaults are the reference."""

    device: str = "cpu"
    precision: str = "float32"
    backend: str = "torch"


@dataclass(frozen=True)
class ReferenceNetwork:
    """One row of `talkinghead reference list`."""

    name: str
    """Family and network: "wav2lip.generator96"."""
    summary: str
    inputs: Mapping[str, str]
    """Name to shape, dtype and range, for the listing. Optional inputs end in "(optional)"."""
    outputs: Mapping[str, str]
    run: Callable[[Arrays, Arrays, Mapping[str, Any], ReferenceOptions], dict[str, NDArray[Any]]]
    """(weights, inputs, config, options) -> outputs."""
    needs_weights: bool = True
    config: str = ""
    """What `--config` takes, or empty."""


def networks() -> dict[str, ReferenceNetwork]:
    """All networks of all families, by name."""
    found: dict[str, ReferenceNetwork] = {}
    for facts in FAMILIES.values():
        if facts.reference_module is None:
            continue
        rows: tuple[ReferenceNetwork, ...] = import_module(facts.reference_module).NETWORKS
        found.update({row.name: row for row in rows})
    return found


def run_network(
    name: str,
    weights: Arrays,
    inputs: Arrays,
    config: Mapping[str, Any] | None = None,
    options: ReferenceOptions | None = None,
) -> dict[str, NDArray[Any]]:
    """Run one network.

    Args:
        name: a key of `networks()`.
        weights: the published checkpoint's arrays by name, any published key layout.
        inputs: arrays by golden name; a prefix up to the last "/" is dropped.
        config: the network's configuration, where it takes one.
    Returns:
        Every output of the network by golden name.
    Raises:
        OptionError: unknown network. InputError: an input is missing.
    """
    table = networks()
    if name not in table:
        raise OptionError(f"There is no reference network {name!r}.", remedy="talkinghead reference list")
    network = table[name]
    named = {key.rsplit("/", 1)[-1]: value for key, value in inputs.items()}
    required = [key for key, text in network.inputs.items() if not text.endswith("(optional)")]
    missing = [key for key in required if key not in named]
    if missing:
        raise InputError(
            f"The inputs of {name} lack {', '.join(missing)}; given: {', '.join(sorted(named)) or 'nothing'}.",
            accepted=", ".join(f"{key} {text}" for key, text in network.inputs.items()),
        )
    outputs = network.run(weights, named, config or {}, options or ReferenceOptions())
    return {key: np.asarray(value) for key, value in outputs.items()}
