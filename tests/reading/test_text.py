"""Text and JSON of strangers: bounded, and every fault is told as the file's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import InputError, UnreadableMedia
from talkinghead.reading import bounded_lines, parse_json, read_json, read_text
from talkinghead.reading.text import MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_LINE

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value), "x") == value


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]
    assert read_text(path) == "[1]"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b'"\xed\xa0\x80"', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[" * 500 + b"]" * 500, f"more than {MAX_JSON_DEPTH} levels"),
        (b'{"a":' * (MAX_JSON_DEPTH + 2) + b"1" + b"}" * (MAX_JSON_DEPTH + 2), f"more than {MAX_JSON_DEPTH} levels"),
        (b"[" + b"[]," * MAX_JSON_VALUES + b"1]", f"more than {MAX_JSON_VALUES} values"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"NaN", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"1e999", "beyond every bound"),
        (b"9" * 5000, "5000 digits"),
        (b"9" * 100, "100 digits"),
        (b"[1] [2]", "is not JSON"),
    ],
    ids=lambda value: value[:12].decode("latin1") if isinstance(value, bytes) else "",
)
def test_what_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableMedia) as caught:
        read_json(path, error=UnreadableMedia, accepted="an object")
    assert told in caught.value.what
    assert str(path) in caught.value.what
    assert caught.value.accepted == "an object"
    assert len(caught.value.what) < 1000


def test_levels_up_to_the_bound_are_read() -> None:
    depth = MAX_JSON_DEPTH
    value = parse_json("[" * depth + "]" * depth, "x")
    for _ in range(depth - 1):
        [value] = value
    assert value == []


def test_files_that_are_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="cannot be read"):
            read_json(path)
        with pytest.raises(InputError, match="cannot be read"):
            read_text(path)
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(InputError, match="larger than 100 bytes"):
        read_text(tmp_path / "large", max_bytes=100)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "latin")


def test_lines_are_bounded() -> None:
    assert list(bounded_lines(iter(["a\n", "b"]))) == ["a\n", "b"]
    with pytest.raises(ValueError, match="characters"):
        list(bounded_lines(iter(["x" * (MAX_LINE + 1)])))
