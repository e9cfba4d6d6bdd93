"""A thin Wav2Lip and a network that sharpens as a known formula says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.enhance.networks import sharpener
from tests.thin import thin_generator, thin_weights


@pytest.fixture(scope="session")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharpener(tmp_path_factory.mktemp("sharp") / "sharpener.safetensors")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from talkinghead.weights import write_safetensors

    path = tmp_path_factory.mktemp("thin") / "wav2lip.safetensors"
    write_safetensors(thin_weights(), path)
    with thin_generator():
        yield path
