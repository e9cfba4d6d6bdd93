"""A small model in the layout of the published files."""

from __future__ import annotations

import json

import pytest
import torch

from tests.golden_files import Golden


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """A folder as published, with a small model."""
    golden = Golden("artalk/ar_small")
    folder = tmp_path_factory.mktemp("assets")
    weights = {name: torch.from_numpy(value) for name, value in golden.weights().items()}
    # wav2vec2's sizes are not in config.json: the published ones are implied. Tests shrink them by hand.
    torch.save(weights, folder / "ARTalk_wav2vec.pt")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "AR_CONFIG": {"T_DEPTH": 2, "T_NUM_HEADS": 12, "PREV_RATIO": 1},
                "VAE_CONFIG": golden.overrides["config"]["VAE_CONFIG"],
            }
        )
    )
    (folder / "style_motion").mkdir()
    storage = torch.zeros(3000, 106)
    storage[100:150] = torch.from_numpy(golden.inputs()["style23"][0])
    torch.save(storage[100:150], folder / "style_motion" / "natural_0.pt")
    return folder


@pytest.fixture(scope="module")
def small_sizes():
    """Make the implied audio encoder small while these tests run."""
    from talkinghead.families.artalk.motion import config

    before = dict(config.XLS_R_300M)
    config.XLS_R_300M.clear()
    config.XLS_R_300M.update(Golden("artalk/ar_small").overrides["wav2vec2_config"])
    yield
    config.XLS_R_300M.clear()
    config.XLS_R_300M.update(before)
