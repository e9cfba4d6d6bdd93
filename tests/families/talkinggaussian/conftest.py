"""The synthetic scene of the golden files, rebuilt from its seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from talkinghead.families.talkinggaussian.checkpoint import (
    CanonicalCloud,
    TrainedHead,
    check_network,
    read_trained_head,
    write_published,
)
from talkinghead.families.talkinggaussian.network import FACE, MOUTH, NetworkKind
from tests.golden import synthetic
from tests.golden_files import Golden, manifest, read_json

SIZES = read_json("talkinggaussian/scene.json")


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    return synthetic.uniform(name, shape, low, high, 0)


def bytes_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.floor(uniform(name, shape, 0, 255)).astype(np.uint8)


def network_weights(kind: NetworkKind, extractor: str = "deepspeech", prefix: str = "") -> dict[str, np.ndarray]:
    """Weights of a motion network; with a prefix as in the scene recipe."""
    shapes = manifest(f"talkinggaussian/{kind.name}_motion_{extractor}")
    state = synthetic.state({prefix + name: entry for name, entry in shapes.items()}, 0)
    weights = {name.removeprefix(prefix): value for name, value in state.items()}
    for name in weights:
        if name.endswith(".offsets"):
            weights[name] = kind.grid.offsets
    return weights


def scene_cloud(prefix: str, count: int, half: float) -> CanonicalCloud:
    dc = uniform(f"{prefix}/features_dc", (count, 1, 3), -1.5, 1.5)
    rest = uniform(f"{prefix}/features_rest", (count, 8, 3), -0.4, 0.4)
    return CanonicalCloud(
        xyz=uniform(f"{prefix}/xyz", (count, 3), -half, half),
        features=np.concatenate([dc, rest], axis=1),
        scaling=uniform(f"{prefix}/scaling", (count, 3), -6.5, -4),
        rotation=uniform(f"{prefix}/rotation", (count, 4), -1, 1),
        opacity=uniform(f"{prefix}/opacity", (count, 1), -2, 4),
        sh_degree=2,
    )


def scene_head() -> TrainedHead:
    factor = np.float32(read_json("talkinggaussian/scene_overrides.json")["sigma_net.net.2.weight"])
    networks = []
    for kind in (FACE, MOUTH):
        weights = network_weights(kind, prefix=f"{kind.name}/")
        weights["sigma_net.net.2.weight"] = weights["sigma_net.net.2.weight"] * factor
        networks.append(check_network("scene", weights, kind, 29))
    return TrainedHead(
        face=scene_cloud("face", SIZES["n_face"], 0.1),
        mouth=scene_cloud("mouth", SIZES["n_mouth"], 0.05),
        face_motion=networks[0],
        mouth_motion=networks[1],
        extractor="deepspeech",
    )


def scene_poses(count: int) -> np.ndarray:
    angles = uniform("scene/angles", (count, 3), -0.12, 0.12).astype(np.float64)
    shifts = uniform("scene/trans", (count, 3), -0.03, 0.03).astype(np.float64)
    poses = np.tile(np.eye(4), (count, 1, 1))
    for index, ((a, b, c), shift) in enumerate(zip(angles, shifts, strict=True)):
        rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        poses[index, :3, :3] = rx @ ry @ rz
        poses[index, :3, 3] = poses[index, :3, :3] @ (np.array([0, 0, 0.85]) + shift)
    return poses


def write_png(path: Path, picture: np.ndarray) -> None:
    """PNG data whatever the suffix says; RGB or RGBA."""
    order = [2, 1, 0, 3] if picture.shape[2] == 4 else [2, 1, 0]
    done, data = cv2.imencode(".png", picture[..., order])
    assert done
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def write_data(folder: Path) -> None:
    """The dataset folder of the recipe."""
    width, height, train = SIZES["W"], SIZES["H"], SIZES["n_train"]
    count = train + SIZES["n_val"]
    folder.mkdir(parents=True)
    poses = scene_poses(count)
    for name, ids in (("train", range(train)), ("val", range(train, count))):
        frames = [{"img_id": i, "aud_id": i, "transform_matrix": poses[i].tolist()} for i in ids]
        text = {"focal_len": SIZES["focal"], "cx": width / 2 + 7, "cy": height / 2 - 5, "frames": frames}
        (folder / f"transforms_{name}.json").write_text(json.dumps(text))
    (folder / "au.csv").write_text(str(Golden("talkinggaussian/dataset")["au_csv"]))
    np.save(folder / "aud_ds.npy", uniform("scene/aud", (SIZES["n_audio"], 16, 29), -3, 3))
    np.save(folder / "custom.npy", uniform("scene/custom_audio", (SIZES["n_custom"], 16, 29), -3, 3))
    write_png(folder / "bc.jpg", bytes_of("scene/bc", (height, width, 3)))
    lms_x = uniform("scene/lms_x", (count, 68), 0.2 * width, 0.8 * width)
    lms_y = uniform("scene/lms_y", (count, 68), 0.2 * height, 0.8 * height)
    colors = np.array([(255, 255, 255), (0, 0, 255), (100, 100, 100), (0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)
    for name in ("ori_imgs", "teeth_mask"):
        (folder / name).mkdir()
    for i in range(count):
        write_png(folder / "gt_imgs" / f"{i}.jpg", bytes_of(f"scene/gt/{i}", (height, width, 3)))
        torso = bytes_of(f"scene/torso/{i}", (height, width, 4))
        alpha = torso[..., 3]
        alpha[:] = np.where(alpha < 100, 0, np.where(alpha > 180, 255, alpha))
        write_png(folder / "torso_imgs" / f"{i}.png", torso)
        np.savetxt(folder / "ori_imgs" / f"{i}.lms", np.stack([lms_x[i], lms_y[i]], 1), fmt="%f")
        classes = np.floor(uniform(f"scene/parsing/{i}", (height, width), 0, 5.999)).astype(int)
        write_png(folder / "parsing" / f"{i}.png", colors[classes])
        np.save(folder / "teeth_mask" / f"{i}.npy", uniform(f"scene/teeth/{i}", (height, width), 0, 1) < 0.05)


def write_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "cfg_args").write_text("Namespace(sh_degree=2)")
    write_published(scene_head(), folder / "chkpnt_fuse_latest.pth")


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`data` and `model` folders of the recipe, and the head in memory. Do not write into them."""
    root = tmp_path_factory.mktemp("scene")
    write_data(root / "data")
    write_model(root / "model")
    return SimpleNamespace(data=root / "data", model=root / "model", head=scene_head(), sizes=SIZES)


@pytest.fixture
def fresh_data(tmp_path: Path) -> Callable[[], Path]:
    """A dataset folder that a test may damage."""

    def make() -> Path:
        folder = tmp_path / "data"
        write_data(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Golden folder and generators."""
    return SimpleNamespace(
        golden=lambda name: Golden(f"talkinggaussian/{name}"),
        uniform=uniform,
        network_weights=network_weights,
        write_png=write_png,
        read_trained_head=read_trained_head,
    )
