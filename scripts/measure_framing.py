"""Measure how a face detector frames faces compared with S3FD, for the table FRAMING of families/wav2lip/tracking.py.

python scripts/measure_framing.py --s3fd s3fd.pth --detector haar pictures/*.jpg talk.mp4
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkinghead.contracts import Detection, Frame
from talkinghead.face import FaceOptions, load_detector
from talkinghead.face.detectors.s3fd import S3fdDetector
from talkinghead.face.identity import overlap
from talkinghead.media import open_frames

MIN_OVERLAP = 0.3
FRAMES_PER_VIDEO = 25


def pictures(paths: list[Path]) -> Iterator[Frame]:
    for path in paths:
        source = open_frames(path)
        yield from source.read(0, len(source), max(1, len(source) // FRAMES_PER_VIDEO))


def shares(detected: Detection, published: Detection) -> np.ndarray:
    """How far each edge has to move outwards: top, bottom, left, right as shares of the detected box."""
    a, b = detected.box_xyxy, published.box_xyxy
    width, height = a[2] - a[0], a[3] - a[1]
    return np.array([(a[1] - b[1]) / height, (b[3] - a[3]) / height, (a[0] - b[0]) / width, (b[2] - a[2]) / width])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--s3fd", required=True, type=Path)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--detector-model", type=Path)
    given = parser.parse_args()
    published = S3fdDetector(given.s3fd, precision="parity")
    detector = load_detector(FaceOptions(detector=given.detector, detector_model=given.detector_model))
    rows = []
    for frame in pictures(given.files):
        wanted, found = published.detect([frame])[0], detector.detect([frame])[0]
        if not wanted or not found:
            continue
        ious = overlap(np.stack([face.box_xyxy for face in found]), wanted[0].box_xyxy[None])[:, 0]
        if ious.max() >= MIN_OVERLAP:
            rows.append(shares(found[int(ious.argmax())], wanted[0]))
    if not rows:
        raise SystemExit("No face that both detectors find.")
    middle = np.median(rows, axis=0)
    spread = np.percentile(rows, 84, axis=0) - np.percentile(rows, 16, axis=0)
    print(f"{len(rows)} faces, {detector.description} against {published.description}")
    print(f'    "{detector.name}": ({", ".join(f"{value:.3f}" for value in middle)}),')
    print(f"half spread of each edge: {', '.join(f'{value / 2:.3f}' for value in spread)}")


if __name__ == "__main__":
    main()
