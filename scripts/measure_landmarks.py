"""Measure how exactly mouth, eyes and chin are found, on drawn heads of which every point is known.

python scripts/measure_landmarks.py    (the mesh that is found, and the picture's evidence alone)
python scripts/measure_landmarks.py --mesh face_landmarker.task --mesh face_landmark.tflite

The heads are those of our own making for ARTalk: mouth shut and open, turned by 0 to 45 degrees, faces of 60 to 300
pixels, as drawn and blurred with noise. Errors are shares of the face's width as seen from the front, in percent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.face.mesh.files import find_mesh_file
from talkinghead.face.mesh.networks import FaceMesh, load_mesh
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.mesh_avatar import mesh_drawer
from talkinghead.families.artalk.procedural.head import procedural_head
from talkinghead.families.artalk.procedural.surface import build_skin
from talkinghead.families.viseme.analyse import analyse_picture
from talkinghead.families.viseme.corners import corners_seen
from talkinghead.families.viseme.from_mesh import chin_of, eyes_of, mouth_of
from talkinghead.families.viseme.geometry import COLUMNS, EyeGeometry, FaceGeometry
from talkinghead.families.viseme.opening import edges_seen

YAWS = (0, 15, 30, 45)
SIZES = (60, 120, 300)
"""Pixels from one side of the face to the other, seen from the front."""
JAWS = (0.0, 0.07, 0.15)
"""Radians: shut, half open, open."""
DRAWN = 1024
"""Pixels of the pictures before they are made smaller."""
BLUR, NOISE = 0.012, 6.0
"""Of the degraded pictures: standard deviations, as a share of the face's width and in levels of 255."""
PARTS = ("corners", "inner lips", "eyelids", "chin")

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """Where things are in a picture; middles of pixels are at whole numbers."""

    width: float
    """Of the face as seen from the front."""
    box: Points
    """(x1, y1, x2, y2) around the face."""
    corners: Points
    """[2, 2], from the left."""
    upper_lip: Points
    """[n, 2] edge towards the opening, from the left."""
    lower_lip: Points
    lids: tuple[Points, Points]
    """Closed lines around the openings of the left and of the right eye."""
    chin: Points
    """[2], its lowest point in front."""

    def scaled(self, factor: float) -> Truth:
        """In a picture made smaller."""

        def moved(points: Points) -> Points:
            result: Points = (points + 0.5) * factor - 0.5
            return result

        return Truth(
            self.width * factor,
            moved(self.box),
            moved(self.corners),
            moved(self.upper_lip),
            moved(self.lower_lip),
            (moved(self.lids[0]), moved(self.lids[1])),
            moved(self.chin),
        )


@dataclass(frozen=True, eq=False)
class Found:
    """What a finder says."""

    corners: Points
    upper_lip: Points
    lower_lip: Points
    lids: tuple[Points, Points] | None
    chin: Points


@cache
def drawn(yaw: float, jaw: float) -> tuple[Frame, Truth]:
    """A head and where its points are."""
    head, skin = procedural_head(), build_skin()
    drawer = mesh_drawer(ARTalkConfig(image_size=DRAWN, yaw=yaw), head.flame, procedural=True, compat=False)
    pose = np.array([[0, 0, 0, jaw, 0, 0]], np.float32)
    vertices = head.flame.vertices(None, np.zeros((1, 100), np.float32), pose)[0]
    front = mesh_drawer(ARTalkConfig(image_size=DRAWN), head.flame, procedural=True, compat=False).renderer.camera

    def pixels(points: Points) -> Points:
        seen = drawer.renderer.camera.project(points.astype(np.float32))
        result: Points = (1 - seen[:, :2].astype(np.float64)) * (DRAWN / 2) - 0.5
        return result

    places = pixels(vertices)

    def line(edge: NDArray[np.int64]) -> Points:
        points = places[edge]
        result: Points = points if points[0, 0] < points[-1, 0] else points[::-1]
        return result

    upper, lower = line(skin.mouth_upper), line(skin.mouth_lower)
    lids = [
        np.concatenate([line(top), line(bottom)[::-1]])
        for top, bottom in zip(skin.lids_upper, skin.lids_lower, strict=True)
    ]
    lids.sort(key=lambda points: float(points[:, 0].mean()))
    face = np.flatnonzero((skin.front > 0.5) & (skin.points[:, 1] > -0.125) & (skin.points[:, 1] < 0.07))
    low, high = places[face].min(axis=0), places[face].max(axis=0)
    middle = np.flatnonzero(
        (np.abs(skin.points[:, 0]) < 1e-6) & (skin.front > 0.5) & (np.abs(skin.points[:, 1] + 0.105) < 0.025)
    )
    chin = middle[np.argmax(skin.points[middle, 2] - skin.points[middle, 1])]
    wide = np.flatnonzero(np.abs(skin.points[:, 1] - 0.0065) < 0.01)
    across = front.project(vertices)[wide, 0]
    truth = Truth(
        width=float(np.ptp(across)) * DRAWN / 2,
        box=np.concatenate([low, high]),
        corners=upper[[0, -1]],
        upper_lip=upper,
        lower_lip=lower,
        lids=(lids[0], lids[1]),
        chin=places[chin],
    )
    return np.asarray(drawer.renderer.frame(vertices), np.uint8), truth


def picture(yaw: float, jaw: float, size: float, *, degraded: bool) -> tuple[Frame, Truth]:
    """A picture of a face of so many pixels."""
    frame, truth = drawn(yaw, jaw)
    side = round(DRAWN * size / truth.width)
    small = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    if degraded:
        rng = np.random.default_rng([round(yaw), round(100 * jaw), round(size)])
        blurred = cv2.GaussianBlur(small, (0, 0), BLUR * size).astype(np.float64)
        small = np.clip(np.rint(blurred + rng.normal(0, NOISE, blurred.shape)), 0, 255).astype(np.uint8)
    return np.asarray(small, np.uint8), truth.scaled(side / DRAWN)


def found_by_mesh(mesh: FaceMesh, frame: Frame) -> Found | None:
    """By landmarks, after a face was looked for; the mouth as the animator takes it."""
    faces = mesh.find(frame)
    if not faces:
        return None
    mouth = corners_seen(frame, edges_seen(frame, mouth_of(faces[0])))
    geometry = FaceGeometry(1.0, mouth, chin_of(faces[0], mouth), (0.0, 0.0))
    return _found(geometry, eyes_of(faces[0]))


def found_by_picture(frame: Frame, truth: Truth) -> Found:
    """By what the picture shows in the true box of the face."""
    box = np.rint(truth.box).astype(np.int32)[None]
    track = FaceTrack(
        boxes_xyxy=box,
        status=np.full(1, FaceStatus.DETECTED, np.uint8),
        scores=np.ones(1, np.float32),
        key_points=None,
        detector="true box",
    )
    path, eyes = analyse_picture(frame, track)
    return _found(path.at(0), eyes)


def _found(face: FaceGeometry, eyes: tuple[EyeGeometry, EyeGeometry] | None) -> Found:
    mouth = face.mouth

    def curve(centre: Points, axis: Points, half: float, heights: NDArray[np.floating]) -> Points:
        down = np.array([-axis[1], axis[0]])
        result: Points = centre + (half * COLUMNS)[:, None] * axis + heights.astype(np.float64)[:, None] * down
        return result

    def around(eye: EyeGeometry) -> Points:
        upper, lower = (curve(eye.centre, eye.axis, eye.half_width, lid) for lid in (eye.upper_lid, eye.lower_lid))
        return np.concatenate([upper, lower[::-1]])

    ends = np.array([[-1.0], [1.0]]) * mouth.half_width * mouth.axis + mouth.centre
    return Found(
        ends,
        curve(mouth.centre, mouth.axis, mouth.half_width, mouth.upper_inner),
        curve(mouth.centre, mouth.axis, mouth.half_width, mouth.lower_inner),
        None if eyes is None else (around(eyes[0]), around(eyes[1])),
        mouth.centre + face.chin * mouth.down,
    )


def errors(found: Found, truth: Truth) -> dict[str, float]:
    """Percent of the face's width: the worse corner; mean distance of the lips and of the lids; the chin."""
    lips = [_distance(truth.upper_lip, found.upper_lip), _distance(truth.lower_lip, found.lower_lip)]
    measured = {
        "corners": float(np.hypot(*(found.corners - truth.corners).T).max()),
        "inner lips": float(np.concatenate(lips).mean()),
        "chin": float(np.hypot(*(found.chin - truth.chin))),
    }
    if found.lids is not None:
        pairs = zip(truth.lids, found.lids, strict=True)
        measured["eyelids"] = float(np.concatenate([_distance(known, seen) for known, seen in pairs]).mean())
    return {name: 100 * value / truth.width for name, value in measured.items()}


def _distance(points: Points, line: Points) -> Points:
    """Of each point from the nearest place of a line of points."""
    start, step = line[:-1], np.diff(line, axis=0)
    share = ((points[:, None] - start) * step).sum(axis=2) / np.maximum((step**2).sum(axis=1), 1e-12)
    nearest = start + np.clip(share, 0, 1)[..., None] * step
    result: Points = np.hypot(*(points[:, None] - nearest).transpose(2, 0, 1)).min(axis=1)
    return result


@dataclass(frozen=True)
class Row:
    """One picture and one finder; None where it found no face."""

    finder: str
    yaw: int
    jaw: float
    size: int
    degraded: bool
    errors: dict[str, float] | None


def measure(meshes: dict[str, FaceMesh], *, sizes: Sequence[int] = SIZES, with_picture: bool = True) -> Iterator[Row]:
    """Every finder on every picture."""
    for yaw in YAWS:
        for jaw in JAWS:
            for size in sizes:
                for degraded in (False, True):
                    frame, truth = picture(yaw, jaw, size, degraded=degraded)
                    for name, mesh in meshes.items():
                        seen = found_by_mesh(mesh, frame)
                        measured = None if seen is None else errors(seen, truth)
                        yield Row(name, yaw, jaw, size, degraded, measured)
                    if with_picture:
                        measured = errors(found_by_picture(frame, truth), truth)
                        yield Row("picture alone, true box", yaw, jaw, size, degraded, measured)


def table(rows: Sequence[Row]) -> str:
    """Means and the worst, as Markdown: by finder, and by what varies."""
    lines = ["| finder | pictures | found | " + " | ".join(PARTS) + " |", "|---" * (3 + len(PARTS)) + "|"]
    groups: list[tuple[str, list[Row]]] = [("all", list(rows))]
    groups += [(f"turned by {yaw} degrees", [row for row in rows if row.yaw == yaw]) for yaw in YAWS]
    groups += [(f"{size} px", [row for row in rows if row.size == size]) for size in SIZES]
    groups += [("blurred, noisy", [row for row in rows if row.degraded])]
    groups += [(f"jaw {jaw}", [row for row in rows if row.jaw == jaw]) for jaw in JAWS]
    for title, group in groups:
        for finder in dict.fromkeys(row.finder for row in group):
            mine = [row for row in group if row.finder == finder]
            cells = []
            for part in PARTS:
                values = [row.errors[part] for row in mine if row.errors is not None and part in row.errors]
                cells.append(f"{np.mean(values):.1f} (at most {max(values):.1f})" if values else "-")
            seen = sum(row.errors is not None for row in mine)
            lines.append(f"| {finder} | {title} | {seen} of {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesh", type=Path, action="append", help="mesh file; default: the one that is found")
    parser.add_argument("--no-picture", action="store_true", help="leave out the picture's evidence, which is slow")
    given = parser.parse_args()
    paths = given.mesh or [path for path in (find_mesh_file(),) if path is not None]
    meshes = {path.name: load_mesh(path) for path in paths}
    print(table(list(measure(meshes, with_picture=not given.no_picture))))


if __name__ == "__main__":
    main()
