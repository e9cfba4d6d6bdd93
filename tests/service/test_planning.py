"""From what is given to requests."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import InputError, MediaNotFound, OptionError, OutputError
from talkinghead.media.options import EncodeOptions
from talkinghead.registry import family
from talkinghead.service.planning import (
    check_before,
    given_sources,
    given_speech,
    given_text,
    output_paths,
    plan_requests,
    speech_path,
)
from talkinghead.service.request import Request, SoundFile, SpokenText
from tests.synthetic_media import make_picture, make_sound


def test_names_of_several_videos(tmp_path: Path) -> None:
    face, sounds = Path("me.jpg"), [Path("a/x.wav"), Path("b/x.wav"), Path("y.wav")]
    assert [path.name for path in output_paths([face], sounds, f"{tmp_path}/out/")] == ["x.mp4", "x-2.mp4", "y.mp4"]
    assert output_paths([face], sounds[:1], str(tmp_path)) == [tmp_path / "x.mp4"]
    assert output_paths([face], sounds[:1], "new.mp4") == [Path("new.mp4")]
    assert [path.name for path in output_paths([face, Path("you.png")], sounds[:1], "out")] == ["me.mp4", "you.mp4"]
    assert output_paths([face], sounds, "out", "vp9")[0].suffix == ".webm"
    with pytest.raises(OptionError, match="one file"):
        output_paths([face], sounds, "out.mp4")


NAMES = st.lists(st.sampled_from(["a.wav", "b.wav", "a.mp3", "a-b.png", "b-a.png"]).map(Path), min_size=1, max_size=4)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_no_two_videos_have_one_name(sources: list[Path], sounds: list[Path]) -> None:
    paths = output_paths(sources, sounds, "out/")
    assert len(paths) == len(sources) * len(sounds)
    assert len(set(paths)) == len(paths)


def test_every_face_says_everything(tmp_path: Path) -> None:
    base = Request("x", SoundFile(Path("x")), Path("x"))
    base = replace(base, render=replace(base.render, encode=EncodeOptions(codec="vp9")))
    speeches = [SoundFile(Path("hello.wav")), SpokenText("Hello.")]
    planned = plan_requests(base, ["a.png", "b.png"], speeches, str(tmp_path / "out"))
    assert [(request.source, request.speech) for request in planned] == [
        (face, speech) for face in ("a.png", "b.png") for speech in speeches
    ]
    assert [request.output.name for request in planned] == [
        "a-hello.webm", "a-text.webm", "b-hello.webm", "b-text.webm",
    ]  # fmt: skip
    assert [str(speech_path(speech)) for speech in speeches] == ["hello.wav", "text"]


def test_a_text_comes_from_an_argument_a_file_or_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffGrüße".encode())
    assert given_text("Hello.", None) == "Hello."
    assert given_text(None, file) == "Grüße"
    assert given_text("-", None, io.BytesIO(b"Streamed.")) == "Streamed."
    assert given_text("-", None) == "-"
    file.write_bytes(b"\xff\xfe\x00")
    for wrong, kind in (((None, None), OptionError), (("a", file), OptionError), ((None, file), InputError),
                        ((None, tmp_path / "none.txt"), InputError)):  # fmt: skip
        with pytest.raises(kind):
            given_text(*wrong)


def test_speech_is_files_or_one_text() -> None:
    sounds = [Path("a.wav"), Path("b.wav")]
    assert given_speech(sounds, part={"start_s": 1.0}) == tuple(SoundFile(path, 1.0) for path in sounds)
    (text,) = given_speech((), "Hallo.", voice={"lang": "de"})
    assert isinstance(text, SpokenText)
    assert (text.text, text.options.lang) == ("Hallo.", "de")
    for arguments, part, voice, message in (
        (((), None, None), {}, {}, "Neither --audio nor --text"),
        ((sounds, "Hi", None), {}, {}, "Both --audio and --text"),
        ((sounds, None, None), {}, {"lang": "de"}, "no effect without --text"),
        (((), "Hi", None), {"start_s": 1.0}, {}, "no effect with --text"),
        (((), "Hi", None), {}, {"speed": 9.0}, "speed is 9"),
    ):
        with pytest.raises(OptionError, match=message):
            given_speech(*arguments, part=part, voice=voice)


def test_a_model_gets_the_source_that_it_takes() -> None:
    face, scene = [Path("me.png")], [Path("data/ID")]
    options = {"--face": face, "--scene": None, "--template": None, "--avatar": None}
    assert given_sources(family("viseme"), options) == tuple(face)
    assert given_sources(family("talkinggaussian"), {**options, "--face": None, "--scene": scene}) == tuple(scene)
    assert given_sources(family("artalk"), {**options, "--face": None}) == (Path("mesh"),)
    with pytest.raises(OptionError, match="does not take --scene"):
        given_sources(family("viseme"), {**options, "--scene": scene})
    with pytest.raises(OptionError, match="needs --face"):
        given_sources(family("viseme"), {**options, "--face": None})


def test_what_can_be_found_before_slow_work(tmp_path: Path) -> None:
    face, sound = make_picture(tmp_path / "me.png"), make_sound(tmp_path / "a.wav", 0.1)
    good = Request(face, SoundFile(sound), tmp_path / "o.mp4")
    check_before([good], tmp_path / "r.json")
    for change, kind in (
        ({"source": tmp_path / "none.png"}, MediaNotFound),
        ({"speech": SoundFile(tmp_path / "none.wav")}, MediaNotFound),
        ({"output": tmp_path / "nowhere" / "o.mp4"}, OutputError),
        ({"report": tmp_path / "nowhere" / "r.json"}, OutputError),
    ):
        with pytest.raises(kind):
            check_before([replace(good, **change)])
    missing = replace(good, source=tmp_path / "none.png", output=tmp_path / "p.mp4")
    check_before([good, missing])  # each is looked at when its turn comes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "me.png"]
