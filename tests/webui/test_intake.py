"""What visitors drop: judged by content, shown again, and sent to the step that takes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from talkinghead.errors import TalkingHeadError
from talkinghead.media import read_picture
from talkinghead.webui.intake import face_of, taken_html, voice_of
from talkinghead.webui.options import AppOptions
from talkinghead.webui.studio import Studio
from tests.conftest import ROOT
from tests.synthetic_media import make_sound, make_video
from tests.webui.test_studio import sent

PHOTO = ROOT / "tests" / "data" / "heic" / "odd-turned.heic"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "server", AppOptions(max_upload_mb=1, max_minutes=0.1))
    yield made
    made.close()


def told(studio: Studio, take: Any, path: Path) -> str:
    """The sentence of a refusal; it names nothing of the server."""
    with pytest.raises(TalkingHeadError) as caught:
        take(studio, "anna", sent(studio, path))
    text = studio.sentence(caught.value)
    assert str(studio.folder) not in text
    return text


def under(name: str, source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(source, tmp_path / name))


@pytest.mark.parametrize("name", ["IMG_0007.HEIC", "photo.jpg", "no suffix"])
def test_a_photo_of_a_phone_is_shown_upright_whatever_it_is_called(studio: Studio, tmp_path: Path, name: str) -> None:
    taken = face_of(studio, "anna", sent(studio, under(name, PHOTO, tmp_path)))
    assert (taken.kind, taken.detail, taken.notes) == ("picture", "35 x 45 pixels", ())
    assert read_picture(taken.shown).shape == (45, 35, 3)
    assert studio.session("anna").folder in taken.shown.parents
    assert studio.may_be_named(str(taken.shown))


def test_a_truncated_picture_is_shown_with_what_is_wrong_or_refused(studio: Studio, tmp_path: Path) -> None:
    picture = cv2.resize(cv2.imread(str(ROOT / "talkinghead" / "assets" / "portrait-hazel.webp")), (128, 128))
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    half, little = tmp_path / "half.jpg", tmp_path / "little.jpg"
    half.write_bytes(data[: len(data) // 2])
    little.write_bytes(data[:300])
    taken = face_of(studio, "anna", sent(studio, half))
    assert taken.notes == ("half.jpg is damaged; a part of the picture is blank or wrong.",)
    assert "half.jpg is damaged" in taken_html(taken)
    assert told(studio, face_of, little).startswith("'little.jpg' is a damaged JPEG picture")


def test_animations_and_videos_are_faces(studio: Studio, tmp_path: Path) -> None:
    frames = [np.full((32, 48, 3), level, np.uint8) for level in (0, 90, 200)]
    moving = tmp_path / "waving.png"
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [100, 100, 100]
    cv2.imwriteanimation(str(moving.with_suffix(".webp")), animation)
    moving.with_suffix(".webp").rename(moving)
    for path, kind in ((moving, "animation"), (make_video(tmp_path / "film.bin", 10, container="mp4"), "video")):
        taken = face_of(studio, "anna", sent(studio, path))
        assert taken.kind == kind
        assert " s" in taken.detail
        assert taken.shown.suffix == ".webp"


def test_sounds_and_videos_with_one_are_voices(studio: Studio, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "hello.wav", 0.5)
    plain = voice_of(studio, "anna", sent(studio, sound))
    assert (plain.kind, plain.detail, plain.shown.name) == ("sound", "0.5 s", "hello.wav")
    renamed = voice_of(studio, "anna", sent(studio, under("hello.dat", sound, tmp_path)))
    assert renamed.shown.name.endswith(".wav")
    assert renamed.shown != renamed.path
    film = make_video(tmp_path / "film.mp4", 10, sound=(16_000, 1))
    taken = voice_of(studio, "anna", sent(studio, film))
    assert (taken.kind, taken.shown.name) == ("video", "film.mp4")
    assert "<audio controls" in taken_html(taken)
    assert face_of(studio, "anna", sent(studio, film)).kind == "video"


def test_what_belongs_elsewhere_says_where(studio: Studio, tmp_path: Path) -> None:
    sound, text = make_sound(tmp_path / "hello.mp4", 0.5), tmp_path / "notes.png"
    text.write_text("Hello, this is what I would like to say.")
    assert told(studio, face_of, sound) == (
        "'hello.mp4' is a sound.\nAccepted: a picture or a video of a face\nTry: drop it under Voice"
    )
    assert told(studio, voice_of, PHOTO).endswith("Try: drop it under Face")
    assert "is a picture" in told(studio, voice_of, PHOTO)
    mute = told(studio, voice_of, make_video(tmp_path / "mute.wav", 5, container="mp4"))
    assert "is a video without a sound" in mute
    assert "as a face, drop it under Face" in mute
    for take in (face_of, voice_of):
        assert "'notes.png' is a text file" in told(studio, take, text)


def test_limits_and_owners_hold(studio: Studio, tmp_path: Path) -> None:
    long = make_sound(tmp_path / "long.wav", 8.0)
    assert "minutes" in told(studio, voice_of, long)
    own = sent(studio, PHOTO)
    face_of(studio, "anna", own)
    with pytest.raises(TalkingHeadError, match="no file that you have sent"):
        face_of(studio, "berta", own)
    for _ in range(9):
        last = face_of(studio, "anna", own)
    assert last.shown.is_file()
    assert len(list(last.shown.parent.iterdir())) == 6


def test_what_is_told_of_a_name_is_text(studio: Studio, tmp_path: Path) -> None:
    named = under("<img src=x onerror=alert(1)>.heic", PHOTO, tmp_path)
    html = taken_html(face_of(studio, "anna", sent(studio, named)))
    assert "<img src=x" not in html
