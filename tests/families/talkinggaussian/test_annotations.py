"""Annotations of the recording against the original's reader."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.errors import MediaNotFound, UnreadableMedia
from talkinghead.families.talkinggaussian import annotations as notes
from talkinghead.families.talkinggaussian.scene import read_poses
from talkinghead.media import EncodeOptions, write_video
from tests.tolerances import tolerance


@pytest.mark.parametrize("split", ["train", "val"])
def test_annotations_match_golden(kit: SimpleNamespace, scene: SimpleNamespace, split: str) -> None:
    golden = kit.golden("dataset")
    frames = read_poses(scene.data / f"transforms_{split}.json").frames
    landmarks = [notes.read_landmarks(scene.data / "ori_imgs" / f"{frame.img_id}.lms") for frame in frames]
    np.testing.assert_array_equal([notes.lips_rect(points) for points in landmarks], golden[f"{split}_lips_rect"])
    np.testing.assert_array_equal(
        [notes.lower_half_rect(points) for points in landmarks], golden[f"{split}_lhalf_rect"]
    )
    bounds = notes.mouth_bounds([notes.inner_lip_height(points) for points in landmarks])
    np.testing.assert_array_equal(bounds, golden[f"{split}_mouth_bound"])
    masks = notes.read_masks(scene.data, frames[0].img_id)
    for name in ("face", "hair", "mouth"):
        np.testing.assert_array_equal(np.packbits(getattr(masks, name)), golden[f"{split}_{name}_mask0"])
    ids = [frame.img_id for frame in frames]
    table = scene.data / "au.csv"
    np.testing.assert_allclose(notes.blink(notes.read_column(table, "AU45_r"))[ids], golden[f"{split}_blink_f64"])
    np.testing.assert_allclose(notes.lips_part(notes.read_column(table, "AU25_r"))[ids], golden[f"{split}_au25_f64"])


def test_camera_radius_matches_golden(kit: SimpleNamespace, scene: SimpleNamespace) -> None:
    golden = kit.golden("dataset")
    frames = read_poses(scene.data / "transforms_train.json").frames
    assert notes.camera_radius(frames) == pytest.approx(
        float(golden["nerf_radius_f64"]), rel=tolerance("talkinggaussian/dataset:nerf_radius_f64")
    )


def test_wrong_annotations(tmp_path: Path, scene: SimpleNamespace) -> None:
    with pytest.raises(MediaNotFound, match="landmarks"):
        notes.read_landmarks(tmp_path / "0.lms")
    for text in ("1 2\n3 4\n", "a b\n", "1 2\n" * 67 + "nan 1\n"):
        (tmp_path / "0.lms").write_text(text)
        with pytest.raises(UnreadableMedia):
            notes.read_landmarks(tmp_path / "0.lms")
    with pytest.raises(UnreadableMedia, match="AU99"):
        notes.read_column(scene.data / "au.csv", "AU99_r")
    with pytest.raises(MediaNotFound):
        notes.read_masks(tmp_path, 0)


def test_evaluate_looks_at_the_lips(scene: SimpleNamespace, tmp_path: Path) -> None:
    landmarks = notes.read_landmarks(scene.data / "ori_imgs" / "12.lms")
    row0, row1, column0, column1 = notes.lips_rect(landmarks)
    frames = np.full((2, 72, 96, 3), 100, np.uint8)
    changed = frames.copy()
    changed[0, row0:row1, column0:column1] = 151
    for name, video in (("a.mp4", frames), ("b.mp4", changed)):
        write_video(tmp_path / name, video, fps=Fraction(25), options=EncodeOptions(crf=1, pixel_format="yuv444p"))
    report = tmp_path / "r.json"
    call = ["evaluate", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"), "--scene", str(scene.data), "-q"]
    assert main([*call, "--report", str(report)]) == 0
    values = json.loads(report.read_text())["per_frame"]["psnr_region_db"]
    assert values[0] == pytest.approx(10 * np.log10(25), abs=0.3)
    assert values[1] == "inf" or values[1] > 25
