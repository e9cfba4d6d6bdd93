"""Golden files of Wav2Lip: weights and inputs made from their seeds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden_files import network_weights


@pytest.fixture(scope="session")
def weights96() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/wav2lip96")


@pytest.fixture(scope="session")
def weights256() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/wav2lip256")


@pytest.fixture(scope="session")
def weights_s3fd() -> dict[str, np.ndarray]:
    return network_weights("wav2lip/s3fd")
