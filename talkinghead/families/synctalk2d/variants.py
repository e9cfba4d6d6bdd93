"""What differs between the published networks: two picture sizes, five audio branches, as tables.

Source: reference notes of SyncTalk_2D and its ancestor Ultralight-Digital-Human ("UDH").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

BORDER_PX = 4
"""Ring of the resized crop that the network neither sees nor writes."""


@dataclass(frozen=True)
class SizeVariant:
    """A picture size of the generator with its crop geometry."""

    name: str
    """"328" or "160", as the published files call them."""
    crop_px: int
    """Side of the resized crop."""
    mask_xywh: tuple[int, int, int, int]
    """Black rectangle inside the network's picture: x, y, width, height."""
    bicubic: bool
    """Crop and paste with bicubic interpolation; bilinear otherwise."""
    stem_width: int
    down_widths: tuple[int, ...]
    up_widths: tuple[int, ...]
    crf: int
    """x264 quality of the published script."""

    @property
    def inner_px(self) -> int:
        """Side of the network's picture."""
        return self.crop_px - 2 * BORDER_PX

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Channels of the encoder's outputs, from the full size to the bottleneck."""
        return (self.stem_width, *self.down_widths)


SIZES: Mapping[str, SizeVariant] = {
    size.name: size
    for size in (
        SizeVariant(
            name="328",
            crop_px=328,
            mask_xywh=(5, 5, 310, 305),
            bicubic=True,
            stem_width=32,
            down_widths=(32, 64, 128, 256, 512),
            up_widths=(128, 64, 32, 32, 16),
            crf=20,
        ),
        SizeVariant(
            name="160",
            crop_px=168,
            mask_xywh=(5, 5, 150, 145),
            bicubic=False,
            stem_width=32,
            down_widths=(64, 128, 256, 512),
            up_widths=(128, 64, 32, 32),
            crf=10,
        ),
    )
}


@dataclass(frozen=True)
class AudioVariant:
    """An audio branch with the features that it listens to."""

    name: str
    mode: str
    """"ave", "hubert" or "wenet": the kind of speech features."""
    input_shape: tuple[int, int, int]
    """Channels, height, width of one window as the network takes it."""
    window_rows: int
    """Feature rows per window; row window_rows // 2 is the frame itself."""
    row_shapes: tuple[tuple[int, ...], ...]
    """Shapes in which one row of features is stored in files."""
    conv1_width: int
    conv1_residual: bool
    conv2_width: int
    conv2_residual: bool
    conv3_stride: tuple[int, int]
    fps: Fraction
    """Feature rows, and so video frames, per second."""

    @property
    def row_size(self) -> int:
        """Values per feature row."""
        channels, height, width = self.input_shape
        return channels * height * width // self.window_rows


AUDIO_VARIANTS: Mapping[str, AudioVariant] = {
    audio.name: audio
    for audio in (
        AudioVariant("ave", "ave", (32, 16, 16), 16, ((512,),), 64, False, 128, False, (1, 1), Fraction(25)),
        AudioVariant(
            "hubert", "hubert", (32, 32, 32), 16, ((2, 1024), (2048,)), 64, False, 128, False, (2, 2), Fraction(25)
        ),
        AudioVariant(
            "wenet", "wenet", (256, 16, 32), 16, ((16, 512), (8192,)), 256, True, 256, True, (1, 2), Fraction(20)
        ),
        AudioVariant(
            "udh-hubert", "hubert", (16, 32, 32), 8, ((2, 1024), (2048,)), 64, False, 128, False, (2, 2), Fraction(25)
        ),
        AudioVariant(
            "udh-wenet", "wenet", (128, 16, 32), 8, ((16, 512), (8192,)), 256, False, 256, True, (1, 2), Fraction(20)
        ),
    )
}

MODES = ("ave", "hubert", "wenet")
"""Kinds of speech features."""


@dataclass(frozen=True)
class Variant:
    """One of the published generators."""

    size: SizeVariant
    audio: AudioVariant

    @property
    def name(self) -> str:
        """For messages and reports: "unet328.ave", "udh160.wenet"."""
        family = "udh" if self.audio.name.startswith("udh-") else "unet"
        return f"{family}{self.size.name}.{self.audio.mode}"


def variant(name: str) -> Variant:
    """The variant called "unet328.ave", "unet160.hubert", "udh160.wenet", ...

    Raises:
        KeyError: no such variant.
    """
    return VARIANTS[name]


VARIANTS: Mapping[str, Variant] = {
    found.name: found
    for found in (
        *(Variant(size, AUDIO_VARIANTS[mode]) for size in SIZES.values() for mode in MODES),
        *(Variant(SIZES["160"], AUDIO_VARIANTS[name]) for name in ("udh-hubert", "udh-wenet")),
    )
}
"""Every published generator by name."""
