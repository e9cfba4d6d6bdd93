#!/usr/bin/env python3
"""Measure an avatar that was trained on the drawn head against what it should have shown.

    python scripts/make_training_video.py DATA
    talkinghead train synctalk2d DATA/me.mp4 -o AVATAR --minutes 50
    python scripts/prove_training.py DATA AVATAR [--json FILE]

For every held-out sentence the avatar's frames are drawn, and beside them the truth: the same head in the same pose
with the mouth that the known phones give. Figures, for the trained and the other voice:

    mouth PSNR, also of the best constant mouth, of the template as it is, and of the network before training
    correlation of the opening of the lips with the true one, measured on pixels in both
    share of p, b, m whose lips are closed on pixels; share of the true pictures for which that measure says so
    lag in milliseconds, at which that correlation is highest

The opening on pixels is that of the drawn mouth, of a row of openings, that is nearest to the picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from make_training_video import FPS, Head, Said, clip_of, motion_of

import talkinghead as th
from talkinghead.audio.visemes import BILABIAL
from talkinghead.contracts import Frame, Phone
from talkinghead.families.synctalk2d.procedural import mouth
from talkinghead.families.synctalk2d.template import template_order
from talkinghead.media import read_audio

OPENINGS = np.linspace(0, 1, 21)
CLOSED = 0.1
"""Opening on pixels under which lips are closed."""
LAGS = range(-6, 7)


@dataclass
class Heard:
    """What was measured in one voice."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    """Mean square of the mouth, per frame."""
    made: list[np.ndarray] = field(default_factory=list)
    """Openings of each sentence."""
    truth: list[np.ndarray] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)
    closed_truth: list[bool] = field(default_factory=list)

    def add(self, name: str, made: Frame, true: Frame) -> None:
        self.errors.setdefault(name, []).append(float(np.mean((made / 255.0 - true / 255.0) ** 2)))

    def figures(self) -> dict[str, float]:
        psnr = {f"{name} mouth PSNR": -10 * np.log10(np.mean(values)) for name, values in self.errors.items()}
        by_lag = {lag: self._correlation(lag) for lag in LAGS}
        return {
            **psnr,
            "correlation of opening": by_lag[0],
            "lag ms": 1000 / float(FPS) * max(by_lag, key=lambda lag: by_lag[lag]),
            "p b m closed": float(np.mean(self.closed)),
            "p b m closed in the truth": float(np.mean(self.closed_truth)),
            "p b m": len(self.closed),
        }

    def _correlation(self, lag: int) -> float:
        """Of what is shown `lag` frames later with the truth."""
        pairs = [(m[max(lag, 0) : len(m) + min(lag, 0)], t[max(-lag, 0) : len(t) - max(lag, 0)])
                 for m, t in zip(self.made, self.truth, strict=True)]  # fmt: skip
        made, truth = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return float(np.corrcoef(made, truth)[0, 1])


class Ruler:
    """Tells the opening of a mouth in a picture of the head."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._shapes = mouth.plain(OPENINGS)

    def opening(self, picture: Frame, index: int) -> float:
        """Of the head in the pose of frame `index`."""
        far = np.array([np.mean(np.abs(picture - row)) for row in self._drawn(index)])
        return float(OPENINGS[int(far.argmin())])

    @cache  # noqa: B019 (one ruler lives as long as the program)
    def _drawn(self, index: int) -> np.ndarray:
        x1, y1, x2, y2 = self._head.mouth_box(index)
        drawn = [self._head.frame(index, shape)[y1:y2, x1:x2] for shape in self._shapes]
        return np.stack(drawn).astype(np.float32)


def sentences(data: Path, voice: str) -> Iterator[tuple[Path, Said]]:
    for path in sorted(data.glob(f"{voice}-*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        phones = tuple(Phone(*row) for row in facts["phones"])
        wav = path.with_suffix(".wav")
        yield wav, Said(facts["text"], read_audio(wav, 16_000).samples, phones)


def measure(data: Path, avatar: Path, checkpoint: Path, head: Head, voice: str, limit: int) -> Heard:
    model = th.load("synctalk2d", checkpoint=checkpoint)
    prepared = model.prepare(avatar)
    ruler, heard = Ruler(head), Heard()
    count = len(list((avatar / "full_body_img").iterdir()))
    for wav, said in list(sentences(data, voice))[:limit]:
        motion = motion_of(said)
        shapes = mouth.shapes(motion)
        rest = shapes.mean(axis=0)
        order = template_order(count, len(shapes))
        made, truth = [], []
        for frame, shape, index in zip(model.frames(prepared, th.listen(wav)), shapes, order.tolist(), strict=False):
            x1, y1, x2, y2 = head.mouth_box(index)
            true = head.frame(index, shape)[y1:y2, x1:x2]
            shown = frame[y1:y2, x1:x2]
            heard.add("avatar", shown, true)
            heard.add("constant", head.frame(index, rest)[y1:y2, x1:x2], true)
            heard.add("template", prepared.template.read_frame(index)[y1:y2, x1:x2], true)
            made.append(ruler.opening(shown, index))
            truth.append(ruler.opening(true, index))
        heard.made.append(np.array(made))
        heard.truth.append(np.array(truth))
        for phone in said.phones:
            if phone.label in BILABIAL:
                first, last = int(phone.start_s * float(FPS)), int(np.ceil(phone.end_s * float(FPS)))
                part = slice(max(first - 1, 0), last + 1)
                heard.closed.append(bool(min(made[part], default=1.0) <= CLOSED))
                heard.closed_truth.append(bool(min(truth[part], default=1.0) <= CLOSED))
    assert clip_of(said).num_frames(FPS) == len(shapes)
    return heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="of make_training_video.py")
    parser.add_argument("avatar", type=Path, help="of talkinghead train")
    parser.add_argument("--checkpoint", type=Path, help="another network than the avatar's")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    head, report = Head(chosen.size, chosen.seed), {}
    for voice in ("trained", "other"):
        heard = measure(chosen.data, chosen.avatar, chosen.checkpoint or chosen.avatar, head, voice, chosen.sentences)
        report[voice] = heard.figures()
        print(voice)
        for name, value in report[voice].items():
            print(f"  {name:28} {value:.2f}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
