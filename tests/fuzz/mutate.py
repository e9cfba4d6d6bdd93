"""Damage to files: random, but the same for the same seed.

Bytes are flipped, cut, repeated, exchanged and replaced by numbers at the edges of their range and by words that a
reader might take for more than text. In archives (NumPy's, PyTorch's) a member is damaged and the archive written anew,
so that the damage arrives behind the check sums; in JSON one value is replaced.
"""

from __future__ import annotations

import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

EDGES = (
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
WORDS = (
    b"\x00", b"\xff" * 8, b"-1", b"1e999", b"NaN", b"Infinity", b"9" * 400, b"[" * 3000, b'{"a":' * 2000,
    b"\xed\xa0\x80", b"%n%s%d", b"cos\nsystem\n(S'id'\ntR.", b"\x80\x02cposix\nsystem\n", b"descr", b"'|O'", b"RIFF",
    b"ftyp",
    b"PK\x03\x04", b"\x93NUMPY",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 1e308, float("nan"), "", "x" * 5000, "../../secret", [], {}, [[]] * 100,
    {"a": {"b": []}}, "\ud800",
)  # fmt: skip


def mutated(seed: bytes, others: Sequence[bytes], rng: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """A damaged copy of a file.

    Args:
        others: files of the same reader, of which parts are taken over.
        words: more words to write into it (paths, addresses).
    """
    if rng.random() < 0.5:
        inner = _inside(seed, others, rng, words)
        if inner is not None:
            return inner
    data = bytearray(seed)
    for _ in range(1 + int(rng.expovariate(0.6))):
        rng.choice(DAMAGES)(data, rng, (*WORDS, *words), others)
    return bytes(data)


def _inside(seed: bytes, others: Sequence[bytes], rng: random.Random, words: Sequence[bytes]) -> bytes | None:
    """The same with the damage inside an archive or a JSON value; None where the file is neither."""
    if seed[:2] == b"PK":
        return _archive(seed, rng, words)
    if seed[:1] in b"{[":
        try:
            tree = json.loads(seed)
        except ValueError:
            return None
        return json.dumps(_replaced(tree, rng)).encode("utf-8", "surrogatepass")
    return None


def _archive(seed: bytes, rng: random.Random, words: Sequence[bytes]) -> bytes | None:
    try:
        with zipfile.ZipFile(io.BytesIO(seed)) as archive:
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    if not members:
        return None
    chosen = rng.randrange(len(members))
    how = rng.random()
    if how < 0.1:
        members.append(members[chosen])
    elif how < 0.2:
        del members[chosen]
    else:
        data = bytearray(members[chosen][1])
        for _ in range(1 + int(rng.expovariate(0.6))):
            rng.choice(DAMAGES)(data, rng, (*WORDS, *words), [content for _, content in members])
        members[chosen] = (members[chosen][0], bytes(data))
    out = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", method) as archive:  # a name twice
        for name, content in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            with archive.open(entry, "w") as file:
                file.write(content)
    return out.getvalue()


def _replaced(tree: Any, rng: random.Random) -> Any:
    """A copy of nested data with one value replaced, doubled or left out."""
    if isinstance(tree, dict) and tree and rng.random() < 0.8:
        key = rng.choice(list(tree))
        if rng.random() < 0.15:
            return {name: value for name, value in tree.items() if name != key}
        return {**tree, key: _replaced(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        index = rng.randrange(len(tree))
        if rng.random() < 0.15:
            return tree[:index] + tree[index + 1 :]
        return [*tree[:index], _replaced(tree[index], rng), *tree[index + 1 :]]
    return rng.choice(VALUES)


def _flip(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _number(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    """A number of 2, 4 or 8 bytes of either order at the edge of its range."""
    size, code = rng.choice(((2, "H"), (4, "I"), (8, "Q")))
    if len(data) >= size:
        at = min(_place(data, rng), len(data) - size)
        value = rng.choice(EDGES) & (256**size - 1)
        data[at : at + size] = struct.pack(rng.choice("<>") + code, value)


def _word(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    word = rng.choice(list(words))
    at = _place(data, rng) if data else 0
    data[at : at + rng.choice((0, len(word)))] = word


def _cut(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    del data[_place(data, rng) if data else 0 :]


def _remove(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    at = _place(data, rng) if data else 0
    del data[at : at + rng.choice((1, 2, 4, 16, 200))]


def _repeat(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    at = _place(data, rng) if data else 0
    part = bytes(data[at : at + rng.choice((1, 4, 32, 500))])
    data[at:at] = part * rng.choice((1, 2, 50))


def _exchange(data: bytearray, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    """Part of another file over part of this one."""
    other = rng.choice(list(others)) if others else b""
    if data and other:
        start = rng.randrange(len(other))
        part = other[start : start + rng.choice((4, 32, 400, 4000))]
        at = _place(data, rng)
        data[at : at + len(part)] = part


def _place(data: bytearray, rng: random.Random) -> int:
    """Somewhere, more often near the beginning, where headers are, or near the end, where directories are."""
    size = len(data)
    near = rng.random()
    if near < 0.4:
        return rng.randrange(min(size, 200))
    if near < 0.55:
        return size - 1 - rng.randrange(min(size, 200))
    return rng.randrange(size)


DAMAGES = (_flip, _flip, _byte, _byte, _number, _number, _word, _cut, _remove, _repeat, _exchange)
