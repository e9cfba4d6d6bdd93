import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.assets import demo_phones_path, demo_speech_path
from talkinghead.audio.articulation import LABELS, tables
from talkinghead.audio.energy import frame_level_db, voice_activity
from talkinghead.audio.phone_search import SHORTEST_FRAMES
from talkinghead.audio.phones import (
    LEAST_SPEECH,
    NO_SPEECH,
    NO_WORDS,
    ListeningConfig,
    agreement,
    combine_phones,
    decode,
    fill_holes,
    read_phones,
    recognise_phones,
    to_phones,
    with_closures,
    word_trust,
)
from talkinghead.audio.recogniser import NOT_HEARD, AllPhones, Block, Heard, Words, cut_blocks, frequent_words
from talkinghead.audio.visemes import PHONES
from talkinghead.contracts import AudioClip, Phone
from talkinghead.errors import MediaNotFound, OptionError, UnreadableMedia
from talkinghead.media import read_audio

RATE = 16000
CORPUS = Path(__file__).parents[1] / "data" / "mouth_corpus"


def clip_of(samples: np.ndarray) -> AudioClip:
    return AudioClip(samples.astype(np.float32), RATE)


def assert_covers(phones: tuple[Phone, ...], end_s: float) -> None:
    assert phones[0].start_s == 0.0
    assert phones[-1].end_s == pytest.approx(end_s, abs=1e-9)
    for a, b in pairwise(phones):
        assert a.end_s == b.start_s
        assert a.end_s > a.start_s
    assert all(p.label in PHONES for p in phones)


def label_at(phones: tuple[Phone, ...], time: float) -> str:
    return next(p.label for p in phones if p.start_s <= time < p.end_s)


@pytest.fixture(scope="module")
def demo() -> AudioClip:
    return read_audio(demo_speech_path(), RATE)


def test_demo_speech_is_short_mono_and_its_phones_cover_it(demo: AudioClip) -> None:
    assert 4 <= demo.duration_s <= 7
    assert 0.5 < np.abs(demo.samples).max() <= 1.0
    phones = read_phones(demo_phones_path())
    assert_covers(phones, float(demo.duration_s))
    level = frame_level_db(demo)
    spoken = np.concatenate([level[int(p.start_s * 100) : int(p.end_s * 100)] for p in phones if p.label == "IY"])
    silent = np.concatenate(
        [level[int(p.start_s * 100) + 3 : int(p.end_s * 100) - 3] for p in phones if p.label == "SIL"]
    )
    assert np.median(spoken) > np.median(silent) + 25


@pytest.mark.thorough
def test_demo_speech_is_heard_as_it_is_spoken(demo: AudioClip) -> None:
    found = recognise_phones(demo)
    assert found.method == "pocketsphinx"
    assert found.notes == ()
    assert_covers(found.phones, float(demo.duration_s))
    truth = read_phones(demo_phones_path())
    times = np.arange(0.005, float(demo.duration_s) - 0.01, 0.01)
    assert np.mean([label_at(found.phones, t) == label_at(truth, t) for t in times]) > 0.7
    for phone in truth:
        if phone.label in ("P", "B", "M"):
            middle = (phone.start_s + phone.end_s) / 2
            assert any(
                q.label in ("P", "B", "M") and q.start_s < middle + 0.05 and q.end_s > middle - 0.05
                for q in found.phones
            )


@pytest.mark.thorough
def test_the_same_sound_gives_the_same_phones_at_any_level(demo: AudioClip) -> None:
    first = recognise_phones(demo)
    assert recognise_phones(demo) == first
    quiet = recognise_phones(AudioClip(demo.samples * np.float32(0.02), RATE)).phones
    same = sum(
        a.label == b.label and abs(a.start_s - b.start_s) < 0.03 for a, b in zip(first.phones, quiet, strict=False)
    )
    assert same > 0.5 * len(first.phones)


@pytest.mark.parametrize("seconds", [0.0, 0.00005, 0.01, 0.3, 2.0])
def test_silence_of_any_length_is_silence(seconds: float) -> None:
    found = recognise_phones(clip_of(np.zeros(round(seconds * RATE))))
    assert found.method == "energy"
    assert all(p.label == "SIL" for p in found.phones)
    if round(seconds * RATE):
        assert_covers(found.phones, round(seconds * RATE) / RATE)
        assert "mouth stays closed" in found.notes[0]


def noises() -> dict[str, np.ndarray]:
    rng, t = np.random.default_rng(1), np.arange(4 * RATE) / RATE
    spectrum = np.fft.rfft(rng.normal(size=len(t)))
    falling = {"white": 0.0, "pink": 0.5, "brown": 1.0}
    coloured = {
        name: np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 80) ** power, len(t))
        for name, power in falling.items()
    }
    hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 9))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (261.6, 329.6, 392.0)) * (0.6 + 0.4 * np.sin(4 * np.pi * t))
    return {**coloured, "hum": np.asarray(hum), "chord": np.asarray(chord)}


NOISES = [(name, level_db) for name in ("white", "pink", "brown", "hum", "chord") for level_db in (-20, -70)]
OFTEN = {("white", -20), ("hum", -70), "arpeggio"}
"""What the tests that are run often try."""


def now_and_then(case: Any) -> Any:
    """A case that is left to the thorough tests unless it is one of those tried often."""
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=() if case in OFTEN else pytest.mark.thorough)


@pytest.mark.parametrize(("name", "level_db"), [now_and_then(case) for case in NOISES])
def test_noise_and_hum_are_no_speech(name: str, level_db: float) -> None:
    x = noises()[name]
    found = recognise_phones(clip_of(x / np.sqrt(np.mean(x**2)) * 10 ** (level_db / 20)))
    assert [p.label for p in found.phones] == ["SIL"]
    assert_covers(found.phones, 4.0)
    assert found.notes == (NO_SPEECH,)


def plucked(frequency_hz: float, seconds: float) -> np.ndarray:
    """A string: partials that die away."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(sum(np.sin(2 * np.pi * frequency_hz * h * t) * np.exp(-t * (2 + h)) / h for h in range(1, 9)))


def arpeggio(seconds: float) -> np.ndarray:
    """Seven notes a second, up and down a chord."""
    out = np.zeros(round((seconds + 1) * RATE))
    for k in range(round(seconds * 7)):
        start = k * RATE // 7
        note = plucked(131.0 * 2 ** ((0, 4, 7, 12, 16, 12, 7, 4)[k % 8] / 12), 0.28)
        out[start : start + len(note)] += note
    return out[: round(seconds * RATE)]


def music() -> dict[str, np.ndarray]:
    """Sounds with rhythm or melody in which phones are recognised that nobody said."""
    rng, n = np.random.default_rng(4), 4 * RATE
    beats = np.zeros(n)
    for k in range(0, n - 3000, RATE // 4):
        beats[k : k + 3000] += rng.normal(size=3000) * np.exp(-np.arange(3000) / (150 if k // (RATE // 4) % 2 else 500))
    claps = np.zeros(n)
    for at in rng.integers(0, n - 900, 100):
        claps[at : at + 900] += rng.normal(size=900) * np.exp(-np.arange(900) / 150)
    notes = arpeggio(4.0)
    return {"arpeggio": notes, "applause": claps, "band": notes / notes.std() + beats / beats.std()}


@pytest.mark.parametrize("name", [now_and_then(name) for name in ("arpeggio", "applause", "band")])
def test_music_is_no_speech(name: str) -> None:
    x = music()[name]
    clip = clip_of(0.1 * x / x.std())
    recognised = AllPhones().frames(clip.samples).labels > 0
    assert recognised.mean() > 2 * LEAST_SPEECH  # many phones alone do not make speech
    found = recognise_phones(clip, ListeningConfig(words=False))
    assert [p.label for p in found.phones] == ["SIL"]
    assert found.notes == (NO_SPEECH,)


def test_speech_over_music_is_heard(demo: AudioClip) -> None:
    x = demo.samples[: 4 * RATE].astype(np.float64)
    notes = arpeggio(4.0)
    mixed = x + notes * np.sqrt(np.mean(x**2)) / notes.std() / 10**0.5  # 10 dB softer
    found = recognise_phones(clip_of(mixed), ListeningConfig(words=False)).phones
    assert sum(p.end_s - p.start_s for p in found if p.label != "SIL") > 1.5


def test_agreement_of_what_belongs_together_and_of_chance() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(1, 40, 40), 5).astype(np.int16)
    seen = np.log(np.full((200, 40), 0.3 / 39, np.float32))
    seen[np.arange(200), labels] = np.log(0.7)
    assert agreement(labels, seen) > 3
    assert abs(agreement(rng.permutation(labels), seen)) < 0.5
    assert agreement(np.full(200, 7, np.int16), seen) == 0  # one phone alone says nothing


@pytest.mark.thorough
def test_speech_over_noise_and_after_it_is_heard(demo: AudioClip) -> None:
    x = demo.samples[: 4 * RATE].astype(np.float64)
    rng = np.random.default_rng(2)
    noise = rng.normal(size=len(x)) * np.sqrt(np.mean(x**2)) / 10**0.5
    over = recognise_phones(clip_of(x + noise)).phones
    assert sum(p.end_s - p.start_s for p in over if p.label != "SIL") > 1.5
    loud = np.sqrt(np.mean(x**2))
    later = np.concatenate([loud * rng.normal(size=16 * RATE), np.zeros(RATE), x])
    found = recognise_phones(clip_of(later)).phones
    assert sum(p.end_s - p.start_s for p in found if p.label != "SIL" and p.end_s < 15) < 0.5
    assert sum(p.end_s - p.start_s for p in found if p.label != "SIL" and p.start_s > 16.5) > 1.5


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.1, 0.5])
def test_very_short_sounds_are_covered(seconds: float) -> None:
    x = 0.3 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).clip(-1, 1)
    found = recognise_phones(clip_of(x), ListeningConfig(words=False))
    assert_covers(found.phones, len(x) / RATE)


@pytest.mark.thorough
def test_a_tune_without_words_is_no_speech() -> None:
    t = np.arange(4 * RATE) / RATE
    pitch = 220 * 2 ** (np.floor(t * 2) / 12)
    voice = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / RATE) / k for k in range(1, 12))
    found = recognise_phones(clip_of(0.1 * voice))
    assert [p.label for p in found.phones] == ["SIL"]
    assert found.notes == (NO_SPEECH,)


@pytest.mark.thorough
def test_pauses_are_found_where_they_are(demo: AudioClip) -> None:
    gap = np.zeros(RATE, np.float32)
    found = recognise_phones(clip_of(np.concatenate([gap, demo.samples, gap, demo.samples, gap])))
    end = float(demo.duration_s)
    for start, stop in ((0.0, 1.0), (1 + end, 2 + end), (2 + 2 * end, 3 + 2 * end)):
        spoken = [p for p in found.phones if p.label != "SIL" and p.start_s < stop - 0.1 and p.end_s > start + 0.1]
        assert not spoken


def test_another_sample_rate_is_refused() -> None:
    with pytest.raises(OptionError, match="8000"):
        recognise_phones(AudioClip(np.zeros(100, np.float32), 8000))


def test_progress_is_told_and_can_end_the_work(demo: AudioClip) -> None:
    seen: list[tuple[float, float]] = []
    recognise_phones(demo, ListeningConfig(words=False), lambda done, total: seen.append((done, total)))
    assert seen
    assert seen[-1][0] == pytest.approx(seen[-1][1], abs=0.02)

    def stop(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recognise_phones(demo, ListeningConfig(words=False), stop)


def test_blocks_cover_all_that_is_heard_and_cut_at_pauses() -> None:
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(12):
        pieces += [0.2 * rng.standard_normal(int(rng.uniform(3, 6) * RATE)), np.zeros(int(0.3 * RATE))]
    x = np.concatenate([*pieces, 0.2 * rng.standard_normal(40 * RATE)]).astype(np.float32)
    level = frame_level_db(clip_of(x))
    active = voice_activity(level)
    blocks = cut_blocks(level, active, len(x))
    assert blocks[-1].stop == len(x)
    assert blocks[0].stop - blocks[0].start <= 7.01 * RATE  # who draws what is said first waits for it
    for a, b in pairwise(blocks):
        assert a.stop == b.start
        assert a.stop - a.start <= 15.01 * RATE
        if b.start < len(x) - 41 * RATE:
            assert not active[b.start // 160]
    assert cut_blocks(level, np.zeros_like(active), len(x)) == []


def test_a_block_gives_what_the_whole_gives(demo: AudioClip) -> None:
    recogniser = AllPhones()
    whole = recogniser.frames(demo.samples)
    assert len(whole.labels) == 1 + len(demo.samples) // 160
    assert np.mean(whole.labels != NOT_HEARD) > 0.95
    cut = 400 * 160
    part = recogniser.block(demo.samples, Block(cut, len(demo.samples)))
    assert np.mean(part.labels == whole.labels[cut // 160 :]) > 0.6


def test_words_say_how_sure_they_are(demo: AudioClip) -> None:
    heard = Words().frames(demo.samples)
    sure = heard.confidence[heard.rate > 0]
    assert sure.min() >= 0
    assert sure.max() <= 1
    assert sure.mean() > 0.5
    noise = Words().frames((0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32))
    assert len(noise.labels) == 101


def test_words_are_believed_where_the_sounds_are_in_doubt() -> None:
    n = 400
    said = np.tile(np.repeat(np.array([LABELS.index(p) for p in ("T", "AA", "S", "IY")], np.int16), 10), n // 40)
    words = Heard(said, np.full(n, 0.8, np.float32), np.full(n, 1 / 30, np.float32))

    def sounds(likeliest: np.ndarray, share: float) -> np.ndarray:
        evidence = np.full((n, len(LABELS)), np.log((1 - share) / (len(LABELS) - 1)), np.float32)
        evidence[np.arange(n), likeliest] = np.log(share)
        return evidence

    other = np.roll(said, 10)
    assert word_trust(sounds(said, 0.6), words).min() > 0.9
    assert word_trust(sounds(other, 0.9), words).max() < 0.1  # the sounds are sure of something else
    assert word_trust(sounds(other, 0.3), words).min() > 0.5  # they do not know
    none = Heard(np.full(n, NOT_HEARD, np.int16), np.zeros(n, np.float32), np.zeros(n, np.float32))
    assert not word_trust(sounds(said, 0.6), none).any()


def test_all_phones_cannot_talk_the_spectrum_out_of_closed_lips() -> None:
    config, fitted = ListeningConfig(), tables()
    seen = np.full((len(LABELS), len(LABELS)), -5.0, np.float32)
    told = combine_phones(seen, np.arange(len(LABELS), dtype=np.int16), fitted, config)
    closed = told[:, LABELS.index("P") : LABELS.index("M") + 1]
    assert np.all(told.max(axis=1, keepdims=True) - closed <= config.bilabial_doubt + 1e-5)
    others = np.ptp(np.delete(told, [LABELS.index(p) for p in "PBM"], axis=1), axis=1)
    assert others.max() > config.bilabial_doubt


@pytest.mark.thorough
def test_hardly_any_words_are_told_of_unclear_speech_alone() -> None:
    names = ("01-espeak-en-gb-x-rp_f4-160.flac", "05-espeak-en-gb-x-rp_f4-160.flac")
    clean = np.concatenate([read_audio(CORPUS / name, RATE).samples for name in names])
    assert recognise_phones(clip_of(clean)).notes == ()  # its words are not understood, and need not be
    noise = np.sqrt(np.mean(clean**2)) * np.random.default_rng(0).normal(size=len(clean))
    noisy = recognise_phones(clip_of(clean + 0.5 * noise))
    assert noisy.notes == (NO_WORDS,)


def test_frequent_words_keep_every_pronunciation() -> None:
    lines = frequent_words().splitlines()
    assert 8_000 <= len(lines) <= 11_000
    assert "the DH AH" in lines
    assert any(line.startswith("the(2) ") for line in lines)


def test_decoding_keeps_clear_evidence_and_least_durations() -> None:
    order = [("SIL", 20), ("M", 6), ("AA", 12), ("P", 5), ("IY", 10), ("S", 8), ("SIL", 20)]
    truth = np.concatenate([np.full(n, LABELS.index(label)) for label, n in order])
    evidence = np.full((len(truth), len(LABELS)), -8.0, np.float32)
    evidence[np.arange(len(truth)), truth] = 0.0
    np.testing.assert_array_equal(decode(evidence, tables(), ListeningConfig()), truth)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.integers(0, 2**31 - 1))
def test_decoding_never_gives_a_phone_too_short(n: int, seed: int) -> None:
    evidence = np.random.default_rng(seed).normal(-3, 3, (n, len(LABELS))).astype(np.float32)
    labels = decode(evidence, tables(), ListeningConfig())
    assert labels.shape == (n,)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(labels)) + 1, [n]))
    for first, last in pairwise(edges[1:-1]):  # the ends of the sound may cut a phone
        assert last - first >= SHORTEST_FRAMES.get(LABELS[labels[first]], 3)


@given(
    st.lists(st.tuples(st.floats(-0.5, 5), st.floats(0, 2), st.sampled_from(["AA", "P", "SIL"])), max_size=20),
    st.floats(0.01, 6),
)
def test_filling_holes_covers_everything_once(rows: list[tuple[float, float, str]], end_s: float) -> None:
    filled = fill_holes([Phone(start, start + length, label) for start, length, label in rows], end_s)
    assert_covers(filled, end_s)
    assert not any(a.label == b.label == "SIL" for a, b in pairwise(filled))


def test_frames_become_phones_centred_on_their_time() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [25] * 5, dtype=np.int16)
    assert to_phones(labels, 1.0, 1.2) == [
        Phone(1.0, pytest.approx(1.095), "SIL"),
        Phone(pytest.approx(1.095), pytest.approx(1.145), "P"),
        Phone(pytest.approx(1.145), 1.2, LABELS[25]),
    ]


def test_a_stop_gets_the_silence_before_its_burst() -> None:
    x = 0.1 * np.ones(RATE, np.float32)
    x[6400:8000] = 0.0
    phones = (Phone(0, 0.5, "AA"), Phone(0.5, 0.55, "P"), Phone(0.55, 1.0, "IY"))
    moved = with_closures(phones, clip_of(x))
    assert moved == (Phone(0, 0.4, "AA"), Phone(0.4, 0.55, "P"), Phone(0.55, 1.0, "IY"))
    voiced = tuple(Phone(p.start_s, p.end_s, p.label.replace("P", "B")) for p in phones)
    assert with_closures(voiced, clip_of(x)) == voiced
    after_pause = (Phone(0, 0.5, "SIL"), *phones[1:])
    assert with_closures(after_pause, clip_of(x)) == after_pause
    assert with_closures(phones, clip_of(0.1 * np.ones(RATE))) == phones
    silent = with_closures(phones, clip_of(np.zeros(RATE)))
    assert silent[0].end_s == silent[1].start_s == pytest.approx(0.35)


def test_phone_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        read_phones(tmp_path / "none.json")
    for text in ("[]", "{}", '{"phones": [[0, 1]]}', "x"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(UnreadableMedia, match=r"p\.json"):
            read_phones(tmp_path / "p.json")
    (tmp_path / "p.json").write_text(json.dumps({"phones": [[0, 0.5, "AA"]]}))
    assert read_phones(tmp_path / "p.json") == (Phone(0.0, 0.5, "AA"),)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, talkinghead.audio.phones, talkinghead.audio.mouth, talkinghead.audio.cues, talkinghead.assets;"
        "print([m for m in ('torch', 'cv2', 'av', 'scipy', 'pocketsphinx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.thorough
@pytest.mark.media
@pytest.mark.parametrize("name", ["speech_en_44k_stereo.flac", "speech_zh_48k_stereo.wav"])
def test_real_speech_is_heard(shared_media: Path, name: str) -> None:
    clip = read_audio(shared_media / name, RATE)
    found = recognise_phones(clip)
    assert found.method == "pocketsphinx"
    assert_covers(found.phones, float(clip.duration_s))
    level = frame_level_db(clip)
    silent = [level[int(p.start_s * 100) + 2 : int(p.end_s * 100) - 2] for p in found.phones if p.label == "SIL"]
    vowels = [
        level[int(p.start_s * 100) : int(p.end_s * 100)] for p in found.phones if p.label in ("AA", "AE", "EY", "AO")
    ]
    assert np.median(np.concatenate(vowels)) > np.median(np.concatenate(silent)) + 15
