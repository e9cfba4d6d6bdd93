"""The body of a call: what may stand in it, and that no other file or address than those given can."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from talkinghead.errors import OptionError
from talkinghead.webui.calls import read_call

HERE = "/tmp/server/uploads/0123/me.png"
FILE = {"path": HERE, "meta": {"_type": "gradio.FileData"}}


def read(body: Any, *, named: bool = False) -> dict[str, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_call(text, lambda path: path == HERE, named=named)


def test_calls_go_through() -> None:
    call = {
        "data": [FILE, "text", 1.5, None, {"model": {"strength": 1}}, ["box"]],
        "session_hash": "abcdef123",
        "fn_index": 3,
    }
    found = read(call)
    assert found["data"][1:] == call["data"][1:]  # type: ignore[index]
    assert found["data"][0] == {**FILE, "orig_name": None}
    assert (found["session_hash"], found["fn_index"]) == ("abcdef123", 3)
    assert read({"face": FILE, "text": "Hi"}, named=True)["text"] == "Hi"


def test_who_has_no_session_gets_one_that_nobody_else_has() -> None:
    sessions = {read({"data": []})["session_hash"] for _ in range(5)}
    assert len(sessions) == 5


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "http://example.org/a.png", "https://example.org/a.png", "file:///etc/passwd", HERE + "/..", "",
     "ftp://x/y", "data:image/png;base64,AAAA", "//example.org/x", "\\\\host\\x", "../me.png", None, 3, [HERE]],
)  # fmt: skip
@pytest.mark.parametrize(
    "shape",
    [
        lambda path: {"path": path},
        lambda path: {"path": path, "meta": {"_type": "gradio.FileData"}},
        lambda path: {"url": path},
        lambda path: {"url": path, "path": None, "meta": {"_type": "gradio.FileData"}},
        lambda path: [[{"deep": {"path": path, "meta": {}}}]],
        lambda path: {"video": {"path": path}},
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_other_files_and_addresses_go_no_further(shape: Any, path: Any, named: bool) -> None:
    value = shape(path)
    with pytest.raises(OptionError, match="names a file that is not here"):
        read({"face": value} if named else {"data": [value]}, named=named)


def test_the_address_of_a_file_that_is_here_does_not_count() -> None:
    given = {**FILE, "url": "http://evil.org/x", "is_stream": True, "orig_name": "x" * 1000, "mime_type": 3}
    assert read({"data": [given]})["data"] == [{**FILE, "orig_name": None}]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"3", b"{", b"\xff", b'{"data": [NaN]}', b'{"data": [Infinity]}', b'{"data": [1e999]}',
        b'{"data": [' + b"9" * 5000 + b"]}", b'{"data": [0.' + b"9" * 5000 + b"]}", b"[" * 100_000,
        b'{"data": ' + b"[" * 20 + b"]" * 20 + b"}", b'{"data": ["' + b"x" * 100_001 + b'"]}',
        b'{"data": [[' + b"1," * 1001 + b'1]]}', b'{"data": [], "session_hash": "../x"}',
        b'{"data": [], "session_hash": 5}', b'{"data": [], "session_hash": "' + b"x" * 65 + b'"}',
    ],
)  # fmt: skip
def test_absurd_bodies_are_refused_at_once(body: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(OptionError):
        read(body)
    assert time.monotonic() - started < 1.0
