"""Checkpoints that were made to hurt: each is refused as the user's file, in little memory and time.

All are read in one process with bounds. Programs of pickles are written opcode by opcode.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.apart import ENDED, Outcome, read_apart

HEAD = b"\x80\x04"
MANY = 1_000_000


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def keyed(value: bytes, key: bytes | None = None) -> bytes:
    """A dict of one entry."""
    return b"}" + (text("a") if key is None else key) + value + b"s"


def called(function: bytes, *args: bytes) -> bytes:
    return function + b"(" + b"".join(args) + b"tR"


DOUBLED = b"N\x85" + b"2\x86" * 60
"""A tuple that holds one tuple twice, and so on: 2 ** 60 ways to its bottom."""
DEEP = b"N" + b"\x85" * 150_000
NUMPY_ARRAY = called(named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray"), b"K\x00\x85", b"C\x01b")
FLOATS = called(named("numpy", "dtype"), text("f4"), b"\x89", b"\x88")


def array_of(shape: bytes, data: bytes, dtype: bytes = FLOATS) -> bytes:
    return NUMPY_ARRAY + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def cycle() -> bytes:
    """A dict that holds itself twice."""
    return b"}q\x00" + text("a") + b"h\x00s" + text("b") + b"h\x00s"


PICKLES: Mapping[str, bytes] = {
    "a deep tuple as a key": keyed(b"N", DEEP),
    "a deep tuple in a set": b"\x8f(" + DEEP + b"\x90",
    "a deep tuple in a frozen set": b"(" + DEEP + b"\x91",
    "a deep tuple as a key of an ordered dict": called(named("collections", "OrderedDict"), b"](" + DEEP + b"N\x86e"),
    "a deep tuple in a called set": called(named("builtins", "set"), b"](" + DEEP + b"e"),
    "a deep tuple as a value": keyed(DEEP),
    "deep lists": keyed(b"(" * 150_000 + b"l" * 150_000),
    "deep dicts": keyed((b"}" + text("a")) * 10_000 + b"N" + b"s" * 10_000),
    "a deep tuple of frozen sets": b"(" * 1000 + b"N" + b"\x91" * 1000,
    "shared tuples as a key": keyed(b"N", DOUBLED),
    "shared tuples as a value": keyed(DOUBLED),
    "shared tuples in a set": b"\x8f(" + DOUBLED + b"\x90",
    "shared tuples as a device": keyed(called(named("torch", "device"), DOUBLED)),
    "shared tuples as an element type": called(named("numpy", "dtype"), DOUBLED),
    "shared tuples as a shape": keyed(array_of(DOUBLED, b"C\x04abcd")),
    "shared tuples as the bytes of an array": keyed(array_of(b"K\x01\x85", DOUBLED)),
    "shared tuples as an encoding": called(named("_codecs", "encode"), text("a"), DOUBLED),
    "shared tuples as a function": DOUBLED + b")R",
    "shared tuples as arguments": named("argparse", "Namespace") + DOUBLED + b"R",
    "shared tuples as a module": DOUBLED + text("x") + b"\x93",
    "shared tuples as a reference": DOUBLED + b"Q",
    "shared lists": keyed(b"]N\x85" + b"a" + b"2\x86" * 50),
    "a dict that holds itself twice": keyed(cycle()),
    "a list that holds itself twice": keyed(b"]q\x00(h\x00h\x00e"),
    "an object whose state is itself": keyed(
        named("argparse", "Namespace") + b")\x81q\x00}(" + text("x") + b"h\x00" + text("y") + b"h\x00ub"
    ),
    "gigabytes of bytes(int)": keyed(array_of(number(2**31 - 1) + b"\x85", number(2**31 - 1))),
    "a number of a million bytes": keyed(b"\x8b" + struct.pack("<I", MANY) + b"\x7f" * MANY),
    "a key of a million bytes": keyed(b"N", b"\x8b" + struct.pack("<I", MANY) + b"\x7f" * MANY),
    "a number of a million digits": keyed(b"I" + b"9" * MANY + b"\n"),
    "a key of a million letters": keyed(b"N", text("a" * MANY)),
    "long names in one another": b"".join(b"}" + text("n" * 900) for _ in range(60))
    + b"]("
    + b"]" * 100_000
    + b"e"
    + b"s" * 60,
    "endless empty lists": b"]" * 2 * MANY,
    "endless empty sets": b"\x8f" * MANY,
    "endless marks": b"(" * 3 * MANY,
    "a list copied over and over": b"]("
    + b"N" * 100_000
    + b"eq\x00"
    + called(named("builtins", "list"), b"h\x00") * 2000,
    "a set copied over and over": b"]("
    + b"".join(b"K" + bytes((k,)) for k in range(250))
    + b"eq\x00"
    + called(named("builtins", "set"), b"h\x00") * 200_000,
    "text encoded over and over": text("a" * MANY)
    + b"q\x00"
    + called(named("_codecs", "encode"), b"h\x00", text("latin1")) * 3000,
    "arrays of one text": b"B"
    + struct.pack("<I", MANY)
    + b"\0" * MANY
    + b"q\x00"
    + FLOATS
    + b"q\x01"
    + (NUMPY_ARRAY + b"(K\x01J" + struct.pack("<i", MANY // 4) + b"\x85h\x01\x89h\x00tb") * 3000,
    "a negative shape": keyed(array_of(number(-1) + b"\x85", b"C\x04abcd")),
    "a shape beyond every number": keyed(array_of(b"\x8a\x14" + b"\x7f" * 20 + b"\x85", b"C\x04abcd")),
    "objects in an array": keyed(array_of(b"K\x01\x85", b"](Ne", called(named("numpy", "dtype"), text("O8")))),
    "a state that is no tuple": keyed(NUMPY_ARRAY + b"Nb"),
    "a call of nothing": b"N)R",
    "a call with a number": named("builtins", "dict") + b"K\x05R",
    "a dict of one": called(named("builtins", "dict"), b"](K\x05e"),
    "a reference to nothing": b"K\x05Q",
    "a memo that is empty": b"h\x07",
    "nothing at all": b"",
    "a mark alone": b"(",
    "items for a number": b"K\x01(Ne",
    "text that is none": b"X\x02\x00\x00\x00\xff\xfe",
    "a length beyond the file": b"\x8e" + struct.pack("<Q", 1 << 62),
    "an unknown operation": b"\xff",
    "a float that is none": b"Fabc\n",
    "a name of a million letters": named("a" * MANY, "b"),
}


def torch_zip(program: bytes, storages: Mapping[str, bytes]) -> bytes:
    """An archive as torch.save writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data.pkl", HEAD + program + b".")
        for name, data in storages.items():
            archive.writestr(f"x/data/{name}", data)
    return buffer.getvalue()


def storage(key: str = "0", count: bytes = number(4), kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + count + b"tQ"


def rebuilt(size: bytes, stride: bytes, offset: bytes = b"K\x00", held: bytes | None = None) -> bytes:
    return called(
        named("torch._utils", "_rebuild_tensor_v2"), storage() if held is None else held, offset, size, stride
    )


def sizes(*values: int) -> bytes:
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"


FOUR = {"0": bytes(16)}
REPEATED = b"}(" + b"".join(text(f"w{k}") + rebuilt(sizes(4000, 4000), sizes(0, 0)) for k in range(80)) + b"u"
"""Eighty tensors of 64 MB that repeat one element."""


def with_overlap() -> bytes:
    data = bytearray(torch_zip(keyed(rebuilt(sizes(4), sizes(1))), {"0": bytes(16), "1": bytes(16)}))
    last = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, last + 42, 0)
    return bytes(data)


def with_two_sizes() -> bytes:
    data = bytearray(torch_zip(keyed(rebuilt(sizes(4), sizes(1))), FOUR))
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 1 << 30)
    return bytes(data)


TORCH: Mapping[str, bytes] = {
    "tensors that repeat one element": torch_zip(REPEATED, FOUR),
    "one tensor that repeats one element": torch_zip(keyed(rebuilt(sizes(1 << 40), sizes(0))), FOUR),
    "bfloat16 that repeats one element": torch_zip(
        keyed(rebuilt(sizes(1 << 27), sizes(0), held=storage(kind="BFloat16Storage"))), FOUR
    ),
    "shared tuples as a size": torch_zip(keyed(rebuilt(DOUBLED, b")")), FOUR),
    "shared tuples as an offset": torch_zip(keyed(rebuilt(sizes(1), sizes(1), DOUBLED)), FOUR),
    "shared tuples as a storage": torch_zip(keyed(rebuilt(sizes(1), sizes(1), held=DOUBLED)), FOUR),
    "shared tuples as the key of a storage": torch_zip(
        b"(" + text("storage") + named("torch", "FloatStorage") + DOUBLED + text("cpu") + b"K\x04tQ", FOUR
    ),
    "shared tuples as the type of a storage": torch_zip(
        b"(" + text("storage") + DOUBLED + text("0") + text("cpu") + b"K\x04tQ", FOUR
    ),
    "shared tuples as the size of a storage": torch_zip(
        keyed(rebuilt(sizes(1), sizes(1), held=storage(count=DOUBLED))), FOUR
    ),
    "a storage of endless size": torch_zip(
        keyed(rebuilt(sizes(1), sizes(1), held=storage(count=b"\x8a\x08" + b"\x7f" * 8))), FOUR
    ),
    "a storage of a size that is no number": torch_zip(
        keyed(rebuilt(sizes(1), sizes(1), held=storage(count=b"G\x7f\xf0" + bytes(6)))), FOUR
    ),
    "a size that is no number": torch_zip(keyed(rebuilt(b"G\x7f\xf0" + bytes(6) + b"\x85", sizes(1))), FOUR),
    "sizes whose product wraps": torch_zip(keyed(rebuilt(sizes(1 << 32, 1 << 32), sizes(0, 0))), FOUR),
    "a negative stride": torch_zip(keyed(rebuilt(sizes(2), sizes(-1))), FOUR),
    "an offset beyond the storage": torch_zip(keyed(rebuilt(sizes(2), sizes(1), number(100))), FOUR),
    "a hundred dimensions": torch_zip(keyed(rebuilt(sizes(*[1] * 100), sizes(*[1] * 100))), FOUR),
    "a storage that is not there": torch_zip(
        keyed(rebuilt(sizes(1), sizes(1), held=storage("../../etc/passwd"))), FOUR
    ),
    "entries that share bytes": with_overlap(),
    "an entry with two sizes": with_two_sizes(),
    "a whole pickle of nothing": torch_zip(b"", {}),
}


def safetensors(header: object, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def entry(shape: object, offsets: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


SAFETENSORS: Mapping[str, bytes] = {
    "tensors that share bytes": safetensors({f"w{k}": entry([1000], [0, 4000]) for k in range(2000)}, bytes(4000)),
    "bfloat16 that shares bytes": safetensors(
        {f"w{k}": entry([500_000], [0, 1_000_000], "BF16") for k in range(3000)}, bytes(1_000_000)
    ),
    "a name twice": safetensors(b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": 5}', b"abc"),
    "a deep header": safetensors(b'{"a":' + b"[" * 100_000, b""),
    "a header of lists": safetensors(b'{"a":[' + b"[]," * 3 * MANY + b"1]}", b""),
    "a shape beyond every number": safetensors({"a": entry([1 << 62, 4], [0, 16])}, bytes(16)),
    "a shape whose product wraps": safetensors({"a": entry([1 << 32, 1 << 32], [0, 0])}, bytes(16)),
    "a negative shape": safetensors({"a": entry([-2, -2], [0, 16])}, bytes(16)),
    "a shape of fractions": safetensors({"a": entry([2.0], [0, 8])}, bytes(16)),
    "a shape of text": safetensors({"a": entry("12", [0, 8])}, bytes(16)),
    "places that are none": safetensors({"a": entry([2], [0])}, bytes(16)),
    "places beyond the file": safetensors({"a": entry([4], [8, 24])}, bytes(16)),
    "an unknown type": safetensors({"a": entry([4], [0, 16], "F99")}, bytes(16)),
    "a type that is a list": safetensors({"a": entry([4], [0, 16], ["F32"])}, bytes(16)),
    "an entry that is a number": safetensors({"a": 5}, bytes(16)),
    "facts that are a list": safetensors({"__metadata__": [1], "a": entry([4], [0, 16])}, bytes(16)),
    "a header that ends nowhere": b"\xff\xff\xff\x00\x00\x00\x00\x00{" + b" " * 100,
    "a hundred dimensions": safetensors({"a": entry([1] * 100, [0, 4])}, bytes(16)),
}


def tar_archive() -> bytes:
    """The container of the oldest torch."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", "../../out"):
            facts = tarfile.TarInfo(name)
            facts.size = 3
            archive.addfile(facts, io.BytesIO(b"abc"))
    return buffer.getvalue()


def npz(shape: str, claimed: int) -> bytes:
    buffer = io.BytesIO()
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1000))
    data = bytearray(buffer.getvalue())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, claimed)
    return bytes(data)


LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
OTHERS: Mapping[str, bytes] = {
    "a tar archive": tar_archive(),
    "an archive that promises gigabytes": npz("(4000000000,)", 4_000_000_000),
    "an array that promises gigabytes": npz("(4000000000,)", 1200),
    "a legacy file without its tensors": LEGACY,
    "a legacy file of endless storages": LEGACY
    + HEAD
    + keyed(rebuilt(sizes(1 << 40), sizes(0), held=storage(count=b"\x8a\x06" + b"\x7f" * 6)))
    + b"."
    + HEAD
    + b"]("
    + text("0")
    + b"e."
    + struct.pack("<q", 4)
    + bytes(16),
    "a legacy file whose list is a number": LEGACY + HEAD + keyed(b"N") + b"." + HEAD + b"K\x05.",
    "a legacy file whose list is shared tuples": LEGACY + HEAD + keyed(b"N") + b"." + HEAD + b"](" + DOUBLED + b"e.",
    "a legacy file that lists a storage twice": LEGACY
    + HEAD
    + keyed(rebuilt(sizes(4), sizes(1)))
    + b"."
    + HEAD
    + b"]("
    + text("0") * 2
    + b"e."
    + (struct.pack("<q", 4) + bytes(16)) * 2,
    "legacy tensors that repeat one element": LEGACY
    + HEAD
    + REPEATED
    + b"."
    + HEAD
    + b"]("
    + text("0")
    + b"e."
    + struct.pack("<q", 4)
    + bytes(16),
}

CASES: dict[str, bytes] = {
    **{f"pickle: {name}": HEAD + program + b"." + b" " * 16 for name, program in PICKLES.items()},
    **{f"torch: {name}": data for name, data in TORCH.items()},
    **{f"safetensors: {name}": data for name, data in SAFETENSORS.items()},
    **{f"other: {name}": data for name, data in OTHERS.items()},
}
LOWER = {"talkinghead.weights.pickled:MAX_OBJECTS": 500_000, "talkinghead.weights.checkpoint:MAX_NODES": 50_000}
"""A quarter of the bounds, so that endless programs end sooner here."""
LONGEST_S = 5.0
"""Of the processor, for one file."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of reading every case."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {}
    for index, (name, data) in enumerate(CASES.items()):
        paths[name] = folder / f"{index}.pth"
        paths[name].write_bytes(data)
    reader = "talkinghead.weights.checkpoint:read_checkpoint"
    found = read_apart({name: (reader, path) for name, path in paths.items()}, bounds=LOWER)
    assert sorted(item.suffix for item in folder.iterdir()) == [".pth"] * len(paths)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_bounds(outcomes: dict[str, Outcome], name: str) -> None:
    assert name in outcomes, f"the process had ended at {[key for key, value in outcomes.items() if value is ENDED]}"
    outcome = outcomes[name]
    assert outcome.error in ("WrongCheckpoint", "UnsafeCheckpoint"), outcome
    assert outcome.seconds < LONGEST_S
    assert len(outcome.text) < 1500
    assert ".pth" in outcome.text
    assert "more memory than there is" not in outcome.text


def test_plain_data_beside_them_is_read(tmp_path: Path) -> None:
    """The helpers write what they are meant to: the same programs without the sting are read."""
    from talkinghead.weights import read_checkpoint

    data = np.arange(4, dtype=np.float32)
    cases = {
        "array": HEAD + keyed(array_of(b"K\x04\x85", b"C\x10" + data.tobytes())) + b"." + b" " * 16,
        "torch": torch_zip(keyed(rebuilt(sizes(4), sizes(1))), {"0": data.tobytes()}),
        "safetensors": safetensors({"a": entry([4], [0, 16])}, data.tobytes()),
        "legacy": LEGACY + HEAD + keyed(rebuilt(sizes(4), sizes(1))) + b"." + HEAD + b"](" + text("0") + b"e."
        + struct.pack("<q", 4) + data.tobytes(),
    }  # fmt: skip
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        np.testing.assert_array_equal(read_checkpoint(path).tensors["a"], data)
