"""A folder in the format of transformers, looked through before the library takes it in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talkinghead.errors import WrongCheckpoint
from talkinghead.reading import read_json, shown

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""In the order in which the library looks for them."""
MAX_CONFIG_BYTES = 1_000_000
MOST: Mapping[str, int] = {
    "hidden_size": 8192,
    "intermediate_size": 65_536,
    "num_hidden_layers": 256,
    "num_attention_heads": 256,
    "vocab_size": 1_000_000,
    "num_conv_pos_embeddings": 4096,
    "num_conv_pos_embedding_groups": 4096,
}
MOST_IN_LIST = 4096
"""Of the widths, kernels and strides of convolutions; there are at most 32."""


def has_weights(folder: Path) -> bool:
    """Whether weights lie in a folder, and not its settings alone."""
    return any((folder / name).is_file() for name in WEIGHTS)


def check_model_folder(folder: Path) -> None:
    """Refuse what would cost more than the file holds, or run code, when transformers loads it.

    What is not there is left to the library to tell.

    Raises:
        WrongCheckpoint: settings that are none, sizes that the weights do not fill, damaged weights.
        UnsafeCheckpoint: weights that would run code.
    """
    from talkinghead.weights.checkpoint import read_checkpoint

    if not (folder / "config.json").is_file() or not has_weights(folder):
        return
    accepted = f"a folder with config.json and {' or '.join(WEIGHTS)}"
    config = read_json(folder / "config.json", error=WrongCheckpoint, accepted=accepted, max_bytes=MAX_CONFIG_BYTES)
    if not isinstance(config, dict):
        raise WrongCheckpoint(f"{folder / 'config.json'} is not a JSON object.", accepted=accepted)
    check_sizes(config, folder / "config.json")
    weights = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    held = sum(value.size for value in read_checkpoint(weights).tensors.values())
    if parameters(config) > held:
        raise WrongCheckpoint(f"{weights} holds {held} numbers, fewer than the network of config.json has.")


def check_sizes(config: Mapping[str, Any], source: Path) -> None:
    """Refuse absurd sizes in the settings of a wav2vec 2.0 or HuBERT network.

    Raises:
        WrongCheckpoint: one is.
    """
    for name, most in MOST.items():
        value = config.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise WrongCheckpoint(f"{name} in {source} is {shown(value)}.", accepted=f"1 to {most}")
    for name in ("conv_dim", "conv_kernel", "conv_stride"):
        values = config.get(name, [1])
        fits = isinstance(values, list | tuple) and 1 <= len(values) <= 32
        if not fits or not all(type(value) is int and 1 <= value <= MOST_IN_LIST for value in values):
            raise WrongCheckpoint(
                f"{name} in {source} is {shown(values)}.", accepted=f"at most 32 sizes to {MOST_IN_LIST}"
            )


def parameters(config: Mapping[str, Any]) -> int:
    """Numbers that the layers of the encoder certainly have, where the settings name their sizes."""
    hidden, inner = int(config.get("hidden_size", 0)), int(config.get("intermediate_size", 0))
    return int(config.get("num_hidden_layers", 0)) * (4 * hidden * hidden + 2 * hidden * inner)
