"""Where the lips of an open mouth end, by what the picture shows beside the contours that landmarks tell.

Landmarks follow a typical mouth: next to the corners, and where a lip is thin or drawn aside, they pass through teeth
or through the lip, and lips that are barely parted they see shut. What an opening shows differs from lips in colour, so
that its edge can be seen: the pixels between the contours tell what this mouth's inside looks like, those beside them
what its lips look like, and in every column the edge is where the one ends and the other begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.viseme.geometry import COLUMNS, OPEN_MOUTH, MouthGeometry, Values, gap_between
from talkinghead.families.viseme.paths import cheapest_paths
from talkinghead.families.viseme.rectify import cut_patch, similarity

_ACROSS = COLUMNS[::2]
_SPACING = 3
_MARGIN = 2
HALF_WIDTH = _SPACING * (len(_ACROSS) - 1) // 2
"""Pixels of half a mouth in the patch in which edges are looked for."""
GROW, SHRINK = 0.24, 0.16
"""How far an edge may lie outside and inside of the contour, half widths."""
SHRINK_OF_GAP = 0.3
"""Nor further inside than this share of the opening in its column."""
KINDS = 4
"""Colours that the inside is described by,"""
MOST_SEEN, LEAST_SEEN = 160, 8
"""told by so many pixels at most and at least."""
ALIKE = 0.2
"""Distance within which such a colour is that of the lips (a tongue) and tells nothing; a share of that between the
darkest and the lightest colour inside, and in CIE Lab"""
LEAST_ALIKE, MOST_ALIKE = 5.0, 12.0
"""at least and at most. Added to distances, so that colours that hardly differ tell little."""
LIP_SIGMA = 2.5
"""Columns over which the colour of a lip is smoothed."""
REDDER, LEAST_WEIGHT = 12.0, 0.05
"""How much redder than the skin, CIE Lab, what surely is lip is, and what the rest of it counts."""
NO_SKIN = 30.0
"""Added to the distance from the colour of the skin at the edge of the opening, less towards the middle of the lip."""
PALE = 6.0
"""Lips that are no redder than that are pale."""
OUTWARDS = 0.1
"""Added to the evidence for the inside: a fringe of mixed colours belongs to it."""
SLIT = 0.16
"""Openings lower than that, half widths, tell their colours only by what lies near them and is tooth or the dark:"""
PALER, LIGHTER = 0.45, 0.25
"""by that share less red than both lips and no darker or, where lips are not red, by that share lighter;"""
DARKER = 0.6
"""by that share darker than both lips."""
SLIT_DARKER, SLIT_SIDES = 0.5, 0.4
"""Lips that landmarks see shut are open over what is by the first share darker than both, or as pale as teeth in the
shade, where to the sides it is at most by the second share as high as in the middle: a line between shut lips is as
high everywhere."""
SHADED_PALER, SHADED_NEAR = 0.33, 0.15
"""Such teeth are by that share less red than lips that are redder than the skin, as light as these, and so near to
where lips should meet, half widths."""
LEAST_RED = 8.0
"""CIE Lab; lips of grey pictures are not. Where they are by so much redder than the skin"""
AS_RED = 0.8
"""what is by that share as red is lip or tongue, however dark."""
STEP_TOLL = 0.25
"""Price of an edge that departs by another pixel from the contour in the next column, squared."""
AWAY_TOLL, INWARDS_TOLL = 0.01, 0.06
"""Price of an edge a pixel outside and inside of the contour, squared: what is taken for lip stays to be seen."""
STEPS = 4
"""Pixels that an edge may depart more in the next column at most."""


@dataclass(frozen=True, eq=False)
class _Patch:
    """A mouth, upright and at one size; curves are [21] pixels below the line between the corners."""

    lab: FloatArray
    """[rows, 21, 3] CIE Lab."""
    rows: Values
    """[rows, 1] pixels below that line."""
    upper: Values
    lower: Values
    upper_outer: Values
    lower_outer: Values


def edges_seen(frame: Frame, mouth: MouthGeometry) -> MouthGeometry:
    """The mouth with the inner contours laid where the picture shows the edges; itself where it shows no opening."""
    scale = HALF_WIDTH / mouth.half_width
    grow = round(GROW * HALF_WIDTH)
    patch = _cut(frame, mouth, scale, grow)
    found = _evidence(patch, shut=not mouth.is_open)
    if found is None:
        return mouth
    seen, redness = found
    # Rows from within: for the upper lip upwards, for the lower one downwards.
    first, last = float(patch.rows[0, 0]) - 0.5, float(patch.rows[-1, 0]) + 0.5
    # Teeth in the shade of pale lips look like these; only red ones are taken out of the opening again.
    sure = float(np.clip((redness - PALE) / REDDER, 0.1, 1))
    inwards = sure * np.minimum(SHRINK_OF_GAP * (patch.lower - patch.upper), SHRINK * HALF_WIDTH)
    whole = np.full(len(_ACROSS), float(grow))
    departed = _departures(
        np.stack([seen[0][::-1], seen[1], seen[2][::-1], seen[3]]),
        np.stack([last - patch.upper, patch.lower - first, last - patch.upper_outer, patch.lower_outer - first]),
        np.stack([inwards, inwards, whole, whole]),
        np.stack([whole, whole, whole * 0, whole * 0]),
        np.array([INWARDS_TOLL, INWARDS_TOLL, AWAY_TOLL, AWAY_TOLL]),
    )
    hold = np.clip((1 - np.abs(_ACROSS)) / 0.1, 0, 1)
    moved = np.stack([np.interp(COLUMNS, _ACROSS, each * hold) for each in departed]) / scale
    upper = mouth.upper_inner - moved[0]
    lower = np.maximum(mouth.lower_inner + moved[1], upper)
    if not mouth.is_open and gap_between(upper, lower, mouth.half_width) <= OPEN_MOUTH:
        return mouth
    return replace(
        mouth,
        upper_inner=upper.astype(np.float32),
        lower_inner=lower.astype(np.float32),
        upper_outer=np.minimum(mouth.upper_outer - moved[2], upper).astype(np.float32),
        lower_outer=np.maximum(mouth.lower_outer + moved[3], lower).astype(np.float32),
    )


def _cut(frame: Frame, mouth: MouthGeometry, scale: float, grow: int) -> _Patch:
    import cv2

    names = ("upper_inner", "lower_inner", "upper_outer", "lower_outer")
    upper, lower, upper_outer, lower_outer = (getattr(mouth, name)[::2] * scale for name in names)
    above = int(np.ceil(-min(float(upper_outer.min()), float(upper.min())))) + grow
    below = int(np.ceil(max(float(lower_outer.max()), float(lower.max())))) + grow
    to_patch = similarity(mouth.centre, mouth.axis, scale, (float(HALF_WIDTH + _MARGIN), float(above)))
    pixels = cut_patch(frame, to_patch, (2 * (HALF_WIDTH + _MARGIN) + 1, above + below + 1)).pixels
    lab = cv2.cvtColor(pixels.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), sigmaX=0.8)[:, _MARGIN:-_MARGIN:_SPACING]
    rows = np.arange(len(lab), dtype=np.float32)[:, None] - above
    return _Patch(np.asarray(lab, np.float32), rows, upper, lower, upper_outer, lower_outer)


def _evidence(patch: _Patch, *, shut: bool) -> tuple[Values, float] | None:
    """[4, rows, 21] in (-1, 1), how much more a pixel looks like the inside than like the upper and the lower lip, and
    like these than like the skin beyond; and how much redder lips are than skin, CIE Lab.

    None where inside and lips look alike, or there is too little of the inside.

    Args:
        shut: the contours touch; only teeth prove that lips do not, and what is dark or pale like a lens between them.
    """
    lab, rows = patch.lab, patch.rows
    above, below = patch.upper - patch.upper_outer, patch.lower_outer - patch.lower
    middle = np.abs(_ACROSS) < 0.75
    gap = patch.lower - patch.upper
    over, under = (rows < patch.upper_outer - 2) & middle, (rows > patch.lower_outer + 2) & middle
    skins = [np.median(lab[part], axis=0) for part in (over, under)]
    skin = float(np.mean(skins, axis=0)[1])
    lips = (
        _lip_colour(lab, (patch.upper - rows), above, gap, skin),
        _lip_colour(lab, (rows - patch.lower), below, gap, skin),
    )
    typical = np.stack([np.median(lip[middle], axis=0) for lip in lips])
    inside = _inside(patch, typical, skin, shut=shut) & middle
    colours = lab[inside]
    if len(colours) < LEAST_SEEN:
        return None
    kinds = _clusters(colours[:: -(-len(colours) // MOST_SEEN)])
    alike = float(np.clip(ALIKE * np.hypot(*(kinds[-1] - kinds[0])[:2]), LEAST_ALIKE, MOST_ALIKE))
    told = np.sqrt(((kinds[:, None] - typical) ** 2).sum(axis=-1)).min(axis=1) > alike
    redness = float(typical[:, 1].min()) - skin
    if redness > LEAST_RED:
        told &= kinds[:, 1] - skin < AS_RED * redness
    kinds = kinds[told]
    if not len(kinds):
        return None
    to_inside = np.stack([_distance(lab, kind) for kind in kinds]).min(axis=0)
    # Skin is often like teeth. Beyond a lip nothing belongs to the inside.
    through = ((patch.upper - rows) / np.maximum(above, 1), (rows - patch.lower) / np.maximum(below, 1))
    edges, rims = [], []
    for lip, pale, share in zip(lips, skins, through, strict=True):
        to_lip, to_skin = _distance(lab, lip), _distance(lab, pale)
        other = np.minimum(to_lip, to_skin + NO_SKIN * np.clip(1 - 2 * share, 0, 1))
        more = (other - to_inside) / (other + to_inside + np.float32(alike)) + np.float32(OUTWARDS)
        edges.append(np.where(share > 1, np.float32(-1), more))
        rim = (to_skin - to_lip) / (to_skin + to_lip + np.float32(MOST_ALIKE))
        rims.append(np.where(share < 0.1, np.float32(1), rim))
    return np.stack([*edges, *rims]).astype(np.float32), redness


def _inside(patch: _Patch, lips: Values, skin: float, *, shut: bool) -> NDArray[np.bool_]:
    """[rows, 21] pixels that tell what an opening looks like.

    Args:
        lips: [2, 3] colour of the upper and of the lower lip. skin: how red it is.
    """
    lab, rows, gap = patch.lab, patch.rows, patch.lower - patch.upper
    if float(gap.max()) > SLIT * HALF_WIDTH:
        return (rows >= patch.upper + 0.15 * gap) & (rows <= patch.lower - 0.15 * gap)
    near = 0.1 * HALF_WIDTH
    tooth, dark = _odd(lab, lips)
    close = (rows >= patch.upper - near) & (rows <= patch.lower + near)
    if not shut or int((close & tooth & (np.abs(_ACROSS) < 0.75)).sum()) >= LEAST_SEEN:
        return close & (tooth | dark)
    light, red = lab[..., 0], float(lips[:, 1].min())
    darkest, lightest = float(lips[:, 0].min()), float(lips[:, 0].max())
    darker = light < (1 - SLIT_DARKER) * darkest
    near = SHADED_NEAR * HALF_WIDTH
    # What is darker than the lips is the line between them, what is lighter their gloss.
    shaded = (lab[..., 1] < (1 - SHADED_PALER) * red) & (light > 0.9 * darkest) & (light < lightest)
    shaded &= (red - skin > LEAST_RED) & (rows >= patch.upper - near) & (rows <= patch.lower + near)
    # Two rows at least: between the line and gloss lies one that is as light.
    pairs = shaded[1:] & shaded[:-1]
    shaded = np.pad(pairs, ((0, 1), (0, 0))) | np.pad(pairs, ((1, 0), (0, 0)))
    inside: NDArray[np.bool_] = np.zeros_like(close)
    for seen in (darker, shaded):
        part = seen & (rows > patch.upper_outer) & (rows < patch.lower_outer)
        if _is_lens(part.sum(axis=0)):
            inside |= part
    return inside


def _odd(lab: FloatArray, lips: Values) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[rows, 21] what is surely no lip: tooth, and the dark."""
    red, light, dark = float(lips[:, 1].min()), float(lips[:, 0].max()), float(lips[:, 0].min())
    if red > LEAST_RED:
        tooth = (lab[..., 1] < (1 - PALER) * red) & (lab[..., 0] > light)
    else:
        tooth = lab[..., 0] > (1 + LIGHTER) * light
    return tooth, lab[..., 0] < (1 - DARKER) * dark


def _is_lens(heights: NDArray[np.intp]) -> bool:
    """Whether rows in each column are there in the middle and hardly to the sides."""
    away = np.abs(_ACROSS)
    in_middle, beside = heights[away < 0.35].mean(), heights[(away > 0.55) & (away < 0.75)].mean()
    return bool(in_middle > 0.5 and beside <= SLIT_SIDES * in_middle)


def _distance(lab: FloatArray, colour: Values) -> Values:
    apart = lab - colour.astype(np.float32)
    distance: Values = np.sqrt(np.einsum("...k,...k->...", apart, apart))
    return distance


def _lip_colour(lab: FloatArray, outside: Values, height: Values, gap: Values, skin: float) -> Values:
    """[21, 3] colour of a lip along it: light from one side changes it. What is redder than the skin counts most.

    Args:
        outside: [rows, 21] how far pixels lie outside of the contour. height, gap: [21] of the lip, of the opening.
        skin: how red it is.
    """
    import cv2

    # A row at least, however thin the lip; and what is red where the contour passes through the lip.
    lip = (outside >= np.minimum(0.15 * height, 1)) & (outside <= np.maximum(0.75 * height, 2))
    cut = (outside < 0) & (outside >= -np.minimum(0.1 * HALF_WIDTH, 0.3 * gap))
    red = np.clip((lab[..., 1] - skin) / REDDER, 0, 1)
    weight = (lip * np.maximum(red, LEAST_WEIGHT) + cut * np.maximum(red - 0.3, 0))[..., None]
    sums = np.concatenate([(lab * weight).sum(axis=0), weight.sum(axis=0)], axis=-1)[None].astype(np.float32)
    spread = cv2.GaussianBlur(sums, (0, 0), sigmaX=LIP_SIGMA, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)[0]
    colour: Values = spread[:, :3] / np.maximum(spread[:, 3:], 1e-6)
    return colour


def _clusters(colours: Values) -> Values:
    """[KINDS or fewer, 3] what the inside looks like: k-means, begun from dark to light."""
    order = colours[np.argsort(colours[:, 0])]
    centres = order[(np.linspace(0.05, 0.95, KINDS) * (len(order) - 1)).astype(int)]
    for _ in range(3):
        nearest = ((order[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
        counts = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, order[:, k], len(centres)) for k in range(3)], axis=1)
        centres = sums[counts > 0] / counts[counts > 0, None]
    found: Values = centres.astype(np.float32)
    return found


def _departures(seen: Values, start: Values, inwards: Values, outwards: Values, toll: Values) -> FloatArray:
    """[B, 21] pixels that edges lie outside their contours: where the evidence for what is inside of them ends.

    Args:
        seen: [B, rows, 21] evidence, rows from within outwards.
        start: [B, 21] rows of the contours. inwards, outwards: [B, 21] how far from them an edge may lie.
        toll: [B] price of an edge a pixel inside.
    """
    import cv2

    offsets = np.arange(-int(np.ceil(inwards.max())), int(np.ceil(outwards.max())) + 1, dtype=np.float32)[:, None]
    total = np.concatenate([np.zeros_like(seen[:, :1]), np.cumsum(seen, axis=1)], axis=1)
    place = np.clip(start[:, None] + offsets, 0, total.shape[1] - 1)  # [B, offsets, 21]
    low = np.minimum(place.astype(int), total.shape[1] - 2)
    which, columns = np.arange(len(seen))[:, None, None], np.arange(seen.shape[2])
    share = place - low
    within = total[which, low, columns] * (1 - share) + total[which, low + 1, columns] * share
    forbidden = (offsets < -inwards[:, None]) | (offsets > outwards[:, None])
    price = -within + np.where(offsets < 0, toll[:, None, None], AWAY_TOLL) * offsets**2 + 100 * forbidden
    moved = offsets[cheapest_paths(price.astype(np.float32), STEP_TOLL, STEPS), 0]
    return np.asarray(
        cv2.GaussianBlur(moved, (5, 1), sigmaX=0.9, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE), np.float32
    )
