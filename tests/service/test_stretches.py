"""A request cut and joined: the frames and the sound of the whole, and one report."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.contracts import AudioClip, Report
from talkinghead.engine.head import RenderOptions
from talkinghead.errors import OptionError
from talkinghead.media import EncodeOptions, open_frames, read_audio, write_wav
from talkinghead.registry import FAMILIES
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.run import run
from talkinghead.service.stretches import END_S, cut, join, stretches, why_whole
from tests.stripes import FACTS
from tests.synthetic_media import make_video, speech_like


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """3.3 s of the model of tests, encoded without loss."""
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    write_wav(tmp_path / "sound.wav", AudioClip(speech_like(3.3), 16_000))
    return Request(
        source=make_video(tmp_path / "face.mp4", num_frames=30, fps=Fraction(30_000, 1001)),
        speech=SoundFile(tmp_path / "sound.wav"),
        output=tmp_path / "whole.mp4",
        model="stripes",
        render=RenderOptions(encode=EncodeOptions(crf=0)),
    )


def test_what_is_joined_is_the_whole(request_: Request, tmp_path: Path) -> None:
    whole = run(request_)
    wanted = replace(request_, output=tmp_path / "joined.mp4", report=tmp_path / "report.json")
    requests = cut(wanted, 1, length_s=3.3, folder=tmp_path / "parts")
    assert [each.render.stretch for each in requests] == [(0, 1), (1, 2), (2, END_S)]
    assert [each.output.name for each in requests] == ["00000.mp4", "00001.mp4", "00002.mp4"]
    made = [run(each) for each in reversed(requests)][::-1]
    result = join(wanted, [each.output for each in requests], [each.report for each in made])
    shown = list(open_frames(wanted.output).read())
    np.testing.assert_array_equal(shown, list(open_frames(request_.output).read()))
    np.testing.assert_array_equal(read_audio(wanted.output).samples, read_audio(request_.output).samples)
    told: Report = result.report
    assert (told.num_frames, told.fps) == (whole.report.num_frames, "30000/1001")
    assert (told.audio_codec, told.video_codec, told.model) == ("aac", "h264", "stripes")
    assert {stage.name: stage.items for stage in told.stages}["compose"] > 0
    assert (tmp_path / "report.json").is_file()
    again = join(replace(wanted, output=tmp_path / "again.mp4"), [each.output for each in requests])
    assert again.report.fps == "30000/1001", "the parts say their rate themselves"


def test_stretches_are_alike() -> None:
    assert stretches(61, 60) == ((0, END_S),)
    assert stretches(89.9, 60) == ((0, END_S),)
    assert stretches(91, 60) == ((0, 60), (60, END_S))
    assert [edge[0] for edge in stretches(3600, 60)] == [60 * k for k in range(60)]


def test_what_is_made_in_one_piece(request_: Request, tmp_path: Path) -> None:
    assert why_whole(request_) is None
    assert cut(request_, 60, length_s=3.3, folder=tmp_path) == (request_,)
    others = {
        "text": replace(request_, speech=SpokenText("Hello.")),
        "trim": replace(request_, render=RenderOptions(loop="trim")),
        "already": replace(request_, render=RenderOptions(stretch=(0, 1))),
        "gif": replace(request_, output=tmp_path / "out.gif"),
    }
    for word, other in others.items():
        with pytest.raises(OptionError, match=word):
            cut(other, 1, length_s=3.3, folder=tmp_path)
    with pytest.raises(OptionError, match="1 to 3600"):
        cut(request_, 0.5, length_s=3.3, folder=tmp_path)
