"""`talkinghead generate --text`: speech from text instead of a sound file."""

from __future__ import annotations

import pytest

from talkinghead.errors import TalkingHeadError
from talkinghead.media import probe
from talkinghead.speech import espeak

STRIPES = ("--model", "stripes")


@pytest.fixture(autouse=True)
def _needs_a_voice(stripes):
    try:
        espeak.library()
    except TalkingHeadError as error:
        pytest.skip(str(error))


def test_a_text_is_spoken_as_long_as_it_takes(run, video, tmp_path):
    seconds = []
    for name, more in (("a", ()), ("slow", ("--speed", "0.5")), ("de", ("--lang", "de", "--voice", "f2"))):
        out = tmp_path / f"{name}.mp4"
        ran = run("generate", *STRIPES, "--face", video, "--text", "One. Two.", *more, "-o", out, "--engine", "espeak")
        assert ran.status == 0, ran.err
        assert probe(out).main_audio is not None
        seconds.append(probe(out).main_video.num_frames / 25)
    assert seconds[1] > 1.4 * seconds[0]


def test_a_text_comes_from_a_file(run, video, tmp_path):
    (tmp_path / "words.txt").write_text("Hello there.", encoding="utf-8")
    out = tmp_path / "out.mp4"
    ran = run("generate", *STRIPES, "--face", video, "--text-file", tmp_path / "words.txt", "-o", out)
    assert ran.status == 0, ran.err
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Neither --audio nor --text"),
        (("--text", "Hi", "--audio", "x.wav"), "Both --audio and --text"),
        (("--text", "Hi", "--text-file", "x.txt"), "Both a text and a file"),
        (("--audio", "x.wav", "--lang", "de"), "no effect without --text"),
        (("--audio", "x.wav", "--speed", "2"), "no effect without --text"),
        (("--text", "Hi", "--start", "1"), "no effect with --text"),
        (("--text", "   "), "The text is empty"),
        (("--text", "Hi", "--lang", "xx"), "does not speak 'xx'"),
        (("--text", "Hi", "--speed", "9"), "speed is '9'"),
        (("--text", "Hi", "--engine", "piper"), "needs a voice"),
        (("--text-file", "no.txt"), "cannot be read"),
    ],
)
def test_what_does_not_go_together(run, video, tmp_path, arguments, message):
    ran = run("generate", *STRIPES, "--face", video, *arguments, "-o", tmp_path / "out.mp4")
    assert ran.status == 2, ran.err
    assert message in ran.err
    assert not (tmp_path / "out.mp4").exists()
