"""The quality gate: what is measured, what is taken, and what is remembered."""

from __future__ import annotations

import math

import numpy as np
import pytest

from talkinghead.backends import Placement
from talkinghead.backends import gate as module
from talkinghead.backends.gate import MIN_PSNR_DB, Verdict, first_faithful, psnr_db, recall, spread_psnr_db
from talkinghead.engine.cache import Cache, NullCache

HALF = Placement("cpu", "openvino", "float16")
BRAIN = Placement("cpu", "openvino", "bfloat16")
EXACT = Placement("cpu", "onnx", "float32")
SHA = "ab" * 32


def judge(places, losses, store=None, **options):
    asked = []

    def measure(place):
        asked.append(place.precision)
        return losses[place.precision]

    options = {"network": "net/1", "weights_sha256": SHA, "store": store, **options}
    return first_faithful(places, measure, **options), asked


def test_the_first_faithful_way_is_taken() -> None:
    verdict, asked = judge([HALF, BRAIN, EXACT], {"float16": 50.0, "bfloat16": 60.0})
    assert verdict == Verdict(HALF, 50.0, ())
    assert asked == ["float16"]
    verdict, asked = judge([HALF, BRAIN, EXACT], {"float16": 44.9, "bfloat16": MIN_PSNR_DB})
    assert (verdict.placement, verdict.psnr_db) == (BRAIN, 45.0)
    assert asked == ["float16", "bfloat16"]
    assert verdict.refused == (
        "net: openvino float16 on cpu keeps only 44.9 dB of 45 with these weights; the next precision was taken.",
    )
    assert verdict.run("generator").psnr_db == 45.0


@pytest.mark.parametrize("loss", [30.0, math.nan, -math.inf])
def test_float32_is_what_remains(loss: float) -> None:
    verdict, _ = judge([HALF, EXACT], {"float16": loss})
    assert verdict.placement == EXACT
    assert verdict.psnr_db is None
    assert len(verdict.refused) == 1


def test_nothing_is_measured_without_need() -> None:
    assert judge([EXACT], {}) == (Verdict(EXACT), [])
    assert judge([HALF, EXACT], {}, trusted=True) == (Verdict(HALF), [])
    with pytest.raises(ValueError, match="at least one"):
        judge([], {})


def test_a_verdict_is_remembered(tmp_path) -> None:
    cache = Cache(tmp_path)
    first, asked = judge([HALF, BRAIN, EXACT], {"float16": 30.0, "bfloat16": 50.0}, cache)
    assert asked == ["float16", "bfloat16"]
    again, asked = judge([HALF, BRAIN, EXACT], {}, cache)
    assert asked == []
    assert again == first
    for other in ({"weights_sha256": "cd" * 32}, {"network": "net/2"}):
        assert judge([HALF, EXACT], {"float16": 50.0}, cache, **other)[1] == ["float16"]
    elsewhere = Placement("cpu", "torch", "float16")
    assert judge([elsewhere, EXACT], {"float16": 50.0}, cache)[1] == ["float16"]


def test_a_verdict_can_be_recalled_without_measuring(tmp_path) -> None:
    cache = Cache(tmp_path)
    facts = {"network": "net/1", "weights_sha256": SHA, "store": cache}
    assert recall([HALF, BRAIN, EXACT], **facts) is None
    assert recall([EXACT], **facts) == Verdict(EXACT)
    assert recall([HALF], trusted=True, **facts) == Verdict(HALF)
    wanted, _ = judge([HALF, BRAIN, EXACT], {"float16": 30.0, "bfloat16": 50.0}, cache)
    assert recall([HALF, BRAIN, EXACT], **facts) == wanted
    assert recall([HALF, EXACT], **facts).placement == EXACT


def test_a_verdict_belongs_to_the_runtime_and_the_processor(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    judge([HALF, EXACT], {"float16": 50.0}, cache)
    with monkeypatch.context() as patch:
        patch.setattr(module, "runtime_version", lambda backend: "another")
        assert judge([HALF, EXACT], {"float16": 50.0}, cache)[1] == ["float16"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "machine", lambda device: "another")
        assert judge([HALF, EXACT], {"float16": 50.0}, cache)[1] == ["float16"]
    assert judge([HALF, EXACT], {}, cache)[1] == []


def test_nothing_is_remembered_where_it_cannot_be(tmp_path) -> None:
    cache = Cache(tmp_path)
    judge([HALF, EXACT], {"float16": 50.0}, cache, weights_sha256=None)
    assert len(cache) == 0
    judge([HALF, EXACT], {"float16": 50.0}, NullCache())
    assert judge([HALF, EXACT], {"float16": 50.0}, NullCache())[1] == ["float16"]


def test_the_hash_is_waited_for_only_when_something_is_measured(tmp_path) -> None:
    def slow() -> str:
        asked.append(1)
        return SHA

    asked: list[int] = []
    judge([EXACT], {}, Cache(tmp_path), weights_sha256=slow)
    judge([HALF], {}, Cache(tmp_path), weights_sha256=slow, trusted=True)
    assert asked == []
    judge([HALF, EXACT], {"float16": 50.0}, Cache(tmp_path), weights_sha256=slow)
    assert asked == [1]


def test_psnr_of_known_differences() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr_db(black, black, peak=255) == math.inf
    assert psnr_db(black, black + 1, peak=255) == pytest.approx(48.13, abs=0.01)
    assert psnr_db(black + 51, black, peak=255) == pytest.approx(10 * math.log10(25))
    assert math.isnan(psnr_db(np.full(3, np.nan), np.zeros(3), peak=1))
    assert math.isnan(psnr_db(np.full(3, np.inf), np.zeros(3), peak=1))
    ramp = np.linspace(-3, 3, 61)
    assert spread_psnr_db(ramp + 0.06, ramp) == pytest.approx(40)
    assert spread_psnr_db(np.ones(3), np.ones(3)) == math.inf
    with pytest.raises(ValueError, match="shapes differ"):
        psnr_db(black, black[:3], peak=255)
