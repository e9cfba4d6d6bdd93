"""Sound: levels, rates, lengths, odd files, and parity with the published loading."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.contracts import AudioClip
from talkinghead.errors import AudioTooShort, MediaNotFound, NoAudioStream, OptionError, OutputExists, UnreadableMedia
from talkinghead.media import open_sound, read_audio, read_audio_native, resample_clip, write_wav
from talkinghead.media.resampling import Resampler
from tests.golden_files import Golden
from tests.synthetic_media import corrupted, make_sound, make_video, tone, truncated, wav_file


@pytest.mark.parametrize("name", ["audio_load_44100_2ch", "audio_load_8000_1ch"])
def test_loading_matches_the_published_one(name: str, tmp_path: Path) -> None:
    case = Golden(f"wav2lip/{name}")
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(case["pcm16"].astype(np.float32) / 32768, int(case["rate"])))
    clip = read_audio(path, 16_000)
    case.check("wav16k", clip.samples)
    assert (clip.sample_rate_hz, clip.samples.dtype) == (16_000, np.float32)


@pytest.mark.parametrize("bits", [8, 16, 24, 32, "float"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_sample_size_rate_and_channel_count(bits: int | str, rate: int, channels: int, tmp_path: Path) -> None:
    levels = 0.5 * np.linspace(0, 1, channels + 1)[1:]  # in phase: their mean keeps the sound
    samples = tone(0.25, rate)[:, np.newaxis] * levels[np.newaxis].astype(np.float32)
    path = make_sound(tmp_path / "a.wav", rate=rate, samples=samples, bits=bits)
    native, native_rate = read_audio_native(path)
    step = {8: 1 / 128, 16: 2**-15, 24: 2**-23, 32: 1e-7, "float": 0}[bits]
    assert native_rate == rate
    assert native.shape == samples.shape
    assert np.abs(native - samples).max() <= step / 2 + 1e-7
    clip = read_audio(path, 16_000)
    assert len(clip.samples) == math.ceil(len(samples) * Fraction(16_000, rate))
    if rate == 16_000:
        assert np.array_equal(clip.samples, native.mean(axis=1))


@pytest.mark.parametrize(("name", "quality_db"), [("a.flac", 80), ("a.m4a", 15), ("a.mp3", 25), ("a.ogg", 15)])
def test_other_formats(name: str, quality_db: float, tmp_path: Path) -> None:
    samples = np.stack([tone(1.0, 48_000, 440), tone(1.0, 48_000, 880)], axis=1)
    native, rate = read_audio_native(make_sound(tmp_path / name, rate=48_000, samples=samples))
    assert rate == 48_000
    middle = slice(4_800, 43_200)  # codecs ring at the ends
    error = native[middle] - samples[middle]
    assert 10 * np.log10((samples[middle] ** 2).mean() / (error**2).mean()) > quality_db
    assert abs(len(native) - 48_000) <= 2048


def test_sound_of_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 50, sound=(44_100, 2))
    clip = read_audio(path)
    assert float(clip.duration_s) == pytest.approx(2.0, abs=0.03)
    assert np.abs(clip.samples[1000:-2000] - tone(2.0, 16_000)[1000 : len(clip.samples) - 2000]).max() < 0.03


def test_mean_of_channels_comes_before_resampling(tmp_path: Path) -> None:
    left, right = tone(0.5, 44_100, 300), tone(0.5, 44_100, 5_000)
    path = make_sound(tmp_path / "a.wav", rate=44_100, samples=np.stack([left, right], axis=1), bits="float")
    expected = soxr.resample((left + right) / 2, 44_100, 16_000, quality="HQ")
    assert np.abs(read_audio(path).samples[: len(expected)] - expected).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5_000),
    rate=st.sampled_from([7_350, 8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]),
    pieces=st.lists(st.integers(1, 2_000), max_size=4),
)
def test_resampling_in_pieces_equals_the_whole(n: int, rate: int, pieces: list[int]) -> None:
    x = np.random.default_rng(n).uniform(-1, 1, (n, 2)).astype(np.float32)
    resampler = Resampler(rate, 16_000, 2)
    parts, at = [], 0
    for size in [*pieces, n]:
        parts.append(resampler.push(x[at : at + size]))
        at += size
    parts.append(resampler.finish())
    got = np.concatenate(parts)
    assert got.shape == (math.ceil(Fraction(n * 16_000, rate)), 2)
    whole = soxr.resample(x, rate, 16_000, quality="HQ")
    common = min(len(got), len(whole))
    assert np.abs(got[:common] - whole[:common]).max(initial=0) < 1e-5


def test_resampling_against_another_resampler() -> None:
    from scipy.signal import resample_poly  # heavy

    t = np.arange(48_000) / 48_000
    x = (0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 3_000 * t)).astype(np.float32)
    got = resample_clip(AudioClip(x, 48_000), 16_000).samples
    other = resample_poly(x, 1, 3, window=("kaiser", 12.0))
    assert np.abs(got[200:-200] - other[200:-200]).max() < 2e-3
    assert resample_clip(AudioClip(x, 48_000), 48_000).samples is x


@pytest.mark.parametrize(
    ("start_s", "duration_s", "expected"),
    [(0.0, None, (0, 8_000)), (0.25, None, (2_000, 8_000)), (0.1, 0.2, (800, 2_400)), (0.9, 5.0, (7_200, 8_000))],
)
def test_start_and_duration(
    start_s: float, duration_s: float | None, expected: tuple[int, int], tmp_path: Path
) -> None:
    ramp = np.linspace(-0.9, 0.9, 8_000, dtype=np.float32)
    path = make_sound(tmp_path / "a.wav", rate=8_000, samples=ramp, bits="float")
    clip = read_audio(path, 8_000, start_s=start_s, duration_s=duration_s)
    assert np.array_equal(clip.samples, ramp[slice(*expected)])


def test_very_short_and_silent_sounds(tmp_path: Path) -> None:
    one = read_audio(make_sound(tmp_path / "one.wav", rate=8_000, samples=np.array([0.5], np.float32)))
    assert one.samples.shape == (2,)
    silent = read_audio(make_sound(tmp_path / "silent.wav", rate=44_100, samples=np.zeros(44_100, np.float32)))
    assert silent.samples.shape == (16_000,)
    assert not silent.samples.any()


def test_no_samples(tmp_path: Path) -> None:
    with pytest.raises((AudioTooShort, UnreadableMedia)):
        read_audio(make_sound(tmp_path / "empty.wav", samples=np.zeros(0, np.float32)))
    with pytest.raises(AudioTooShort, match="from 3 s on"):
        read_audio(make_sound(tmp_path / "a.wav", 1.0), start_s=3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    samples = np.zeros(16_000, np.float32)
    samples[8_000] = value
    path = make_sound(tmp_path / "a.wav", samples=samples, bits="float")
    with pytest.raises(UnreadableMedia, match=r"0\.500 s"):
        read_audio(path)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(MediaNotFound, match="folder"):
        read_audio(tmp_path)
    with pytest.raises(NoAudioStream, match="no sound"):
        read_audio(make_video(tmp_path / "silent.mp4", 3))
    for name, content in (("empty.wav", b""), ("text.wav", b"hello " * 99), ("noise.mp3", bytes(range(256)) * 3)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableMedia, match=name.split(".")[0]):
            read_audio(tmp_path / name)
    sound = make_sound(tmp_path / "a.wav")
    for bad in ({"start_s": -1.0}, {"start_s": math.nan}, {"duration_s": 0.0}, {"sample_rate_hz": 0}):
        with pytest.raises(OptionError):
            read_audio(sound, **bad)  # type: ignore[arg-type]


def test_a_wav_that_lies_about_its_length(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", 1.0)
    cut = truncated(path, tmp_path / "cut.wav", 0.5)
    assert 0.49 < float(read_audio(cut).duration_s) <= 0.5


def test_damaged_sound_gives_what_decodes_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = (0.3 * rng.standard_normal(32_000)).clip(-1, 1).astype(np.float32)
    path = corrupted(make_sound(tmp_path / "a.flac", samples=noise), tmp_path / "bad.flac", 0.5, 0.55)
    warnings: list[str] = []
    clip = read_audio(path, warnings=warnings)
    assert warnings
    assert 1.0 < float(clip.duration_s) <= 2.1
    assert np.abs(clip.samples[:12_000] - noise[:12_000]).max() < 1e-3
    assert np.array_equal(read_audio(path).samples, clip.samples)


def test_blocks_stream_and_can_be_read_again(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", 3.0, 44_100, 2)
    sound = open_sound(path)
    assert (sound.sample_rate_hz, sound.num_channels, sound.codec) == (44_100, 2, "pcm_s16le")
    blocks = list(sound.blocks())
    assert max(map(len, blocks)) <= 1 << 16
    assert len(blocks) > 2
    assert np.array_equal(np.concatenate(blocks), np.concatenate(list(sound.blocks())))
    part = np.concatenate(list(sound.blocks(1_000, 100_000)))
    assert np.array_equal(part, np.concatenate(blocks)[1_000:100_000])


@settings(max_examples=25, deadline=None)
@given(
    pcm=st.lists(st.integers(-32768, 32767), min_size=1, max_size=300), rate=st.sampled_from([8_000, 16_000, 44_100])
)
def test_wav_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, pcm: list[int], rate: int) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    samples = (np.array(pcm) / 32768).astype(np.float32)
    write_wav(path, AudioClip(samples, rate))
    native, native_rate = read_audio_native(path)
    assert native_rate == rate
    assert np.array_equal(native[:, 0], samples)


def test_write_wav_clips_and_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, AudioClip(np.array([-2, 2, 0.5], np.float32), 8_000))
    assert read_audio_native(path)[0][:, 0].tolist() == [-1, 32767 / 32768, 0.5]
    with pytest.raises(OutputExists):
        write_wav(path, AudioClip(np.zeros(3, np.float32), 8_000), overwrite=False)
    with pytest.raises(ValueError, match="finite"):
        write_wav(tmp_path / "nan.wav", AudioClip(np.array([np.nan], np.float32), 8_000))
    assert [item.name for item in tmp_path.iterdir()] == ["a.wav"]


def test_real_speech(shared_media: Path) -> None:
    clip = read_audio(shared_media / "speech_en_44k_stereo.flac")
    assert len(clip.samples) == 176_000
    assert 0.05 < np.abs(clip.samples).max() <= 1.05
