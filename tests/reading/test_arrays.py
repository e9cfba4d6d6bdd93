"""NumPy files of strangers: what numpy writes is read back, and nothing else than plain arrays comes out."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talkinghead.errors import InputError, StaleStage
from talkinghead.reading import read_npy, read_npz
from talkinghead.reading.arrays import PickledObjects, parse_npy
from talkinghead.reading.bounds import ROOM_BYTES


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """A .npy file with any header."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def header(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@given(
    hnp.arrays(
        st.sampled_from(["?", "<i2", "<u8", "<f2", "<f4", ">f8", "<c8", "<U3", "S2"]),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_what_numpy_saves_is_read_back(array: np.ndarray, fortran: bool) -> None:
    given_array = np.asfortranarray(array) if fortran else array
    found = parse_npy(np.frombuffer(saved(given_array), np.uint8), "x")
    native = given_array.astype(given_array.dtype.newbyteorder("="))
    assert found.shape == native.shape
    assert found.dtype == native.dtype
    assert found.tobytes() == native.tobytes()
    assert found.flags.writeable


@pytest.mark.parametrize("mapped", [False, True])
def test_files(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "x.npy"
    for array in (np.arange(6.0).reshape(2, 3), np.zeros((0, 3)), np.array(5), np.asfortranarray(np.eye(3))):
        np.save(path, array)
        found = read_npy(path, mapped=mapped)
        assert np.array_equal(found, array)
        assert found.shape == array.shape


def test_headers_of_other_programs() -> None:
    for text in (
        '{"descr": "<f4", "fortran_order": False, "shape": (2,)}',
        "{'shape': (2L,), 'fortran_order': False, 'descr': '<f4'}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,)}",
    ):
        for version in (1, 2, 3):
            data = npy(text, np.array([1, 2], "<f4").tobytes(), version)
            assert parse_npy(np.frombuffer(data, np.uint8), "x").tolist() == [1, 2]


HOSTILE = {
    "empty": b"",
    "another file": b"PK\x03\x04" + b"\0" * 40,
    "cut in the header": npy(header("(3,)"))[:30],
    "cut in the data": npy(header("(3,)"), b"\0" * 11),
    "no header": b"\x93NUMPY\x01\x00",
    "a version of the future": npy(header("(1,)"), b"\0" * 4, 2).replace(b"NUMPY\x02", b"NUMPY\x09"),
    "an open bracket": npy("{'descr': '<f4', 'fortran_order': False, 'shape': ((("),
    "a name": npy("__import__('os').system('true')"),
    "deep brackets": npy("(" * 9000),
    "many signs": npy("-" * 9000 + "1"),
    "two petabytes": npy(header("(1000000, 1000000, 1000)")),
    "more than a number": npy(header("(99999999999999999999, 99999999999999999999)")),
    "nothing of a great many": npy(header("(0, 99999999999999999999)")),
    "a product that wraps": npy(header("(4294967296, 4294967296)")),
    "negative": npy(header("(-1,)"), b"\0" * 64),
    "forty dimensions": npy(header(f"({'1, ' * 40})"), b"\0" * 4),
    "elements of no size": npy(header("(5,)", "'<U0'")),
    "an unknown type": npy(header("(1,)", "'<f3'"), b"\0" * 64),
    "fields": npy(header("(1,)", "[('a', '<f4')]"), b"\0" * 64),
    "dates": npy(header("(1,)", "'<M8[ns]'"), b"\0" * 64),
    "a header without an end": b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + b"{",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(HOSTILE[name])
    for mapped in (False, True):
        with pytest.raises(StaleStage, match=r"x\.npy is not a \.npy file"):
            read_npy(path, error=StaleStage, mapped=mapped)
    packed = tmp_path / "x.npz"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.npy", HOSTILE[name])
    with pytest.raises(StaleStage, match=r"x\.npz"):
        read_npz(packed, error=StaleStage)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    array = np.array([{}], dtype=object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=array)
    for read, path in ((read_npy, tmp_path / "x.npy"), (read_npz, tmp_path / "x.npz")):
        with pytest.raises(InputError, match="pickled Python objects") as caught:
            read(path)
        assert isinstance(caught.value.__cause__, PickledObjects)


def test_npz(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5), "b/c": np.ones((2, 2), np.float32), "text": np.array(["x", "yz"])}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **arrays)
        found = read_npz(tmp_path / "x.npz")
        assert list(found) == list(arrays)
        for name, value in arrays.items():
            assert np.array_equal(found[name], value)
        assert list(read_npz(tmp_path / "x.npz", names=("a", "z"))) == ["a"]


def archive_of(*members: tuple[str, bytes, int]) -> bytearray:
    """A zip archive of (name, content, method)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, method in members:
            archive.writestr(name, content, method)
    return bytearray(buffer.getvalue())


def central(data: bytearray, index: int = 0) -> int:
    """Where an entry of the directory begins."""
    place = -1
    for _ in range(index + 1):
        place = data.index(b"PK\x01\x02", place + 1)
    return place


def patched(data: bytearray, place: int, form: str, *values: int) -> bytes:
    struct.pack_into(form, data, place, *values)
    return bytes(data)


def overlapping() -> bytes:
    """Ten entries in the directory, all of them the same bytes of the file."""
    data = archive_of(*[(f"{k}.npy", saved(np.zeros(8)), zipfile.ZIP_STORED) for k in range(10)])
    for index in range(10):
        struct.pack_into("<I", data, central(data, index) + 42, 0)
    return bytes(data)


DEFLATED = ("a.npy", saved(np.zeros(1000)), zipfile.ZIP_DEFLATED)
STORED = ("a.npy", saved(np.zeros(10)), zipfile.ZIP_STORED)
ARCHIVES = {
    "no archive": b"PK\x03\x04" + b"\0" * 100,
    "no end": bytes(archive_of(STORED)[:-10]),
    "a promise of gigabytes": patched(archive_of(DEFLATED), central(archive_of(DEFLATED)) + 24, "<I", 0xF0000000),
    "more than it says": patched(archive_of(DEFLATED), central(archive_of(DEFLATED)) + 24, "<I", 200),
    "two sizes": patched(archive_of(STORED), central(archive_of(STORED)) + 24, "<I", 10_000),
    "entries that share bytes": overlapping(),
    "an encrypted entry": patched(archive_of(STORED), central(archive_of(STORED)) + 8, "<H", 1),
    "LZMA": bytes(archive_of(("a.npy", saved(np.zeros(10)), zipfile.ZIP_LZMA))),
    "BZIP2": bytes(archive_of(("a.npy", saved(np.zeros(10)), zipfile.ZIP_BZIP2))),
    "an unknown method": patched(archive_of(STORED), central(archive_of(STORED)) + 10, "<H", 99),
    "a wrong check sum": patched(archive_of(STORED), 100, "<I", 0x12345678),
    "a wrong check sum of packed bytes": patched(archive_of(DEFLATED), central(archive_of(DEFLATED)) + 16, "<I", 5),
    "damaged packed bytes": patched(archive_of(DEFLATED), 40, "<I", 0xFFFFFFFF),
    "a version of the future": patched(archive_of(STORED), central(archive_of(STORED)) + 6, "<H", 999),
    "a place beyond the file": patched(archive_of(STORED), central(archive_of(STORED)) + 42, "<I", 0x7FFFFFFF),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(ARCHIVES[name])
    with pytest.raises(StaleStage, match=r"x\.npz"):
        read_npz(path, error=StaleStage)


def test_a_bomb_names_its_limit(tmp_path: Path) -> None:
    """A small archive that is honest about what it becomes: packed zeros, packed once and named often."""
    size = ROOM_BYTES // 4
    content = npy(header(f"({size},)", "'|u1'"), bytes(size))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    path = tmp_path / "x.npz"
    names = [f"{k}.npy".encode() for k in range(6)]
    data, directory = bytearray(), bytearray()
    for name in names:
        facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, zlib.crc32(content), len(packed), len(content), len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, len(data)) + name
        data += b"PK\x03\x04" + facts + name + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(data), 0)
    path.write_bytes(bytes(data + directory) + b"PK\x05\x06" + end)
    assert list(read_npz(path, names=("0", "1"))) == ["0", "1"]
    with pytest.raises(InputError) as caught:
        read_npz(path)
    assert "asks for more memory" in caught.value.what
    assert "twice the size of the file and 128 MiB" in str(caught.value.accepted)
    assert "without compression" in str(caught.value.remedy)


def test_names_are_never_paths(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    path = folder / "x.npz"
    path.write_bytes(
        archive_of(
            ("../../out.npy", saved(np.arange(3)), zipfile.ZIP_STORED), STORED, ("/b.npy", saved(np.arange(2)), 0)
        )
    )
    assert set(read_npz(path)) == {"../../out", "a", "/b"}
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["inside", "x.npz"]


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(archive_of(STORED, STORED))
    with pytest.raises(InputError, match="twice"):
        read_npz(path)
