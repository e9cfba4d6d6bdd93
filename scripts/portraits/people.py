"""Who is portrayed, and how: invented faces, named after plants."""

from __future__ import annotations

from typing import NamedTuple

from portraits.light import Colors
from portraits.shape import BOB, BUN, COLLAR, CROWN, CURLS, ROLL, SWEPT, TOUSLED, Face


def rgb(text: str) -> tuple[float, float, float]:
    """Linear colour of "#rrggbb"."""
    r, g, b = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r**2.2, g**2.2, b**2.2


class Portrait(NamedTuple):
    """One picture."""

    style: str
    """A key of `styles.STYLES`."""
    face: Face
    colors: Colors
    backdrop: tuple[str, str]
    """Colours behind the head: in the light and in the dark."""
    scale: float = 1.27
    """Half the width of what is seen, head units."""
    centre_y: float = -0.03


PORTRAITS = {
    "hazel": Portrait(
        "sculpted",
        Face(
            hair=BOB, long=0.55, jaw=0.93, chin=0.9, lip_width=0.215, lower_lip=1.05, smile=0.8, brow_thick=0.026,
            neck=0.265,
        ),
        Colors(
            skin=rgb("#d79f7e"), blush=rgb("#cf7f68"), lip=rgb("#b9605a"), hair=rgb("#5a3626"), brow=rgb("#452a1f"),
            iris=rgb("#6b4a24"), cloth=rgb("#2f7f86"),
        ),
        ("#f3c9a5", "#c9825f"),
    ),
    "rowan": Portrait(
        "sculpted",
        Face(
            hair=SWEPT, beard=0.05, moustache=0.03, width=1.02, jaw=1.10, chin=1.1, nose_width=1.15, nose_out=1.1,
            brow_ridge=0.8, brow_thick=0.038, brow_arch=0.025, lid_up=0.070, lid_down=0.052, upper_lip=0.85, smile=0.55,
            neck=0.33, cloth=COLLAR,
        ),
        Colors(
            skin=rgb("#dca888"), blush=rgb("#cc7d63"), lip=rgb("#b9746a"), hair=rgb("#6e3c1e"), brow=rgb("#5a341e"),
            iris=rgb("#4c7a86"), cloth=rgb("#3b5568"), lashes=0.45, lipstick=0.7, stubble=0.75,
        ),
        ("#a9c3c9", "#547785"),
    ),
    "olive": Portrait(
        "painted",
        Face(
            hair=CURLS, jaw=0.97, upper_lip=1.25, lower_lip=1.2, nose_width=1.22, bridge=0.75, smile=0.7,
            brow_thick=0.028, lid_up=0.086, neck=0.265, earring=1,
        ),
        Colors(
            skin=rgb("#8a5638"), blush=rgb("#8f4630"), lip=rgb("#8a3b3a"), hair=rgb("#241612"), brow=rgb("#1d120e"),
            iris=rgb("#3b2110"), cloth=rgb("#c78b2e"),
        ),
        ("#b8c39a", "#5f7a5c"),
        scale=1.36,
        centre_y=0.03,
    ),
    "basil": Portrait(
        "painted",
        Face(
            hair=CROWN, moustache=0.06, glasses=1, age=0.9, width=1.05, skull=0.87, jaw=1.08, chin=1.1, cheek=1.05,
            nose_width=1.25, nose_out=1.25, brow_thick=0.040, lid_up=0.066, hood=0.8, upper_lip=0.8, lower_lip=0.85,
            neck=0.31, cloth=ROLL,
        ),
        Colors(
            skin=rgb("#dba98c"), blush=rgb("#c97560"), lip=rgb("#b57a70"), hair=rgb("#c9c4bd"), brow=rgb("#8d857d"),
            iris=rgb("#5b7d94"), cloth=rgb("#7d2f33"), lashes=0.3, lipstick=0.7, frame=rgb("#9a7446"),
        ),
        ("#d8c7a2", "#8a7450"),
    ),
    "iris": Portrait(
        "drawn",
        Face(
            hair=BUN, width=1.02, jaw=0.92, chin=0.85, lip_width=0.195, smile=0.8, nose_width=0.95,
            nose_out=0.8, bridge=0.55, eye_tilt=0.2, lid_up=0.074, lid_down=0.05, hood=0.6, brow_thick=0.024,
            neck=0.255, cloth=ROLL,
        ),
        Colors(
            skin=rgb("#f2cdb0"), blush=rgb("#e08a7a"), lip=rgb("#c9605f"), hair=rgb("#1f1d28"), brow=rgb("#26212a"),
            iris=rgb("#3a2417"), cloth=rgb("#d9604c"), lashes=1.5,
        ),
        ("#f3dfd2", "#e2a79a"),
        scale=1.34,
        centre_y=0.09,
    ),
    "reed": Portrait(
        "drawn",
        Face(
            hair=TOUSLED, width=0.98, jaw=0.98, lip_width=0.21, smile=0.9, brow_thick=0.032, eye_half_width=0.155,
            lid_up=0.085, neck=0.28, cloth=COLLAR,
        ),
        Colors(
            skin=rgb("#f0c6a6"), blush=rgb("#e08a6c"), lip=rgb("#c87868"), hair=rgb("#b4531f"), brow=rgb("#8a4220"),
            iris=rgb("#4f8a52"), cloth=rgb("#3e6fa3"), freckles=0.75, lashes=0.5,
        ),
        ("#cfe5e4", "#8fc0c4"),
    ),
}  # fmt: skip
