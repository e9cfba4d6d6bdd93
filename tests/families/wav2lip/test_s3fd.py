"""The published face detector: network, decoding and answers (golden), and its place among the detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.backends import Placement, open_session, placement  # noqa: E402
from talkinghead.backends.gate import MIN_PSNR_DB  # noqa: E402
from talkinghead.backends.placement import installed  # noqa: E402
from talkinghead.backends.processor import Processor  # noqa: E402
from talkinghead.engine.cache import Cache  # noqa: E402
from talkinghead.errors import WrongCheckpoint  # noqa: E402
from talkinghead.face import FaceOptions, track_faces  # noqa: E402
from talkinghead.face.detectors import s3fd  # noqa: E402
from talkinghead.face.detectors.s3fd import (  # noqa: E402
    S3fdDetector,
    best_faces_on_device,
    check_weights,
    find_faces,
    network_input,
    published_rect,
    s3fd_network,
)
from talkinghead.media.arrays import ArraySource  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from tests.golden_files import Golden  # noqa: E402
from tests.tolerances import tolerance  # noqa: E402

BACKENDS = [name for name in ("torch", "onnx", "openvino") if installed(name)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_network(backend: str, weights_s3fd: dict[str, np.ndarray]) -> None:
    data = Golden("wav2lip/s3fd_network")
    check_weights(weights_s3fd, "golden")
    frames = list(data["images"][..., ::-1])
    session = open_session(
        s3fd_network(weights_s3fd, "golden", 96, 128), Placement.choose("cpu", backend, "parity"), batch=2, threads=2
    )
    maps = list(session.run({"image": network_input(frames)}).values())
    for index, found in enumerate(maps):
        data.check(f"map{index:02d}", found)
    boxes, scores = best_faces_on_device([torch.from_numpy(value) for value in maps])
    near = tolerance("wav2lip/s3fd_network:boxes")
    for image in range(2):
        faces = find_faces(maps, image)
        expected = data[f"det{image}"]
        assert len(faces.scores) == len(expected)
        np.testing.assert_allclose(faces.boxes_xyxy, expected[:, :4], atol=near, rtol=1e-5)
        np.testing.assert_allclose(faces.scores, expected[:, 4], atol=tolerance("wav2lip/s3fd_network:scores"))
        assert published_rect(faces.boxes_xyxy[0]) == tuple(data["rects"][image])
        np.testing.assert_allclose(boxes[image].numpy(), faces.boxes_xyxy[0], atol=near, rtol=1e-5)
        np.testing.assert_allclose(scores[image].numpy(), faces.scores[0], atol=tolerance("runtimes:again"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_pictures_in_batches(backend: str, weights_s3fd: dict[str, np.ndarray]) -> None:
    """`fc6` has a kernel of 3 and a padding of 3: its pictures of 2 x 3 positions cannot be convolved side by side."""
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8))
    image = {"image": network_input(frames)}
    network = s3fd_network(weights_s3fd, "golden", 64, 96)
    expected = open_session(network, Placement.choose("cpu", "torch", "parity"), threads=2).run(image)
    found = open_session(network, Placement.choose("cpu", backend, "parity"), batch=3, threads=2).run(image)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=tolerance("wav2lip/s3fd_network:map"), rtol=0, err_msg=name)


def test_golden_decoding() -> None:
    data = Golden("wav2lip/sfd_decode")
    maps = [data[f"map{index:02d}"] for index in range(12)]
    boxes, scores = best_faces_on_device([torch.from_numpy(value) for value in maps])
    for image in range(3):
        faces = find_faces(maps, image)
        expected = data[f"det{image}"]
        np.testing.assert_allclose(
            faces.boxes_xyxy, expected[:, :4].reshape(-1, 4), atol=tolerance("wav2lip/sfd_decode:boxes")
        )
        assert bool(data["found"][image]) == bool(len(faces.scores)) == bool(scores[image] > 0.5)
        if len(faces.scores):
            assert published_rect(faces.boxes_xyxy[0]) == tuple(data["rects"][image])
            assert published_rect(boxes[image].numpy()) == tuple(data["rects"][image])


def test_last_of_equal_scores_wins() -> None:
    maps = []
    for level in range(6):
        side = max(1, 8 // 2**level)
        classes = np.zeros((1, 2, side, side), np.float32)
        classes[:, 0] = 30
        maps += [classes, np.zeros((1, 4, side, side), np.float32)]
    for row, column in ((1, 2), (5, 6), (3, 3)):
        maps[0][0, :, row, column] = (-30, 30)
    faces = find_faces(maps, 0)
    assert tuple(faces.boxes_xyxy[0]) == (6 * 4 + 2 - 8, 5 * 4 + 2 - 8, 6 * 4 + 2 + 8, 5 * 4 + 2 + 8)
    boxes, _ = best_faces_on_device([torch.from_numpy(value) for value in maps])
    np.testing.assert_array_equal(boxes[0].numpy(), faces.boxes_xyxy[0])


@pytest.mark.thorough
def test_detector(tmp_path: Path, weights_s3fd: dict[str, np.ndarray]) -> None:
    path = tmp_path / "s3fd.safetensors"
    write_safetensors(weights_s3fd, path)
    data = Golden("wav2lip/s3fd_network")
    frames = [np.ascontiguousarray(image[..., ::-1]) for image in data["images"]]
    detector = S3fdDetector(path, precision="parity", device="cpu", threads=2)
    found = detector.detect([*frames, frames[0][:64]])
    assert [published_rect(faces[0].box_xyxy) for faces in found[:2]] == [tuple(rect) for rect in data["rects"]]
    assert len(found) == 3
    small = S3fdDetector(path, device="cpu", max_side=64, threads=2).detect(frames[:1])[0]
    assert small
    assert "s3fd" in detector.description
    assert detector.identity != S3fdDetector(path, device="cpu", max_side=64).identity


def test_other_weights_are_refused(tmp_path: Path, weights_s3fd: dict[str, np.ndarray]) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors({name: value for name, value in weights_s3fd.items() if "fc7" not in name}, path)
    with pytest.raises(WrongCheckpoint, match="not the S3FD"):
        S3fdDetector(path, device="cpu")


@pytest.fixture
def fast_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with AMX on which only PyTorch is installed: bfloat16 is tried first, whatever runs the test."""
    amx = Processor(frozenset({"avx512_bf16", "amx_bf16"}), "made up")
    monkeypatch.setattr(placement, "this_processor", lambda: amx)
    monkeypatch.setattr(placement, "installed", lambda backend: backend == "torch")


@pytest.mark.thorough
@pytest.mark.usefixtures("fast_machine")
def test_a_reduced_precision_is_measured_once(tmp_path: Path, weights_s3fd: dict[str, np.ndarray]) -> None:
    path = tmp_path / "s3fd.safetensors"
    write_safetensors(weights_s3fd, path)
    frame = np.ascontiguousarray(Golden("wav2lip/s3fd_network")["images"][0][..., ::-1])
    cache = Cache(tmp_path / "cache")
    looks = []

    def look() -> Any:
        looks.append(1)
        return frame

    first = S3fdDetector(path, device="cpu", threads=2)
    assert first.identity.endswith("bfloat16")
    first.settle(look, cache)
    again = S3fdDetector(path, device="cpu", threads=2)
    again.settle(look, cache)
    again.settle(look, cache)
    assert looks == [1]
    assert again.network == first.network
    assert again.identity == first.identity
    run = first.network
    assert run.backend == "torch"
    assert (run.precision == "bfloat16") == (run.psnr_db is not None) == (first.fallbacks == ())
    named = S3fdDetector(path, device="cpu", precision="bfloat16", threads=2)
    named.settle(lambda: pytest.fail("nothing is measured"), cache)
    assert (named.network.precision, named.network.psnr_db) == ("bfloat16", None)


@pytest.mark.thorough
@pytest.mark.usefixtures("fast_machine")
def test_a_precision_that_loses_faces_is_left(
    tmp_path: Path,
    weights_s3fd: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "s3fd.safetensors"
    write_safetensors(weights_s3fd, path)
    data = Golden("wav2lip/s3fd_network")
    source = ArraySource([np.ascontiguousarray(data["images"][0][..., ::-1])])
    exact = S3fdDetector(path, device="cpu", precision="parity", threads=2)
    wanted = exact.detect(list(source.read()))[0]
    monkeypatch.setattr(s3fd, "faithfulness_db", lambda found, exact, **_: 20.0)
    detector = S3fdDetector(path, device="cpu", threads=2)
    track = track_faces(source, FaceOptions(smoothing=0), detector=detector)
    assert detector.identity == exact.identity
    assert "keeps only 20.0 dB" in track.fallbacks[0]
    assert track.network is not None
    assert track.network.precision == "float32"
    np.testing.assert_array_equal(detector.detect(list(source.read()))[0][0].box_xyxy, wanted[0].box_xyxy)


def test_faithfulness_counts_scores_and_boxes() -> None:
    def maps(score: float, offset: float) -> list[np.ndarray]:
        found = []
        for level in range(6):
            side = max(1, 8 // 2**level)
            classes, boxes = np.zeros((1, 2, side, side), np.float32), np.zeros((1, 4, side, side), np.float32)
            classes[:, 0] = 30
            if level == 0:
                classes[0, :, 2, 3] = (0, score)
                boxes[0, 0, 2, 3] = offset
            found += [classes, boxes]
        return found

    same = s3fd.faithfulness_db(maps(4, 0), maps(4, 0), side=32)
    assert same == np.inf
    assert s3fd.faithfulness_db(maps(3.9, 0), maps(4, 0), side=32) > 60
    assert s3fd.faithfulness_db(maps(-4, 0), maps(4, 0), side=32) < 20
    assert 50 < s3fd.faithfulness_db(maps(4, 0.05), maps(4, 0), side=32) < 60  # 0.08 pixels
    assert s3fd.faithfulness_db(maps(4, 5), maps(4, 0), side=32) < 20
    assert not s3fd.faithfulness_db(maps(np.nan, 0), maps(4, 0), side=32) >= MIN_PSNR_DB
    assert not s3fd.faithfulness_db(maps(4, np.inf), maps(4, 0), side=32) >= MIN_PSNR_DB
