"""Sources in memory, scripted detectors, and tiny networks in the formats of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from talkinghead.contracts import Detection, Frame, MediaInfo, NetworkRun

settings.register_profile("any speed", deadline=None)  # a busy machine is no failure
settings.load_profile("any speed")

PATTERN_SIDE = 96
"""The tiny networks take a magenta square of this many pixels for a face."""


class MemorySource:
    """A `FrameSource` over frames in memory that counts what is read."""

    def __init__(self, frames: Sequence[Frame], *, fps: Fraction | None = Fraction(25), lost: int = 0) -> None:
        """`lost`: so many frames at the end are promised but not delivered, as by a damaged file."""
        self.frames = list(frames)
        self.lost = lost
        self.reads = 0
        height, width = frames[0].shape[:2]
        self.size = (width, height)
        self.fps = fps
        self.content_hash = f"memory-{id(self)}"
        self.warnings: tuple[str, ...] = ()
        self.info = MediaInfo(
            path=Path("memory.mp4"),
            kind="video" if len(frames) > 1 else "image",
            width=width,
            height=height,
            fps=fps,
            num_frames=len(frames) + lost,
            duration_s=None,
            has_audio=False,
            codec="raw",
        )

    def __len__(self) -> int:
        return len(self.frames) + self.lost

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        for frame in self.frames[start:stop:step]:
            self.reads += 1
            yield frame

    def close(self) -> None:
        """Nothing to let go."""


def numbered_frames(
    count: int, size: tuple[int, int] = (160, 120), shots: Mapping[int, int] | None = None
) -> list[Frame]:
    """Frames that carry their number in one pixel; each shot (first frame -> seed) has its own background."""
    starts = {0: 0, **(shots or {})}
    frames = []
    background = np.zeros((size[1], size[0], 3), np.uint8)
    for number in range(count):
        if number in starts:
            rng = np.random.default_rng(starts[number])
            coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            rows, columns = np.arange(size[1]) * 6 // size[1], np.arange(size[0]) * 8 // size[0]
            background = coarse[rows][:, columns]
        frame = background.copy()
        frame[0, 0] = (number // 256, number % 256, 77)
        frames.append(frame)
    return frames


@dataclass
class ScriptedDetector:
    """Answers from a script by the number that the frame carries."""

    script: Mapping[int, Sequence[Detection]] | Callable[[int], Sequence[Detection]]
    has_key_points: bool = False
    batch_size: int = 4
    name: str = "scripted"
    identity: str = "scripted/1"
    description: str = "scripted"
    looks_at_pixels: bool = True
    network: NetworkRun | None = None
    asked: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        self.batches.append(len(frames))
        answers = []
        for frame in frames:
            number = int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])
            self.asked.append(number)
            found = self.script(number) if callable(self.script) else self.script.get(number, ())
            answers.append(list(found))
        return answers


def face(x1: float, y1: float, x2: float, y2: float, score: float = 0.9, *, points: bool = False) -> Detection:
    """A detection; with points at fixed places of the box."""
    key_points = None
    if points:
        places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
        key_points = (np.array([x1, y1]) + places * np.array([x2 - x1, y2 - y1])).astype(np.float32)
    return Detection(np.array([x1, y1, x2, y2], np.float32), score, key_points)


@dataclass(frozen=True)
class FaceTools:
    """The helpers of this file, for test modules (which cannot import it)."""

    MemorySource = MemorySource
    ScriptedDetector = ScriptedDetector
    numbered_frames = staticmethod(numbered_frames)
    face = staticmethod(face)


@pytest.fixture(scope="session")
def tools() -> FaceTools:
    return FaceTools()


@pytest.fixture(scope="session")
def astronaut() -> Frame:
    """A real photograph with one face, at about (180, 56, 271, 178); 512x512 RGB, public domain."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut())


def pattern_frame(width: int = 640, height: int = 640, centres: Sequence[tuple[int, int]] = ((320, 256),)) -> Frame:
    """A grey frame with magenta squares, the "faces" of the tiny networks."""
    frame = np.full((height, width, 3), 60, np.uint8)
    half = PATTERN_SIDE // 2
    for x, y in centres:
        frame[max(0, y - half) : y + half, max(0, x - half) : x + half] = (255, 0, 255)
    return frame


_PLACES = ((-0.6, -0.4), (0.6, -0.4), (0.0, 0.1), (-0.5, 0.7), (0.5, 0.7))
"""Key points of the tiny networks around the centre of the box, in units of the coarsest stride."""


def _pattern_network(kind: str, *, side: int | str, key_points: bool, batch_axis: bool) -> bytes:
    """An ONNX model that scores how magenta the surroundings of each cell's corner are."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, outputs, constants = [], {}, []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    # Magenta: red and blue high, green low. SCRFD gets RGB in [-1, 1], YuNet BGR in [0, 255]; red and blue are alike.
    scale = 1.0 if kind == "scrfd" else 1 / 128
    shift = 0.0 if kind == "scrfd" else -127.5 / 128
    weight = np.array([1, -1, 1], np.float32).reshape(1, 3, 1, 1) * np.float32(scale)
    bias = np.array([shift, -shift, shift], np.float32).reshape(1, 3, 1, 1)
    x = node("Mul", ["image", constant("weight", weight)], "weighted")
    x = node("Add", [x, constant("bias", bias)], "signed")
    x = node("Relu", [x], "positive")
    x = node("Conv", [x, constant("mean", np.full((1, 3, 1, 1), 1 / 3, np.float32))], "likeness")
    x = node("Mul", [x, x], "squared")
    half, coarsest = PATTERN_SIDE // 2, 32
    for stride in (8, 16, 32):
        pads = [half, half, half - stride, half - stride]
        pooled = node(
            "AveragePool",
            [x],
            f"pooled{stride}",
            kernel_shape=[PATTERN_SIDE] * 2,
            strides=[stride] * 2,
            pads=pads,
            count_include_pad=1,
        )
        flat = node("Reshape", [pooled, constant(f"flat{stride}", np.array([1, -1, 1], np.int64))], f"flatten{stride}")
        cubed = node("Mul", [node("Mul", [flat, flat], f"flat2{stride}"), flat], f"flat3{stride}")  # a sharper peak
        gain = 1.0 if stride == coarsest else 0.0  # only the coarsest level answers
        score = node("Mul", [cubed, constant(f"gain{stride}", np.array([[[gain]]], np.float32))], f"single{stride}")
        zero = node("Mul", [flat, constant(f"nil{stride}", np.zeros((1, 1, 1), np.float32))], f"zero{stride}")
        reach = half / stride
        if kind == "scrfd":
            box = np.full((1, 1, 4), reach, np.float32)
        else:
            box = np.array([[[0, 0, np.log(2 * reach), np.log(2 * reach)]]], np.float32)
        places = np.array(_PLACES, np.float32).reshape(1, 1, 10) * np.float32(coarsest / stride)
        maps = {
            "score": score,
            "box": node("Add", [zero, constant(f"box{stride}", box)], f"boxes{stride}"),
            "points": node("Add", [zero, constant(f"places{stride}", places)], f"points{stride}"),
        }
        for name, value in maps.items():
            columns = {"score": 1, "box": 4, "points": 10}[name]
            if kind == "scrfd":
                pair = node("Concat", [value, value], f"{name}pair{stride}", axis=2)
                shape = [1, -1, columns] if batch_axis else [-1, columns]
                target = constant(f"{name}shape{stride}", np.array(shape, np.int64))
                outputs[name, stride] = node("Reshape", [pair, target], f"{name}_{stride}")
            elif name == "score":
                outputs["cls", stride] = node("Identity", [value], f"cls_{stride}")
                outputs["obj", stride] = node("Identity", [value], f"obj_{stride}")
            else:
                outputs[name, stride] = node("Identity", [value], f"{'bbox' if name == 'box' else 'kps'}_{stride}")
    kinds = (
        ("score", "box", *(("points",) if key_points else ())) if kind == "scrfd" else ("cls", "obj", "box", "points")
    )
    listed = [outputs[name, stride] for name in kinds for stride in (8, 16, 32)]
    graph = helper.make_graph(
        nodes,
        f"tiny {kind}",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (3 if batch_axis else 2)) for name in listed],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def safetensors_of_zeros() -> bytes:
    """A whole file of a format that S3FD's weights come in; the numbers do not matter here."""
    header = b'{"conv1_1.weight":{"dtype":"F32","shape":[256],"data_offsets":[0,1024]}}'
    return len(header).to_bytes(8, "little") + header + bytes(1024)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files by detector: real formats, made-up networks that find magenta squares."""
    folder = tmp_path_factory.mktemp("models")
    contents = {
        "scrfd": _pattern_network("scrfd", side=640, key_points=True, batch_axis=True),
        "scrfd-free": _pattern_network("scrfd", side="side", key_points=False, batch_axis=False),
        "yunet": _pattern_network("yunet", side=640, key_points=True, batch_axis=True),
        "s3fd": safetensors_of_zeros(),
    }
    names = {
        "scrfd": "scrfd_2.5g_kps.onnx",
        "scrfd-free": "det_500m.onnx",
        "yunet": "face_detection_yunet_2023mar.onnx",
        "s3fd": "s3fd.safetensors",
    }
    paths = {}
    for key, content in contents.items():
        path = folder / key / names[key]
        path.parent.mkdir()
        path.write_bytes(content)
        paths[key] = path
    return paths


@pytest.fixture(scope="session")
def pattern() -> Callable[..., Frame]:
    return pattern_frame
