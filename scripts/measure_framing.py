"""Measure how a face detector frames faces, for the table FRAMING of families/wav2lip/tracking.py.

Against S3FD itself:
python scripts/measure_framing.py haar --reference s3fd=s3fd.pth pictures/*.jpg talk.mp4

Without its weights, against the mean of other networks that learned the same boxes (WIDER FACE):
python scripts/measure_framing.py haar --reference scrfd=scrfd.onnx --reference yunet=yunet.onnx pictures/*.jpg talk.mp4
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkinghead.contracts import Frame
from talkinghead.face import Detector, FaceOptions, load_detector
from talkinghead.face.identity import overlap
from talkinghead.media import open_frames

MIN_OVERLAP = 0.3
FRAMES_PER_VIDEO = 45


def named(text: str) -> Detector:
    """A detector from "name" or "name=model"."""
    name, _, model = text.partition("=")
    return load_detector(FaceOptions(detector=name, detector_model=Path(model) if model else None))


def pictures(path: Path) -> Iterator[Frame]:
    source = open_frames(path)
    yield from source.read(0, len(source), max(1, len(source) // FRAMES_PER_VIDEO))


def box_near(detector: Detector, frame: Frame, place: np.ndarray | None) -> np.ndarray | None:
    """The box that overlaps `place` most, or the best one; [4], or None."""
    found = detector.detect([frame])[0]
    if not found:
        return None
    if place is None:
        return found[0].box_xyxy
    boxes = np.stack([face.box_xyxy for face in found])
    overlaps = overlap(boxes, place[None])[:, 0]
    return boxes[int(overlaps.argmax())] if overlaps.max() >= MIN_OVERLAP else None


def shares(detected: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far each edge has to move outwards: top, bottom, left, right as shares of the detected box."""
    a, b = detected, wanted
    width, height = a[2] - a[0], a[3] - a[1]
    return np.array([(a[1] - b[1]) / height, (b[3] - a[3]) / height, (a[0] - b[0]) / width, (b[2] - a[2]) / width])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", help="haar, or name=model")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--reference", required=True, action="append", help="name=model; the mean of several")
    given = parser.parse_args()
    detector, references = named(given.detector), [named(text) for text in given.reference]
    people = []
    count = 0
    for path in given.files:
        rows = []
        for frame in pictures(path):
            first = box_near(references[0], frame, None)
            boxes = [box_near(reference, frame, first) for reference in references]
            found = box_near(detector, frame, first)
            if first is None or found is None or any(box is None for box in boxes):
                continue
            rows.append(shares(found, np.mean([box for box in boxes if box is not None], axis=0)))
        if rows:
            people.append(np.median(rows, axis=0))
            count += len(rows)
    if not people:
        raise SystemExit("No face that all detectors find.")
    middle = np.median(people, axis=0)
    spread = (np.percentile(people, 84, axis=0) - np.percentile(people, 16, axis=0)) / 2
    side = (middle[2] + middle[3]) / 2  # heads turn to either side
    print(f"{len(people)} files, {count} faces, {detector.description}")
    print(f"median of the files' medians: {', '.join(f'{value:.3f}' for value in middle)}")
    print(f"half spread between files: {', '.join(f'{value:.3f}' for value in spread)}")
    print(f'    "{detector.name}": ({middle[0]:.3f}, {middle[1]:.3f}, {side:.3f}, {side:.3f}),')


if __name__ == "__main__":
    main()
