"""Golden files of Wav2Lip: weights and inputs made from their seeds; a thin generator for what needs no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.golden_files import network_weights
from tests.thin import thin_generator, thin_weights


@pytest.fixture(scope="session")
def weights96() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/wav2lip96")


@pytest.fixture(scope="session")
def weights256() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/wav2lip256")


@pytest.fixture(scope="session")
def weights_s3fd() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/s3fd")


@pytest.fixture(scope="session")
def thin_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from talkinghead.weights import write_safetensors

    path = tmp_path_factory.mktemp("thin") / "wav2lip.safetensors"
    write_safetensors(thin_weights(), path)
    return path


@pytest.fixture(scope="module")
def thin_checkpoint(thin_file: Path) -> Iterator[Path]:
    """A checkpoint that passes for the published one as long as a module's tests run."""
    with thin_generator():
        yield thin_file
