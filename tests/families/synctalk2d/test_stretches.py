"""A video of SyncTalk_2D in parts: windows are heard in the same groups, templates come in the same order."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import talkinghead as th
from talkinghead.engine.head import RenderOptions
from tests.families.synctalk2d.conftest import golden
from tests.families.synctalk2d.test_end_to_end import clip_of
from tests.stretches import check_stretches


@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
@pytest.mark.thorough
def test_parts_are_as_in_the_whole(models: Path, template160: Path, backend: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    head = th.load(
        "synctalk2d", checkpoint=models / "160.pth", mode="ave", backend=backend, threads=2, smooth_features=True
    )
    avatar, said = head.prepare(template160), th.listen(clip_of("e2e_160_ave"))
    check_stretches(head, avatar, said, examples=3)
    if backend == "onnx":
        check_stretches(head, avatar, said, RenderOptions(fps=Fraction(30), loop="loop"), examples=2)


def test_a_short_one(models: Path, template160: Path) -> None:
    pytest.importorskip("onnxruntime")
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", backend="onnx", threads=1)
    assert int(golden("e2e_160_ave")["n_frames"]) > 8, "more than one group of windows"
    check_stretches(head, head.prepare(template160), th.listen(clip_of("e2e_160_ave")), examples=2)
