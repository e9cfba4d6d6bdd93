#!/usr/bin/env python3
"""Render a drawn head that speaks known sentences: a video to train from, and held-out speech with its truth.

    python scripts/make_training_video.py OUT [--minutes 3] [--size 512]

OUT/me.mp4              an ordinary video at 25 frames per second, with sound, of the trained voice
OUT/me.json             what is said in it, and when
OUT/trained-N.wav       held-out sentences in the trained voice, OUT/trained-N.json their phones
OUT/other-N.wav         the same in another voice

Needs espeak-ng (its shared library) and the extra `models`. The head of every frame can be drawn again with any mouth
(`Head.frame`), so that `scripts/prove_training.py` knows what a trained avatar should have shown. All of it follows
from the seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import soxr
from make_mouth_corpus import FIT_SENTENCES, HELD_OUT_SENTENCES, PAD_S, RATE_HZ, Espeak, Voice, dictionary_sentences

from talkinghead.audio.mouth import mouth_motion
from talkinghead.contracts import AudioClip, Frame, MouthMotion, Phone
from talkinghead.face.landmarks.layout import MOUTH_Y, standard_face
from talkinghead.families.synctalk2d.procedural import mouth
from talkinghead.families.synctalk2d.procedural.person import Person
from talkinghead.media import EncodeOptions, write_video, write_wav

FPS = Fraction(25)
TRAINED = Voice("espeak", "en-us", rate=165)
OTHER = Voice("espeak", "en-gb-scotland+m5", rate=175, pitch=42)
"""Never heard in training, and none of those that the package's own listening was fitted on."""
LOOP_FRAMES = 250
"""After so many frames eyes and sway of the body come again."""
TILT_DEGREES, DRIFT, GROWTH = 2.5, 0.05, 0.025
"""How far the head turns in the picture, moves (eye distances) and comes closer, at most."""


@dataclass(frozen=True)
class Said:
    """One sentence."""

    text: str
    samples: np.ndarray
    phones: tuple[Phone, ...]


class Head:
    """The drawn person in motion, with any mouth.

    Args:
        size: width and height of the pictures.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self._person = Person(size, size, LOOP_FRAMES, seed=3 + seed)
        rng = np.random.default_rng(seed)
        self._phases = rng.uniform(0, 2 * np.pi, (4, 3))
        self._rates = rng.uniform(0.05, 0.45, (4, 3))

    def pose(self, index: int) -> np.ndarray:
        """[2, 3] how the whole picture of a frame is turned, moved and enlarged."""
        import cv2

        t = index / float(FPS)
        turn, across, down, near = np.sin(2 * np.pi * self._rates * t + self._phases).mean(axis=1)
        middle = (self.size / 2, self.size * 0.55)
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, TILT_DEGREES * turn, 1 + GROWTH * near), np.float64)
        matrix[:, 2] = matrix[:, 2] + np.array([across, down]) * DRIFT * self._person.unit
        return matrix

    def frame(self, index: int, shape: np.ndarray) -> Frame:
        """RGB uint8 [size, size, 3].

        Args:
            index: of the video: eyes and pose.
            shape: [8] of `procedural.mouth`.
        """
        import cv2

        plain, centre = self._base(index % LOOP_FRAMES)
        picture = plain.astype(np.float32)
        unit = self._person.unit
        left, right = (round(centre[0] + x * unit) for x in (-0.62, 0.62))
        top, bottom = (round(centre[1] + (MOUTH_Y + y) * unit) for y in (-0.28, 0.50))
        rows, columns = np.mgrid[top:bottom, left:right]
        added = mouth.delta_rgb((columns - centre[0]) / unit, (rows - centre[1]) / unit, np.asarray(shape, np.float64))
        picture[top:bottom, left:right] += np.float32(255) * added.astype(np.float32)
        turned = cv2.warpAffine(
            np.clip(picture, 0, 255), self.pose(index), (self.size, self.size), flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.clip(np.rint(turned), 0, 255).astype(np.uint8)

    def mouth_box(self, index: int) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 around the mouth of a frame, with room for the widest one."""
        _, centre = self._base(index % LOOP_FRAMES)
        unit = self._person.unit
        corners = np.array([[x, MOUTH_Y + y] for x in (-0.55, 0.55) for y in (-0.25, 0.47)]) * unit + centre
        moved = corners @ self.pose(index)[:, :2].T + self.pose(index)[:, 2]
        low, high = np.floor(moved.min(axis=0)).astype(int), np.ceil(moved.max(axis=0)).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    @cache  # noqa: B019 (one head lives as long as the program)
    def _base(self, index: int) -> tuple[Frame, np.ndarray]:
        frame, points = self._person.frame(index)
        return frame, np.rint(np.mean(points - standard_face() * self._person.unit, axis=0))


def speak(espeak: Espeak, voice: Voice, text: str) -> Said:
    samples, rate, phones = espeak.speak(voice, text)
    pad = np.zeros(round(PAD_S * RATE_HZ), np.float32)
    sound = np.concatenate([pad, soxr.resample(samples, rate, RATE_HZ, quality="HQ").astype(np.float32), pad])
    end = len(sound) / RATE_HZ
    moved = [Phone(a + PAD_S, min(b + PAD_S, end), label) for a, b, label in phones if min(b + PAD_S, end) > a + PAD_S]
    return Said(text, sound, (Phone(0.0, PAD_S, "SIL"), *moved, Phone(moved[-1].end_s, end, "SIL")))


def joined(said: Sequence[Said]) -> Said:
    """One sentence after the other."""
    phones: list[Phone] = []
    start = 0.0
    for each in said:
        phones += [Phone(phone.start_s + start, phone.end_s + start, phone.label) for phone in each.phones]
        start += len(each.samples) / RATE_HZ
    return Said(" ".join(each.text for each in said), np.concatenate([each.samples for each in said]), tuple(phones))


def training_speech(espeak: Espeak, minutes: float) -> Said:
    """Sentences, then rows of words, until so much is said."""
    texts = [*FIT_SENTENCES, *dictionary_sentences(200)]
    said, length = [], 0
    for text in texts:
        if length >= minutes * 60 * RATE_HZ:
            break
        said.append(speak(espeak, TRAINED, text))
        length += len(said[-1].samples)
    return joined(said)


def clip_of(said: Said) -> AudioClip:
    return AudioClip(said.samples, RATE_HZ)


def motion_of(said: Said) -> MouthMotion:
    """The true mouth: every frame of the sound."""
    clip = clip_of(said)
    return mouth_motion(said.phones, clip, FPS, clip.num_frames(FPS))


def frames_of(head: Head, motion: MouthMotion) -> Iterator[Frame]:
    for index, shape in enumerate(mouth.shapes(motion)):
        yield head.frame(index, shape)


def write_said(path: Path, said: Said, voice: Voice) -> None:
    facts = {"voice": asdict(voice), "text": said.text, "phones": [[p.start_s, p.end_s, p.label] for p in said.phones]}
    path.write_text(json.dumps(facts) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=512, help="width and height of the video, pixels")
    parser.add_argument("--sentences", type=int, default=6, help="held-out sentences of each voice")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    espeak = Espeak()
    for name, voice in (("trained", TRAINED), ("other", OTHER)):
        for number, text in enumerate(HELD_OUT_SENTENCES[: chosen.sentences]):
            said = speak(espeak, voice, text)
            write_wav(chosen.out / f"{name}-{number}.wav", clip_of(said))
            write_said(chosen.out / f"{name}-{number}.json", said, voice)
    said = training_speech(espeak, chosen.minutes)
    write_said(chosen.out / "me.json", said, TRAINED)
    head, motion = Head(chosen.size, chosen.seed), motion_of(said)
    options = EncodeOptions(codec="libx264", crf=16, preset="veryfast")
    frames = frames_of(head, motion)
    write_video(chosen.out / "me.mp4", frames, fps=FPS, soundtrack=clip_of(said), options=options)
    print(f"{len(motion.lips)} frames, {len(said.samples) / RATE_HZ:.0f} s: {chosen.out / 'me.mp4'}")


if __name__ == "__main__":
    main()
