"""The one door to FFmpeg: errors of every kind, limits, cancelling, and that there is no other door."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import Cancelled, MediaError, OptionError, OutputError, UnreadableMedia
from talkinghead.media import FrameOptions, open_frames, probe, read_audio, write_video
from talkinghead.media.claims import check_claims
from talkinghead.media.container import decode_packet, encode, open_bytes, open_input, packets, seek
from talkinghead.media.formats import demuxer_of, is_text, streamed_demuxer
from talkinghead.media.limits import FREE_SOUND_S, MAX_SOUND_S, SPARSE_BYTES_PER_S, SoundBudget
from tests.conftest import ROOT
from tests.media.hostile import blank_png, counted_mp4, muxed
from tests.synthetic_media import coded_frame, make_sound, make_video

ODD_ERRORS = (
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    OverflowError,
    NotImplementedError,
    MemoryError,
)


class Breaks:
    """Stands for a container, a stream and a decoder of PyAV that raise one error at everything."""

    def __init__(self, error: type[Exception], after: int = 0) -> None:
        self._error, self._left = error, after
        self.codec_context = self

    def demux(self, *_: Any) -> Iterator[Any]:
        while self._left:
            self._left -= 1
            yield SimpleNamespace(size=1)
        raise self._error("odd")

    def seek(self, *_: Any, **__: Any) -> None:
        raise self._error("odd")

    def decode(self, _: Any) -> None:
        raise self._error("odd")

    encode = decode
    name = "h264"

    def mux(self, _: Any) -> None:
        """Is never reached: the encoder fails first."""


@pytest.mark.parametrize("error", ODD_ERRORS)
def test_errors_of_every_kind_end_at_the_door(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[str] = []
    assert len(list(packets(Breaks(error, after=3), broken=broken))) == 3  # type: ignore[arg-type]
    assert broken == ["'odd'" if error is KeyError else "odd"]
    assert decode_packet(Breaks(error), None) == ([], True)
    assert seek(Breaks(error), Breaks(error), 0) is False  # type: ignore[arg-type]
    with pytest.raises(MemoryError if error is MemoryError else OutputError, match="odd"):
        encode(Breaks(error), Breaks(error), None)  # type: ignore[arg-type]

    def fails(*_: Any, **__: Any) -> None:
        raise error("odd")

    monkeypatch.setattr("talkinghead.media.container.av.open", fails)
    with pytest.raises(UnreadableMedia, match="odd"):
        open_bytes(b"x", "mp3")


@pytest.mark.parametrize("read", [open_frames, read_audio, probe])
def test_an_odd_error_while_a_file_is_opened(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.flv", 3, sound=(44_100, 1))

    def fails(*_: Any, **__: Any) -> None:
        raise IndexError("tuple index out of range")

    monkeypatch.setattr("talkinghead.media.container.av.open", fails)
    with pytest.raises(MediaError, match=r"a\.flv"):
        read(path)


def test_an_output_whose_encoder_fails_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import talkinghead.media.writer as module

    def fails(*_: Any) -> None:
        raise OutputError("The h264 encoder failed: odd.")

    monkeypatch.setattr(module, "encode", fails)
    with pytest.raises(OutputError, match="odd"):
        write_video(tmp_path / "a.mp4", iter([coded_frame(0)]), fps=Fraction(25))
    assert list(tmp_path.iterdir()) == []


class Stop:
    """A token that is used after some checks."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled()


@pytest.mark.parametrize("read", [open_frames, read_audio, probe])
def test_every_loop_over_a_file_can_be_stopped(read: Callable[..., object], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", 60, sound=(16_000, 1))
    counting = Stop(10**9)
    read(path, check=counting)
    asked = 10**9 - counting.left
    assert asked > 10
    for after in (0, asked // 2, asked - 1):
        with pytest.raises(Cancelled):
            read(path, check=Stop(after))


def test_looking_through_a_file_without_times_can_be_stopped(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.h264", 60, container="h264")
    counting = Stop(10**9)
    assert len(open_frames(path, check=counting)) == 60
    with pytest.raises(Cancelled):
        open_frames(path, check=Stop(10**9 - counting.left - 1))


@pytest.mark.thorough
def test_media_is_opened_in_one_place() -> None:
    found = set()
    for path in sorted((ROOT / "talkinghead").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "av.open":
                found.add(path.relative_to(ROOT / "talkinghead").as_posix())
            if isinstance(node, ast.Attribute) and node.attr == "VideoCapture":
                found.add(str(path))
    assert found == {"media/container.py", "media/output.py", "live/output.py"}  # the others only write


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x18ftypmp42", "mov,mp4,m4a,3gp,3g2,mj2"),
        (b"\0\0\0\x08wide\0\0", "mov,mp4,m4a,3gp,3g2,mj2"),
        (b"\x1aE\xdf\xa3\x01", "matroska,webm"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"FORM\0\0\0\0AIFC", "aiff"),
        (b"ID3\3\0", None),
        (b"#EXTM3U\n", None),
    ],
)
def test_what_a_file_is_by_its_first_bytes(head: bytes, demuxer: str | None) -> None:
    assert demuxer_of(head) == demuxer


def test_what_comes_through_a_pipe_is_more_than_samples() -> None:
    found = {head: streamed_demuxer(head) for head in (b"ID3\3\0", b"\xff\xfb\x90\x64", b"RIFF\0\0\0\0RMID", b"caff")}
    assert list(found.values()) == ["mp3", "mp3", "wav", "caf"]
    for samples in (b"", b"\0\0", b"\xff\xfb\xff\xfb", b"\xff\xf3\x0c\xf4", b"\xff\xff\x90\0"):
        assert streamed_demuxer(samples) is None


def test_what_is_text() -> None:
    assert is_text(b"#EXTM3U\n#EXT")
    assert is_text("é".encode() * 31 + b"\xc3")  # cut off within a letter
    assert is_text("hello".encode("utf-16"))
    assert not is_text(b"\0\0\0\x18ftyp")
    assert not is_text(bytes(range(128, 192)))


def test_files_that_count_what_they_have_are_read(tmp_path: Path) -> None:
    for number, data in enumerate((counted_mp4(1000), counted_mp4(1000, edits=3), counted_mp4(in_fragment=1000))):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(data)
        check_claims(path)
    check_claims(make_video(tmp_path / "a.mp4", 20, sound=(16_000, 1)))
    check_claims(make_video(tmp_path / "f.mp4", 20, container_options={"movflags": "frag_keyframe+empty_moov"}))
    a_day_of_sound = counted_mp4(sound_chunks=24 * 3600, per_chunk=48_000)
    (tmp_path / "day.mov").write_bytes(a_day_of_sound)
    with pytest.raises(UnreadableMedia, match=r"claims \d+ samples that are not in it"):
        check_claims(tmp_path / "day.mov")
    (tmp_path / "hour.mov").write_bytes(counted_mp4(sound_chunks=3600, per_chunk=48_000))
    check_claims(tmp_path / "hour.mov")


def test_how_long_a_sound_may_last(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(bytes(1_000_000))
    assert SoundBudget(small).limit_s == pytest.approx(FREE_SOUND_S, abs=1)
    assert SoundBudget(large).limit_s == FREE_SOUND_S + 1_000_000 / SPARSE_BYTES_PER_S < MAX_SOUND_S
    budget = SoundBudget(small)
    budget.spend(16_000 * FREE_SOUND_S, 16_000)
    with pytest.raises(UnreadableMedia, match="does not end after 60 minutes"):
        budget.spend(16_000, 16_000)


def test_a_part_of_a_long_sound_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.media.limits.FREE_SOUND_S", 1)
    monkeypatch.setattr("talkinghead.media.limits.SPARSE_BYTES_PER_S", 10**9)
    path = make_sound(tmp_path / "a.flac", 3.0)
    with pytest.raises(UnreadableMedia, match="--duration"):
        read_audio(path)
    assert read_audio(path, duration_s=0.5).duration_s == 0.5


@pytest.mark.parametrize(
    ("rotation", "nearest", "said"), [(1, 0, False), (89, 90, False), (30, 0, True), (60, 90, True), (200, 180, True)]
)
def test_a_video_turned_by_any_angle(rotation: int, nearest: int, said: bool, tmp_path: Path) -> None:
    source = open_frames(make_video(tmp_path / "a.mp4", 2, (64, 48), rotation=rotation))
    assert source.info.rotation_degrees == nearest
    assert any("no quarter turn" in note for note in source.warnings) == said
    assert len(list(source.read())) == 2


def test_a_rotation_of_one_is_no_quarter_turn() -> None:
    for wrong in (1, 2, 45):
        with pytest.raises(OptionError, match="is not a quarter turn"):
            FrameOptions(rotate=wrong)
    for wrong in (-90, 360):
        with pytest.raises(OptionError, match="rotate"):
            FrameOptions(rotate=wrong)
    assert FrameOptions(rotate=True).rotate == 90
    assert FrameOptions(rotate=False).rotate == 0


def test_a_small_header_before_a_large_picture(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="--max-pixels"):
        open_frames(_png_in_mov(tmp_path, (400, 300)), options=FrameOptions(max_pixels=10_000))
    assert open_frames(_png_in_mov(tmp_path, (400, 300))).size == (400, 300)


def _png_in_mov(folder: Path, size: tuple[int, int]) -> Path:
    return muxed(folder / "a.mov", "png", [(0, blank_png(*size))], Fraction(1, 25))


def test_sound_is_read_without_looking_at_pictures(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 10, sound=(16_000, 1))
    with open_input(path, sound_only=True) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert np.abs(read_audio(path).samples).max() > 0.4
