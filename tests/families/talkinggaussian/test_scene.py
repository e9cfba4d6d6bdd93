"""Scene folders: what is needed, what is optional, and what is said when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from talkinghead.errors import MediaError, MediaNotFound, OptionError, UnreadableMedia
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.scene import (
    Backdrop,
    action_units_of,
    cover,
    lay_over,
    lay_over_reference,
    read_action_units,
    read_poses,
    read_rgba,
    scene_folder,
)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def nan_pose(data: dict[str, Any]) -> None:
    data["frames"][1]["transform_matrix"][0][3] = float("nan")


POSES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "nan": (nan_pose, "NaN is no number"),
    "singular": (lambda d: d["frames"][0].update(transform_matrix=np.zeros((4, 4)).tolist()), "not a camera pose"),
    "3 x 4": (lambda d: d["frames"][0].update(transform_matrix=np.zeros((3, 4)).tolist()), "not 4 x 4"),
    "text": (lambda d: d["frames"][2].update(transform_matrix="eye"), "not 4 x 4"),
    "no matrix": (lambda d: d["frames"][0].pop("transform_matrix"), "not 4 x 4"),
    "no id": (lambda d: d["frames"][0].pop("img_id"), "img_id is None"),
    "negative id": (lambda d: d["frames"][0].update(img_id=-1), "img_id is -1"),
    "path as id": (lambda d: d["frames"][0].update(img_id="../../x"), "img_id is"),
    "no frames": (lambda d: d.update(frames=[]), "0 frames"),
    "frames missing": (lambda d: d.pop("frames"), "no list of frames"),
    "no focal length": (lambda d: d.pop("focal_len"), "focal_len is None"),
    "negative focal length": (lambda d: d.update(focal_len=-3), "focal_len is -3"),
}


@pytest.mark.parametrize("case", POSES)
def test_wrong_poses(fresh_data: Callable[[], Path], case: str) -> None:
    change, words = POSES[case]
    path = fresh_data() / "transforms_train.json"
    edit(path, change)
    with pytest.raises(UnreadableMedia, match=words):
        read_poses(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"frames": 3}', "[" * 100_000])
def test_poses_that_are_not_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "transforms_train.json"
    path.write_text(text)
    with pytest.raises(UnreadableMedia):
        read_poses(path)


def test_action_units_with_and_without_blanks(scene: SimpleNamespace, tmp_path: Path) -> None:
    table = read_action_units(scene.data / "au.csv")
    text = (scene.data / "au.csv").read_text().replace(", ", ",")
    (tmp_path / "au.csv").write_bytes(b"\xef\xbb\xbf" + text.encode().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_action_units(tmp_path / "au.csv"), table)
    assert table[:, 5].max() == 2.0  # the blink is limited, the others are not
    assert table[:, :5].max() > 2.0


def test_wrong_action_units(scene: SimpleNamespace, tmp_path: Path) -> None:
    lines = (scene.data / "au.csv").read_text().splitlines()
    path = tmp_path / "au.csv"
    cases = {
        "\n".join(lines[:1]): "no rows",
        "\n".join([lines[0].replace("AU05_r", "x"), *lines[1:]]): "no column AU05_r",
        "\n".join([lines[0], lines[1], "1, 2"]): "line 3",
        "\n".join([lines[0], lines[1].replace("0.", "nan", 1).replace("0.02", "nan")]): "line 2",
        "": "no column",
    }
    for text, words in cases.items():
        path.write_text(text)
        with pytest.raises(UnreadableMedia, match=words):
            read_action_units(path)
    path.write_bytes(b"\xff\xfe\x00AU")
    with pytest.raises(UnreadableMedia):
        read_action_units(path)
    with pytest.raises(MediaNotFound, match="neutral"):
        read_action_units(tmp_path / "none.csv")
    poses = read_poses(scene.data / "transforms_val.json")
    with pytest.raises(UnreadableMedia, match="has 3 rows, but the frames go up to img_id 15"):
        action_units_of(np.zeros((3, 6), np.float32), poses.frames, path)


def test_missing_and_mixed_pictures(fresh_data: Callable[[], Path], kit: SimpleNamespace) -> None:
    data = fresh_data()
    poses = read_poses(data / "transforms_train.json")
    backdrop = Backdrop(data)
    (data / "torso_imgs" / "3.png").unlink()
    with pytest.raises(MediaNotFound, match="1 frames: 3"):
        backdrop.check(poses.frames)
    backdrop.check(poses.frames[:3])
    kit.write_png(data / "torso_imgs" / "2.png", np.zeros((20, 30, 4), np.uint8))
    with pytest.raises(UnreadableMedia, match=r"30x20, bc\.jpg 96x72"):
        backdrop.frame(2)
    (data / "torso_imgs" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(UnreadableMedia, match="not a picture"):
        backdrop.frame(1)
    Backdrop(data, torso=False).check(poses.frames)
    np.testing.assert_array_equal(Backdrop(data, torso=False).frame(3), Backdrop(data, torso=False).frame(1))
    (data / "bc.jpg").unlink()
    with pytest.raises(MediaNotFound, match="bc"):
        Backdrop(data)


def test_backdrops_are_kept_within_a_limit(scene: SimpleNamespace) -> None:
    backdrop = Backdrop(scene.data, cache_bytes=3 * 96 * 72 * 3)
    first = backdrop.frame(0)
    assert backdrop.frame(0) is first
    for index in range(1, 6):
        backdrop.frame(index)
    again = backdrop.frame(0)
    assert again is not first
    np.testing.assert_array_equal(again, first)
    assert len(backdrop._kept) == 3


def test_another_background(scene: SimpleNamespace, kit: SimpleNamespace, tmp_path: Path) -> None:
    picture = np.zeros((50, 400, 3), np.uint8)
    picture[:, :, 0] = 200
    kit.write_png(tmp_path / "red.png", picture)
    backdrop = Backdrop(scene.data, background=tmp_path / "red.png", torso=False)
    assert backdrop.size == (96, 72)
    np.testing.assert_array_equal(backdrop.frame(0)[..., 0], 200)
    for size in ((5, 7), (640, 480), (96, 72)):
        made = cover(np.zeros((size[1], size[0], 3), np.uint8), 96, 72)
        assert made.shape == (72, 96, 3)


def test_compiled_blend_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    torso = rng.integers(0, 256, (37, 53, 4), dtype=np.uint8)
    torso[:4, :, 3] = np.arange(53)
    background = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    np.testing.assert_array_equal(lay_over(torso, background), lay_over_reference(torso, background))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_without_alpha_are_opaque(tmp_path: Path, channels: int) -> None:
    picture = np.full((4, 5, channels), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    read = read_rgba(tmp_path / "a.png")
    assert read.shape == (4, 5, 4)
    assert (read[..., :3] == 77).all()
    assert (read[..., 3] == (77 if channels == 4 else 255)).all()
    cv2.imwrite(str(tmp_path / "b.png"), picture.astype(np.uint16) * 257)
    with pytest.raises(UnreadableMedia, match="uint16"):
        read_rgba(tmp_path / "b.png")


def test_scene_folders(scene: SimpleNamespace, tmp_path: Path) -> None:
    assert scene_folder(str(scene.data)) == scene.data
    with pytest.raises(MediaNotFound, match="not a folder"):
        scene_folder(tmp_path / "none")
    with pytest.raises(MediaNotFound, match="neither"):
        scene_folder(tmp_path)
    with pytest.raises(MediaError):
        read_poses(tmp_path / "transforms_val.json")


@pytest.mark.parametrize(
    "values",
    [{"yaw": 120.0}, {"pitch": float("nan")}, {"zoom": 0.0}, {"iteration": -2}, {"threads": -1},
     {"audio_features": "phones", "features": Path("x.npy")}],
)  # fmt: skip
def test_options_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        TalkingGaussianConfig(**values)
