"""The published generator of Wav2Lip with fewer channels: for tests that do not ask for its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from talkinghead.families.wav2lip import architecture as module
from talkinghead.families.wav2lip.architecture import GENERATOR_96, Architecture, Block
from tests.golden import synthetic


def thin(published: Architecture, divisor: int = 8) -> Architecture:
    """The same network with fewer channels between its ends: the same names, layers and sizes of pictures."""

    def fewer(block: Block, *, inside: bool = True, outside: bool = True) -> Block:
        return replace(
            block,
            in_channels=block.in_channels // divisor if inside else block.in_channels,
            out_channels=block.out_channels // divisor if outside else block.out_channels,
        )

    first_heard, *heard, embed, last = published.audio_encoder
    (first_seen,), *seen = published.face_encoder
    (start,), *grown = published.face_decoder
    return replace(
        published,
        audio_encoder=(fewer(first_heard, inside=False), *map(fewer, heard), fewer(embed, outside=False), last),
        face_encoder=((fewer(first_seen, inside=False),), *(tuple(map(fewer, stage)) for stage in seen)),
        face_decoder=((fewer(start, inside=False),), *(tuple(map(fewer, stage)) for stage in grown)),
        output_block=fewer(published.output_block),
    )


THIN_96 = thin(GENERATOR_96)


def thin_weights() -> dict[str, np.ndarray]:
    """Scaled so that faces are as light and as varied as with the golden weights."""
    shapes = {name: {"shape": shape, "dtype": "float32"} for name, shape in THIN_96.expected()}
    state: dict[str, np.ndarray] = synthetic.state(shapes, 0)
    state["output_block.1.weight"] *= np.float32(0.004)
    return state


@contextmanager
def thin_generator() -> Iterator[None]:
    """Takes the place of the published generator, which is refused meanwhile: 60 times less work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GENERATOR_96", THIN_96)
        yield
