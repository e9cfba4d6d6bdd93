"""PSNR, SSIM, LPIPS and landmark distance against other implementations and known answers."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from talkinghead.cli.main import main
from talkinghead.contracts import Detection, Frame
from talkinghead.errors import InputError, MediaNotFound, UnreadableMedia, WrongCheckpoint
from talkinghead.measure.landmarks import MeshLandmarks, Pfld110, SeenFace, landmark_distance
from talkinghead.measure.quality import Lpips, compare_frames, evaluate_videos, psnr, ssim
from talkinghead.media import open_frames, write_video
from talkinghead.weights import write_safetensors
from tests.face.mesh.fake import draw, fake_mesh

FAST = settings(max_examples=25, deadline=None)


def noise(seed: int, height: int = 32, width: int = 40) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_psnr_of_known_differences() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, black + 255) == 0
    assert psnr(black, black + 51) == pytest.approx(10 * math.log10(25))
    with pytest.raises(ValueError, match="one shape"):
        psnr(black, black[:4])


@FAST
@given(st.integers(0, 2**31), st.integers(11, 40), st.integers(11, 40))
def test_ssim_agrees_with_scikit_image(seed: int, height: int, width: int) -> None:
    a = noise(seed, height, width)
    b = np.clip(a.astype(int) + np.random.default_rng(seed + 1).integers(-60, 60, a.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        a / 255.0,
        b / 255.0,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-6)
    assert ssim(a, a) == pytest.approx(1)


def test_ssim_needs_a_window() -> None:
    with pytest.raises(InputError, match="11x11"):
        ssim(noise(0, 10, 40), noise(1, 10, 40))


@FAST
@given(st.integers(0, 2**31), st.floats(-50, 50), st.floats(-50, 50))
def test_landmark_distance_ignores_where_the_mouth_is(seed: int, dx: float, dy: float) -> None:
    points = np.random.default_rng(seed).uniform(0, 100, (20, 2))
    assert landmark_distance(points, points + np.array([dx, dy])) == pytest.approx(0, abs=1e-9)
    assert landmark_distance(points, points * 2) == pytest.approx(
        np.linalg.norm(points - points.mean(0), axis=1).mean()
    )
    with pytest.raises(ValueError, match="both be"):
        landmark_distance(points, points[:5])


def lpips_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    tensors = {}
    for level, (index, shape) in enumerate(shapes.items()):
        tensors[f"features.{index}.weight"] = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        tensors[f"features.{index}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        tensors[f"lin{level}.model.1.weight"] = rng.uniform(0, 1, (1, shape[0], 1, 1)).astype(np.float32)
    return tensors


def plain_lpips(tensors: dict[str, np.ndarray], a: Frame, b: Frame) -> float:
    """The definition, with torchvision's AlexNet written as a module."""
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 11, 4, 2), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(64, 192, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(192, 384, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(384, 256, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(256, 256, 3, padding=1), torch.nn.ReLU(),
    )  # fmt: skip
    layers.load_state_dict(
        {k.removeprefix("features."): torch.from_numpy(v) for k, v in tensors.items() if k.startswith("features.")}
    )
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1)
    features = []
    with torch.no_grad():
        for frame in (a, b):
            x = (((torch.from_numpy(frame).permute(2, 0, 1) / 255.0) * 2 - 1 - shift) / scale)[None]
            seen = []
            for layer in layers:
                x = layer(x)
                if isinstance(layer, torch.nn.ReLU):
                    seen.append(x[0] / x[0].norm(dim=0, keepdim=True).clamp_min(1e-10))
            features.append(seen)
        total = 0.0
        for level, (x, y) in enumerate(zip(*features, strict=True)):
            weights = torch.from_numpy(tensors[f"lin{level}.model.1.weight"]).reshape(-1, 1, 1)
            total += float((weights * (x - y) ** 2).sum(0).mean())
    return total


def test_lpips_follows_its_definition(tmp_path: Path) -> None:
    tensors = lpips_tensors()
    measure = Lpips(tensors)
    a, b = noise(0, 70, 64), noise(1, 70, 64)
    assert measure(a, a) == 0
    assert measure(a, b) == pytest.approx(plain_lpips(tensors, a, b), rel=1e-4)
    assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-5)
    alexnet = {name: value for name, value in tensors.items() if name.startswith("features")}
    write_safetensors(alexnet, tmp_path / "alexnet.safetensors")
    write_safetensors({n: v for n, v in tensors.items() if n not in alexnet}, tmp_path / "lin.safetensors")
    read = Lpips.read([tmp_path / "alexnet.safetensors", tmp_path / "lin.safetensors"])
    assert read(a, b) == measure(a, b)
    with pytest.raises(WrongCheckpoint, match="lin0"):
        Lpips.read([tmp_path / "alexnet.safetensors"])
    with pytest.raises(WrongCheckpoint, match="wrong shapes"):
        Lpips({**tensors, "features.3.weight": tensors["features.0.weight"]})


class Corners:
    """Landmarks that a test can foresee: corners of the bright area."""

    name = "corners"

    def find(self, frame: Frame) -> SeenFace | None:
        ys, xs = np.nonzero(frame[..., 0] > 100)
        if not len(xs):
            return None
        ends = np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]], np.float32)
        return SeenFace(ends, np.concatenate([ends, ends[:1]]))


def square(half: int) -> Frame:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[16 - half : 16 + half, 16 - half : 16 + half] = 255
    return frame


def test_measures_per_frame() -> None:
    values = compare_frames(
        iter([square(5), square(5), square(6)]), iter([square(5), square(0), square(8)]), landmarks=Corners()
    )
    assert values["psnr_db"][0] == math.inf
    assert values["lmd_px"][0] == 0
    assert values["lmd_px"][1] is None  # nothing to see in one of them
    assert values["lmd_px"][2] == pytest.approx(2 * math.sqrt(2))
    # Of three points, two at one end: the mean lies a third of the way, so that they are off by 2/3, 2/3 and 4/3.
    assert values["f_lmd_px"][2] == pytest.approx(2 * math.sqrt(2) * 8 / 9)
    with pytest.raises(UnreadableMedia, match="32x32 and 16x16"):
        compare_frames(iter([square(3)]), iter([square(3)[:16, :16]]))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(40, 200, (4, 6, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    true, made = tmp_path / "true.mp4", tmp_path / "made.mp4"
    write_video(true, (np.roll(base, k, axis=1) for k in range(8)), fps=Fraction(25))
    write_video(made, (np.roll(base, k, axis=1) // 2 + 20 for k in range(6)), fps=Fraction(25))
    report = tmp_path / "r.json"
    weights = tmp_path / "lpips.safetensors"
    write_safetensors(lpips_tensors(), weights)
    call = ["evaluate", str(made), str(true), "--report", str(report), "-q", "--lpips", str(weights)]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert "6 frames" in shown.out
    assert "PSNR" in shown.out
    assert "8" in shown.err  # the lengths differ, and it says so
    data = json.loads(report.read_text())
    frames = [list(open_frames(path).read()) for path in (made, true)]
    expected = [psnr(a, b) for a, b in zip(*frames, strict=False)]
    assert data["per_frame"]["psnr_db"] == pytest.approx(expected)
    assert data["mean"]["psnr_db"] == pytest.approx(np.mean(expected))
    assert len(data["per_frame"]["lpips"]) == 6
    assert "face-mesh" not in shown.err
    assert main(["evaluate", str(true), str(true), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["psnr_db"] == "inf"
    assert main(["evaluate", str(true), str(true)]) == 0
    assert "models pull face-mesh" in capsys.readouterr().err
    assert main(["evaluate", str(true), str(true), "--no-faces"]) == 0
    assert "face-mesh" not in capsys.readouterr().err
    with pytest.raises(MediaNotFound):
        evaluate_videos(tmp_path / "none.mp4", true)


def test_pfld_mouth_is_cut_out_of_110_points(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = {"face": np.array([10, 20, 50, 80], np.float32)}
    detector = SimpleNamespace(detect=lambda frames: [[Detection(boxes["face"], 0.9)]] if frames[0].any() else [[]])
    monkeypatch.setattr("talkinghead.face.load_detector", lambda options: detector)
    asked = []

    def landmarks(frame: Frame, box: tuple[float, ...]) -> np.ndarray:
        asked.append(box)
        return np.arange(220, dtype=np.int32).reshape(110, 2)

    network = Pfld110(SimpleNamespace(landmarks=landmarks))
    seen = network.find(noise(0))
    assert seen is not None
    assert seen.whole.shape == (110, 2)
    np.testing.assert_array_equal(seen.mouth, np.arange(180, 220).reshape(20, 2))  # outline and inner lips: 90 to 109
    assert asked == [(10, 20, 40, 60)]
    assert network.find(np.zeros((32, 32, 3), np.uint8)) is None


def test_the_mesh_of_the_largest_face_counts() -> None:
    frame = np.full((480, 640, 3), 60, np.uint8)
    landmarks = MeshLandmarks(fake_mesh())
    assert landmarks.name == "face mesh (drawn.task)"
    assert landmarks.find(frame) is None
    draw(frame, (200, 240), 60)
    seen = landmarks.find(frame)
    assert seen is not None
    assert seen.mouth.shape == (40, 2)
    assert seen.whole.shape == (468, 2)
    np.testing.assert_allclose(seen.whole.mean(axis=0), [200, 240], atol=4)
    values = compare_frames(iter([frame]), iter([np.roll(frame, 9, axis=1)]), landmarks=landmarks)
    assert values["f_lmd_px"][0] == pytest.approx(0, abs=0.3)  # the whole face moved
