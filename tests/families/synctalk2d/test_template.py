"""Template folders: reading, landmark files, the order of frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import InputError, MediaNotFound, OptionError, UnreadableMedia
from talkinghead.families.synctalk2d.template import (
    landmark_text,
    open_template,
    parse_landmarks,
    read_image,
    template_order,
)
from tests.golden_files import read_json

from .conftest import golden

Make = Callable[[], Path]


def published_orders() -> list[tuple[int, list[int]]]:
    data = read_json("synctalk2d/pingpong.json")
    found = [
        (int(key.split()[0][2:]), value["files_read"])
        for key, value in data.items()
        if isinstance(value, dict) and value["completed"]
    ]
    found += [(int(key.split("=")[1]), value) for key, value in data.items() if key.startswith("udh_offline")]
    return found


@pytest.mark.parametrize(("count", "order"), published_orders())
def test_golden_order(count: int, order: list[int]) -> None:
    assert template_order(count, len(order)).tolist() == order


@pytest.mark.parametrize("case", ["e2e_328_ave", "e2e_160_ave"])
def test_golden_order_of_the_whole_script(case: str) -> None:
    data = golden(case)
    assert template_order(3, int(data["n_frames"])).tolist() == data["template_order"].tolist()


def test_first_frame_is_template_1() -> None:
    """Trap: the walker steps before it reads."""
    assert template_order(5, 3).tolist() == [1, 2, 3]


def test_one_template_is_shown_throughout() -> None:
    """Left on purpose: the published script reads template 1, which is missing, and stops."""
    assert template_order(1, 4).tolist() == [0, 0, 0, 0]
    assert template_order(5, 3, start_frame=4).tolist() == [4, 4, 4]


def test_start_frame_shortens_the_range() -> None:
    """As published up to the turn; there the published script reads past the end and stops."""
    read = read_json("synctalk2d/pingpong.json")["N=5 start=2"]["files_read"]
    order = template_order(5, 6, start_frame=2).tolist()
    assert order[:2] == read[:2] == [3, 4]
    assert order == [3, 4, 3, 2, 3, 4]
    with pytest.raises(OptionError, match="start_frame 5"):
        template_order(5, 1, start_frame=5)


@given(st.integers(1, 40), st.integers(0, 200), st.data())
def test_order_stays_inside_and_moves_by_one(count: int, frames: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, count - 1))
    order = template_order(count, frames, start)
    assert len(order) == frames
    assert ((order >= start) & (order < count)).all()
    if count - start > 1:
        assert (np.abs(np.diff(order)) == 1).all()
        period = 2 * (count - start - 1)
        assert (order[period:] == order[:-period] if frames > period else True) is True or (
            order[period:] == order[: frames - period]
        ).all()


def test_landmarks_truncate_toward_zero() -> None:
    text = "".join(f"{k + 0.999:.6f} {-k - 0.999:.6f}\n" for k in range(110))
    points = parse_landmarks(text, "x")
    assert points.dtype == np.int32
    assert points[3].tolist() == [3, -3]
    assert points[0].tolist() == [0, 0]


def test_landmarks_allow_blank_lines_and_spaces() -> None:
    """Left on purpose: the published reader stops at them."""
    text = "\n" + "\n\n".join(f" {k}   {k + 1}  " for k in range(110)) + "\n \n"
    assert parse_landmarks(text, "x")[7].tolist() == [7, 8]


@pytest.mark.thorough
@given(st.lists(st.tuples(st.integers(-500, 5000), st.integers(-500, 5000)), min_size=110, max_size=110))
def test_landmark_text_round_trip(points: list[tuple[int, int]]) -> None:
    array = np.array(points, np.int32)
    np.testing.assert_array_equal(parse_landmarks(landmark_text(array), "x"), array)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        ("1 2\n" * 68, "68-point scheme"),
        ("1 2 3\n" * 110, "not 110 points"),
        ("1 two\n" * 110, "does not hold landmarks"),
        ("1 2\n" * 109 + "1\n", "does not hold landmarks"),
        ("nan 2\n" * 110, "no pixels"),
        ("1e30 2\n" * 110, "no pixels"),
    ],
)
def test_bad_landmarks_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_landmarks(text, "3.lms")


def test_open_template(fresh_template: Make) -> None:
    folder = fresh_template()
    found = open_template(folder)
    assert found.num_frames == 3
    assert found.strays == ()
    assert found.parsing == (None, None, None)
    assert found.modes == ()
    frame = found.read_frame(1)
    np.testing.assert_array_equal(frame[:, :, ::-1], golden("e2e_160_ave")["decoded_1"])
    before = found.content_hash()
    np.save(folder / "aud_hu.npy", np.zeros((3, 2, 1024), np.float32))
    assert open_template(folder).modes == ("hubert",)
    (folder / "landmarks" / "1.lms").write_text(landmark_text(np.ones((110, 2), np.int32)))
    assert open_template(folder).content_hash() != before


def test_stray_files_do_not_count(fresh_template: Make) -> None:
    """Left on purpose: the published script counts every entry and reads past the end at the turn."""
    folder = fresh_template()
    for name in ("Thumbs.db", ".DS_Store", "007.jpg", "cover.jpg"):
        (folder / "full_body_img" / name).write_bytes(b"x")
    found = open_template(folder)
    assert found.num_frames == 3
    assert sorted(path.name for path in found.strays) == [".DS_Store", "007.jpg", "Thumbs.db", "cover.jpg"]


def test_holes_and_missing_landmarks_are_refused(fresh_template: Make) -> None:
    folder = fresh_template()
    (folder / "landmarks" / "1.lms").unlink()
    with pytest.raises(InputError, match="1 have no landmarks"):
        open_template(folder)
    (folder / "full_body_img" / "1.jpg").unlink()
    with pytest.raises(InputError, match="holes"):
        open_template(folder)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound, match="does not exist"):
        open_template(tmp_path / "nobody")
    with pytest.raises(MediaNotFound, match="holds no frames"):
        open_template(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaNotFound, match="is a file"):
        open_template(tmp_path / "file")


def test_a_broken_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableMedia, match="not a picture"):
        read_image(tmp_path / "0.jpg")
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(UnreadableMedia):
        read_image(tmp_path / "1.jpg")
    with pytest.raises(MediaNotFound):
        read_image(tmp_path / "2.jpg")
