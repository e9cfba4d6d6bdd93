"""A video of TalkingGaussian in parts: clouds are moved in the same groups, action units follow the same frames."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import talkinghead as th
from tests.families.talkinggaussian.test_generate import PHONES, load, tone
from tests.stretches import check_stretches


@pytest.mark.parametrize("expression", ["source", pytest.param("au.csv", marks=pytest.mark.thorough)])
def test_parts_are_as_in_the_whole(scene: SimpleNamespace, expression: str) -> None:
    chosen = expression if expression == "source" else str(scene.data / expression)
    head = load(scene, expression=chosen)
    check_stretches(head, head.prepare(scene.data), th.listen(tone(1.1), phones=PHONES), examples=2)
