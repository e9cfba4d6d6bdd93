#!/usr/bin/env python3
"""Fit the network that listens to live speech: `talkinghead/audio/live_phones.py`.

    python scripts/make_mouth_corpus.py FIT --set fit
    python scripts/fit_live_articulation.py prepare FIT SEEN.npz
    python scripts/fit_live_articulation.py fit SEEN.npz [--start talkinghead/assets/articulation_live.npz]

It begins with the numbers of the network that hears a whole sound (`fit_articulation.py`), or with those of --start,
and learns to tell of the sound LIVE_AHEAD hundredths of a second later than the middle of what it sees, from features
that are judged by what was heard so far. Between utterances, and under some, it hears what nobody says: noise, hum,
tunes, knocks, chirps and gusts, made from a seed, which count as silence. The numbers in the package were fitted in
several runs, each from those of the one before. Writes talkinghead/assets/articulation_live.npz. Needs PyTorch (extra
`models`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fit_articulation import ASSET, Network, augment, corpus, fit, frame_labels, quantise

from talkinghead.audio.articulation import HOP_SAMPLES, LIVE_AHEAD, NUM_FEATURES, WINDOW_SAMPLES, tables
from talkinghead.audio.live_features import LiveFeatures
from talkinghead.contracts import SPEECH_RATE_HZ as RATE_HZ

LIVE_ASSET = ASSET.with_name("articulation_live.npz")
WIDTH = len(tables().biases[0])
LONGEST_S = 6.0
"""Of what nobody says between two utterances."""

Generator = np.random.Generator


def coloured(n: int, rng: Generator, steepness: float | None = None) -> np.ndarray:
    """Noise whose amplitude falls with frequency."""
    steepness = rng.uniform(0, 1.1) if steepness is None else steepness
    spectrum = np.fft.rfft(rng.normal(size=n))
    out: np.ndarray = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)) / n * RATE_HZ, 20) ** steepness, n)
    return out


def note(hertz: float, seconds: float, rng: Generator, *, bowed: bool) -> np.ndarray:
    t = np.arange(max(int(seconds * RATE_HZ), 1)) / RATE_HZ
    harmonics = np.arange(1, max(2, min(14, int(7000 / hertz))))
    vibrato = rng.uniform(0, 0.006) * hertz / 5 * np.sin(2 * np.pi * rng.uniform(4, 7) * t) if bowed else 0.0
    phase, falls = 2 * np.pi * hertz * t + vibrato, rng.uniform(0.6, 2)
    envelope = np.clip(np.minimum(t, seconds - t) / 0.04, 0, 1) if bowed else np.exp(-t * rng.uniform(1, 6))
    out: np.ndarray = envelope * np.sum([np.sin(h * phase + h) / h**falls for h in harmonics], axis=0)
    return out


def tune(n: int, rng: Generator) -> np.ndarray:
    """Plucked or bowed notes of a scale, some as chords."""
    out = np.zeros(n + 8 * RATE_HZ)
    lowest, bowed, voices = np.exp(rng.uniform(np.log(70), np.log(500))), rng.random() < 0.5, rng.choice((1, 1, 3))
    beat_s, at = rng.uniform(0.1, 0.6) if rng.random() < 0.85 else rng.uniform(1, 4), 0
    while at < n:
        for _ in range(voices):
            hertz = lowest * 2 ** (rng.choice((0, 2, 4, 5, 7, 9, 11, 12, 14, 16)) / 12)
            sounding = note(hertz, beat_s * rng.uniform(0.8, 1.6), rng, bowed=bowed)
            out[at : at + len(sounding)] += sounding * rng.uniform(0.4, 1)
        at += int(beat_s * RATE_HZ * rng.choice((1, 1, 1, 2)))
    return out[:n]


def knocks(n: int, rng: Generator) -> np.ndarray:
    """From single ones to rain and applause."""
    out = np.zeros(n + RATE_HZ)
    per_second, decay = np.exp(rng.uniform(np.log(2), np.log(300))), np.exp(rng.uniform(np.log(15), np.log(600)))
    length = int(min(decay * 6, 8000))
    for at in rng.integers(0, n, max(1, int(per_second * n / RATE_HZ))):
        out[at : at + length] += rng.normal(size=length) * np.exp(-np.arange(length) / decay) * rng.uniform(0.2, 1)
    return out[:n]


def hum(n: int, rng: Generator) -> np.ndarray:
    """Harmonics of a steady or swaying tone, with some noise, or of a chord that swells."""
    t = np.arange(n) / RATE_HZ
    out = rng.choice((0.0, 1.0)) * rng.uniform(0, 0.3) * coloured(n, rng)
    for _ in range(rng.choice((1, 1, 3))):
        hertz = rng.uniform(40, 500) * (1 + rng.choice((0.0, 0.2)) * np.sin(2 * np.pi * rng.uniform(0.1, 1) * t))
        phase, falls = 2 * np.pi * np.cumsum(hertz) / RATE_HZ, rng.uniform(0.5, 1.5)
        out = out + np.sum([np.sin(k * phase + k) / k**falls for k in range(1, int(rng.integers(2, 20)))], axis=0)
    swelling: np.ndarray = out * (1 + rng.choice((0.0, 0.8)) * np.sin(2 * np.pi * rng.uniform(0.5, 4) * t))
    return swelling


def chirps(n: int, rng: Generator) -> np.ndarray:
    """Birds, sirens, signals."""
    out = np.zeros(n + RATE_HZ)
    for at in rng.integers(0, n, max(1, int(rng.uniform(1, 5) * n / RATE_HZ))):
        length = int(rng.integers(800, 12000))
        t = np.arange(length) / RATE_HZ
        first, last = np.exp(rng.uniform(np.log(300), np.log(5200), 2))
        hertz = np.linspace(first, last, length) * (1 + rng.uniform(0, 0.05) * np.sin(2 * np.pi * 25 * t))
        out[at : at + length] += np.sin(2 * np.pi * np.cumsum(hertz) / RATE_HZ) * np.hanning(length)
    return out[:n]


def gusts(n: int, rng: Generator) -> np.ndarray:
    strength = np.abs(coloured(n, rng, 1.0))
    out: np.ndarray = coloured(n, rng) * (0.2 + strength / np.std(strength))
    return out


KINDS: tuple[Callable[[int, Generator], np.ndarray], ...] = (coloured, tune, tune, knocks, hum, hum, chirps, gusts)


def unspoken(n: int, rng: Generator) -> np.ndarray:
    """One to three sounds that nobody says, together of standard deviation 1."""
    out = np.zeros(n)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        one = KINDS[rng.integers(len(KINDS))](n, rng)
        out += one / (np.std(one) + 1e-9) * rng.uniform(0.2, 1)
    return out / (np.std(out) + 1e-9)


def varied(x: np.ndarray, rng: Generator) -> tuple[np.ndarray, float]:
    """As `augment`, with other levels, clipping, and other sounds behind the voice."""
    y, factor = augment(x, rng)
    if rng.random() < 0.3:
        y = y * 10 ** (rng.uniform(-30, 0) / 20)
    if rng.random() < 0.05:
        y = np.clip(y * 10, -1, 1)
    if rng.random() < 0.2:
        y = y + unspoken(len(y), rng) * np.sqrt(np.mean(y**2)) * 10 ** (-rng.uniform(5, 30) / 20)
    return y.astype(np.float32), factor


def windows(samples: np.ndarray) -> np.ndarray:
    """Of every hundredth of a second; [1 + n // 160, 400]."""
    half = WINDOW_SAMPLES // 2
    padded = np.pad(samples, (half, half + HOP_SAMPLES))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][
        : 1 + len(samples) // HOP_SAMPLES
    ]


def prepare(folder: Path, out: Path, seed: int) -> None:
    """Features and labels of every utterance and of what lies between, one after the other as a session hears them."""
    rng = np.random.default_rng(seed)
    utterances = corpus(folder)
    seen, labels = [], []
    listening = LiveFeatures(tables().typical)
    for index in rng.permutation(len(utterances)):
        if rng.random() < 0.35:
            listening = LiveFeatures(tables().typical)
        x, phones, _ = utterances[index]
        y, factor = varied(x, rng)
        seen.append(listening.push(windows(y)).features.astype(np.float16))
        labels.append(frame_labels(phones, len(seen[-1]), factor).astype(np.int8))
        if rng.random() < 0.35:
            n = int(rng.uniform(1, LONGEST_S) * RATE_HZ)
            quiet = rng.random() < 0.3
            other = rng.normal(size=n) if quiet else unspoken(n, rng)
            level_db = rng.uniform(-90, -50) if quiet else rng.uniform(-50, -15)
            heard = windows((other * 10 ** (level_db / 20)).astype(np.float32))
            seen.append(listening.push(heard).features.astype(np.float16))
            labels.append(np.zeros(len(heard), np.int8))
    np.savez(out, seen=np.concatenate(seen), labels=np.concatenate(labels))
    print(f"{sum(map(len, labels)) / 6000:.0f} minutes in {out}")


def network_from(path: Path) -> Network:
    """The trainable twin of what is in a file."""
    network = Network(WIDTH, dropout=0.1)
    with np.load(path, allow_pickle=False) as data, torch.no_grad():
        for k, layer in enumerate(network.layers):
            assert isinstance(layer, torch.nn.Conv1d)
            weight = (data[f"weight{k}"] * data[f"scale{k}"]).reshape(-1, layer.in_channels, layer.out_channels)
            layer.weight.copy_(torch.from_numpy(weight.transpose(2, 1, 0).astype(np.float32)))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(data[f"bias{k}"]))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    preparing = steps.add_parser("prepare", help="make features and labels")
    preparing.add_argument("fit", type=Path, help="corpus folder to learn from")
    preparing.add_argument("out", type=Path, help="file to write")
    preparing.add_argument("--seed", type=int, default=0)
    fitting = steps.add_parser("fit", help="fit the network")
    fitting.add_argument("seen", type=Path, nargs="+", help="what was prepared")
    fitting.add_argument("--start", type=Path, default=ASSET, help="file of the numbers to begin with")
    fitting.add_argument("--out", type=Path, default=LIVE_ASSET, help="file to write")
    fitting.add_argument("--epochs", type=int, default=4)
    fitting.add_argument("--rate", type=float, default=2e-3, help="greatest learning rate")
    fitting.add_argument("--seed", type=int, default=0)
    fitting.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.step == "prepare":
        prepare(chosen.fit, chosen.out, chosen.seed)
        return
    torch.set_num_threads(chosen.threads)
    files = [np.load(path, allow_pickle=False) for path in chosen.seen]
    seen = np.concatenate([file["seen"] for file in files])
    assert seen.shape[1] == NUM_FEATURES
    labels = np.concatenate([file["labels"] for file in files]).astype(np.int64)
    later = np.append(labels[LIVE_AHEAD:], np.zeros(LIVE_AHEAD, np.int64))
    network = fit(seen, later, network_from(chosen.start), chosen.epochs, chosen.seed, rate=chosen.rate)
    np.savez_compressed(chosen.out, allow_pickle=False, **quantise(network))
    print(f"{chosen.out.name}: {chosen.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
