#!/usr/bin/env python3
"""Fit the small network of `talkinghead/audio/articulation.py` on synthetic speech with exact phone times.

    python scripts/make_mouth_corpus.py FIT --set fit
    python scripts/make_mouth_corpus.py HELD --set held-out
    python scripts/fit_articulation.py FIT --check HELD

Writes talkinghead/assets/articulation.npz. Needs PyTorch (extra `models`). Every utterance is used several times, each
time at another speed and pitch, through another channel, in another room, with other noise and at another level, so
that what is learnt holds beyond these voices. The voices and sentences of the held-out set are never fitted.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import av
import numpy as np
import soxr
import torch
from torch import nn

from talkinghead.audio import articulation
from talkinghead.audio.articulation import HOP_S, LABELS, NUM_FEATURES
from talkinghead.audio.energy import frame_rms, speech_levels_db, to_db
from talkinghead.contracts import SPEECH_RATE_HZ as RATE_HZ

ASSET = Path(__file__).resolve().parent.parent / "talkinghead" / "assets" / "articulation.npz"
Phones = list[tuple[float, float, str]]
"""Start and end in seconds, and ARPAbet."""
Utterance = tuple[np.ndarray, Phones, str]
"""Samples, phones, language."""
INDEX = {label: index for index, label in enumerate(LABELS)}


def load(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(pieces).astype(np.float32) / 32768.0


def augment(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Another speaker, microphone and room; and the factor by which times grew."""
    speed = float(np.exp(rng.uniform(-0.17, 0.17)))
    y = soxr.resample(x, RATE_HZ, RATE_HZ * speed, quality="MQ").astype(np.float32) if rng.random() < 0.85 else x
    factor, n = len(y) / len(x), len(y)
    hertz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 30.0)
    gain_db = rng.uniform(-4, 4) * np.log2(np.maximum(hertz, 60) / 1000)
    for centre in np.exp(rng.uniform(np.log(150), np.log(6000), 5)):
        gain_db += rng.uniform(-5, 5) * np.exp(-0.5 * (np.log2(hertz / centre) / rng.uniform(0.2, 0.8)) ** 2)
    if rng.random() < 0.3:
        gain_db -= 24 * np.maximum(np.log2(hertz / rng.uniform(3000, 7000)), 0)
    if rng.random() < 0.4:
        gain_db -= 12 * np.maximum(np.log2(rng.uniform(80, 250) / hertz), 0)
    y = np.fft.irfft(np.fft.rfft(y) * 10 ** (gain_db / 20), n)
    if rng.random() < 0.5:  # a room
        reverberation_s = rng.uniform(0.1, 0.6)
        m = int(reverberation_s * RATE_HZ)
        tail = rng.standard_normal(m) * 10 ** (-3 * np.arange(m) / m)
        tail *= 10 ** (rng.uniform(-24, -6) / 20) / np.sqrt(np.sum(tail**2))
        tail[:40] = 0
        tail[0] = 1
        size = 1 << (n + m).bit_length()
        y = np.fft.irfft(np.fft.rfft(y, size) * np.fft.rfft(tail, size), size)[:n]
    loud = float(np.sqrt(np.mean(y**2)))
    if rng.random() < 0.3:  # the voice fades in and out
        y = y * 10 ** (rng.uniform(-10, 0) * (0.5 + 0.5 * np.sin(np.arange(n) / RATE_HZ * rng.uniform(0.5, 4))) / 20)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) / np.maximum(hertz, 50) ** rng.uniform(0, 1), n)
    y = y + noise / np.std(noise) * loud * 10 ** (-rng.uniform(12, 60) / 20)
    return (y * (0.1 / max(loud, 1e-6)) * 10 ** rng.uniform(-1, 0.5)).astype(np.float32), factor


def frame_labels(phones: Phones, num: int, factor: float = 1.0) -> np.ndarray:
    out = np.zeros(num, dtype=np.int64)
    times = np.arange(num) * HOP_S
    for start, end, label in phones:
        out[(times >= start * factor) & (times < end * factor)] = INDEX[label]
    return out


def corpus(folder: Path) -> list[Utterance]:
    out = []
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        out.append((load(path.with_suffix(".flac")), [tuple(row) for row in facts["phones"]], facts["language"]))
    return out


def typical_spectrum(utterances: list[Utterance]) -> np.ndarray:
    rows = []
    for x, _, _ in utterances:
        bands = articulation.band_energies(x)
        level = to_db(frame_rms(x, RATE_HZ, hop_s=HOP_S, num_frames=len(bands)))
        loud = speech_levels_db(level)[1]
        rows.append((bands[level > loud - 25] - loud * np.log(10) / 10).mean(axis=0))
    mean: np.ndarray = np.mean(rows, axis=0)
    return mean.astype(np.float32)


class Network(nn.Module):
    """The trainable twin of `articulation.network`."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        first, second, third = articulation.DILATIONS
        self.layers = nn.ModuleList(
            [
                nn.Conv1d(NUM_FEATURES, width, 5, dilation=first, padding=2 * first),
                nn.Conv1d(width, width, 3, dilation=second, padding=second),
                nn.Conv1d(width, width, 3, dilation=third, padding=third),
                nn.Conv1d(width, len(LABELS), 1),
            ]
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = self.dropout(torch.relu(layer(x)))
        scores: torch.Tensor = self.layers[-1](x)
        return scores


def fit(x: np.ndarray, y: np.ndarray, network: Network, epochs: int, seed: int, rate: float = 4e-3) -> Network:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    span, batch = 400, 16
    starts = np.arange(0, len(x) - 2 * span, span - 30)
    steps = epochs * (len(starts) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    began = time.time()
    for epoch in range(epochs):
        order = rng.permutation(starts) + rng.integers(0, 30)
        total = 0.0
        for k in range(len(starts) // batch):
            chosen = order[k * batch : (k + 1) * batch]
            seen = torch.stack([inputs[s : s + span].T for s in chosen]).float()
            wanted = torch.stack([targets[s : s + span] for s in chosen])
            loss = loss_of(network(seen + 0.05 * torch.randn_like(seen)), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(starts) // batch):.3f}, {time.time() - began:.0f} s", flush=True)
    return network.eval()


def recognition_table(utterances: list[Utterance]) -> np.ndarray:
    """[spoken, recognised]: log P(spoken | recognised) of all-phone recognition."""
    from talkinghead.audio.recogniser import AllPhones

    counts = np.full((len(LABELS), len(LABELS)), 0.5)
    recogniser = AllPhones()
    for x, phones, _ in utterances:
        num = 1 + len(x) // articulation.HOP_SAMPLES
        np.add.at(counts, (frame_labels(phones, num), recogniser.frames(x).labels), 1)
    table: np.ndarray = np.log(counts / counts.sum(axis=0, keepdims=True))
    return table


def succession_table(utterances: list[Utterance]) -> np.ndarray:
    """[phone, next]: log P(next | phone)."""
    counts = np.full((len(LABELS), len(LABELS)), 1.0)
    for _, phones, _ in utterances:
        labels = [INDEX[label] for _, _, label in phones]
        np.add.at(counts, (labels[:-1], labels[1:]), 1)
    table: np.ndarray = np.log(counts / counts.sum(axis=1, keepdims=True))
    return table


def quantise(network: Network) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for k, layer in enumerate(network.layers):
        assert isinstance(layer, nn.Conv1d)
        assert layer.bias is not None
        weight = layer.weight.detach().numpy().transpose(2, 1, 0).reshape(-1, layer.out_channels)
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127.0
        out[f"weight{k}"] = np.rint(weight / scale).astype(np.int8)
        out[f"scale{k}"] = scale.astype(np.float32)
        out[f"bias{k}"] = layer.bias.detach().numpy().astype(np.float32)
    return out


def check(folder: Path) -> None:
    right = total = 0
    seen = closed = wrong = others = 0
    for x, phones, _ in corpus(folder):
        posteriors = articulation.phone_posteriors(x).astype(np.float32)
        truth = frame_labels(phones, len(posteriors))
        speech = truth > 0
        right += int(np.sum(posteriors.argmax(axis=1)[speech] == truth[speech]))
        total += int(np.sum(speech))
        lips = np.exp(posteriors[:, 1:4]).sum(axis=1) > 0.4
        bilabial = (truth >= 1) & (truth <= 3)
        wrong += int(np.sum(lips[speech & ~bilabial]))
        others += int(np.sum(speech & ~bilabial))
        for start, end, label in phones:
            if label in "PBM":
                seen += bool(np.any(lips[int(np.ceil(start / HOP_S)) : int(end / HOP_S) + 1]))
                closed += 1
    print(f"{folder.name}: frames right {right / total:.3f}, p b m seen {seen / closed:.3f}, "
          f"other frames taken for them {wrong / others:.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fit", type=Path, help="corpus folder to learn from")
    parser.add_argument("--check", type=Path, nargs="*", default=[], help="corpus folders to measure on")
    parser.add_argument("--copies", type=int, default=3, help="variations of every utterance")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tables-only", action="store_true", help="keep the network, make the other tables again")
    parser.add_argument("--out", type=Path, default=ASSET, help="file to write")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    utterances = corpus(chosen.fit)
    if chosen.tables_only:
        with np.load(chosen.out, allow_pickle=False) as data:
            numbers = dict(data)
    else:
        typical = typical_spectrum(utterances)
        rng = np.random.default_rng(chosen.seed)
        inputs, targets = [], []
        for x, phones, _ in utterances:
            for _ in range(chosen.copies):
                y, factor = augment(x, rng)
                inputs.append(articulation.features(y, typical).astype(np.float16))
                targets.append(frame_labels(phones, len(inputs[-1]), factor))
        y = np.concatenate(targets)
        print(f"{len(y) * HOP_S / 60:.0f} minutes", flush=True)
        torch.manual_seed(chosen.seed)
        network = fit(np.concatenate(inputs), y, Network(chosen.width, dropout=0.15), chosen.epochs, chosen.seed)
        prior = np.bincount(y, minlength=len(LABELS)) + 1.0
        numbers = {"typical": typical, "log_prior": np.log(prior / prior.sum()).astype(np.float32)}
        numbers |= quantise(network)
        empty = np.zeros((len(LABELS), len(LABELS)), dtype=np.float16)
        np.savez_compressed(chosen.out, log_recognised=empty, log_follows=empty, **numbers)
    english = [item for item in utterances if item[2] == "en"]
    numbers["log_recognised"] = recognition_table(english[::3]).astype(np.float16)
    numbers["log_follows"] = succession_table(english).astype(np.float16)
    np.savez_compressed(chosen.out, **numbers)
    print(f"{chosen.out.name}: {chosen.out.stat().st_size} bytes")
    if chosen.out == ASSET:
        for folder in chosen.check:
            check(folder)


if __name__ == "__main__":
    main()
