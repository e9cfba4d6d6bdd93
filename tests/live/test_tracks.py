"""What a track gives its sender."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc")

from talkinghead.live.tracks import PictureTrack


class Times:
    """An encoder whose packets are the times of the pictures."""

    def encode(self, picture: Any, time: int) -> list[int]:
        return [time]


def test_the_first_picture_is_never_left_out() -> None:
    """Receivers count from it, as they do from the first sound; later on the latest one is sent."""

    async def run() -> list[Any]:
        track = PictureTrack()
        track.encoder = Times()  # type: ignore[assignment]
        sent = []
        for times in ((0, 1920), (3840, 5760)):
            for time in times:
                track.give(np.zeros((2, 2, 3), np.uint8), time)
            sent.append(await track.recv())
        assert track.left_out == 2
        return sent

    assert asyncio.run(run()) == [0, 5760 * 90 // 48]
