"""A live session as a stream: what a receiver sees and hears of a face that is white while a tone sounds."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import av
import numpy as np
import pytest

from talkinghead.contracts import AudioClip, Frame, Picture
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.face import Order
from talkinghead.errors import InputError, MediaNotFound, OptionError, OutputExists, UnwritableOutput
from talkinghead.live import output
from talkinghead.live.options import StreamOptions
from talkinghead.live.output import stream
from talkinghead.live.speech import SpeechSource
from talkinghead.media import probe
from talkinghead.media.mark import Mark
from talkinghead.media.sound import wav_bytes, write_wav
from talkinghead.provenance.origin import SYNTHETIC_LABEL
from tests.engine.live.stage import plain_avatar, plain_session

RATE = 48_000


def clapper(orders: Sequence[Order]) -> list[Frame]:
    return [np.full((65, 65, 3), 235 if order.pose[1] > 0.2 else 16, np.uint8) for order in orders]


def opened() -> LiveSession[Any]:
    options = LiveOptions(sample_rate_hz=RATE, lead_s=0.2)  # so that a machine that is busy is in time
    return plain_session(None, plain_avatar(size=65), options, drawing=clapper)


def beep(rate: int = RATE) -> np.ndarray:
    """0.12 s of silence, 0.2 s of tone, 0.08 s of silence."""
    times = np.arange(round(0.4 * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 1000 * times) * ((times >= 0.12) & (times < 0.32))).astype(np.float32)


def received(data: Any) -> tuple[list[tuple[float, float]], np.ndarray, float]:
    """(time, brightness) of every picture, the sound, and when it begins."""
    pictures, sound, begins = [], [], None
    with av.open(data) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                assert (frame.width, frame.height) == (64, 64)
                pictures.append((frame.time, float(frame.to_ndarray(format="gray").mean())))
            else:
                begins = frame.time if begins is None else begins
                sound.append(frame.to_ndarray()[0])
    assert begins is not None
    return pictures, np.concatenate(sound), begins


def check_together(data: Any) -> None:
    """The face is white while the tone sounds, to a picture."""
    pictures, sound, begins = received(data)
    times = [time for time, _ in pictures]
    assert np.diff(times).max() < 0.0801
    white = [time for time, brightness in pictures if brightness > 60]
    loud = np.flatnonzero(np.abs(sound) > 0.05)
    tone = begins + loud[[0, -1]] / RATE
    assert tone[1] - tone[0] == pytest.approx(0.2, abs=0.01)
    assert white[0] == pytest.approx(tone[0], abs=0.04)
    assert white[-1] + 1 / 25 == pytest.approx(tone[1], abs=0.05)


@pytest.mark.parametrize("suffix", [".ts", ".flv", ".mp4"])
def test_flash_and_beep_arrive_together(tmp_path: Path, suffix: str) -> None:
    write_wav(tmp_path / "beep.wav", AudioClip(beep(), RATE))
    target = tmp_path / f"out{suffix}"
    with opened() as session:
        report = stream(session, str(target), speech=str(tmp_path / "beep.wav"))
        assert report.samples == report.moments * RATE // 25
        assert report.pictures + report.left_out == report.moments
        assert session.stats().played_s == pytest.approx(0.4)
    check_together(str(target))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("live-")]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_recording_says_that_it_is_synthetic(tmp_path: Path, suffix: str) -> None:
    for label in (True, False):
        target = tmp_path / f"{label}{suffix}"
        with opened() as session:
            stream(session, str(target), options=StreamOptions(label=label), seconds=0.1)
        found = probe(target)
        assert found.main_video is not None
        assert found.main_video.num_frames > 0
        assert (found.said is not None and found.said.source_type == "composite") == label
        assert (found.comment == SYNTHETIC_LABEL) == label


def test_a_mark_is_in_every_picture_of_a_session() -> None:
    options = LiveOptions(sample_rate_hz=RATE, lead_s=0.2, mark="AI", mark_place="top-left")
    mark = Mark("AI", (128, 128), "top-left")
    with plain_session(None, plain_avatar(size=128), options, drawing=dark) as session:
        pictures = [moment.picture for moment, _ in zip(session, range(3), strict=False)]
    black = np.zeros((128, 128, 3), np.uint8)
    assert all(picture is None or (picture == mark.on(black)).all() for picture in pictures)
    assert pictures[0] is not None
    beside = mark.over(Picture(black, np.zeros((128, 128), np.uint8)))
    assert isinstance(beside, Picture)
    assert beside.alpha.max() > 200
    with pytest.raises(OptionError, match="cannot be drawn"):
        LiveOptions(mark="人工智能")


def dark(orders: Sequence[Order]) -> list[Frame]:
    return [np.zeros((128, 128, 3), np.uint8) for _ in orders]


def test_from_a_pipe_to_a_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples come as they come, a byte too many in a piece too; who listens by TCP has all of it."""
    ours, theirs = os.pipe()
    data = (beep(16_000).repeat(2) * 32767).astype("<i2").tobytes()

    def send() -> None:
        with os.fdopen(theirs, "wb", buffering=0) as pipe:
            for start in range(0, len(data), 3001):
                pipe.write(data[start : start + 3001])

    got = io.BytesIO()

    def receive() -> None:
        connection, _ = listener.accept()
        with connection:
            while part := connection.recv(65_536):
                got.write(part)

    with socket.create_server(("127.0.0.1", 0)) as listener, os.fdopen(ours, "rb") as stdin, opened() as session:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
        threads = [threading.Thread(target=send), threading.Thread(target=receive)]
        for thread in threads:
            thread.start()
        source = SpeechSource("-", 16_000, num_channels=2)
        stream(session, f"tcp://127.0.0.1:{listener.getsockname()[1]}", speech=source)
        for thread in threads:
            thread.join(10)
    got.seek(0)
    check_together(got)


def test_from_a_named_pipe_into_one(tmp_path: Path) -> None:
    """A WAV file comes, MPEG-TS goes; the receiver goes first."""
    speech, target = tmp_path / "speech", tmp_path / "target"
    os.mkfifo(speech)
    os.mkfifo(target)
    parts: list[bytes] = []

    def receive() -> None:
        with target.open("rb") as pipe:
            parts.extend(pipe.read(188) for _ in range(20))

    threads = [
        threading.Thread(target=lambda: speech.write_bytes(wav_bytes(np.tile(beep(), 20)[:, np.newaxis], RATE))),
        threading.Thread(target=receive),
    ]
    for thread in threads:
        thread.start()
    with opened() as session:
        with pytest.raises(UnwritableOutput, match="target takes nothing more: Broken pipe"):
            stream(session, str(target), speech=str(speech))
        assert session.stats().waiting_s > 4
    for thread in threads:
        thread.join(10)
    assert {part[0] for part in parts} == {0x47}


@pytest.mark.thorough
def test_by_srt_through_the_ffmpeg_that_the_docs_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented command, from what goes to standard output to a listener by SRT."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None or b" srt" not in subprocess.run([ffmpeg, "-protocols"], capture_output=True).stdout:
        pytest.skip("no FFmpeg with SRT")
    (line,) = [line for line in Path("docs/live.md").read_text().splitlines() if line.endswith("srt://localhost:9000")]
    command = shlex.split(line.partition("| ffmpeg ")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    got = tmp_path / "got.ts"
    quiet = [ffmpeg, "-loglevel", "error", "-y"]
    address = f"srt://127.0.0.1:{port}"
    listener = subprocess.Popen([*quiet, *command[:2], "-i", f"{address}?mode=listener", "-c", "copy", str(got)])
    sender = subprocess.Popen([*quiet, *command[:-1], address], stdin=subprocess.PIPE)
    assert sender.stdin is not None
    sound = np.concatenate([np.zeros(RATE, np.float32), beep(), np.zeros(RATE, np.float32)])
    write_wav(tmp_path / "beep.wav", AudioClip(sound, RATE))
    with opened() as session, sender.stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", types.SimpleNamespace(buffer=sender.stdin))
        stream(session, "-", speech=str(tmp_path / "beep.wav"))
    assert sender.wait(20) == 0
    listener.wait(20)
    check_together(str(got))


def test_for_some_time_or_until_it_is_stopped(tmp_path: Path) -> None:
    with opened() as session:
        report = stream(session, str(tmp_path / "a.mkv"), seconds=0.2)
        assert report.moments == 5
        asked = iter([False, False, True])
        options = StreamOptions(overwrite=True, video_bitrate_k=500)
        again = stream(session, str(tmp_path / "a.mkv"), stopped=lambda: next(asked), options=options)
        assert again.moments == 3
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == again.pictures


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("gopher://x/y?key=secret", OptionError, "is not written to 'gopher://x/y'"),
        ("head.avi", OptionError, "a file ending in .ts"),
        ("there.mkv", OutputExists, "exists"),
        ("nowhere/head.mkv", UnwritableOutput, "no folder"),
        ("rtmp://127.0.0.1:1/live/secret", UnwritableOutput, "rtmp://127.0.0.1:1 cannot be opened: Connection refused"),
    ],
)
def test_outputs_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, kind: type, message: str):
    monkeypatch.chdir(tmp_path)
    Path("there.mkv").write_bytes(b"x")
    with opened() as session, pytest.raises(kind, match=message) as caught:
        stream(session, url)
    assert "secret" not in str(caught.value)


def test_an_output_whose_encoder_fails_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = MagicMock()
    container.add_stream.side_effect = ValueError("no such encoder")
    monkeypatch.setattr(output.av, "open", lambda *_, **__: container)
    with opened() as session, pytest.raises(UnwritableOutput, match="no such encoder"):
        stream(session, str(tmp_path / "a.mkv"))
    container.close.assert_called_once()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\1\2\3", "within a sample"),
        (b"RIFF" + bytes(400), "through the pipe cannot be read"),
        (b"\0\0\0\x20ftypM4A " + bytes(400), "MP4 came through a pipe"),
    ],
)
def test_speech_that_cannot_be(tmp_path: Path, data: bytes, message: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(data))
    thread.start()
    with opened() as session:
        with pytest.raises(InputError, match=message):
            stream(session, str(tmp_path / "a.mkv"), speech=str(pipe))
        with pytest.raises(MediaNotFound):
            stream(session, str(tmp_path / "b.mkv"), speech="no.wav")
    thread.join(10)


def test_the_command_sends_what_comes_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """`... | talkinghead live --input - --output -`, with the clapper for a head."""
    from talkinghead.cli.main import main

    class Clapper:
        def prepare(self, source: Any, options: Any) -> str:
            return f"{source} {options.frames.resize_factor}"

        def live(self, avatar: str, options: LiveOptions) -> LiveSession[Any]:
            assert avatar == "me.jpg 2"
            return opened()

    monkeypatch.setattr("talkinghead.service.run.load", lambda model, options: Clapper())
    ours, theirs = os.pipe()
    os.write(theirs, (beep(16_000) * 32767).astype("<i2").tobytes())
    os.close(theirs)
    arguments = ["live", "--face", "me.jpg", "--resize-factor", "2", "--input", "-", "--input-rate", "16000"]
    with os.fdopen(ours, "rb") as stdin, (tmp_path / "out.ts").open("wb") as stdout:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
        monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=stdout))
        assert main([*arguments, "--output", "-", "--video-bitrate-k", "900"]) == 0
    check_together(str(tmp_path / "out.ts"))
    assert re.search(r"Sending to - .*\nSent \d\.\d s", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "a.wav"], "--input is given without --output"),
        (["--video-bitrate-k", "900"], "--video-bitrate-k is given without --output"),
        (["--output", "a.mkv", "--port", "1"], "--port is for a face that is served"),
        (["--output", "a.mkv", "--browser"], "--browser is for a face that is served"),
        (["--output", "a.mkv", "--input-rate", "8000"], "say what --input is"),
        (["--output", "a.mkv", "--input", "a.mkv"], "a.mkv"),
    ],
)
def test_options_of_the_command_that_do_not_go_together(arguments: list[str], message: str, capsys) -> None:
    from talkinghead.cli.main import main

    assert main(["live", "--face", "me.jpg", *arguments]) == 2
    assert message in capsys.readouterr().err
