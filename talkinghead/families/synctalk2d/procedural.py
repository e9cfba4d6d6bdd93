"""A template folder and networks made from formulas: for tests, measurements and the documentation.

The person is drawn. The weights are constructed, not trained: the AVE encoder hears how loud the mel spectrogram is,
the generator copies its reference picture and darkens the reddish pixels of the mouth from the lip line outwards, the
farther the louder. So a real video comes out in which the mouth follows the sound, at real size and speed.

    loudness l  ──audio branch──► constant map ──fuse, up1..──► l at every pixel
    redness  u  = (0.775 R - G) / 0.22 : 1 at the lip line, falling to 0.4 at the rim of the lips, 0 or less elsewhere
    open     o  = clip(8 (l + u - 1), 0, 1)      picture = reference - o (lip colour - dark)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.encoders import ave
from talkinghead.backends.layers import BATCH_NORM_EPS
from talkinghead.contracts import Frame
from talkinghead.face.landmarks.layout import MOUTH_Y, rounded, standard_face
from talkinghead.families.synctalk2d.template import IMAGES, LANDMARKS, landmark_text
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, SIZES
from talkinghead.families.synctalk2d.weights import expected_shapes

Tensors = dict[str, NDArray[np.float32]]

SKIN_RGB = (0.80, 0.62, 0.52)
LIP_DEPTH = 0.22
"""How much green the lip line lacks."""
SKIN_RATIO = SKIN_RGB[1] / SKIN_RGB[0]
RIM_REDNESS = 0.4
LIP_RGB = (0.80, 0.50, 0.52)
"""Colour that is taken away where the mouth opens: mean of the lips."""
DARK_RGB = (0.22, 0.07, 0.08)
STEEPNESS = 8.0
LOUD, QUIET = 0.45, 0.12
"""Mean of the scaled mel spectrogram that opens the mouth fully, and that keeps it closed."""
ON_TIME_ROW = 7
"""Row of the window whose sound is centred on the frame's time."""


def _zeros(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """All weights zero, all BatchNorms the identity."""
    found: Tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        value = np.zeros(shape, np.float32)
        norm = f"{name.rpartition('.')[0]}.running_var" in shapes
        if name.endswith("running_var"):
            value[:] = 1
        elif norm and name.endswith(".weight"):
            value[:] = np.sqrt(1 + BATCH_NORM_EPS)
        found[name] = value
    return found


def constructed_ave_encoder() -> Tensors:
    """Weights of an AVE encoder whose 512 features all are the loudness of the window, 0 to about 1."""
    state = _zeros(ave.expected_shapes())
    state["0.conv_block.0.weight"][0, 0, 1, 1] = 1 / 8
    state["0.conv_block.0.bias"][0] = 0.5  # mel -4..4 to 0..1
    for k, layer in enumerate(ave.LAYERS):
        if k and not layer.residual and layer.kernel == 3:
            state[f"{k}.conv_block.0.weight"][0, 0] = 1 / 9  # mean of the neighbourhood
    last = len(ave.LAYERS) - 1
    state[f"{last}.conv_block.0.weight"][:, 0, 0, 0] = 1 / (LOUD - QUIET)
    state[f"{last}.conv_block.0.bias"][:] = -QUIET / (LOUD - QUIET)
    return state


def constructed_generator(size: str = "328") -> Tensors:
    """Weights of a generator of mode ave that opens the drawn mouth with the loudness; key layout A."""
    variant, audio = SIZES[size], AUDIO_VARIANTS["ave"]
    state = _zeros(dict(expected_shapes(size, "ave")))

    def weight(name: str) -> NDArray[np.float32]:
        return state[f"{name}.weight"]

    def carry(block: str, source: int = 0) -> None:
        """Pass one channel through an inverted residual block, to channel 0."""
        weight(f"{block}.conv.0")[0, source] = 1
        weight(f"{block}.conv.3")[0, 0, 1, 1] = 1
        weight(f"{block}.conv.6")[0, 0] = 1

    branch = "audio_model"
    rows_per_channel = audio.row_size // (audio.input_shape[1] * audio.input_shape[2])
    carry(f"{branch}.conv1", ON_TIME_ROW * rows_per_channel)
    carry(f"{branch}.conv2")
    weight(f"{branch}.conv3")[0, 0, 1, 1] = 1
    weight(f"{branch}.conv5")[0, 0, 1, 1] = 1
    # residual blocks (conv4, conv6, conv7, every second block) pass their input on with zero weights
    carry("fuse_conv.0.double_conv.0", variant.skip_widths[-1])
    carry("fuse_conv.1.double_conv.0")
    for k in range(1, len(variant.up_widths)):
        carry(f"up{k}.conv.double_conv.0")

    stem = "inc.inconv.0"
    for colour in range(3):
        weight(f"{stem}.conv.0")[colour, colour] = 1
        weight(f"{stem}.conv.3")[colour, 0, 1, 1] = 1
        weight(f"{stem}.conv.6")[colour, colour] = 1

    last = f"up{len(variant.up_widths)}.conv.double_conv"
    deep = variant.up_widths[-2]  # channels before the skip connection: 0 is the loudness
    expand = weight(f"{last}.0.conv.0")[:, :, 0, 0]
    for colour in range(3):
        expand[colour, deep + colour] = 1
    for unit, offset in ((3, 0.0), (4, 1.0)):
        expand[unit, 0] = STEEPNESS
        expand[unit, deep + 2] = STEEPNESS * SKIN_RATIO / LIP_DEPTH  # red
        expand[unit, deep + 1] = -STEEPNESS / LIP_DEPTH  # green
        state[f"{last}.0.conv.1.bias"][unit] = -STEEPNESS - offset
    weight(f"{last}.0.conv.3")[:5, 0, 1, 1] = 1
    project = weight(f"{last}.0.conv.6")[:, :, 0, 0]
    for colour in range(3):  # B, G, R
        project[colour, colour] = 1
        project[colour, 3] = -(LIP_RGB[2 - colour] - DARK_RGB[2 - colour])
        project[colour, 4] = -project[colour, 3]
    _undo_sigmoid(state, last)
    for colour in range(3):
        weight("outc.conv")[colour, colour] = 1
    return state


def _undo_sigmoid(state: Tensors, last: str) -> None:
    """The second block of the last stage adds what makes its input the logit of itself, in straight pieces."""
    knots = np.array([0.02, 0.06, 0.13, 0.25, 0.40, 0.60, 0.75, 0.87, 0.94, 0.98])
    logits = np.log(knots / (1 - knots))
    slopes = np.diff(logits) / np.diff(knots)
    steps = np.concatenate([[slopes[0] - 1], np.diff(slopes), [-slopes[-1]]])  # change of slope at each knot
    for colour in range(3):
        for j, (knot, step) in enumerate(zip(knots, steps, strict=True)):
            unit = colour * len(knots) + j
            state[f"{last}.1.conv.0.weight"][unit, colour] = 1
            state[f"{last}.1.conv.1.bias"][unit] = -knot
            state[f"{last}.1.conv.3.weight"][unit, 0, 1, 1] = 1
            state[f"{last}.1.conv.6.weight"][colour, unit] = step
        state[f"{last}.1.conv.7.bias"][colour] = logits[0] - knots[0]


def write_models(folder: str | Path, size: str = "328", *, overwrite: bool = False) -> Path:
    """Write the constructed generator (with its mode) and AVE encoder as safetensors; returns the generator's path.

    Raises:
        OutputExists: they are there and `overwrite` is off.
    """
    from talkinghead.weights import write_safetensors

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "1.safetensors"
    write_safetensors(constructed_generator(size), path, metadata={"mode": "ave"}, overwrite=overwrite)
    write_safetensors(constructed_ave_encoder(), folder / "audio_visual_encoder.safetensors", overwrite=overwrite)
    return path


# The drawn person ---------------------------------------------------------------------------------------------------


def draw_person(width: int, height: int, phase: float) -> tuple[Frame, NDArray[np.int32]]:
    """One frame of the drawn person with its landmarks.

    Args:
        phase: position in the sway of the head, 0 to 1; blinks near 0.5.
    Returns:
        RGB uint8 [height, width, 3] and [110, 2] int32 landmarks.
    """
    import cv2

    unit = min(width * 0.16, height * 0.19)  # distance between the eyes
    centre = np.array(
        [width / 2 + 0.10 * unit * np.sin(2 * np.pi * phase), height * 0.42 + 0.04 * unit * np.cos(4 * np.pi * phase)]
    )
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = np.array([0.62, 0.70, 0.76], np.float32), np.array([0.36, 0.44, 0.52], np.float32)
    picture = np.ascontiguousarray(np.broadcast_to((1 - rows) * top + rows * bottom, (height, width, 3)))

    def ellipse(x: float, y: float, radius_x: float, radius_y: float, colour: tuple[float, float, float]) -> None:
        shift = 4  # fractional bits of OpenCV's coordinates
        at = centre + np.array([x, y]) * unit
        point = tuple(round(float(value) * (1 << shift)) for value in at)
        axes = (max(1, round(radius_x * unit * (1 << shift))), max(1, round(radius_y * unit * (1 << shift))))
        cv2.ellipse(picture, point, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, shift)

    ellipse(0, 3.9, 2.3, 1.9, (0.18, 0.26, 0.42))  # shoulders
    ellipse(0, 2.0, 0.55, 0.9, (0.72, 0.56, 0.47))  # neck
    ellipse(0, -0.25, 1.30, 1.45, (0.24, 0.20, 0.18))  # hair
    face = (standard_face()[:33] * unit + centre).round().astype(np.int32)
    cv2.fillPoly(picture, [face], SKIN_RGB, cv2.LINE_AA)
    ellipse(0, -0.05, 1.12, 1.0, SKIN_RGB)
    ellipse(0, -1.05, 0.98, 0.42, (0.24, 0.20, 0.18))
    blink = max(0.0, 1.0 - abs(phase - 0.5) * 16)
    for side in (-0.5, 0.5):
        ellipse(side, -0.34, 0.28, 0.045, (0.26, 0.22, 0.19))
        ellipse(side, 0, 0.21, 0.10 * (1 - blink) + 0.012, (0.93, 0.94, 0.95) if blink < 0.9 else (0.5, 0.4, 0.34))
        if blink < 0.7:
            ellipse(side, 0, 0.085, 0.085 * (1 - blink), (0.22, 0.30, 0.34))
            ellipse(side, 0, 0.04, 0.04 * (1 - blink), (0.06, 0.06, 0.07))
    ellipse(0, 0.62, 0.17, 0.09, (0.72, 0.565, 0.475))
    ellipse(0, 0.56, 0.13, 0.09, SKIN_RGB)
    _paint_lips(picture, centre, unit)
    points = rounded((standard_face() * unit + centre).astype(np.float32))
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8), points


def _paint_lips(picture: NDArray[np.float32], centre: NDArray[np.float64], unit: float) -> None:
    """Lips whose green falls toward the lip line: what the constructed network reads."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    across = (x - centre[0]) / unit / 0.42
    down = (y - centre[1]) / unit - MOUTH_Y
    down = np.where(down < 0, down / 0.16, down / 0.20)
    radius = np.sqrt(across**2 + down**2)
    inside = np.clip((1 - radius) * 0.2 * unit, 0, 1)  # a rim of a few pixels
    redness = inside * (1 - (1 - RIM_REDNESS) * np.minimum(radius, 1))
    picture[:, :, 1] -= (LIP_DEPTH * redness).astype(np.float32)


def write_template(
    folder: str | Path, *, num_frames: int = 50, width: int = 640, height: int = 360, quality: int = 95
) -> Path:
    """Write a template folder of the drawn person.

    Args:
        num_frames: one sway of the head there and back when played as templates are.
        quality: JPEG quality.
    """
    import cv2

    folder = Path(folder)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    (folder / LANDMARKS).mkdir(exist_ok=True)
    for k in range(num_frames):
        frame, points = draw_person(width, height, k / max(1, num_frames - 1))
        ok, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert ok
        (folder / IMAGES / f"{k}.jpg").write_bytes(data.tobytes())
        (folder / LANDMARKS / f"{k}.lms").write_text(landmark_text(points), encoding="ascii")
    return folder


def mouth_openness(frame: Any, landmarks: NDArray[np.int32]) -> float:
    """How much of the mouth is dark, 0 to 1: what a test or a chart measures.

    Args:
        frame: RGB uint8 [H, W, 3].
    """
    lips = landmarks[90:102]
    (x1, y1), (x2, y2) = lips.min(axis=0), lips.max(axis=0)
    part = np.asarray(frame)[y1:y2, x1:x2].astype(np.float32) / 255
    return float(np.mean(part[:, :, 0] < (SKIN_RGB[0] + DARK_RGB[0]) / 2))
