"""The head end to end: the published pipelines (golden), then what is better by default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.backends import Placement  # noqa: E402
from talkinghead.backends.placement import installed  # noqa: E402
from talkinghead.contracts import AudioClip, Detection, Speech  # noqa: E402
from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip import tracking  # noqa: E402
from talkinghead.families.wav2lip.device import DeviceEngine  # noqa: E402
from talkinghead.families.wav2lip.engine import Engine, EngineOptions  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.postprocess import Finish  # noqa: E402
from talkinghead.media import FrameOptions  # noqa: E402
from talkinghead.media.arrays import ArraySource  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from tests.golden_files import Golden  # noqa: E402

BACKENDS = [name for name in ("torch", "onnx", "openvino") if installed(name)]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, weights96: dict[str, np.ndarray]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "wav2lip.safetensors"
    write_safetensors(weights96, path)
    return path


class GoldenDetector:
    """Answers what the golden file says the detector answered."""

    name = "golden"
    has_key_points = False
    identity = "golden"
    description = "golden"
    batch_size = 4
    looks_at_pixels = True
    network = None

    def __init__(self, rects: np.ndarray) -> None:
        self._rects = iter(rects)

    def detect(self, frames: Any) -> list[list[Detection]]:
        return [[Detection(np.asarray(next(self._rects), np.float32), 0.9)] for _ in frames]


def stand_in(mel: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The function that stands in for the generator in the golden files."""
    masked, full = (np.rint(part * 255).astype(np.int64) for part in (planes[:, :3], planes[:, 3:]))
    m = np.floor(8 * mel.mean(axis=(1, 2), dtype=np.float64) + 40).astype(np.int64).reshape(-1, 1, 1, 1)
    k = (full + (masked >> 2) + m) & 255
    return ((k + 0.5) / 255).astype(np.float32)


class StandInSession:
    """Both parts of the engine at once: hears by handing the window through."""

    facts = None

    def __init__(self, part: str, windows: dict[bytes, np.ndarray]) -> None:
        self.part, self.windows = part, windows

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        if self.part == "audio":
            embeddings = np.zeros((len(inputs["mel"]), 512, 1, 1), np.float32)
            for index, window in enumerate(inputs["mel"][:, 0]):
                embeddings[index, 0] = len(self.windows)
                self.windows[embeddings[index].tobytes()] = window
            return {"audio": embeddings}
        mel = np.stack([self.windows[item.tobytes()] for item in inputs["audio"]])
        return {"output": stand_in(mel, inputs["face"])}

    def run_many(self, batches: Any) -> Iterator[dict[str, np.ndarray]]:
        for batch in batches:
            yield self.run(batch)


def golden_head(checkpoint: Path, options: dict[str, Any], **more: Any) -> Wav2LipHead:
    family: dict[str, Any] = {"batch_size": options.get("wav2lip_batch_size", 128)}
    if "pads" in options:
        family["pads"] = tuple(options["pads"])
    if options.get("static"):
        family["static"] = True
    return Wav2LipHead(LoadOptions(checkpoint=checkpoint, device="cpu", compat=True, family=family, **more))


def golden_job(
    data: Any, monkeypatch: pytest.MonkeyPatch, checkpoint: Path, **more: Any
) -> tuple[Wav2LipHead, Any, Speech]:
    """A head, the prepared avatar and the sound of a golden pipeline."""
    options = json.loads(str(data["options"]))
    head = golden_head(checkpoint, options, **more)
    frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in data["frames"]]
    frame_options = FrameOptions(
        resize_factor=options.get("resize_factor", 1),
        rotate=options.get("rotate", False),
        crop=tuple(options["crop"]) if "crop" in options else None,
    )
    fps = Fraction(float(data["fps"])).limit_denominator(100_000)
    source = ArraySource(frames, fps=fps, options=frame_options)
    monkeypatch.setattr("talkinghead.media.sources.open_frames", lambda *_, **__: source)
    if "rects" in data:
        monkeypatch.setattr(tracking, "published_detector", lambda _: GoldenDetector(data["rects"]))
    box = options.get("box")
    faces = FaceOptions(
        box=(box[2], box[0], box[3], box[1]) if box else None, smoothing=0 if options.get("nosmooth") else 11
    )
    clip = AudioClip((data["pcm16"] / 32768).astype(np.float32), 16_000)
    speech = Speech(clip, clip)
    avatar = head.prepare("x.mp4", PrepareOptions(frames=frame_options, faces=faces, cache=NullCache(), speech=speech))
    return head, avatar, speech


@pytest.mark.parametrize("name", ["loop", "static", "box"])
@pytest.mark.parametrize("overlap", [True, False])
def test_golden_pipelines(
    name: str,
    overlap: bool,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
) -> None:
    data = Golden(f"wav2lip/pipeline_{name}")
    windows: dict[bytes, np.ndarray] = {}
    monkeypatch.setattr(Engine, "session", lambda self, part, task: StandInSession(part, windows))
    monkeypatch.setattr(Wav2LipHead, "_splits", lambda *_: False)
    head, avatar, speech = golden_job(data, monkeypatch, checkpoint)
    assert avatar.num_frames == (1 if name == "static" else min(int(data["n_prepared"]), int(data["n_chunks"])))
    plan = head.plan(avatar, speech, RenderOptions())
    assert len(plan) == int(data["n_chunks"])
    assert float(plan.fps) == pytest.approx(float(data["writer_fps"]))
    y1y2x1x2 = avatar.track.boxes_xyxy[plan.indices][:, [1, 3, 0, 2]]
    np.testing.assert_array_equal(y1y2x1x2, data["coords"])
    written = np.stack(list(head.frames(avatar, speech, RenderOptions(overlap=overlap))))[..., ::-1]
    np.testing.assert_array_equal(written, data["written"])
    assert tuple(written.shape[2:0:-1]) == tuple(data["writer_size_wh"])


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("split", [True, False])
def test_golden_pipeline_with_the_generator(
    backend: str, split: bool, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    data = Golden("wav2lip/pipeline_generator")
    monkeypatch.setattr(Wav2LipHead, "_splits", lambda *_: split)
    head, avatar, speech = golden_job(data, monkeypatch, checkpoint, backend=backend)
    assert head.placement.precision == "float32"
    written = np.stack(list(head.frames(avatar, speech)))[..., ::-1]
    difference = np.abs(written.astype(int) - data["written"])
    assert difference.max() <= 2
    assert (difference == 0).mean() >= 0.99


def test_golden_pipeline_with_the_device_engine(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """Through the engine for GPUs, on the CPU device."""

    def engine(self: Any) -> Any:
        return DeviceEngine(
            self.weights,
            Placement("cpu", "torch", "float32", ""),
            EngineOptions(batch_size=3),
            finish=Finish(self.config.paste, self.config.feather, self.config.colour_match),
        )

    monkeypatch.setattr(Wav2LipHead, "_engine", engine)
    data = Golden("wav2lip/pipeline_generator")
    head, avatar, speech = golden_job(data, monkeypatch, checkpoint)
    written = np.stack(list(head.frames(avatar, speech)))[..., ::-1]
    difference = np.abs(written.astype(int) - data["written"])
    assert difference.max() <= 2
    assert (difference == 0).mean() >= 0.99
