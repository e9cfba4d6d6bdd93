"""One suite over every detector of the registry, and the choice among them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.contracts import Detection, Frame
from talkinghead.errors import InputError, MissingDependency, MissingWeights, OptionError, WrongCheckpoint
from talkinghead.face import FaceOptions, available_detectors, load_detector
from talkinghead.face.detectors import DETECTORS, Detector, catalogue
from talkinghead.face.identity import overlap
from talkinghead.reading.trial import failure_apart
from talkinghead.weights.folder import HOME_VARIABLE


class Case:
    """A detector with a picture in which it must find exactly the faces at `boxes`."""

    def __init__(self, options: FaceOptions, frame: Frame, boxes: list[tuple[float, float, float, float]], iou: float):
        self.options = options
        self.frame = frame
        self.boxes = np.array(boxes, np.float32)
        self.min_overlap = iou

    def detector(self) -> Detector:
        return load_detector(self.options)


ASTRONAUT_BOX = (180.0, 56.0, 271.0, 178.0)


def _real_model(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    files = (path for pattern in DETECTORS[name].model_patterns for path in sorted(folder.glob(pattern)))
    return next(files, None)


VARIANTS = ("scrfd-free", "scrfd-real")
"""The same detectors with other models."""
PATTERN = ("scrfd", "scrfd-free", "yunet")
"""Those of which there is a tiny network that finds drawn squares; the others need the real model."""


@pytest.fixture
def make_case(request: pytest.FixtureRequest, tiny_models, pattern, astronaut) -> Callable[[str], Case]:
    """A case by name: built-in detectors and real networks (where the folder of media has the model) on the
    photograph; tiny networks of the same formats on drawn squares."""

    def make(name: str) -> Case:
        kind = name.split("-")[0]
        if name == "box":
            return Case(FaceOptions(box=(30, 40, 90, 110)), astronaut, [(30, 40, 90, 110)], 0.999)
        if name in PATTERN:
            frame = pattern(640, 640, [(320, 256), (128, 480)])
            options = FaceOptions(detector=kind, detector_model=tiny_models[name])
            return Case(options, frame, [(272, 208, 368, 304), (80, 432, 176, 528)], 0.95)
        model = None
        if DETECTORS[kind].model_patterns:
            model = _real_model(request.getfixturevalue("shared_media"), kind)
            if model is None:
                pytest.skip(f"no model file for {kind}")
        return Case(FaceOptions(detector=kind, detector_model=model), astronaut, [ASTRONAUT_BOX], 0.6)

    return make


@pytest.fixture(params=[*DETECTORS, *VARIANTS])
def case(request: pytest.FixtureRequest, make_case: Callable[[str], Case]) -> Case:
    """Every registered detector."""
    return make_case(request.param)


@pytest.fixture(params=[name for name in (*DETECTORS, *VARIANTS) if name != "box"])
def seeing(request: pytest.FixtureRequest, make_case: Callable[[str], Case]) -> Case:
    """Every detector that looks at the pixels."""
    return make_case(request.param)


def same(a: list[Detection], b: list[Detection]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.box_xyxy, y.box_xyxy)
        and x.score == y.score
        and (x.key_points is None) == (y.key_points is None)
        and (x.key_points is None or np.array_equal(x.key_points, y.key_points))
        for x, y in zip(a, b, strict=True)
    )


def test_finds_the_faces_and_nothing_else(case: Case) -> None:
    found = case.detector().detect([case.frame])[0]
    assert len(found) == len(case.boxes)
    ious = overlap(np.stack([face.box_xyxy for face in found]), case.boxes)
    assert (ious.max(axis=0) >= case.min_overlap).all()
    assert (ious.max(axis=1) >= case.min_overlap).all()


def test_a_detection_is_well_formed_and_the_best_comes_first(case: Case) -> None:
    detector = case.detector()
    found = detector.detect([case.frame])[0]
    for face in found:
        assert face.box_xyxy.dtype == np.float32
        assert np.isfinite(face.box_xyxy).all()
        assert (face.box_xyxy[2:] > face.box_xyxy[:2]).all()
        assert isinstance(face.score, float)
        assert 0.0 <= face.score <= 1.0
        assert (face.key_points is not None) == detector.has_key_points
        if face.key_points is not None:
            assert face.key_points.dtype == np.float32
            left_eye, right_eye, nose, left_mouth, right_mouth = face.key_points
            assert left_eye[0] < nose[0] < right_eye[0]
            assert left_mouth[0] < right_mouth[0]
            assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
            inside = (face.key_points >= face.box_xyxy[:2]) & (face.key_points < face.box_xyxy[2:])
            assert inside.all()
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)


def test_left_stays_left_in_a_mirrored_picture(seeing: Case) -> None:
    detector = seeing.detector()
    found = detector.detect([np.ascontiguousarray(seeing.frame[:, ::-1])])[0]
    mirrored = seeing.boxes.copy()
    mirrored[:, [0, 2]] = seeing.frame.shape[1] - seeing.boxes[:, [2, 0]]
    assert (overlap(np.stack([f.box_xyxy for f in found]), mirrored).max(axis=0) >= seeing.min_overlap - 0.1).all()
    for face in found:
        if face.key_points is not None:
            assert face.key_points[0, 0] < face.key_points[1, 0]
            assert face.key_points[3, 0] < face.key_points[4, 0]


@pytest.mark.thorough
def test_a_batch_equals_its_frames(case: Case) -> None:
    detector = case.detector()
    larger = np.pad(case.frame, ((10, 20), (30, 7), (0, 0)), mode="edge")
    blank = np.full((123, 77, 3), 128, np.uint8) if detector.looks_at_pixels else case.frame
    frames = [case.frame, larger, blank, case.frame]
    together = detector.detect(frames)
    assert len(together) == len(frames)
    for frame, found in zip(frames, together, strict=True):
        assert same(found, detector.detect([frame])[0])
    assert same(together[0], together[3])


def test_no_frames_no_answers(case: Case) -> None:
    assert case.detector().detect([]) == []


def test_frames_are_not_changed(case: Case) -> None:
    frame = case.frame.copy()
    frame.flags.writeable = False
    case.detector().detect([frame])
    assert np.array_equal(frame, case.frame)


@pytest.mark.thorough
def test_nothing_is_kept_between_calls_nor_between_detectors(case: Case) -> None:
    detector = case.detector()
    first = detector.detect([case.frame])[0]
    if detector.looks_at_pixels:
        detector.detect([np.full((333, 211, 3), 9, np.uint8)])
    assert same(first, detector.detect([case.frame])[0])
    assert same(first, case.detector().detect([case.frame])[0])


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (37, 53), (719, 1279)])
def test_a_blank_frame_of_any_size_has_no_face(seeing: Case, size: tuple[int, int]) -> None:
    detector = seeing.detector()
    assert detector.detect([np.full((*size, 3), 127, np.uint8)]) == [[]]


@pytest.mark.parametrize(
    "frame", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3), np.float32)]
)
def test_what_is_not_a_frame_is_refused(case: Case, frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame must be"):
        case.detector().detect([frame])


@pytest.mark.thorough
def test_two_threads_may_share_it(case: Case) -> None:
    detector = case.detector()
    other = np.pad(case.frame, ((0, 31), (0, 0), (0, 0)), mode="edge")
    expected = [detector.detect([frame])[0] for frame in (case.frame, other)]
    answers: list[list[Detection]] = [[], []]

    def work(i: int) -> None:
        for _ in range(3):
            answers[i] = detector.detect([(case.frame, other)[i]])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(answers[0], expected[0])
    assert same(answers[1], expected[1])


def test_it_says_who_it_is(case: Case) -> None:
    detector = case.detector()
    assert detector.name in DETECTORS
    assert detector.name in detector.identity
    assert detector.name in detector.description
    assert detector.batch_size >= 1
    assert detector.identity == case.detector().identity


def test_the_identity_follows_every_setting(seeing: Case) -> None:
    base_identity = seeing.detector().identity
    assert load_detector(replace(seeing.options, min_score=0.77)).identity != base_identity
    if seeing.options.detector != "scrfd" or "free" in str(seeing.options.detector_model):
        assert load_detector(replace(seeing.options, max_side=352)).identity != base_identity


def test_the_least_score_holds(seeing: Case) -> None:
    best = seeing.detector().detect([seeing.frame])[0][0].score
    strict = load_detector(replace(seeing.options, min_score=min(1.0, best + 0.001)))
    assert all(face.score > best for face in strict.detect([seeing.frame])[0])


# The built-in detector on the photograph, changed in ways that real pictures differ.


@pytest.mark.parametrize("gain", [0.08, 0.3, 0.6, 1.6])
def test_haar_finds_dark_and_bright_faces(astronaut: Frame, gain: float) -> None:
    frame = np.clip(astronaut * gain, 0, 255).astype(np.uint8)
    _assert_main_face(frame, ASTRONAUT_BOX)


@pytest.mark.parametrize("degrees", [-25, -12, 12, 25])
def test_haar_finds_tilted_faces(astronaut: Frame, degrees: float) -> None:
    import cv2

    turn = cv2.getRotationMatrix2D((225, 117), degrees, 1.0)
    frame = cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REFLECT)
    _assert_main_face(frame, ASTRONAUT_BOX)


@pytest.mark.parametrize("size", [128, 256, 1024, 2048])
def test_haar_finds_faces_in_small_and_large_pictures(astronaut: Frame, size: int) -> None:
    import cv2

    frame = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA if size < 512 else cv2.INTER_LINEAR)
    _assert_main_face(frame, tuple(edge * size / 512 for edge in ASTRONAUT_BOX))


def test_haar_finds_a_small_face_in_a_large_frame(astronaut: Frame) -> None:
    frame = np.full((1080, 1920, 3), 90, np.uint8)
    frame[300:812, 700:1212] = astronaut
    _assert_main_face(frame, tuple(np.add(ASTRONAUT_BOX, (700, 300, 700, 300))))


def test_haar_finds_a_tightly_framed_face(astronaut: Frame) -> None:
    frame = np.ascontiguousarray(astronaut[50:185, 170:285])
    _assert_main_face(frame, tuple(np.subtract(ASTRONAUT_BOX, (170, 50, 170, 50))))


def test_haar_finds_a_noisy_face(astronaut: Frame) -> None:
    noise = np.random.default_rng(5).normal(0, 25, astronaut.shape)
    _assert_main_face(np.clip(astronaut + noise, 0, 255).astype(np.uint8), ASTRONAUT_BOX)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "brick", "grass", "moon"])
def test_haar_sees_no_face_where_there_is_none(name: str) -> None:
    import skimage.data

    picture = getattr(skimage.data, name)()
    frame = np.ascontiguousarray(picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2))
    assert load_detector(FaceOptions(detector="haar")).detect([frame]) == [[]]


def _assert_main_face(frame: Frame, box: tuple[float, ...]) -> None:
    found = load_detector(FaceOptions(detector="haar")).detect([frame])[0]
    assert found
    assert overlap(found[0].box_xyxy[None], np.array([box], np.float32))[0, 0] > 0.5


# Choosing a detector.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def _install(home: Path, model: Path, folder: str = "") -> Path:
    target = home / folder / model.name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(model.read_bytes())
    return target


def test_auto_is_the_built_in_detector_on_a_fresh_machine(home: Path) -> None:
    assert load_detector(FaceOptions()).name == "haar"
    rows = {row.name: row for row in available_detectors()}
    assert set(rows) == set(DETECTORS)
    assert [row.name for row in rows.values() if row.automatic] == ["haar"]
    assert rows["haar"].usable
    assert not rows["scrfd"].usable
    assert str(home) in rows["scrfd"].why_not


def test_auto_takes_the_best_model_it_finds_and_says_so(home: Path, tiny_models) -> None:
    _install(home, tiny_models["scrfd"], "scrfd")
    assert load_detector(FaceOptions()).name == "scrfd"
    found = _install(home, tiny_models["yunet"])
    detector = load_detector(FaceOptions())
    assert detector.name == "yunet"
    assert found.name in detector.description
    rows = {row.name: row for row in available_detectors()}
    assert rows["yunet"].automatic
    assert rows["yunet"].model == found
    assert not rows["scrfd"].automatic
    assert rows["scrfd"].usable


def test_auto_passes_over_a_detector_whose_package_is_missing(
    home: Path, tiny_models, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(home, tiny_models["scrfd"])
    found = catalogue.importlib.util.find_spec
    monkeypatch.setattr(
        catalogue.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    assert load_detector(FaceOptions()).name == "haar"
    with pytest.raises(MissingDependency, match="onnxruntime"):
        load_detector(FaceOptions(detector="scrfd"))
    row = next(row for row in available_detectors() if row.name == "scrfd")
    assert not row.usable
    assert "onnxruntime" in row.why_not


@pytest.mark.parametrize("name", ["scrfd", "yunet"])
def test_auto_recognises_a_given_model(tiny_models, name: str, tmp_path: Path) -> None:
    renamed = tmp_path / "some model.onnx"
    renamed.write_bytes(tiny_models[name].read_bytes())
    assert load_detector(FaceOptions(detector_model=renamed)).name == name


def test_a_box_needs_no_detector() -> None:
    detector = load_detector(FaceOptions(box=(1, 2, 3, 4)))
    assert detector.name == "box"
    assert not detector.looks_at_pixels


def test_a_box_outside_the_frame_is_an_error() -> None:
    detector = load_detector(FaceOptions(box=(100, 0, 120, 20)))
    with pytest.raises(OptionError, match="outside the frame, which has 100x50 pixels"):
        detector.detect([np.zeros((50, 100, 3), np.uint8)])


@pytest.mark.parametrize("name", [name for name, entry in DETECTORS.items() if entry.model_patterns])
def test_a_missing_model_is_named_with_where_to_put_it(home: Path, name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights) as caught:
        load_detector(FaceOptions(detector=name))
    assert str(home) in str(caught.value)
    assert HOME_VARIABLE in str(caught.value)
    with pytest.raises(MissingWeights, match="nowhere"):
        load_detector(FaceOptions(detector=name, detector_model=tmp_path / "nowhere.onnx"))
    with pytest.raises(MissingWeights):
        load_detector(FaceOptions(detector=name, detector_model=tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a model", b"<html>\n<body>" * 40, bytes(range(256)) * 20])
@pytest.mark.parametrize("name", [name for name, entry in DETECTORS.items() if entry.model_patterns])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(WrongCheckpoint, match=r"broken\.onnx"):
        load_detector(FaceOptions(detector=name, detector_model=path))


@pytest.mark.parametrize("name", [name for name, entry in DETECTORS.items() if entry.model_patterns and name != "mesh"])
def test_a_truncated_model_is_refused(tmp_path: Path, name: str, tiny_models) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(tiny_models[name].read_bytes()[:-700])
    with pytest.raises(WrongCheckpoint):
        load_detector(FaceOptions(detector=name, detector_model=path))


def onnx_with(**facts: object) -> bytes:
    """A model of one operator, made as `onnx.helper.make_node` makes it: what no checker has seen."""
    from onnx import TensorProto, helper

    node = helper.make_node(facts.pop("op"), facts.pop("inputs"), ["cls_8"], **facts)
    shape = [1, 3, 64, 64]
    graph = helper.make_graph(
        [node],
        "obj_8",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("cls_8", TensorProto.FLOAT, shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


DAMAGED_ONNX = {
    "weights that nothing gives": {"op": "Conv", "inputs": ["x", "nowhere"]},
    "weights of another rank": {"op": "Conv", "inputs": ["x", "w"]},
    "no inputs": {"op": "Conv", "inputs": []},
    "one input of two": {"op": "Add", "inputs": ["x"]},
    "a kernel of nothing": {"op": "MaxPool", "inputs": ["x"], "kernel_shape": [0, 0]},
    "groups of nothing": {"op": "Conv", "inputs": ["x", "w"], "group": 0},
    "its own result": {"op": "Relu", "inputs": ["cls_8"]},
    "an unknown operator": {"op": "Nothing", "inputs": ["x"]},
    "axes outside": {"op": "Softmax", "inputs": ["x"], "axis": 99},
    "a permutation outside": {"op": "Transpose", "inputs": ["x"], "perm": [9, 9, 9, 9]},
    "no outputs of YuNet": {"op": "Relu", "inputs": ["x"]},
}


@pytest.mark.parametrize("name", DAMAGED_ONNX)
@pytest.mark.parametrize("detector", ["yunet", "scrfd"])
def test_an_onnx_file_that_an_importer_trips_over_is_refused(tmp_path: Path, detector: str, name: str) -> None:
    """OpenCV's importer ends the process over some of these; a message is the answer to all."""
    path = tmp_path / "damaged.onnx"
    path.write_bytes(onnx_with(**DAMAGED_ONNX[name]))
    with pytest.raises(WrongCheckpoint, match=r"damaged\.onnx"):
        load_detector(FaceOptions(detector=detector, detector_model=path))


def test_what_ends_a_process_is_tried_in_another_one() -> None:
    code = "import os, signal\nif data == b'end': os.kill(os.getpid(), signal.SIGSEGV)\nif data: sys.exit('no')"
    assert failure_apart(code, b"") is None
    assert failure_apart(code, b"x") == "no"
    assert "ends the process" in str(failure_apart(code, b"end"))
    assert "more than 0.5 seconds" in str(failure_apart("import time\ntime.sleep(60)", b"", timeout_s=0.5))
    assert "MemoryError" in str(failure_apart("bytearray(1 << 40)", b""))


def test_the_model_of_another_detector_is_refused(tiny_models) -> None:
    with pytest.raises(WrongCheckpoint):
        load_detector(FaceOptions(detector="scrfd", detector_model=tiny_models["yunet"]))
    with pytest.raises(InputError):
        load_detector(FaceOptions(detector="yunet", detector_model=tiny_models["scrfd"])).detect(
            [np.zeros((64, 64, 3), np.uint8)]
        )
