"""Files that were joined end to end: all of the sound is there, in one rate and layout."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from talkinghead.media import open_sound, read_audio
from talkinghead.media.joined import joined_pieces
from tests.sound_files import clicks, found_clicks, write_stream
from tests.synthetic_media import wav_file

MP3, ADTS, FLAC, OPUS, WAV = "libmp3lame", "aac", "flac", "libopus", "pcm_s16le"
SUFFIX = {MP3: "mp3", ADTS: "aac", FLAC: "flac", OPUS: "ogg", WAV: "wav"}
CONTAINER = {ADTS: "adts"}

JOINTS = [
    (MP3, (24_000, 1), (44_100, 2)),
    (MP3, (44_100, 2), (24_000, 1)),
    (MP3, (16_000, 1), (48_000, 1)),
    (ADTS, (44_100, 1), (44_100, 2)),
    (ADTS, (44_100, 2), (44_100, 1)),
    (ADTS, (24_000, 1), (44_100, 2)),
    (ADTS, (48_000, 2), (48_000, 6)),
    (FLAC, (24_000, 1), (44_100, 2)),
    (FLAC, (44_100, 2), (44_100, 2)),
    (OPUS, (48_000, 1), (48_000, 2)),
    (OPUS, (48_000, 1), (48_000, 1)),
    (WAV, (24_000, 1), (44_100, 2)),
    (WAV, (44_100, 2), (44_100, 2)),
]


def one(folder: Path, codec: str, rate: int, channels: int) -> bytes:
    """Two seconds with a click after one, as a file."""
    samples = clicks(2.0, rate, (1.0,), channels)
    if codec == WAV:
        return wav_file(samples, rate)
    path = folder / f"{rate}-{channels}.{SUFFIX[codec]}"
    return write_stream(path, samples, rate, codec, container=CONTAINER.get(codec)).read_bytes()


@pytest.mark.thorough
@pytest.mark.parametrize(("codec", "first", "second"), JOINTS)
def test_all_of_it_is_heard(codec: str, first: tuple[int, int], second: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / f"joined.{SUFFIX[codec]}"
    path.write_bytes(b"".join(one(tmp_path, codec, *shape) for shape in (first, second, first)))
    sound = open_sound(path)
    assert (sound.sample_rate_hz, sound.num_channels) == first
    blocks = list(sound.blocks())
    assert {block.shape[1] for block in blocks} == {first[1]}
    assert sum(map(len, blocks)) / first[0] == pytest.approx(6.0, abs=0.25)  # codecs add up to 0.08 s for each
    warnings: list[str] = []
    clip = read_audio(path, 16_000, warnings=warnings)
    found = found_clicks(clip.samples, 16_000)
    assert found == pytest.approx([1.0, 3.0, 5.0], abs=0.25)
    assert any("change" in text for text in warnings) == (first != second)
    if max(first[1], second[1]) > 2:  # where all channels are one, the centre adds to the sides
        return
    levels = [float(np.abs(clip.samples[round((at - 0.02) * 16_000) :][:640]).max()) for at in found]
    assert min(levels) > 0.5 * max(levels)


@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, 1000])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("files", [1, 2])
def test_wav_files_that_do_not_know_their_size(riff: int, data: int, files: int, tmp_path: Path) -> None:
    """As programs write them into a pipe."""
    streamed = bytearray(wav_file(clicks(1.0, 24_000, (0.5,)), 24_000))
    streamed[4:8] = struct.pack("<I", riff)
    streamed[40:44] = struct.pack("<I", data)
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(streamed) * files)
    clip = read_audio(path, 24_000)
    assert len(clip.samples) == 24_000 * files
    assert found_clicks(clip.samples, 24_000) == pytest.approx([0.5, 1.5][:files], abs=0.005)


def test_what_is_one_file_is_read_as_one(tmp_path: Path) -> None:
    for codec in (FLAC, OPUS, WAV):
        path = tmp_path / f"one.{SUFFIX[codec]}"
        path.write_bytes(one(tmp_path, codec, 48_000, 1))
        assert joined_pieces(path) == ()
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00INFO" + bytes(40))
    assert joined_pieces(path) == ()
    (tmp_path / "short.wav").write_bytes(b"RIFF")
    assert joined_pieces(tmp_path / "short.wav") == ()


@pytest.mark.parametrize("codec", [FLAC, OPUS, WAV])
def test_a_piece_that_cannot_be_read_is_left_out(codec: str, tmp_path: Path) -> None:
    """What begins like another file and goes on with noise, between two that can be read."""
    good = one(tmp_path, codec, 48_000, 1)
    noise = np.random.default_rng(0).integers(0, 256, 2_000, dtype=np.uint8).tobytes()
    heads = {FLAC: b"fLaC\x00\x00\x00\x22", OPUS: good[:28], WAV: b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00"}
    path = tmp_path / f"joined.{SUFFIX[codec]}"
    path.write_bytes(good + heads[codec] + noise + good)
    clip = read_audio(path, 16_000)
    assert found_clicks(clip.samples, 16_000)[0] == pytest.approx(1.0, abs=0.05)
    assert float(clip.duration_s) > 1.9


def test_an_empty_file_before_another(tmp_path: Path) -> None:
    samples = clicks(1.0, 24_000, (0.5,))
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(samples[:0], 24_000) + wav_file(samples, 24_000))
    assert len(read_audio(path, 24_000).samples) == 24_000


@pytest.mark.parametrize("tags", ["3", "4", "0"])
@pytest.mark.parametrize("xing", ["0", "1"])
def test_mp3_files_are_told_apart_by_their_tags(tags: str, xing: str, tmp_path: Path) -> None:
    """Then neither tags nor the padding of the codec are heard: the length is that of the sounds, to the sample."""
    options = {"id3v2_version": tags, "write_xing": xing, "write_id3v1": "1"}
    sounds = [(24_000, 1, 1.5), (44_100, 2, 2.25), (24_000, 1, 0.75)]
    path = tmp_path / "a.mp3"
    data = b""
    for rate, channels, seconds in sounds:
        one_file = tmp_path / "one.mp3"
        write_stream(one_file, clicks(seconds, rate, (0.5,), channels), rate, MP3, options=options)
        data += one_file.read_bytes()
    path.write_bytes(data)
    told_apart = tags != "0" or xing == "1"
    assert len(joined_pieces(path)) == (3 if told_apart else 0)
    warnings: list[str] = []
    clip = read_audio(path, 24_000, warnings=warnings)
    assert float(clip.duration_s) == pytest.approx(4.5, abs=0.001 if xing == "1" else 0.3)
    assert found_clicks(clip.samples, 24_000) == pytest.approx([0.5, 2.0, 4.25], abs=0.01 if xing == "1" else 0.3)
    if told_apart:
        assert warnings == [
            "The rate or the channels of the sound of a.mp3 change 2 times; all of it becomes 24000 Hz and mono, "
            "as it begins."
        ]
