"""Feature files and the windows that frames hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import InputError, MediaNotFound, OptionError
from talkinghead.families.synctalk2d.features import (
    Features,
    features_of,
    load_features,
    smoothed_features,
    window_rows,
)
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS

from .conftest import golden

AVE = AUDIO_VARIANTS["ave"]


@pytest.mark.parametrize("count", [8, 9, 13, 16, 20])
def test_golden_windows(count: int) -> None:
    np.testing.assert_array_equal(window_rows(count, range(count)), golden("audio_window")[f"rows_n{count}"])


@pytest.mark.parametrize("count", [8, 11])
def test_golden_windows_of_the_ancestor(count: int) -> None:
    found = window_rows(count, range(count), AUDIO_VARIANTS["udh-hubert"].window_rows)
    np.testing.assert_array_equal(found, golden("audio_window")[f"udh_rows_n{count}"])


def test_golden_windows_with_repeated_edges() -> None:
    np.testing.assert_array_equal(window_rows(20, range(20), edges="repeat"), golden("audio_window")["dk_rows_n20"])
    with pytest.raises(OptionError):
        window_rows(20, [0], edges="mirror")


def test_golden_reshape() -> None:
    data = golden("audio_window")
    features = features_of(golden("audio_window").inputs()["features"], AVE)
    found = features.windows([int(data["index"])])
    np.testing.assert_array_equal(found[0], data["ave_reshaped"])


def test_golden_smoothing() -> None:
    data = golden("audio_window")
    rows = golden("audio_window").inputs()["smooth"]
    found = smoothed_features(Features(AVE, rows))
    assert found.rows is not None
    data.check("smooth3", found.rows)


def test_short_sounds_give_whole_windows() -> None:
    """Left on purpose: the published code gets too few rows below 8 and stops at the reshape."""
    counts = json.loads(str(golden("audio_window")["short_row_counts"]))
    for text, published in counts.items():
        rows = window_rows(int(text), range(int(text)))
        assert rows.shape == (int(text), 16)
        assert min(published) < 16
        assert (rows >= -1).all()
        assert (rows < int(text)).all()


@given(st.integers(1, 60), st.integers(-5, 80))
def test_row_eight_is_the_frame_itself(count: int, index: int) -> None:
    row = window_rows(count, [index])[0]
    assert row[8] == (index if 0 <= index < count else -1)
    inside = row[row >= 0]
    assert (np.diff(inside) == 1).all()


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("ave", (20, 512)),
        ("hubert", (20, 2, 1024)),
        ("hubert", (20, 2048)),
        ("wenet", (20, 16, 512)),
        ("wenet", (20, 8192)),
        ("udh-hubert", (20, 2, 1024)),
        ("udh-wenet", (20, 16, 512)),
    ],
)
def test_files_of_every_published_shape(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    audio = AUDIO_VARIANTS[mode]
    array = np.random.default_rng(0).random(shape, np.float32)
    np.save(tmp_path / "f.npy", array)
    features = load_features(tmp_path / "f.npy", audio)
    assert len(features) == 20
    windows = features.windows(range(20))
    assert windows.shape == (20, *audio.input_shape)
    half = audio.window_rows // 2
    flat = array.reshape(20, -1)
    np.testing.assert_array_equal(windows[10].reshape(audio.window_rows, -1), flat[10 - half : 10 + half])

    ready = features_of(windows, audio)  # windows that were cut before are taken as they are
    np.testing.assert_array_equal(ready.windows([3, 19, 25]), windows[[3, 19, 19]])
    with pytest.raises(OptionError):
        smoothed_features(ready)


def test_other_float_types_are_cast() -> None:
    for kind in (np.float16, np.float64):
        assert features_of(np.zeros((9, 512), kind), AVE).windows([0]).dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 512), np.int16), "int16"),
        (np.zeros((9, 2, 1024), np.float32), "hubert"),
        (np.zeros((9, 16, 512), np.float32), "wenet"),
        (np.zeros((9, 32, 32, 32), np.float32), "hubert"),
        (np.zeros((9, 29), np.float32), r"\[9, 29\]"),
        (np.zeros((0, 512), np.float32), r"\[0, 512\]"),
        (np.zeros(512, np.float32), r"\[512\]"),
        (np.full((9, 512), np.nan, np.float32), "not numbers"),
    ],
)
def test_wrong_features_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        features_of(array, AVE)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        load_features(tmp_path / "none.npy", AVE)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(InputError, match=r"not a \.npy"):
        load_features(tmp_path / "text.npy", AVE)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a \.npy"):
        load_features(tmp_path / "objects.npy", AVE)
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="several arrays"):
        load_features(tmp_path / "many.npz", AVE)
