"""SCRFD against recorded outputs of the original code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.face.detectors import scrfd
from tests.golden_files import Golden
from tests.tolerances import tolerance

MODEL_SHA256 = "32d20c77b9e2dc1d07e94c2ab9d25bdd5cd05eddbe0b46e7b38e7a1eca22e99a"


@pytest.fixture(scope="module")
def recorded() -> Golden:
    return Golden("synctalk2d/scrfd_decode")


def test_letterbox_matches_the_original(recorded) -> None:
    for height, width, new_height, new_width, top, left, *_ in recorded["letterbox_h_w_newh_neww_padh_padw_outh_outw"]:
        fit = scrfd.letterbox(int(height), int(width))
        assert (fit.height, fit.width, fit.top, fit.left) == (new_height, new_width, top, left), (height, width)


def test_decoding_matches_the_original(recorded) -> None:
    maps = list(recorded.inputs().values())
    height, width = (int(value) for value in recorded["src_shape"])
    threshold, overlap = float(recorded["threshold"]), float(recorded["nms"])
    boxes, points, scores = scrfd.decode(
        maps, scrfd.letterbox(height, width), (width, height), side=640, min_score=threshold
    )
    assert boxes.shape == recorded["boxes"].shape
    recorded.check("boxes", boxes)
    recorded.check("kps", points)
    keep = scrfd.suppress(boxes, scores, min_score=threshold, max_overlap=overlap)
    np.testing.assert_array_equal(keep, recorded["keep"])


@pytest.mark.media
@pytest.mark.parametrize("view", ["square", "landscape", "portrait"])
def test_the_real_network_matches_the_original(view: str, shared_media: Path, astronaut) -> None:
    path = shared_media / "scrfd_2.5g_kps.onnx"
    if not path.is_file():
        pytest.skip("no scrfd_2.5g_kps.onnx")
    model = path.read_bytes()
    assert hashlib.sha256(model).hexdigest() == MODEL_SHA256
    recorded = Golden("synctalk2d/scrfd_real")
    info = json.loads(str(recorded["info"]))[view]
    region = {
        "square": np.s_[:, :],
        "landscape": np.s_[0:301, 0:512],
        "portrait": np.s_[0:400, 90:391],
    }[view]
    frame = np.ascontiguousarray(astronaut[region])
    height, width = frame.shape[:2]
    assert list(frame.shape) == info["shape"]

    blob, fit = scrfd.network_input(frame)
    assert [fit.height, fit.width, fit.top, fit.left] == recorded[f"{view}_resize"].tolist()
    recorded.check(f"{view}_blob_sub", blob[0][:, ::16, ::16])
    stats = [blob.mean(dtype=np.float64), blob.std(dtype=np.float64), blob.min(), blob.max()]
    recorded.check(f"{view}_blob_stats", stats)

    detector = scrfd.ScrfdDetector(model, min_score=info["threshold"], retry_with_border=False)
    maps = detector.run(blob)
    for i, array in enumerate(maps):
        stats = [array.mean(dtype=np.float64), array.std(dtype=np.float64), array.min(), array.max()]
        recorded.check(f"{view}_raw{i}_stats", stats)
    boxes, points, scores = scrfd.decode(maps, fit, (width, height), side=640, min_score=info["threshold"])
    recorded.check(f"{view}_boxes", boxes)
    recorded.check(f"{view}_kps", points)
    recorded.check(f"{view}_scores", scores)
    keep = scrfd.suppress(boxes, scores, min_score=info["threshold"], max_overlap=info["nms"])
    np.testing.assert_array_equal(keep, recorded[f"{view}_keep"])

    best = detector.detect([frame])[0][0]
    corner, size = boxes[keep[0], :2], boxes[keep[0], 2:]
    near = tolerance(f"synctalk2d/scrfd_real:{view}_best")
    np.testing.assert_allclose(best.box_xyxy, [*corner, *(corner + size)], rtol=0, atol=near)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_letterboxed_frame_lies_inside_the_input(height: int, width: int) -> None:
    fit = scrfd.letterbox(height, width)
    assert 1 <= fit.height <= 640
    assert 1 <= fit.width <= 640
    assert 0 <= fit.top <= 640 - fit.height
    assert 0 <= fit.left <= 640 - fit.width
    assert max(fit.height, fit.width) == 640


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 30), st.integers(1, 30), st.integers(0, 20)),
        max_size=25,
    )
)
def test_suppression_equals_the_plain_loop(rows: list[tuple[int, int, int, int, int]]) -> None:
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[4] / 20 for row in rows], np.float32)
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -scores[i]):
        x, y, w, h, _ = rows[i]
        free = True
        for j in kept:
            u, v, p, q, _ = rows[j]
            shared = max(0, min(x + w, u + p) - max(x, u)) * max(0, min(y + h, v + q) - max(y, v))
            free = free and not shared / (w * h + p * q - shared) > 0.5
        if free and scores[i] > 0.3:
            kept.append(i)
    assert scrfd.suppress(boxes, scores, min_score=0.3, max_overlap=0.5).tolist() == kept


def test_the_search_with_a_border_gives_places_in_the_frame(tiny_models, pattern) -> None:
    class Blind(scrfd.ScrfdDetector):
        """Sees nothing in the frame itself."""

        def _search(self, frame):
            return [] if frame.shape[0] == 320 else super()._search(frame)

    model = tiny_models["scrfd"].read_bytes()
    frame = pattern(320, 320, [(96, 160)])
    found = Blind(model).detect([frame])[0]
    np.testing.assert_allclose(found[0].box_xyxy, [48, 112, 144, 208], atol=1e-3)
    assert found[0].key_points is not None
    np.testing.assert_allclose(found[0].key_points[2], [96, 160 + 0.1 * 32], atol=1e-3)
    plain = Blind(model, retry_with_border=False)
    assert plain.detect([frame]) == [[]]
    assert plain.identity != Blind(model).identity


@pytest.mark.media
def test_the_real_network_finds_a_face_that_fills_the_frame(shared_media: Path, astronaut) -> None:
    path = shared_media / "scrfd_2.5g_kps.onnx"
    if not path.is_file():
        pytest.skip("no scrfd_2.5g_kps.onnx")
    frame = np.ascontiguousarray(astronaut[55:180, 178:275])
    assert scrfd.ScrfdDetector(path.read_bytes(), retry_with_border=False).detect([frame]) == [[]]
    found = scrfd.ScrfdDetector(path.read_bytes()).detect([frame])[0]
    np.testing.assert_allclose(found[0].box_xyxy, [3, 1, 93, 123], atol=12)


@pytest.mark.parametrize("side", [160, 320, 333, 640])
def test_a_model_of_free_size_runs_at_the_size_asked_for(tiny_models, pattern, side: int) -> None:
    detector = scrfd.ScrfdDetector(tiny_models["scrfd-free"].read_bytes(), side=side)
    assert detector.side % 32 == 0
    assert abs(detector.side - side) <= 16
    assert not detector.has_key_points
    found = detector.detect([pattern(detector.side, detector.side, [(64, 64)])])[0]
    np.testing.assert_allclose(found[0].box_xyxy, [16, 16, 112, 112], atol=1e-3)
