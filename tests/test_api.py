"""The public functions, with a model that shows its source's frames."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.contracts import AudioClip
from talkinghead.engine.context import CancelToken
from talkinghead.engine.head import Head, PrepareOptions
from talkinghead.engine.listener import RecentWindows
from talkinghead.engine.timeline import source_indices
from talkinghead.errors import Cancelled, MediaError, OptionError, OutputExists
from talkinghead.media import FrameOptions, open_frames, probe
from talkinghead.registry import FAMILIES
from tests.conftest import ROOT
from tests.stripes import FACTS, StripesHead, StripesListener
from tests.synthetic_media import make_sound, make_video, read_code, tone


@pytest.fixture(autouse=True)
def _stripes(monkeypatch):
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "face.mp4", 20)


@pytest.fixture
def speech(tmp_path):
    return make_sound(tmp_path / "speech.wav", 1.2, 44_100, 2)


def threads() -> int:
    return sum(thread.name.startswith("stage-") for thread in threading.enumerate())


def test_the_three_steps(video, speech, tmp_path):
    head = th.load("stripes")
    avatar = head.prepare(video)
    listened = th.listen(speech)
    assert listened.clip.sample_rate_hz == 16_000
    assert listened.clip.duration_s == Fraction(12, 10)
    result = head.render(avatar, listened, tmp_path / "one.mp4")
    assert result.path == tmp_path / "one.mp4"
    report = result.report
    assert (report.model, report.num_frames, report.width, report.height, report.fps) == ("stripes", 30, 64, 48, "25")
    assert report.audio_s == pytest.approx(1.2)
    assert report.video_codec
    assert report.audio_codec
    assert report.peak_memory_bytes > 0
    assert [stage.name for stage in report.stages] == ["listen", "read", "compose", "write"]
    assert all(stage.items == 30 for stage in report.stages)
    # the same face again, another sound
    other = head.render(avatar, th.listen(AudioClip(tone(0.4, 16_000), 16_000)), tmp_path / "two.mp4")
    assert other.report.num_frames == 10
    assert head.prepared == 1


def test_frames_are_what_render_writes(video, speech, tmp_path):
    head = th.load("stripes", bar=False)
    avatar, listened = head.prepare(video), th.listen(speech)
    streamed = list(head.frames(avatar, listened))
    expected = source_indices(20, 30, "pingpong").tolist()
    assert [read_code(frame) for frame in streamed] == expected
    assert all(frame.dtype == np.uint8 and frame.shape == (48, 64, 3) for frame in streamed)
    sequential = list(th.frames(head, avatar, listened, th.RenderOptions(overlap=False)))
    assert all(np.array_equal(a, b) for a, b in zip(streamed, sequential, strict=True))
    th.render(head, avatar, listened, tmp_path / "o.mp4")
    assert [read_code(frame) for frame in open_frames(tmp_path / "o.mp4").read()] == expected


def test_listening_tells_how_far_it_is_and_can_be_stopped(video, speech, tmp_path, monkeypatch):
    head = th.load("stripes")
    avatar, seen, heard = head.prepare(video), [], []
    listener = type(head).listener

    def slow(self, avatar, fps, run, **arguments):
        tell = run.hearing(1.2)
        for second in range(3):
            heard.append(second)
            tell(second, 4)
        return listener(self, avatar, fps, run, **arguments)

    monkeypatch.setattr(type(head), "listener", slow)
    head.render(avatar, th.listen(speech), tmp_path / "o.mp4", progress=seen.append)
    listening = [event for event in seen if event.stage == "listen"]
    assert [(event.done, event.total, event.unit) for event in listening] == [
        (done, 2, "s") for done in (0, 0, 0, 1, 2)
    ]
    cancel = CancelToken()

    def stop(event):
        if event.stage == "listen" and heard:
            cancel.cancel()

    heard.clear()
    with pytest.raises(Cancelled):
        head.render(avatar, th.listen(speech), tmp_path / "p.mp4", progress=stop, cancel=cancel)
    assert heard == [0, 1]
    assert not (tmp_path / "p.mp4").exists()


def test_leaving_frames_early_stops_the_work(video, speech):
    head = th.load("stripes")
    frames = head.frames(head.prepare(video), th.listen(speech))
    next(frames)
    assert threads() == 2
    frames.close()
    assert threads() == 0


def test_generate_in_one_call(video, speech, tmp_path):
    seen = []
    result = th.generate(video, speech, tmp_path / "o.mp4", model="stripes", progress=seen.append)
    assert [stage.name for stage in result.report.stages][:2] == ["load", "read-sound"]
    assert [event.done for event in seen if event.stage == "render"] == list(range(1, 31))
    assert all(event.total == 30 for event in seen if event.stage == "render")
    assert {"load", "read-sound", "open-face", "listen", "render"} <= {event.stage for event in seen}
    assert result.report.wall_s >= sum(stage.busy_s for stage in result.report.stages[:3])


def test_generate_takes_a_loaded_head_a_prepared_face_and_a_heard_speech(video, speech, tmp_path):
    head = th.load("stripes")
    avatar = th.prepare(head, video)
    result = th.generate(avatar, th.listen(speech), tmp_path / "o.mp4", model=head)
    assert result.report.num_frames == 30
    assert [stage.name for stage in result.report.stages] == ["listen", "read", "compose", "write"]


def test_a_part_of_the_sound(video, speech, tmp_path):
    listened = th.listen(speech, start_s=0.5, duration_s=0.5)
    assert listened.clip.duration_s == Fraction(1, 2)
    assert listened.start_s == 0.5
    clip = AudioClip(np.arange(1600, dtype=np.float32) / 1600, 1600)
    part = th.listen(clip, start_s=0.25, duration_s=0.5)
    assert part.soundtrack.samples[0] == np.float32(0.25)
    assert len(part.soundtrack.samples) == 800
    head = th.load("stripes")
    head.render(head.prepare(video), listened, tmp_path / "o.mp4")
    found = probe(tmp_path / "o.mp4")
    assert found.main_video.num_frames == 13
    assert abs(found.audio_minus_video_s) <= 1 / 25


def test_frame_rates(video, speech, tmp_path):
    head = th.load("stripes")
    options = PrepareOptions(frames=FrameOptions(fps=Fraction(50)))
    avatar = head.prepare(video, options)
    assert avatar.fps == 50
    result = head.render(avatar, th.listen(speech), tmp_path / "o.mp4")
    assert result.report.num_frames == 60


def test_source_time_and_output_time_are_the_same(video, speech):
    """At another rate than the face's its frames are repeated or left out: a second of sound shows a second of it."""
    head = th.load("stripes", bar=False)
    avatar = head.prepare(video)
    second = th.listen(AudioClip(tone(0.4, 16_000), 16_000))
    for fps, shown in [
        (Fraction(50), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]),
        (Fraction(10), [0, 2, 5, 7]),
        (Fraction(30000, 1001), [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]),
    ]:
        frames = head.frames(avatar, second, th.RenderOptions(fps=fps))
        assert [read_code(frame) for frame in frames] == shown, fps


def test_streamed_frames_are_those_of_the_whole_sound(video, speech):
    head = th.load("stripes")
    avatar, listened = head.prepare(video), th.listen(speech)
    assert head.can_stream(avatar)
    assert head.lookahead_s(avatar) == pytest.approx(0.04)
    samples = listened.clip.samples
    pieces = [samples[:1], samples[1:700], samples[700:9000], samples[9000:9000], samples[9000:]]
    streamed = list(head.stream(avatar, pieces))
    whole = list(head.frames(avatar, listened))
    assert len(streamed) == len(whole) == 30
    assert all(np.array_equal(a, b) for a, b in zip(streamed, whole, strict=True))
    assert threads() == 0


def test_frames_leave_while_the_sound_arrives(video, speech):
    head = th.load("stripes")
    said: list[int] = []

    def piecewise():
        for piece in range(10):
            said.append(piece)
            yield np.zeros(1600, np.float32)

    frames = head.stream(head.prepare(video), piecewise(), th.RenderOptions(overlap=False))
    next(frames)
    assert said == [0]
    frames.close()


@pytest.mark.parametrize("overlap", [True, False])
def test_a_stream_holds_no_more_the_longer_it_goes_on(video, monkeypatch, overlap):
    """What was heard for frames that have left is let go."""

    class Loud(float):
        pass

    heard: list[weakref.ref[Loud]] = []
    until = StripesListener._until

    def counted(self, count):
        found = [Loud(value) for value in until(self, count)]
        heard.extend(map(weakref.ref, found))
        return found

    monkeypatch.setattr(StripesListener, "_until", counted)
    head = th.load("stripes")
    pieces = (np.zeros(1600, np.float32) for _ in range(200))
    held = []
    for number, _ in enumerate(head.stream(head.prepare(video), pieces, th.RenderOptions(overlap=overlap))):
        if number % 50 == 0:
            held.append(sum(window() is not None for window in heard))
    assert len(heard) == 500
    assert max(held) < 300


def test_windows_of_a_stream():
    windows = RecentWindows(behind=3)
    windows.extend("abcde")
    assert (len(windows), windows[0], windows[-1], windows[1:3], list(windows)) == (5, "a", "e", ["b", "c"], [*"abcde"])
    for index in range(5):
        windows.has_left(index)
    windows.extend("f")
    assert (len(windows), windows[2:], windows[5:9]) == (6, [*"cdef"], ["f"])
    for index in (1, 6, -5):
        with pytest.raises(IndexError):
            windows[index]


def test_a_head_reports_each_job_by_itself(video, speech, tmp_path):
    head = th.load("stripes")
    avatar = head.prepare(video)
    for name in ("one", "two"):
        report = head.render(avatar, th.listen(speech), tmp_path / f"{name}.mp4").report
        assert report.model_details["frames_painted"] == 30


def test_bad_options_and_files(video, speech, tmp_path):
    with pytest.raises(OptionError, match="wav3lip"):
        th.load("wav3lip")
    with pytest.raises(OptionError, match="no option 'colour'"):
        th.load("stripes", colour="red")
    with pytest.raises(MediaError):
        th.listen(tmp_path / "none.wav")
    with pytest.raises(MediaError):
        th.listen(speech, start_s=50)
    (tmp_path / "o.mp4").write_text("old")
    head = th.load("stripes")
    with pytest.raises(OutputExists):
        head.render(head.prepare(video), th.listen(speech), tmp_path / "o.mp4", th.RenderOptions(overwrite=False))
    assert (tmp_path / "o.mp4").read_text() == "old"


@pytest.mark.parametrize("overlap", [True, False])
def test_cancelling_leaves_nothing(video, speech, tmp_path, overlap):
    token = th.CancelToken()
    folder = tmp_path / "out"
    folder.mkdir()

    def progress(event):
        if event.stage == "render" and event.done == 5:
            token.cancel()

    with pytest.raises(Cancelled):
        th.generate(video, speech, folder / "o.mp4", model="stripes", progress=progress, cancel=token,
                    render_options=th.RenderOptions(overlap=overlap))  # fmt: skip
    assert list(folder.iterdir()) == []
    assert threads() == 0


def test_a_failing_stage_leaves_nothing_and_no_thread(video, speech, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="the paint is empty") as caught:
        th.generate(video, speech, folder / "o.mp4", model="stripes", fail_at=3)
    assert threads() == 0  # while the exception, and with it every frame of the stack, is still held
    assert caught.value is not None
    assert list(folder.iterdir()) == []
    gc.collect()


def test_a_report_is_json(video, speech, tmp_path):
    import json

    report = th.generate(video, speech, tmp_path / "o.mp4", model="stripes").report
    data = json.loads(report.to_json())
    assert data["realtime_factor"] == pytest.approx(report.realtime_factor, abs=1e-4)
    assert data["output"] == str(tmp_path / "o.mp4")
    assert data["face_frames"] == {}


PEAK = """
import sys
from tests.stripes import FACTS, StripesHead, StripesListener
from talkinghead.registry import FAMILIES
FAMILIES[FACTS.name] = FACTS
import talkinghead as th
report = th.generate(sys.argv[1], sys.argv[2], sys.argv[3], model="stripes").report
print(report.num_frames, report.peak_memory_bytes)
"""


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_length_of_the_job(tmp_path):
    """Ten times the length, at most 15 % more memory: decoding, overlap and encoding included."""
    video = make_video(tmp_path / "face.mp4", 50, (320, 240))
    peaks = {}
    for seconds in (12, 120):
        sound = make_sound(tmp_path / f"{seconds}.wav", seconds)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(video), str(sound), str(tmp_path / "o.mp4")],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        frames, peak = map(int, done.stdout.split())
        assert frames == 25 * seconds
        peaks[seconds] = peak
    assert peaks[120] <= 1.15 * peaks[12], peaks


def test_paths_may_be_text_with_spaces_and_dots(video, speech, tmp_path):
    folder = tmp_path / "a b.c"
    folder.mkdir()
    face = video.rename(folder / "my face.v1.mp4")
    result = th.generate(str(face), str(speech), str(folder / "out.v2.mp4"), model="stripes")
    assert result.path == Path(folder / "out.v2.mp4")
    assert result.path.is_file()


def test_the_samples_are_freed_before_rendering(video, speech, tmp_path, monkeypatch):
    """Ten minutes of sound are 38 MB that nobody needs once they have been listened to."""
    clips, alive = [], []
    stages = StripesHead.stages
    monkeypatch.setattr(StripesHead, "hear", lambda self, avatar, heard, *a, **k: (
        clips.append(weakref.ref(heard.clip)), Head.hear(self, avatar, heard, *a, **k))[1])  # fmt: skip
    monkeypatch.setattr(StripesHead, "stages", lambda self, *a: (alive.append(clips[-1]()), stages(self, *a))[1])
    th.generate(video, speech, tmp_path / "o.mp4", model="stripes")
    assert alive == [None]
