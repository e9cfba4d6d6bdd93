"""`--precision fast` computes the motion in half precision only where that says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.backends import placement
from talkinghead.backends.gate import MIN_PSNR_DB
from talkinghead.backends.processor import Processor
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import PrepareOptions
from talkinghead.families.artalk import drivers
from talkinghead.media import read_audio

CLIP = read_audio(demo_speech_path(), 16_000, duration_s=2)


@pytest.fixture(autouse=True)
def fast_machine(monkeypatch):
    """bfloat16 is tried, whatever runs the test."""
    monkeypatch.setattr(placement, "this_processor", lambda: Processor(frozenset({"amx_bf16"}), "made up"))


def kind(model):
    return next(model.generator.attn_blocks.parameters()).dtype


@pytest.mark.usefixtures("small_sizes")
def test_motion_is_float32_unless_asked_otherwise(assets):
    driver = th.load("artalk", assets=assets).driver
    assert kind(driver.model(RunContext())) == torch.float32
    (network,) = driver.networks
    assert (network.backend, network.precision, network.psnr_db) == ("torch", "float32", None)
    assert "only taken when asked for" in network.why


@pytest.mark.usefixtures("small_sizes")
def test_a_format_that_is_named_is_taken(assets, monkeypatch):
    monkeypatch.setattr(drivers, "spread_psnr_db", lambda *_: pytest.fail("nothing is measured"))
    driver = th.load("artalk", assets=assets, precision="bfloat16").driver
    run = RunContext()
    assert kind(driver.model(run)) == torch.bfloat16
    assert (driver.networks[0].precision, driver.networks[0].psnr_db, run.fallbacks) == ("bfloat16", None, ())


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_what_half_precision_loses_is_measured_once(assets, tmp_path, monkeypatch):
    asked = []

    def measured(found, exact):
        asked.append(np.abs(found - exact).max())
        return 50.0

    monkeypatch.setattr(drivers, "spread_psnr_db", measured)
    cache = Cache(tmp_path)
    for _ in range(2):
        driver = th.load("artalk", assets=assets, precision="fast").driver
        assert kind(driver.model(RunContext(cache=cache))) == torch.bfloat16
        assert driver.networks[0].psnr_db == 50.0
    assert len(asked) == 1
    assert asked[0] > 0


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_motion_that_changes_too_much_is_computed_in_float32(assets, tmp_path, monkeypatch):
    monkeypatch.setattr(drivers, "spread_psnr_db", lambda *_: MIN_PSNR_DB - 1)
    exact = th.load("artalk", assets=assets).driver.motion(CLIP)
    driver = th.load("artalk", assets=assets, precision="fast").driver
    for _ in range(2):
        run = RunContext(cache=Cache(tmp_path))
        assert kind(driver.model(run)) == torch.float32
        assert "keeps only 44.0 dB" in run.fallbacks[0]
    np.testing.assert_array_equal(driver.motion(CLIP), exact)


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_the_report_says_what_was_left(assets, tmp_path, monkeypatch):
    """In every job of a head, not only in the first."""
    monkeypatch.setattr(drivers, "spread_psnr_db", lambda *_: MIN_PSNR_DB - 1)
    head = th.load("artalk", assets=assets, precision="fast", image_size=32, antialias=1)
    avatar = head.prepare("mesh", PrepareOptions(cache=Cache(tmp_path)))
    for _ in range(2):
        report = head.render(avatar, th.listen(CLIP), tmp_path / "out.mp4").report
        assert (report.networks[0].precision, report.networks[0].psnr_db) == ("float32", None)
        assert [text for text in report.fallbacks if "motion network of ARTalk" in text]
