"""Names of videos."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.hosting.naming import MOST, plain, video_name
from talkinghead.service.request import Request, SoundFile, SpokenText

SAMPLE = Path("/server/example/demo_speech.wav")


def name(face: Path | str, speech: SoundFile | SpokenText, taken: tuple[str, ...] = ()) -> str:
    return video_name(Request(source=face, speech=speech, output=Path("x.mp4"), model="viseme"), SAMPLE, taken)


def test_a_name_says_who_says_what() -> None:
    sound = SoundFile(Path("Hello World.wav"))
    assert name(Path("portrait-hazel.webp"), SoundFile(SAMPLE)) == "hazel-sample"
    assert name(Path("IMG_0001.HEIC"), sound) == "img-0001-hello-world"
    assert name(Path("Zo\u00eb (1).png"), SpokenText("I'm here, aren't I? Yes, I am!")) == "zoe-1-im-here-arent-i"
    assert name("mesh", sound) == "mesh-hello-world"
    assert name(Path("\u540d.png"), SoundFile(Path("???.wav"))) == "\u540d-speech"
    assert name("mesh", sound, ("mesh-hello-world", "mesh-hello-world-2")) == "mesh-hello-world-3"


@pytest.mark.parametrize("text", ["../../etc/passwd", "CON", "a:b|c?*<>.exe", "\x00\n\x1b[31m", "x" * 500, "--rm -rf"])
def test_parts_are_plain(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{0,40}", plain(text))
    assert not plain(text).startswith("-")


@given(st.text(max_size=120))
def test_every_name_is_safe(text: str) -> None:
    part = plain(text)
    assert len(part) <= MOST
    assert len(part.encode()) <= 2 * MOST
    assert plain(part) == part or not part.isascii()
    assert re.fullmatch(r"[\w-]*", part)
    assert not part.startswith("-")
    assert not part.endswith("-")
