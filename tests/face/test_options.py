"""What may be said about finding the face, and what is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import OptionError
from talkinghead.face import FaceOptions
from talkinghead.face.detectors.options import Selection, parse_selection


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("largest", Selection("largest")),
        ("only", Selection("only")),
        ("index:0", Selection("index", index=0)),
        ("index:12", Selection("index", index=12)),
        ("nearest:3,4", Selection("nearest", point_xy=(3.0, 4.0))),
        ("nearest:-3.5,+0.25", Selection("nearest", point_xy=(-3.5, 0.25))),
    ],
)
def test_selections_are_read(text: str, expected: Selection) -> None:
    assert parse_selection(text) == expected
    assert FaceOptions(select=text).selection == expected


@pytest.mark.parametrize(
    "text", ["", "Largest", "index", "index:", "index:-1", "index:1.5", "nearest:1", "nearest:1,2,3", "nearest:nan,1"]
)
def test_other_selections_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="does not name a face") as caught:
        FaceOptions(select=text)
    assert "index:K" in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_clearly(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert parse_selection(text).rule == text.split(":")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "magic"}, "no face detector 'magic'"),
        ({"detector": "box"}, "needs a box"),
        ({"detector": "haar", "box": (0, 0, 5, 5)}, "were both given"),
        ({"detector": "haar", "detector_model": Path("x.onnx")}, "takes no model file"),
        ({"box": (0, 0, 5, 5), "detector_model": Path("x.onnx")}, "takes no model file"),
        ({"box": (5, 0, 5, 5)}, "is empty"),
        ({"box": (0, 9, 5, 5)}, "is empty"),
        ({"padding": (1, 2, 3)}, "four whole numbers"),
        ({"padding": (1, 2, 3, 0.5)}, "a whole number"),
        ({"smoothing": -1}, "smoothing is -1"),
        ({"every": 0}, "every is 0"),
        ({"no_face": "skip"}, "no policy 'skip'"),
        ({"min_score": 1.5}, "0 to 1"),
        ({"min_score": float("nan")}, "min_score is nan"),
        ({"max_side": 3}, "max_side is 3"),
    ],
)
def test_contradictions_are_refused_with_what_is_accepted(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FaceOptions(**options)


def test_options_are_plain_values() -> None:
    assert FaceOptions() == FaceOptions()
    assert hash(FaceOptions(box=(1, 2, 3, 4))) == hash(FaceOptions(box=(1, 2, 3, 4)))


def test_nothing_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, talkinghead.face, talkinghead.engine.cache, talkinghead.face.crop\n"
        "talkinghead.face.FaceOptions()\n"
        "print([m for m in ('cv2', 'av', 'torch', 'onnxruntime', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
