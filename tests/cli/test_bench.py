"""`talkinghead bench` on a model that costs next to nothing."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from talkinghead.errors import OptionError
from talkinghead.measure.cases import BenchSettings, bench_speech, draw_face, portrait
from talkinghead.media import open_frames
from talkinghead.registry import FAMILIES
from talkinghead.service.bench import bench_model
from tests.stripes import FACTS
from tests.synthetic_media import make_picture, make_video, read_code


@pytest.fixture(autouse=True)
def _stripes(monkeypatch):
    import talkinghead.cli.bench as module

    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    monkeypatch.setattr(module, "command", module._build())


SMALL = ("--seconds", "0.4", "--size", "160x120", "--repeats", "2")


@pytest.mark.thorough
def test_the_table(run):
    ran = run("bench", "stripes", *SMALL, "--delay-s", "0.03")
    assert ran.status == 0, ran.err
    for text in ("picture (", "video (", "read ", "compose ", "write ", "warm: 10 frames", "cold:", "peak memory"):
        assert text in ran.out
    assert "limited by 'compose'" in ran.out


def test_json(run):
    ran = run("bench", "stripes", *SMALL, "--json", "--fps", "50")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    found = json.loads(ran.out)
    assert found["model"] == "stripes"
    assert [case["case"] for case in found["runs"]] == ["picture", "video"]
    for case in found["runs"]:
        assert case["warm"]["num_frames"] == 20
        assert case["warm"]["fps"] == "50"
        assert (case["warm"]["width"], case["warm"]["height"]) == (160, 120)
        assert len(case["warm_wall_s"]) == 2
        assert case["warm"]["wall_s"] == pytest.approx(min(case["warm_wall_s"]), abs=1e-3)
        assert case["cold"]["wall_s"] > 0


def test_an_own_input(run, tmp_path):
    face = make_picture(tmp_path / "face.png")
    found = json.loads(run("bench", "stripes", "--face", face, *SMALL, "--json").out)
    assert [(case["case"], case["warm"]["width"]) for case in found["runs"]] == [("given", 64)]


def test_a_video_of_another_rate_is_shown_in_its_own_time(tmp_path, monkeypatch):
    import talkinghead.service.bench as module

    seen = []
    plain = module.run

    def watched(*arguments, **more):
        result = plain(*arguments, **more)
        seen.append([read_code(frame) for frame in open_frames(result.path).read()])
        return result

    monkeypatch.setattr(module, "run", watched)
    face = make_video(tmp_path / "fast.mp4", 40, fps=Fraction(50))
    bench_model("stripes", BenchSettings(seconds=0.4, repeats=1, source=face, load={"bar": False}))
    assert seen == [list(range(0, 20, 2))] * 2  # cold and warm


@pytest.mark.parametrize(
    "options", [("--size", "big"), ("--size", "4x4"), ("--seconds", "0"), ("--repeats", "0"), ("--fps", "x")]
)
def test_what_cannot_be_measured(run, options):
    ran = run("bench", "stripes", *options)
    assert ran.status == 2
    assert ran.err.startswith("error: ")
    assert run("bench", "wav3lip").status == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [(("live", "--repeats", "2"), "--repeats has no effect with live"),
     (("stripes", "--minutes", "2"), "--minutes has no effect with stripes"),
     (("live", "--live-model", "nobody"), "nobody")],
)  # fmt: skip
def test_options_of_the_loop_and_of_models_are_apart(run, options, words):
    ran = run("bench", *options)
    assert ran.status == 2
    assert words in ran.err


def test_a_model_that_takes_no_face_needs_an_input(monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(FAMILIES, FACTS.name, replace(FACTS, source_option="--scene"))
    with pytest.raises(OptionError, match="without an input"):
        bench_model("stripes", BenchSettings(seconds=0.2))


def test_speech_has_the_length_asked_for():
    for seconds in (0.5, 30.0):
        clip = bench_speech(BenchSettings(seconds=seconds))
        assert clip.duration_s == seconds
        assert np.abs(clip.samples).max() > 0.05


@pytest.mark.parametrize("size", [(1280, 720), (200, 300), (64, 64)])
def test_portraits_fill_the_size(size):
    picture, description, _ = portrait(*size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert description
    drawn, (x1, y1, x2, y2) = draw_face(*size)
    assert drawn.shape == picture.shape
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]
