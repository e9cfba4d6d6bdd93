"""Parts of a video: frames of any model, and files with the sound of that part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead.contracts import AudioClip, Speech
from talkinghead.engine.head import EncodeOptions, LoadOptions, RenderOptions
from talkinghead.errors import OptionError
from talkinghead.media import open_frames, probe, read_audio
from tests.stretches import check_stretches
from tests.stripes import StripesHead
from tests.synthetic_media import make_video, speech_like


def speech(seconds: float = 2.0) -> Speech:
    clip = AudioClip(speech_like(seconds), 16_000)
    return Speech(clip, clip)


def test_a_model_that_says_nothing_is_made_from_its_beginning(tmp_path: Path) -> None:
    head = StripesHead(LoadOptions())
    check_stretches(head, head.prepare(make_video(tmp_path / "face.mp4", num_frames=12)), speech())


def test_a_file_has_the_sound_of_its_part(tmp_path: Path) -> None:
    """And the report counts the frames of the part."""
    head = StripesHead(LoadOptions())
    avatar = head.prepare(make_video(tmp_path / "face.mp4", num_frames=12))
    lossless = EncodeOptions(audio_codec="pcm_s16le", crf=0)
    said = speech()
    result = head.render(avatar, said, tmp_path / "part.mkv", RenderOptions(stretch=(0.5, 1.01), encode=lossless))
    assert (result.report.num_frames, result.report.audio_s) == (13, 0.52)
    assert probe(tmp_path / "part.mkv").video[0].num_frames == 13
    heard = read_audio(tmp_path / "part.mkv", 16_000).samples
    np.testing.assert_allclose(heard, said.clip.samples[8_320 : 2 * 8_320], atol=1 / 32_000)
    assert len(open_frames(tmp_path / "part.mkv")) == 13


def test_what_is_no_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="the earlier one first"):
        RenderOptions(stretch=(2, 2))
    head = StripesHead(LoadOptions())
    avatar = head.prepare(make_video(tmp_path / "face.mp4", num_frames=12))
    with pytest.raises(OptionError, match=r"the video lasts 2\.000 s"):
        head.render(avatar, speech(), tmp_path / "part.mp4", RenderOptions(stretch=(2.0, 3.0)))
    assert not (tmp_path / "part.mp4").exists()
