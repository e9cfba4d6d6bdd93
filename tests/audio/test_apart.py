import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.assets import demo_speech_path
from talkinghead.audio import apart
from talkinghead.audio.ahead import PhonesAhead, recognised
from talkinghead.audio.apart import APART_FROM_S, RecogniserApart, Witnesses
from talkinghead.audio.phones import ListeningConfig, PhoneResult, recognise_phones
from talkinghead.audio.recogniser import Block, Words
from talkinghead.contracts import AudioClip, Phone
from talkinghead.engine.cache import Cache
from talkinghead.errors import BackendError, Cancelled
from talkinghead.media import read_audio

RATE = 16000


@pytest.fixture(scope="module")
def demo() -> AudioClip:
    clip = read_audio(demo_speech_path(), RATE)
    return replace(clip, samples=clip.samples[: round((APART_FROM_S + 0.5) * RATE)])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecogniserApart]]:
    """The processes that a test starts; it leaves none behind."""
    made: list[RecogniserApart] = []

    class Watched(RecogniserApart):
        def __init__(self, kind: apart.Kind) -> None:
            super().__init__(kind)
            made.append(self)

    monkeypatch.setattr(apart, "RecogniserApart", Watched)
    yield made
    assert all(each._process.poll() is not None for each in made)


@pytest.mark.thorough
def test_processes_of_their_own_hear_what_this_one_hears(
    demo: AudioClip, started: list[RecogniserApart], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recognise_phones(demo)
    assert len(started) == 2
    monkeypatch.setattr(apart, "can_be_apart", lambda: False)
    assert recognise_phones(demo) == found
    assert len(started) == 2
    assert len(found.phones) > 20


@pytest.mark.thorough
def test_words_from_another_process_are_those_of_this_one(demo: AudioClip) -> None:
    block = Block(0, 2 * RATE)
    there = RecogniserApart("Words")
    try:
        far = there.block(demo.samples, block)
    finally:
        there.close()
    near = Words().block(demo.samples, block)
    for name in ("labels", "confidence", "rate"):
        np.testing.assert_array_equal(getattr(far, name), getattr(near, name))


def test_short_sounds_start_no_process(demo: AudioClip, started: list[RecogniserApart]) -> None:
    short = replace(demo, samples=demo.samples[:RATE])
    assert recognise_phones(short, ListeningConfig(words=False)).phones
    assert not started
    assert not apart.is_heard_apart(short)


def test_a_process_that_ends_is_told_of(demo: AudioClip) -> None:
    there = RecogniserApart("AllPhones")
    there._process.kill()
    with pytest.raises(BackendError, match="recognises speech"):
        there.block(demo.samples, Block(0, RATE))
    there.close()
    there.close()  # once more does no harm


def test_a_python_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BackendError, match="cannot be started"):
        RecogniserApart("AllPhones")


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("frozen", True)])
def test_a_program_that_is_no_python_listens_itself(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    assert not apart.can_be_apart()


def test_who_waits_may_leave_and_the_processes_end(demo: AudioClip, started: list[RecogniserApart]) -> None:
    asked = []

    def check() -> None:
        asked.append(1)
        raise Cancelled()

    with Witnesses(demo, [Block(0, len(demo.samples))], words=True, check=check) as both:
        both.begin(0, words=True)
        with pytest.raises(Cancelled):
            both.words()
    assert asked
    assert len(started) == 2


def test_a_process_that_is_ended_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    there = RecogniserApart("Words")
    (own,) = tmp_path.iterdir()
    for _ in range(400):
        if any(own.iterdir()):  # the dictionary is being written
            break
        time.sleep(0.05)
    assert any(own.iterdir())
    there.close()
    assert not any(tmp_path.iterdir())


def test_phones_ahead_are_given_to_their_own_sound_alone(demo: AudioClip, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PhoneResult] = []

    def listen(clip: AudioClip, config: object = None, progress: object = None, known: object = None) -> PhoneResult:
        asked.append(PhoneResult((), f"time {len(asked) + 1}"))
        return asked[-1]

    monkeypatch.setattr("talkinghead.audio.ahead.recognise_phones", listen)
    other = replace(demo, samples=demo.samples.copy())
    with PhonesAhead(demo) as ahead:
        assert recognised(AudioClip(demo.samples, RATE), ahead).method == "time 1"
        assert recognised(demo, ahead).method == "time 1"
        assert recognised(other, ahead).method == "time 2"
        assert recognised(other, None).method == "time 3"


def test_phones_that_were_found_before_are_looked_up(
    demo: AudioClip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of this very sound only; without a store nothing is."""
    found = PhoneResult((Phone(0, 1 / 3, "AA"), Phone(1 / 3, 2.5, "SIL")), "pocketsphinx", ("a note",))
    asked: list[AudioClip] = []

    def listen(clip: AudioClip, config: object = None, progress: object = None, known: object = None) -> PhoneResult:
        asked.append(clip)
        return found

    monkeypatch.setattr("talkinghead.audio.ahead.recognise_phones", listen)
    store = Cache(tmp_path)
    for clip in (demo, demo, replace(demo, samples=demo.samples[:-1])):
        with PhonesAhead(clip, store) as ahead:
            assert ahead.result() == found
    assert len(asked) == 2
    with PhonesAhead(demo) as ahead:
        ahead.result()
    assert len(asked) == 3


def test_phones_ahead_are_known_bit_by_bit(demo: AudioClip, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    first, both = (Phone(0, 1, "AA"),), (Phone(0, 1, "AA"), Phone(1, 2, "P"))

    def listen(clip: AudioClip, *, progress: object, known: Callable[[tuple[Phone, ...], float], None]) -> PhoneResult:
        known(first, 1.0)
        assert go_on.wait(10)
        return PhoneResult(both, "listened")

    monkeypatch.setattr("talkinghead.audio.ahead.recognise_phones", listen)
    with PhonesAhead(demo) as ahead:
        assert ahead.known(0.0) == (first, 1.0)
        asked = iter(range(3))

        def impatient() -> None:
            if next(asked, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled):
            ahead.known(1.0, impatient)
        go_on.set()
        assert ahead.known(1.0) == (both, math.inf)


def test_an_error_of_listening_ahead_is_raised_where_the_result_is_wanted(
    demo: AudioClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(clip: AudioClip, config: object = None, progress: object = None, known: object = None) -> None:
        raise BackendError("no memory")

    monkeypatch.setattr("talkinghead.audio.ahead.recognise_phones", fail)
    with PhonesAhead(demo) as ahead, pytest.raises(BackendError, match="no memory"):
        ahead.result()


def test_leaving_ends_listening_ahead(demo: AudioClip, started: list[RecogniserApart]) -> None:
    before = threading.active_count()
    with PhonesAhead(demo) as ahead:
        assert not ahead.is_of(replace(demo, samples=demo.samples[:100]))
    assert threading.active_count() == before
    with pytest.raises(Cancelled):
        ahead.result()


def test_what_runs_in_the_process_starts_fast() -> None:
    """It imports neither OpenCV nor the media library nor PyTorch."""
    code = "import sys; import talkinghead.audio.apart; print(sorted({'cv2', 'av', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
