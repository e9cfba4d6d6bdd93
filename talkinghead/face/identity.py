"""Which of the faces seen belong to the one person that is meant.

Faces are linked into tracklets by overlap within a shot; one tracklet is chosen by the user's rule, and others that
continue it before and after gaps are joined to it. All frames are known, so one false detection decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.errors import OptionError
from talkinghead.face.detections import DetectionLog
from talkinghead.face.detectors.options import Selection

LINK_MIN_OVERLAP = 0.2
"""Boxes of consecutive frames are of one person above this intersection over union."""
LINK_MAX_SHIFT = 0.6
"""... or if the centre moved by less than this share of the box's side and the size changed little."""
LINK_MAX_GROWTH = 1.6
LINK_MAX_GAP = 6
"""A tracklet survives this many looks without a detection."""
PACE_LOOKS = 4
"""Looks over which it is seen how a face travels: whoever passes behind another comes out on the other side."""
ABSENCE_COST = 0.1
"""Overlap that a tracklet loses for each look without a detection: of two who are as near, the one seen last wins."""
JOIN_SHIFT = 0.75
"""A tracklet may continue another if its centre is within this many box sides, ..."""
JOIN_SHIFT_PER_FRAME = 0.04
"""... plus this much for each frame between them."""
JOIN_MAX_GROWTH = 2.0
JOIN_SHORT_COST = 0.3
"""A tracklet of one or two looks is joined as if it were this many box sides further off."""
WEAK_SCORE = 0.5
"""Tracklets with less than this share of the best mean score are taken for false detections, ..."""
DOUBTFUL_SCORE = 0.4
"""A shot whose best face has less than this share of the best mean score of the whole source shows no face."""
MOVES = 0.8
"""Mean motion of a living face, levels of 255: at least; one in a picture on the wall stays below `STILL` of it."""
STILL = 0.35
LEAST_SIDE = 0.4
"""A face that moves is taken before a still one that has up to so much longer sides (1 / 0.4)."""
PRESENT = 0.25
"""Share of the looks of a shot in which somebody is seen who counts as being there."""
SHORT_LENGTH = 3
"""... as are those seen in fewer looks than this, where the shot has more."""


@dataclass(eq=False)
class _Tracklet:
    looks: list[int] = field(default_factory=list)
    """Indices into `DetectionLog.frames`, ascending."""
    rows: list[int] = field(default_factory=list)
    """Rows of the log, one per look."""


def overlap(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every box of `a` [n, 4] with every box of `b` [m, 4]: [n, m] in [0, 1]."""
    corner_low = np.maximum(a[:, None, :2], b[None, :, :2])
    corner_high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(corner_high - corner_low, 0, None), axis=2, dtype=np.float64)
    area_a = np.prod(a[:, 2:] - a[:, :2], axis=1, dtype=np.float64)
    area_b = np.prod(b[:, 2:] - b[:, :2], axis=1, dtype=np.float64)
    union = area_a[:, None] + area_b[None, :] - shared
    ratio: FloatArray = (shared / np.maximum(union, 1e-12)).astype(np.float32)
    return ratio


def _centre(box: FloatArray) -> FloatArray:
    middle: FloatArray = ((box[..., :2] + box[..., 2:]) / 2).astype(np.float32)
    return middle


def _side(box: FloatArray) -> FloatArray:
    """Geometric mean of width and height."""
    side: FloatArray = np.sqrt(np.prod(box[..., 2:] - box[..., :2], axis=-1)).astype(np.float32)
    return side


def choose_identity(log: DetectionLog, selection: Selection) -> IntArray:
    """For each frame looked at, the row of the log that is the person meant, or -1.

    Raises:
        OptionError: "index:K" where no frame shows that many faces.

    "only" chooses as "largest" does; `crowded_look` tells whether the choice was free.
    """
    chosen = np.full(len(log.frames), -1, np.int32)
    previous: _Tracklet | None = None
    best_score = 0.0
    shots: list[tuple[NDArray[np.intp], list[_Tracklet]]] = []
    for shot in np.unique(log.shots):
        looks = np.flatnonzero(log.shots == shot)
        tracklets = _link(log, looks)
        shots.append((looks, tracklets))
        best_score = max([best_score, *(_mean_score(log, t) for t in tracklets)])
    for looks, tracklets in shots:
        tracklets = [t for t in tracklets if _mean_score(log, t) >= DOUBTFUL_SCORE * best_score]
        if not tracklets:
            continue
        seed = _seed(log, tracklets, len(looks), selection, previous)
        if seed is None:
            continue
        chain = _extend(log, seed, tracklets)
        for tracklet in chain:
            chosen[tracklet.looks] = tracklet.rows
        previous = chain[-1]
    if previous is None and selection.rule == "index" and len(log.scores):
        most = int(np.diff(log.offsets).max())
        raise OptionError(
            f"Face number {selection.index} was asked for, but no frame shows that many.",
            accepted=f"index:0 to index:{most - 1}." if most > 1 else "index:0.",
        )
    return chosen


def behind_others(log: DetectionLog, chosen: IntArray) -> IntArray:
    """Frames looked at in which somebody else stands where the person meant would be seen.

    Args:
        chosen: from `choose_identity`.
    """
    found = []
    for shot in np.unique(log.shots):
        looks = np.flatnonzero(log.shots == shot)
        seen = looks[chosen[looks] >= 0]
        if not len(seen):
            continue
        times, boxes = log.frames[seen], log.boxes_xyxy[chosen[seen]]
        for look in looks[(chosen[looks] < 0) & (np.diff(log.offsets)[looks] > 0)]:
            place = np.stack([np.interp(log.frames[look], times, edge) for edge in boxes.T]).astype(np.float32)
            if overlap(place[None], log.boxes_xyxy[list(log.rows(int(look)))]).max() >= LINK_MIN_OVERLAP:
                found.append(int(log.frames[look]))
    return np.array(found, np.int32)


def crowded_look(log: DetectionLog) -> int | None:
    """The first look in which two people are seen that are both more than false detections, or None."""
    for shot in np.unique(log.shots):
        looks = np.flatnonzero(log.shots == shot)
        seen: set[int] = set()
        crowded: list[int] = []
        for tracklet in _significant(log, _link(log, looks), len(looks)):
            crowded.extend(seen.intersection(tracklet.looks))
            seen.update(tracklet.looks)
        if crowded:
            return min(crowded)
    return None


def _link(log: DetectionLog, looks: NDArray[np.intp]) -> list[_Tracklet]:
    """Join the detections of one shot over time, greedily by likeness; one detection, one tracklet."""
    tracklets: list[_Tracklet] = []
    alive: list[_Tracklet] = []
    for look in looks:
        rows = np.array(log.rows(int(look)), np.intp)
        alive = [t for t in alive if look - t.looks[-1] <= LINK_MAX_GAP + 1]
        taken: set[int] = set()
        if alive and len(rows):
            likeness = _link_likeness(log, alive, int(look), log.boxes_xyxy[rows])
            for flat in np.argsort(-likeness, axis=None, kind="stable"):
                i, j = divmod(int(flat), len(rows))
                if likeness[i, j] <= 0:
                    break
                if alive[i].looks[-1] == look or j in taken:
                    continue
                alive[i].looks.append(int(look))
                alive[i].rows.append(int(rows[j]))
                taken.add(j)
        new = [_Tracklet([int(look)], [int(row)]) for j, row in enumerate(rows) if j not in taken]
        tracklets.extend(new)
        alive.extend(new)
    return tracklets


def _link_likeness(log: DetectionLog, alive: list[_Tracklet], look: int, boxes: FloatArray) -> FloatArray:
    """[n, m]: as `_likeness`, of each tracklet with each box of a look: where it was last, or where it would be if it
    travelled on, whichever is possible; of several possible ones the nearest to where it would be is the likeliest."""
    last = log.boxes_xyxy[[t.rows[-1] for t in alive]]
    ahead = np.stack([_travelled(log, t, look) for t in alive])
    absent = np.array([look - t.looks[-1] - 1 for t in alive], np.float32)[:, None]
    expected = _likeness(ahead, boxes)
    likely = np.maximum(expected - ABSENCE_COST * absent, 1e-4)
    found: FloatArray = np.where((expected > 0) | (_likeness(last, boxes) > 0), likely, 0.0).astype(np.float32)
    return found


def _travelled(log: DetectionLog, tracklet: _Tracklet, look: int) -> FloatArray:
    """Where a tracklet would be at a look if it travelled on at the pace of the looks before.

    Medians, since one box around two faces that touch is neither in place nor in size that of one.
    """
    rows, looks = tracklet.rows[-PACE_LOOKS - 1 :], tracklet.looks[-PACE_LOOKS - 1 :]
    boxes, frames = log.boxes_xyxy[rows], log.frames[looks].astype(np.float32)
    steps = np.diff(_centre(boxes), axis=0) / np.diff(frames)[:, None]
    pace = np.tile(np.median(steps, axis=0), 2) if len(steps) else 0.0
    ahead = (log.frames[look] - frames)[:, None]
    moved: FloatArray = np.median(boxes + pace * ahead, axis=0).astype(np.float32)
    return moved


def _likeness(a: FloatArray, b: FloatArray) -> FloatArray:
    """[n, m]: above 0 where two boxes may be one person in consecutive looks, higher is more likely."""
    iou = overlap(a, b)
    side_a, side_b = _side(a)[:, None], _side(b)[None, :]
    shift = np.linalg.norm(_centre(a)[:, None] - _centre(b)[None], axis=2) / np.minimum(side_a, side_b)
    growth = np.maximum(side_a / side_b, side_b / side_a)
    near = (shift < LINK_MAX_SHIFT) & (growth < LINK_MAX_GROWTH)
    likeness: FloatArray = np.where((iou >= LINK_MIN_OVERLAP) | near, iou + 1e-3 * (near + 0.0), 0.0).astype(np.float32)
    return likeness


def _mean_score(log: DetectionLog, tracklet: _Tracklet) -> float:
    return float(log.scores[tracklet.rows].mean())


def _significant(log: DetectionLog, tracklets: list[_Tracklet], num_looks: int) -> list[_Tracklet]:
    """Without those that look like false detections; never empty unless `tracklets` is."""
    if not tracklets:
        return []
    scores = [_mean_score(log, t) for t in tracklets]
    least = WEAK_SCORE * max(scores)
    kept = [
        t
        for t, score in zip(tracklets, scores, strict=True)
        if score >= least and len(t.looks) >= min(SHORT_LENGTH, num_looks)
    ]
    return kept or [max(tracklets, key=lambda t: float(log.scores[t.rows].sum()))]


def _seed(
    log: DetectionLog, tracklets: list[_Tracklet], num_looks: int, selection: Selection, previous: _Tracklet | None
) -> _Tracklet | None:
    """The tracklet that the rule names; after a cut, the one nearest to where the person was."""
    significant = _significant(log, tracklets, num_looks)
    if selection.rule in ("largest", "only"):
        alive = _alive(log, tracklets)
        return max(alive, key=lambda t: float((_side(log.boxes_xyxy[t.rows]) ** 2 * log.scores[t.rows]).sum()))
    if previous is not None:
        was = _centre(log.boxes_xyxy[previous.rows[-1]])
        return min(significant, key=lambda t: float(np.linalg.norm(_centre(log.boxes_xyxy[t.rows[0]]) - was)))
    if selection.rule == "nearest":
        first = min(t.looks[0] for t in significant)
        present = [t for t in significant if t.looks[0] == first]
        point = np.array(selection.point_xy, np.float32)
        return min(present, key=lambda t: _distance_to_box(point, log.boxes_xyxy[t.rows[0]]))
    for look in sorted({look for t in significant for look in t.looks}):
        present = [t for t in significant if look in t.looks]
        if len(present) > selection.index:
            present.sort(key=lambda t: float(_centre(log.boxes_xyxy[t.rows[t.looks.index(look)]])[0]))
            return present[selection.index]
    return None


def _alive(log: DetectionLog, tracklets: list[_Tracklet]) -> list[_Tracklet]:
    """Without those that stay still while another of some size moves: posters, pictures, busts."""
    long = [t for t in tracklets if len(t.looks) > SHORT_LENGTH]
    if len(long) < 2:
        return tracklets
    sides = np.array([float(np.median(_side(log.boxes_xyxy[t.rows]))) for t in long])
    motion = np.array([_mean_motion(log, t) for t in long])
    liveliest = float(motion[sides >= LEAST_SIDE * sides.max()].max())
    if liveliest < MOVES:
        return tracklets
    still = {id(t) for t, moved in zip(long, motion, strict=True) if moved < STILL * liveliest}
    return [t for t in tracklets if id(t) not in still]


def _mean_motion(log: DetectionLog, tracklet: _Tracklet) -> float:
    """Median over its looks, 0 where it was never measured."""
    known = log.motion[tracklet.rows]
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else 0.0


def most_crowded(log: DetectionLog) -> tuple[int, list[int]] | None:
    """The first look with the most people in it, and the rows of their faces from left to right; None where nobody is
    ever seen beside another. False detections do not count.
    """
    best: tuple[int, list[int]] | None = None
    for shot in np.unique(log.shots):
        looks = np.flatnonzero(log.shots == shot)
        seen: dict[int, list[int]] = {}
        for tracklet in _significant(log, _link(log, looks), len(looks)):
            if len(tracklet.looks) < PRESENT * len(looks):
                continue
            for look, row in zip(tracklet.looks, tracklet.rows, strict=True):
                seen.setdefault(look, []).append(row)
        for look, rows in sorted(seen.items()):
            if len(rows) > (1 if best is None else len(best[1])):
                best = look, sorted(rows, key=lambda row: float(_centre(log.boxes_xyxy[row])[0]))
    return best


def _distance_to_box(point: FloatArray, box: FloatArray) -> tuple[float, float]:
    """(distance to the box's edge, 0 inside; distance to its centre)."""
    outside = np.maximum(np.maximum(box[:2] - point, point - box[2:]), 0)
    return float(np.hypot(*outside)), float(np.hypot(*(_centre(box) - point)))


def _extend(log: DetectionLog, seed: _Tracklet, tracklets: list[_Tracklet]) -> list[_Tracklet]:
    """The seed and the tracklets that continue it, in order of time."""
    weakness = _weakness(log, tracklets)
    first, last = np.array([t.rows[0] for t in tracklets]), np.array([t.rows[-1] for t in tracklets])
    begins = log.frames[[t.looks[0] for t in tracklets]]
    ends = log.frames[[t.looks[-1] for t in tracklets]]
    chain = [seed]
    position = tracklets.index(seed)
    while (following := _nearest(log, last[position], begins - ends[position], first, weakness)) is not None:
        position = following
        chain.append(tracklets[position])
    position = tracklets.index(seed)
    while (preceding := _nearest(log, first[position], begins[position] - ends, last, weakness)) is not None:
        position = preceding
        chain.insert(0, tracklets[position])
    return chain


def _weakness(log: DetectionLog, tracklets: list[_Tracklet]) -> NDArray[np.float64]:
    """[n] >= 0: how much each looks like a false detection, by score and length."""
    scores = np.array([_mean_score(log, t) for t in tracklets])
    short = np.array([len(t.looks) < SHORT_LENGTH for t in tracklets])
    return 1.0 - scores / max(float(scores.max()), 1e-6) + JOIN_SHORT_COST * short


def _nearest(
    log: DetectionLog, row: int, gaps: IntArray, rows: NDArray[np.intp], weakness: NDArray[np.float64]
) -> int | None:
    """Which of the faces `rows` most likely continues the face `row`, `gaps` frames away (only those above 0)."""
    box, others = log.boxes_xyxy[row], log.boxes_xyxy[rows]
    side, sides = float(_side(box)), _side(others)
    shift = np.linalg.norm(_centre(others) - _centre(box), axis=1) / np.maximum(side, sides)
    growth = np.maximum(side / sides, sides / side)
    reach = JOIN_SHIFT + JOIN_SHIFT_PER_FRAME * gaps
    possible = (gaps > 0) & (growth <= JOIN_MAX_GROWTH) & (shift <= reach)
    if not possible.any():
        return None
    cost = gaps * JOIN_SHIFT_PER_FRAME + shift + (growth - 1.0) + weakness
    return int(np.argmin(np.where(possible, cost, np.inf)))
