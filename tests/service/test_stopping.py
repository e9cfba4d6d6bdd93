"""A job can be stopped in whatever it does before the first frame: reading, speaking, looking for faces."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.contracts import AudioClip
from talkinghead.engine.context import CancelToken
from talkinghead.engine.timeline import DEFAULT_FPS, speaking_fps
from talkinghead.errors import Cancelled
from talkinghead.face.detections import detect_faces
from talkinghead.service.request import SoundFile, SpokenText
from talkinghead.service.run import hear
from talkinghead.speech import engines
from tests.synthetic_media import make_sound, make_video


class AfterAWhile(CancelToken):
    """Stops at the n-th time that somebody looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_a_long_sound(tmp_path: Path) -> None:
    sound = SoundFile(make_sound(tmp_path / "a.wav", 60.0))
    token = AfterAWhile(3)
    with pytest.raises(Cancelled):
        hear(sound, cancel=token)
    assert token.left == -1


def test_a_text_before_its_first_sentence_and_between_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken: list[str] = []

    class Voice:
        def speak(self, sentence: str) -> Any:
            spoken.append(sentence)
            return engines.Spoken(AudioClip(np.zeros(1600, np.float32), 16_000), None, sentence)

    monkeypatch.setattr(engines, "open_voice", lambda _: Voice())
    text = SpokenText("One is here. Two is here. Three is here. Four is here.")
    with pytest.raises(Cancelled):
        hear(text, cancel=AfterAWhile(0))
    assert spoken == []
    with pytest.raises(Cancelled):
        hear(text, cancel=AfterAWhile(2))
    assert len(spoken) == 2
    assert hear(text, cancel=AfterAWhile(9)).clip.duration_s > 0


def test_looking_through_a_video(tmp_path: Path) -> None:
    from talkinghead.media import open_frames

    token = AfterAWhile(5)
    with pytest.raises(Cancelled):
        open_frames(make_video(tmp_path / "a.mp4", 200), check=token.check)
    assert token.left == -1


class Frames:
    """A long source that counts what is read of it."""

    size = (32, 32)
    cut = -1

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 100_000

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Any:
        for number in range(start, stop or len(self), step):
            self.reads += 1
            yield np.full((32, 32, 3), 255 if 0 < self.cut <= number else number % 7, np.uint8)


class Nobody:
    """A detector that finds no face, in batches of the largest size."""

    looks_at_pixels = True
    batch_size = 64

    def detect(self, frames: list[Any]) -> list[list[Any]]:
        return [[] for _ in frames]


@pytest.mark.parametrize("every", [1, 250])
def test_looking_for_faces_stops_at_the_next_frame(every: int) -> None:
    source = Frames()
    token = AfterAWhile(10)
    with pytest.raises(Cancelled):
        detect_faces(source, Nobody(), every=every, progress=lambda *_: token.check())  # type: ignore[arg-type]
    assert source.reads <= 12


def test_looking_for_a_cut_stops_too() -> None:
    source = Frames()
    source.cut = 200
    told: list[int] = []

    def progress(done: int, total: int) -> None:
        told.append(done)
        if told.count(done) > 3:  # read again to find the cut
            raise Cancelled

    with pytest.raises(Cancelled):
        detect_faces(source, Nobody(), every=250, stop=251, progress=progress)  # type: ignore[arg-type]
    assert source.reads < 20


@pytest.mark.parametrize("rate", [Fraction(1, 100_000), Fraction(1, 599), None])
def test_a_show_of_slides_does_not_become_days_of_silence(rate: Fraction | None) -> None:
    assert abs(speaking_fps(rate) - DEFAULT_FPS) < 1
    for kept in (Fraction(24_000, 1001), Fraction(500)):
        assert speaking_fps(kept) == kept
