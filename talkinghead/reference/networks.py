"""Run one network of one family alone, on named arrays: what ports, backends and golden tests are compared through.

A family lists its networks in what `Manifest.reference` names. Weight names are those of the published checkpoint;
input and output names are those of the golden files (what stands before a `/` in an input name is dropped).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.engine.manifest import Manifest
from talkinghead.engine.networks import Arrays, ReferenceNetwork, ReferenceOptions
from talkinghead.errors import BrokenFamily, InputError, OptionError
from talkinghead.reading import reading
from talkinghead.registry import FAMILIES, named


def networks() -> dict[str, ReferenceNetwork]:
    """All networks of all families, by name. Networks of another package that cannot be imported are warned of."""
    found: dict[str, ReferenceNetwork] = {}
    for facts in FAMILIES.values():
        try:
            found.update({row.name: row for row in networks_of(facts)})
        except BrokenFamily as error:
            warnings.warn(f"The networks of the model {facts.name!r} are left out: {error.what}", stacklevel=2)
    return found


def networks_of(facts: Manifest) -> tuple[ReferenceNetwork, ...]:
    """The networks of one family.

    Raises:
        BrokenFamily: it is of another package, and they cannot be imported or are not named after it.
    """
    if facts.reference is None:
        return ()
    rows: tuple[ReferenceNetwork, ...] = named(facts.reference)
    prefixes = (facts.name, *facts.reference_prefixes)
    for row in rows:
        if row.name.partition(".")[0] not in prefixes:
            raise BrokenFamily(
                f"{row.name!r} is no name for a network of the model {facts.name!r}.",
                accepted=" or ".join(f"{prefix}.NAME" for prefix in prefixes),
            )
    return rows


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
    required = [key for key, text in network.inputs.items() if "(optional" not in text]
    missing = [key for key in required if key not in named]
    if missing:
        raise InputError(
            f"The inputs of {name} lack {', '.join(missing)}; given: {', '.join(sorted(named)) or 'nothing'}.",
            accepted=", ".join(f"{key} {text}" for key, text in network.inputs.items()),
        )
    with reading(f"The weights, inputs or config of {name}", what="do not fit the network"):
        outputs = network.run(weights, named, config or {}, options or ReferenceOptions())
    return {key: np.asarray(value) for key, value in outputs.items()}
