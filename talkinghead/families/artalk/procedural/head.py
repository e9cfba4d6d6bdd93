"""The procedural head as FLAME arrays: template, directions, joints, weights, landmarks, and colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.flame import (
    JAW,
    LEFT_EYE,
    NECK,
    NUM_EXPRESSION,
    NUM_JOINTS,
    NUM_SHAPE,
    PARENTS,
    RIGHT_EYE,
    ROOT,
    FlameModel,
    flame_from_arrays,
)
from talkinghead.families.artalk.procedural import parts as pieces
from talkinghead.families.artalk.procedural.embeddings import landmark_embeddings
from talkinghead.families.artalk.procedural.paint import (
    HAIR_HIGH,
    HAIR_LOW,
    Places,
    bake,
    eye_chart,
    skin_chart,
    vertex_places,
)
from talkinghead.families.artalk.procedural.surface import (
    EYE_CENTRE,
    EYE_RADIUS,
    LOWER_LID_HEIGHT,
    UPPER_LID_HEIGHT,
    Points,
    Skin,
    build_skin,
    bump,
    lift_lids,
    onto_eyeballs,
    smoothstep,
)
from talkinghead.families.artalk.procedural.wear import (
    Hair,
    around,
    brow_share,
    hair,
    hair_chart,
    hair_corners,
    hairline,
    jumper,
    knit,
    lashes,
)
from talkinghead.rendering.mesh import MeshTexture

EXPRESSIONS = (
    "press", "part", "spread", "round", "tuck", "smile", "blink", "blink left", "blink right", "brows up",
    "brows together", "squint", "raise upper lip", "tongue up", "cheeks", "nose", "look aside", "look up",
)  # fmt: skip
"""Names of the first expression directions; the others are zero."""
SHAPES = (
    "width", "height", "depth", "jaw width", "chin", "nose length", "nose width", "lip fullness", "brow ridge",
    "cheeks", "neck width", "ear size",
)  # fmt: skip
"""Names of the first shape directions; the others are zero."""
JAW_OPEN = 0.10
"""Radians of jaw that one unit of "press" closes the lips over."""

TEETH_COLUMNS = 73
PRESS_UPPER = 0.34
"""The upper lip's share in closing; the lower lip has the rest."""
GAZE = 0.10
"""Radians that one unit of "look aside" (to the head's left) and "look up" turns the eyes by."""

JOINTS = np.array(
    [
        [0.0, -0.160, -0.045],
        [0.0, -0.105, -0.040],
        [0.0, -0.028, -0.012],
        EYE_CENTRE,
        EYE_CENTRE * [-1.0, 1.0, 1.0],
    ]
)

SKIN, LIPS, MOUTH, EYE = range(4)
"""Region labels, as in the published runtime."""

_COLOURS: Mapping[str, tuple[float, float, float]] = {
    "skin": (0.860, 0.660, 0.560),
    "warm": (0.830, 0.520, 0.450),
    "lips": (0.700, 0.360, 0.345),
    "rim": (0.330, 0.190, 0.160),
    "lid": (0.640, 0.380, 0.340),
    "hair": (0.270, 0.165, 0.115),
    "brow": (0.150, 0.085, 0.062),
    "lash": (0.100, 0.065, 0.055),
    "jumper": (0.200, 0.330, 0.420),
    "white": (0.930, 0.915, 0.900),
    "iris": (0.270, 0.400, 0.430),
    "ring": (0.130, 0.180, 0.200),
    "pupil": (0.030, 0.025, 0.025),
    "mouth": (0.280, 0.085, 0.085),
    "deep": (0.075, 0.020, 0.022),
    "teeth": (0.930, 0.900, 0.850),
    "gum": (0.700, 0.370, 0.370),
    "tongue": (0.730, 0.360, 0.360),
}


TONES: dict[str, Points] = {name: np.array(value) for name, value in _COLOURS.items()}


@dataclass(frozen=True, eq=False)
class ProceduralHead:
    """The head and what a plain FLAME file does not say."""

    flame: FlameModel
    colours: FloatArray
    """[V, 3] float32 RGB in [0, 1]."""
    regions: NDArray[np.uint8]
    """[V] uint8: 0 skin, 1 lips, 2 inside of the mouth, 3 eye."""
    arrays: Mapping[str, NDArray[np.generic]]
    """As in FLAME_with_eye.pt, named "group/key"."""
    texture: MeshTexture
    """Of the skin and the eyes; the other faces have the vertices' colours."""


@cache
def procedural_head() -> ProceduralHead:
    """Build the head (a fraction of a second) and keep it."""
    skin = build_skin()
    bag, bag_upper, bag_on = pieces.mouth_bag(skin)
    sockets = [pieces.eye_socket(side, skin) for side in (1, -1)]
    fringes = [lashes(skin, side) for side in (1, -1)]
    grown = hair(skin)
    parts = [
        bag,
        pieces.teeth(True, TEETH_COLUMNS),
        pieces.teeth(False, TEETH_COLUMNS),
        pieces.tongue(),
        *(pieces.eyeball(side) for side in (1, -1)),
        *(socket for socket, _ in sockets),
        *(pieces.ear(side) for side in (1, -1)),
        *(fringe for fringe, _ in fringes),
        grown.part,
        jumper(),
    ]
    names = ["skin"] * len(skin.points)
    faces = [skin.faces]
    start = len(skin.points)
    num_faces = len(skin.faces)
    slices: dict[str, list[slice]] = {}
    first_face: dict[str, tuple[int, int]] = {}
    for part in parts:
        names += [part.name] * len(part.points)
        faces.append(part.faces + start)
        first_face[part.name] = (num_faces, num_faces + len(part.faces))
        num_faces += len(part.faces)
        slices.setdefault(part.name, []).append(slice(start, start + len(part.points)))
        start += len(part.points)
    points = np.concatenate([skin.points, *(part.points for part in parts)])
    label = np.array(names)
    all_faces = np.concatenate(faces)
    hanging = {"socket": [on for _, on in sockets], "lash": [on for _, on in fringes]}
    build = _Build(skin, points, label, slices, bag_upper, bag_on, hanging, all_faces, first_face, grown)
    expression = build.expressions()
    weights = build.weights()
    shape = build.shapes()
    directions = np.zeros((len(points), 3, NUM_SHAPE + NUM_EXPRESSION), np.float32)
    directions[:, :, : shape.shape[2]] = shape
    directions[:, :, NUM_SHAPE : NUM_SHAPE + expression.shape[2]] = expression
    texture = build.texture()
    arrays: dict[str, NDArray[np.generic]] = {
        "flame_model/f": all_faces,
        "flame_model/v_template": points.astype(np.float32),
        "flame_model/shapedirs": directions,
        "flame_model/posedirs": np.zeros((len(points), 3, 9 * (NUM_JOINTS - 1)), np.float32),
        "flame_model/J_regressor": _regressor(points),
        "flame_model/kintree_table": np.array([PARENTS, range(NUM_JOINTS)], np.int64),
        "flame_model/weights": weights.astype(np.float32),
        **landmark_embeddings(points, all_faces, skin),
    }
    return ProceduralHead(
        flame=replace(
            flame_from_arrays(arrays, "the procedural head"), texture_points=texture.points, texture_faces=texture.faces
        ),
        colours=build.colours(),
        regions=build.regions(),
        arrays=arrays,
        texture=texture,
    )


def _about_x(angle: float) -> Points:
    """[3, 3] rotation about the axis from ear to ear; positive opens a jaw."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def away_from_eyes(points: Points) -> Points:
    """Distance of each point from the nearer eye's axis, [V]."""
    found: Points = np.hypot(np.abs(points[:, 0]) - EYE_CENTRE[0], points[:, 1] - EYE_CENTRE[1])
    return found


def _regressor(points: Points) -> FloatArray:
    """Each joint as a weighted mean of its nearest vertices, exact for the template."""
    regressor = np.zeros((NUM_JOINTS, len(points)))
    for number, joint in enumerate(JOINTS):
        near = np.argsort(((points - joint) ** 2).sum(axis=1))[:400]
        rows = np.vstack([points[near].T, np.ones(len(near))])
        regressor[number, near] = np.linalg.pinv(rows) @ np.append(joint, 1.0)
    return regressor.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Build:
    skin: Skin
    points: Points
    label: NDArray[np.str_]
    slices: Mapping[str, list[slice]]
    bag_upper: NDArray[np.bool_]
    bag_on: NDArray[np.int64]
    hanging: Mapping[str, list[NDArray[np.int64]]]
    """Of the parts that hang on the lids: for each of their vertices the skin's vertex."""
    faces: NDArray[np.int64]
    first_face: Mapping[str, tuple[int, int]]
    hair: Hair

    @property
    def num_faces(self) -> int:
        return len(self.faces)

    @property
    def _num_skin(self) -> int:
        return len(self.skin.points)

    def _spread_to_bag(self, values: Points, fade: bool = True) -> Points:
        """Values of the skin continued on what hangs on it: the mouth's inside and the lids' margins."""
        result = np.zeros((len(self.points), *values.shape[1:]))
        result[: self._num_skin] = values
        [bag] = self.slices["mouth"]
        depth = self.points[self.bag_on, 2] - self.points[bag, 2]
        for name, on_skin in self.hanging.items():
            for part, on in zip(self.slices[name], on_skin, strict=True):
                result[part] = values[on]
        keep = 1.0 - smoothstep(depth / 0.022) if fade else np.ones(len(depth))
        result[bag] = values[self.bag_on] * keep.reshape(-1, *([1] * (values.ndim - 1)))
        return result

    # Weights

    def weights(self) -> Points:
        """[V, 5]."""
        count = len(self.points)
        jaw = self._spread_to_bag(self._jaw_of_skin(), fade=False)
        [bag] = self.slices["mouth"]
        jaw[bag] = np.where(self.bag_upper, np.minimum(jaw[bag], 0.5), jaw[bag])
        for name in ("lower teeth", "tongue"):
            for part in self.slices[name]:
                jaw[part] = 1.0
        eyes = {LEFT_EYE: "left eye", RIGHT_EYE: "right eye"}
        result = np.zeros((count, NUM_JOINTS))
        result[:, JAW] = jaw
        for joint, name in eyes.items():
            for part in self.slices[name]:
                result[part] = 0.0
                result[part, joint] = 1.0
        rest = 1.0 - result.sum(axis=1)
        up = smoothstep((self.points[:, 1] + 0.19) / 0.09)
        result[:, NECK] = rest * up
        result[:, ROOT] = rest * (1.0 - up)
        return result

    def _jaw_of_skin(self) -> Points:
        skin = self.skin
        x, y, z = skin.points.T
        across = np.abs(x)
        # A line from the joint to the corner of the mouth; below it hangs the jaw.
        corner_y = skin.points[skin.mouth_upper[0], 1]
        slope = (corner_y - JOINTS[JAW, 1]) / (0.055 - JOINTS[JAW, 2])
        line = JOINTS[JAW, 1] + slope * (z - JOINTS[JAW, 2])
        line = np.where(z > 0.055, corner_y, line)
        weight = smoothstep((line - y) / 0.036 + 0.5)
        weight *= smoothstep((z - JOINTS[JAW, 2] + 0.012) / 0.045)  # nothing behind the joint
        throat = smoothstep((y + 0.150) / 0.030)  # the neck stays
        weight *= throat * smoothstep((z + 0.02) / 0.05)
        half = np.abs(skin.points[skin.mouth_upper, 0]).max()
        inside = np.clip(1.0 - (across / (half * 1.02)) ** 2, 0.0, 1.0) ** 0.5 * (skin.front > 0.4)
        near = np.exp(-(((y - skin.line_height) / 0.016) ** 2))
        sharp = inside * near
        lip = np.where(skin.side_of_mouth > 0, 0.0, 1.0)
        weight = weight * (1 - sharp) + lip * sharp
        above = smoothstep((y - skin.line_height) / 0.012)
        weight = weight * (1.0 - above * (across < 0.05) * (skin.front > 0.4))
        clipped: Points = np.clip(weight, 0.0, 1.0)
        return clipped

    # Directions

    def expressions(self) -> FloatArray:
        """[V, 3, n], in the order of EXPRESSIONS."""
        skin = self.skin
        base = skin.points
        x, y, _ = base.T
        across = np.abs(x)
        sign = np.sign(x)
        away = y - skin.line_height
        face = skin.front
        half = np.abs(base[skin.mouth_upper, 0]).max()
        upper = skin.side_of_mouth > 0
        mouth = np.exp(-((across / 0.030) ** 4)) * np.exp(-((away / 0.020) ** 2)) * face
        lips = np.exp(-((across / 0.0235) ** 4)) * np.exp(-((away / 0.0095) ** 2)) * face
        middle = np.clip(1.0 - (across / (half * 1.0)) ** 2, 0.0, 1.0) ** 0.5

        def field(dx: Points | float = 0.0, dy: Points | float = 0.0, dz: Points | float = 0.0) -> Points:
            out = np.zeros_like(base)
            out[:, 0], out[:, 1], out[:, 2] = dx, dy, dz
            return out

        found: dict[str, Points] = {}
        lower_lip = lips * (~upper) * middle
        upper_lip = lips * upper * middle
        found["press"] = self._press()
        found["part"] = field(dy=np.where(upper, 0.0022, -0.0042) * lips * middle, dz=0.0006 * lips)
        corner = np.exp(-(((across - half) / 0.0135) ** 2)) * np.exp(-((away / 0.0160) ** 2)) * face
        stretch = np.clip(across / half, 0.0, 1.0) * mouth + corner
        found["spread"] = field(dx=0.0050 * sign * np.minimum(stretch, 1.2), dy=0.0004 * corner, dz=-0.0026 * corner)
        found["round"] = field(
            dx=-0.0078 * sign * np.minimum(np.clip(across / half, 0.0, 1.0) * mouth + 0.45 * corner, 1.1),
            dy=np.where(upper, 0.0006, -0.0012) * lips * middle * (1.0 - np.exp(-((self._over_edge() / 0.0030) ** 2))),
            dz=0.0068 * lips + 0.0020 * mouth,
        )
        found["tuck"] = field(
            dy=0.0052 * lower_lip + 0.0014 * upper_lip, dz=-0.0058 * lower_lip * np.exp(-((away / 0.0070) ** 2))
        )
        found["smile"] = field(dx=0.0040 * sign * corner, dy=0.0052 * corner, dz=-0.0030 * corner)
        closed = self._closed_lids()
        for name, sides in (("blink", (-1, 1)), ("blink left", (1,)), ("blink right", (-1,))):
            near = sum((np.sign(base[:, 0]) == side).astype(float) for side in sides)
            found[name] = (closed - base) * np.asarray(near)[:, None]
        brow = bump(across, y, (0.0300, 0.0260), 0.0220, 0.0110) * face
        found["brows up"] = field(dy=0.0062 * brow, dz=0.0006 * brow)
        inner = bump(across, y, (0.0140, 0.0225), 0.0110, 0.0090) * face
        found["brows together"] = field(dx=-0.0026 * sign * inner, dy=-0.0036 * inner, dz=0.0012 * inner)
        found["squint"] = (
            onto_eyeballs(lift_lids(skin.shut, skin, 0.70 * UPPER_LID_HEIGHT, -0.55 * LOWER_LID_HEIGHT), face) - base
        )
        found["raise upper lip"] = field(dy=0.0034 * upper_lip)
        found["tongue up"] = found["look aside"] = field()
        lid = np.exp(-((away_from_eyes(base) / 0.012) ** 2)) * face
        found["look up"] = field(dy=0.0007 * lid * (skin.side_of_eye > 0))
        cheek = bump(across, y, (0.0400, -0.0300), 0.0180, 0.0160) * face
        found["cheeks"] = field(dy=0.0020 * cheek, dz=0.0030 * cheek)
        wings = bump(across, y, (0.0130, -0.0420), 0.0080, 0.0080) * face
        found["nose"] = field(dx=0.0016 * sign * wings, dy=0.0012 * wings)

        result = np.stack([self._spread_to_bag(found[name]) for name in EXPRESSIONS], axis=2)
        for part in self.slices["lash"]:
            tips = slice(part.start + 2 * (part.stop - part.start) // 3, part.stop)
            for name in ("blink", "blink left", "blink right"):
                number = EXPRESSIONS.index(name)
                down = np.abs(result[tips, 1, number]) > 1e-3
                result[tips, 1, number] -= 0.0030 * down
        for name, side in (("left eye", 1), ("right eye", -1)):
            [part] = self.slices[name]
            local = self.points[part] - EYE_CENTRE * [side, 1, 1]
            aside, up = EXPRESSIONS.index("look aside"), EXPRESSIONS.index("look up")
            result[part, 0, aside], result[part, 2, aside] = GAZE * local[:, 2], -GAZE * local[:, 0]
            result[part, 1, up], result[part, 2, up] = GAZE * local[:, 2], -GAZE * local[:, 1]
        [part] = self.slices["tongue"]
        place = self.points[part]
        tip = smoothstep((place[:, 2] - place[:, 2].min()) / np.ptp(place[:, 2]))
        result[part, 1, EXPRESSIONS.index("tongue up")] = 0.0095 * tip**2
        result[part, 2, EXPRESSIONS.index("tongue up")] = 0.0022 * tip**2
        return result.astype(np.float32)

    def _over_edge(self) -> Points:
        """Height over the edge of the lips, which hangs a little lower than the mouth's line in the middle."""
        edge = self.skin.points[self.skin.mouth_lower]
        order = np.argsort(edge[:, 0])
        over: Points = self.skin.points[:, 1] - np.interp(self.skin.points[:, 0], edge[order, 0], edge[order, 1])
        return over

    def _press(self) -> Points:
        """What takes the lips' edges back onto each other when the jaw has opened by JAW_OPEN."""
        skin = self.skin
        upper, lower = skin.mouth_upper, skin.mouth_lower
        rest = skin.points[lower]
        share = self._jaw_of_skin()
        turned = JOINTS[JAW] + (rest - JOINTS[JAW]) @ _about_x(JAW_OPEN).T
        opened = (share[lower] - share[upper])[:, None] * (turned - rest)  # of the lower edge from the upper one
        lower_share, upper_share = (PRESS_UPPER - 1.0) * opened @ _about_x(JAW_OPEN), PRESS_UPPER * opened
        order = np.argsort(rest[:, 0])
        sides = [
            np.stack([np.interp(skin.points[:, 0], rest[order, 0], part[order, k], 0, 0) for k in range(3)], axis=1)
            for part in (lower_share, upper_share)  # the jaw turns what the lower lip does
        ]
        field = np.where(skin.side_of_mouth[:, None] > 0, sides[1], sides[0])
        near = np.exp(-((self._over_edge() / 0.0140) ** 2)) * skin.front
        result: Points = field * near[:, None]
        return result

    def _closed_lids(self) -> Points:
        """The skin with both eyes shut: the upper lid comes down most of the way, along the eyeball."""
        skin = self.skin
        meet = -0.55 * LOWER_LID_HEIGHT
        return onto_eyeballs(lift_lids(skin.shut, skin, meet, meet), skin.front, 0.0003)

    def shapes(self) -> FloatArray:
        """[V, 3, n], in the order of SHAPES."""
        p = self.points
        x, y, z = p.T
        across, sign = np.abs(x), np.sign(x)
        front = smoothstep((z - 0.0) / 0.04)
        zero = np.zeros_like(x)
        ears = np.isin(self.label, ["left ear", "right ear"])
        nose = np.exp(-((across / 0.018) ** 2)) * np.exp(-(((y + 0.030) / 0.020) ** 2)) * front
        jaw = smoothstep((-0.040 - y) / 0.03) * smoothstep((y + 0.150) / 0.03)
        away = y + 0.0695
        lips = np.exp(-((across / 0.023) ** 4)) * np.exp(-((away / 0.011) ** 2)) * front * (self.label == "skin")
        fields = {
            "width": (0.035 * x, zero, zero),
            "height": (zero, 0.035 * (y + 0.03), zero),
            "depth": (zero, zero, 0.035 * (z + 0.03)),
            "jaw width": (0.060 * x * jaw, zero, zero),
            "chin": (
                zero,
                -0.0030 * bump(x, y, (0, -0.11), 0.028, 0.018) * front,
                0.0036 * bump(x, y, (0, -0.108), 0.024, 0.016) * front,
            ),
            "nose length": (zero, -0.0020 * nose, 0.0036 * nose),
            "nose width": (0.0018 * sign * np.clip(across / 0.008, 0, 1) * nose, zero, zero),
            "lip fullness": (zero, 0.0009 * np.sign(away) * lips, 0.0016 * lips),
            "brow ridge": (zero, zero, 0.0026 * bump(across, y, (0.025, 0.027), 0.028, 0.009) * front),
            "cheeks": (
                0.0014 * sign * bump(across, y, (0.05, -0.03), 0.02, 0.02),
                zero,
                0.0026 * bump(across, y, (0.042, -0.028), 0.02, 0.018) * front,
            ),
            "neck width": (0.060 * x * smoothstep((-0.115 - y) / 0.02), zero, zero),
            "ear size": (zero, 0.06 * (y + 0.0085) * ears, 0.06 * (z + 0.029) * ears),
        }  # fmt: skip
        return np.stack([np.stack(fields[name], axis=1) for name in SHAPES], axis=2).astype(np.float32)

    # Colours

    def regions(self) -> NDArray[np.uint8]:
        """[V] uint8."""
        result = np.full(len(self.points), SKIN, np.uint8)
        result[: self._num_skin][self._lip_share(self._places) > 0.5] = LIPS
        result[np.isin(self.label, ["mouth", "upper teeth", "lower teeth", "tongue"])] = MOUTH
        result[np.isin(self.label, ["left eye", "right eye"])] = EYE
        return result

    @cached_property
    def _places(self) -> Places:
        return vertex_places(self.skin)

    @cached_property
    def _half_mouth(self) -> float:
        return float(np.abs(self.skin.points[self.skin.mouth_upper, 0]).max())

    def _lip_share(self, at: Places) -> Points:
        across = np.abs(at.x)
        arch = np.clip(1.0 - (across / (self._half_mouth * 1.03)) ** 2, 0.0, 1.0)
        bow = 1.0 - 0.16 * np.exp(-((at.x / 0.0032) ** 2)) + 0.10 * np.exp(-(((across - 0.006) / 0.004) ** 2))
        limit = np.where(at.upper > 0, 0.0080 * bow * arch**0.62, 0.0098 * arch**0.5)
        share = smoothstep((limit - np.abs(at.away)) / 0.0014 + 0.5)
        result: Points = share * (at.front > 0.6) * (arch > 0)
        return result

    def _skin_tone(self, at: Places) -> Points:
        """Colours of the skin, [n, 3]: warm cheeks, nose and lids, lips, short hair."""
        tones = TONES
        across = np.abs(at.x)

        def blend(base: Points, name: str, share: Points) -> Points:
            mixed: Points = base + share[:, None] * (tones[name] - base)
            return mixed

        tone = np.broadcast_to(tones["skin"], (len(at.x), 3)).copy()
        warm = 0.38 * bump(across, at.y, (0.040, -0.030), 0.020, 0.018) * at.front
        warm += 0.34 * bump(at.x, at.y, (0.0, -0.040), 0.014, 0.012) * at.front
        warm += 0.26 * bump(across, at.y, (0.031, 0.008), 0.018, 0.012) * at.front
        warm += 0.20 * bump(at.x, at.y, (0.0, -0.105), 0.018, 0.012) * at.front
        tone = blend(tone, "warm", np.clip(warm, 0, 1))
        nostril = bump(across, at.y, (0.0068, -0.0478), 0.0030, 0.0021) * at.front
        tone = blend(tone, "rim", np.clip(0.95 * nostril, 0, 1))
        lips = self._lip_share(at)
        tone = blend(tone, "lips", lips)
        tone *= (1.0 - 0.10 * lips * np.exp(-((at.away / 0.0016) ** 2)))[:, None]
        tone = blend(tone, "brow", 0.92 * brow_share(at.x, at.y, at.front))
        turn = around(at.x, at.z)
        ragged = 0.0020 * np.sin(23 * turn + 2 * np.sin(9 * turn)) + 0.0012 * np.sin(71 * turn + 3 * np.sin(31 * turn))
        ragged += 0.0009 * np.sin(237 * turn + 2 * np.sin(53 * turn))
        tone = blend(tone, "hair", 0.92 * smoothstep((at.y - hairline(turn) - ragged + 0.002) / 0.010 + 0.5))
        tone = blend(tone, "rim", at.lids)
        return blend(tone, "rim", at.mouth)

    def texture(self) -> MeshTexture:
        """The skin's, the eyes' and the hair's picture; other faces keep their vertices' colours."""
        points, corners = skin_chart(self.skin)
        charts = [points]
        faces = np.full((self.num_faces, 3), -1, np.int32)
        faces[: len(corners)] = corners
        start = len(points)
        for name, side in (("left eye", 1), ("right eye", -1)):
            [part] = self.slices[name]
            charts.append(eye_chart(self.points[part], side))
            first = self.first_face[name]
            faces[first[0] : first[1]] = self.faces[first[0] : first[1]] - part.start + start
            start += len(charts[-1])
        [part] = self.slices["hair"]
        charts.append(hair_chart(self.hair.grid, HAIR_LOW, HAIR_HIGH))
        first = self.first_face["hair"]
        local = self.faces[first[0] : first[1]] - part.start
        faces[first[0] : first[1]] = hair_corners(local, len(self.hair.grid) - 1) + start
        return MeshTexture(
            picture=bake(self.skin, (points, corners), self._skin_tone, TONES),
            points=np.concatenate(charts),
            faces=faces,
        )

    def colours(self) -> FloatArray:
        """[V, 3] float32 per vertex: skin, eyes and the mouth's inside."""
        tones = TONES
        colours = np.zeros((len(self.points), 3))
        colours[: self._num_skin] = self._skin_tone(self._places)
        [bag] = self.slices["mouth"]
        depth = self.points[self.bag_on, 2] - self.points[bag, 2]
        inside = tones["mouth"] + smoothstep(depth / 0.03)[:, None] * (tones["deep"] - tones["mouth"])
        lip_side = (1.0 - smoothstep(depth / 0.0045))[:, None]
        colours[bag] = inside + lip_side * (0.85 * tones["lips"] - inside)
        for name, upper in (("upper teeth", True), ("lower teeth", False)):
            [part] = self.slices[name]
            tip_y, root_y = (pieces.UPPER_TEETH_Y[1], pieces.UPPER_TEETH_Y[0]) if upper else pieces.LOWER_TEETH_Y
            height = np.clip((self.points[part, 1] - tip_y) / (root_y - tip_y), 0, 1)
            gum = smoothstep((height - 0.62) / 0.12)[:, None]
            dim = (0.45 + 0.55 * np.exp(-((self.points[part, 0] / 0.017) ** 2)))[:, None]
            levels = len(height) // TEETH_COLUMNS
            gap = np.tile(np.abs(pieces.tooth_place(TEETH_COLUMNS)) > 0.45, levels)[:, None]
            colours[part] = (tones["teeth"] + gum * (tones["gum"] - tones["teeth"])) * dim * (1.0 - 0.12 * gap)
        for part in self.slices["socket"]:
            ring = np.repeat([0.0, 0.35, 1.0], (part.stop - part.start) // 3)[:, None]
            colours[part] = tones["lid"] + ring * (tones["deep"] - tones["lid"])
        [part] = self.slices["tongue"]
        colours[part] = tones["tongue"] * (0.65 + 0.35 * smoothstep((self.points[part, 2] - 0.03) / 0.025))[:, None]
        for name, side in (("left eye", 1), ("right eye", -1)):
            [part] = self.slices[name]
            local = (self.points[part] - EYE_CENTRE * [side, 1, 1]) / EYE_RADIUS
            angle = np.degrees(np.arctan2(np.hypot(local[:, 0], local[:, 1]), local[:, 2]))
            ball = np.broadcast_to(tones["white"], local.shape).copy()
            ball[angle < 29] = tones["ring"]
            ball[angle < 24] = tones["iris"]
            ball[angle < 11] = tones["pupil"]
            ball *= (1.0 - 0.16 * smoothstep((local[:, 1] - 0.05) / 0.5))[:, None]  # the lid's shadow
            colours[part] = ball
        for name in ("left ear", "right ear"):
            for part in self.slices[name]:
                colours[part] = tones["skin"] + 0.30 * (tones["warm"] - tones["skin"])
        for part in self.slices["lash"]:
            colours[part] = tones["lash"]
        [part] = self.slices["hair"]
        colours[part] = tones["hair"]
        [part] = self.slices["jumper"]
        colours[part] = tones["jumper"] * knit(self.points[part])[:, None]
        return np.clip(colours, 0, 1).astype(np.float32)
