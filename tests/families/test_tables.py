"""Tables that users and strangers give to the models: what is wrong with one is told as its fault, within bounds."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.apart import ENDED, Outcome, read_apart
from tests.weights.test_hostile import DOUBLED, HEAD, array_of, called, keyed, named, number, text

INTS = called(named("numpy", "dtype"), text("i4"), b"\x89", b"\x88")


def ints(*values: int) -> bytes:
    data = struct.pack(f"<{len(values)}i", *values)
    return array_of(number(len(values)) + b"\x85", b"B" + struct.pack("<I", len(data)) + data, INTS)


def sparse(shape: bytes, pointers: bytes, indices: bytes | None = None, data: bytes | None = None) -> bytes:
    """A pickled FLAME head that is nothing but its joint regressor."""
    state = b"}("
    state += text("_shape") + shape + text("indptr") + pointers
    state += text("indices") + (ints(0) if indices is None else indices) + text("data")
    state += (ints(1) if data is None else data) + b"u"
    matrix = named("scipy.sparse.csc", "csc_matrix") + b")\x81" + state + b"b"
    return HEAD + keyed(matrix, text("J_regressor")) + b"."


def au_table(*lines: str) -> bytes:
    names = ["frame", *(f" AU{k}_r" for k in ("01", "04", "05", "06", "07", "45"))]
    return "\n".join([",".join(names), *lines]).encode()


def transforms(**facts: object) -> bytes:
    frame = {"img_id": 0, "transform_matrix": np.eye(4).tolist()}
    return json.dumps({"focal_len": 1200.0, "frames": [frame], **facts}).encode()


def npy(shape: str, data: bytes = b"", descr: str = "<f4") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


BROKEN = {
    "empty": b"",
    "another file": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "not UTF-8": b"\xff\xfe\x00\xd8" * 10,
    "deep": b"[" * 200_000,
    "zeros": bytes(1000),
    "a zip archive": b"PK\x03\x04" + bytes(200),
    "a number": b"5",
    "a list": b"[1, 2, 3]",
    "an array of nothing": npy("(0,)"),
    "an array of one": npy("()", bytes(4)),
    "an array of text": npy("(2,)", bytes(8), "<U1"),
    "an array beyond its file": npy("(1000000000, 106)"),
    "an open header": npy("((("),
    "a float as dimension": npy("(2.0,)"),
}
"""What no table is."""

TABLES: Mapping[str, tuple[str, str, Mapping[str, bytes]]] = {
    "phones": (
        "talkinghead.audio.phones:read_phones",
        ".json",
        {
            "times of many digits": b'{"phones": [[' + b"9" * 400 + b', 1, "AA"]]}',
            "times that are infinite": b'{"phones": [[1e999, 1, "AA"]]}',
            "phones that are a number": b'{"phones": 5}',
            "a phone of two": b'{"phones": [[1, 2]]}',
            "a phone that ends before it begins": b'{"phones": [[2, 1, "AA"]]}',
            "a phone of a century": b'{"phones": [[0, 3e9, "AA"]]}',
            "a phone whose name is a list": b'{"phones": [[0, 1, ["AA"]]]}',
        },
    ),
    "cues": (
        "talkinghead.audio.cues:read_cues",
        ".json",
        {
            "cues that are text": b'{"mouthCues": "abc"}',
            "times of many digits": b'{"mouthCues": [{"start": ' + b"9" * 400 + b', "end": 1, "value": "A"}]}',
        },
    ),
    "cues as XML": (
        "talkinghead.audio.cues:read_cues",
        ".xml",
        {
            "blanks without end": b'<rhubarbResult><mouthCue start="0" end="1">' + b" " * 200_000 + b"A",
            "no number": b'<rhubarbResult><mouthCue start="x" end="1">A</mouthCue>',
        },
    ),
    "cues as subtitles": (
        "talkinghead.audio.cues:read_cues",
        ".srt",
        {"digits without end": b"1" * 200_000, "blanks without end": b"00:00:00,000" + b" " * 200_000},
    ),
    "cues of Moho": (
        "talkinghead.audio.cues:read_cues",
        ".dat",
        {"a frame of many digits": b"MohoSwitch1\n" + b"9" * 4000 + b" A\n1 B\n"},
    ),
    "cues as columns": (
        "talkinghead.audio.cues:read_cues",
        ".tsv",
        {"a century": b"0 A\n3e9 X\n", "a long word": b"0 " + b"A" * 200_000 + b"\n1 X\n"},
    ),
    "poses": (
        "talkinghead.families.talkinggaussian.scene:read_poses",
        ".json",
        {
            "no frames": transforms(frames=[]),
            "a focal length of 300 digits": transforms(focal_len=10**300),
            "a matrix of lists": transforms(frames=[{"img_id": 0, "transform_matrix": [[[1]]] * 4}]),
            "a matrix of text": transforms(frames=[{"img_id": 0, "transform_matrix": [["a"] * 4] * 4}]),
            "a number beyond every": transforms(frames=[{"img_id": 10**70, "transform_matrix": np.eye(4).tolist()}]),
        },
    ),
    "action units": (
        "talkinghead.families.talkinggaussian.scene:read_action_units",
        ".csv",
        {
            "a long line": au_table("1," + "0," * 600_000),
            "a long field": au_table('"' + "a" * 200_000 + '",1,1,1,1,1,1'),
            "a short line": au_table("1,2"),
            "no numbers": au_table("1,a,b,c,d,e,f"),
            "infinite": au_table("1,inf,1,1,1,1,1"),
            "a zero byte": au_table("1,\0,1,1,1,1,1"),
        },
    ),
    "landmarks of a scene": (
        "talkinghead.families.talkinggaussian.annotations:read_landmarks",
        ".lms",
        {"ragged": b"1 2\n3\n", "too many": b"1 2\n" * 100_000, "infinite": b"inf 2\n" * 68},
    ),
    "landmarks of a template": (
        "talkinghead.families.synctalk2d.template:read_landmarks",
        ".lms",
        {"ragged": b"1 2\n3\n", "too many": b"1 2\n" * 100_000, "infinite": b"inf 2\n" * 110},
    ),
    "features": ("talkinghead.families.synctalk2d.features:load_array", ".npy", {}),
    "a motion": (
        "talkinghead.families.artalk.steps:read_motion",
        ".npy",
        {"no numbers": npy("(1, 106)", b"\xff" * 424)},
    ),
    "features of a step": ("talkinghead.families.artalk.steps:read_features", ".npz", {}),
    "vertices": ("talkinghead.families.artalk.steps:read_vertices", ".npz", {}),
    "a style": ("talkinghead.families.artalk.weights:load_style", ".npy", {}),
    "a shape as array": ("talkinghead.families.artalk.look:read_shape", ".npy", {}),
    "a shape as archive": ("talkinghead.families.artalk.look:read_shape", ".npz", {}),
    "a shape as JSON": (
        "talkinghead.families.artalk.look:read_shape",
        ".json",
        {"lists in lists": b"[[1], [1, 2]]", "text": b'["a"]', "an object": b'{"shape": {"a": 1}}'},
    ),
    "a mean face": (
        "talkinghead.face.landmarks.pfld:read_mean_face",
        ".txt",
        {"too many": b"1 " * 200_000, "infinite": b"inf " * 220},
    ),
    "settings of ARTalk": (
        "talkinghead.families.artalk.weights:read_motion_config",
        ".json",
        {
            "endless depth": json.dumps({"AR_CONFIG": {"T_DEPTH": 10**9}, "VAE_CONFIG": {}}).encode(),
            "endless width": json.dumps({"AR_CONFIG": {}, "VAE_CONFIG": {"T_HIDDEN_DIM": 10**9}}).encode(),
            "a width of text": json.dumps({"AR_CONFIG": {}, "VAE_CONFIG": {"T_HIDDEN_DIM": "512"}}).encode(),
            "endless patches": json.dumps({"AR_CONFIG": {}, "VAE_CONFIG": {"V_PATCH_NUMS": [10**9]}}).encode(),
            "no patches": json.dumps({"AR_CONFIG": {}, "VAE_CONFIG": {"V_PATCH_NUMS": []}}).encode(),
            "another encoder": json.dumps({"AR_CONFIG": {"AUDIO_ENCODER": ["a"]}, "VAE_CONFIG": {}}).encode(),
            "an endless codec": json.dumps(
                {"AR_CONFIG": {}, "VAE_CONFIG": {}, "mimi_config": {"num_hidden_layers": 10**6}}
            ).encode(),
        },
    ),
    "a FLAME head": (
        "talkinghead.families.artalk.flame:load_flame",
        ".pkl",
        {
            "a sparse matrix of petabytes": sparse(number(5) + number(2**31 - 1) + b"\x86", ints(0, 1)),
            "pointers without end": sparse(b"K\x05K\x05\x86", ints(0, 2**31 - 1, 2**31 - 1, 0, 1, 1)),
            "pointers that go back": sparse(b"K\x05K\x05\x86", ints(0, 5, -5, 1, 1, 1)),
            "indices outside": sparse(b"K\x05K\x05\x86", ints(0, 1, 1, 1, 1, 1), ints(7)),
            "a shape of shared tuples": sparse(DOUBLED, ints(0, 1)),
            "pointers of shared tuples": sparse(b"K\x05K\x05\x86", DOUBLED),
            "a value of shared tuples": HEAD
            + keyed(named("chumpy.ch", "Ch") + b")\x81" + keyed(DOUBLED, text("x")) + b"b", text("f"))
            + b".",
            "deep": HEAD + keyed(b"N" + b"\x85" * 100_000) + b".",
        },
    ),
    "a frozen graph": (
        "talkinghead.audio.encoders.deepspeech_graph:read_deepspeech",
        ".pb",
        {
            "endless fields": b"\x0a\x00" * 250_000,
            "cut short": b"\x0a\xff\xff\xff\x7fabc",
            "an endless number": b"\xff" * 50,
        },
    ),
    "a reference folder": (
        "talkinghead.measure.seams:read_manifest",
        "",
        {
            "rows that are numbers": json.dumps(
                {"format": "talkinghead-reference 1", "seams": [5], "graphs": []}
            ).encode(),
            "no rows": json.dumps({"format": "talkinghead-reference 1"}).encode(),
            "a file outside": json.dumps(
                {
                    "format": "talkinghead-reference 1",
                    "seams": [{"name": "a", "file": "../../x.npy", "sha256": "", "tolerance": 0}],
                    "graphs": [],
                }
            ).encode(),
        },
    ),
}
READ = {("cues as XML", "blanks without end"), ("cues as subtitles", "empty"), ("cues as columns", "empty")}
"""No cues at all, which these formats can say."""
CASES = [(kind, name) for kind, (_, _, own) in TABLES.items() for name in {**BROKEN, **own}]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Outcome]]:
    """What came of reading every case, by kind and name: one process for all kinds."""
    folder = tmp_path_factory.mktemp("tables")
    files: dict[str, tuple[str, Path]] = {}
    for kind, (reader, suffix, own) in TABLES.items():
        for index, (name, data) in enumerate({**BROKEN, **own}.items()):
            path = folder / f"{kind}-{index}{suffix}"
            if suffix:
                path.write_bytes(data)
            else:
                path.mkdir()
                (path / "manifest.json").write_bytes(data)
            files[f"{kind}/{name}"] = (reader, path)
    found = read_apart(files, bounds={"talkinghead.audio.encoders.deepspeech_graph:MAX_FIELDS": 200_000})
    sorted_out: dict[str, dict[str, Outcome]] = {}
    for key, outcome in found.items():
        kind, _, name = key.partition("/")
        sorted_out.setdefault(kind, {})[name] = outcome
    return sorted_out


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_it_is_refused_in_bounds(outcomes: dict[str, dict[str, Outcome]], kind: str, name: str) -> None:
    outcome = outcomes.get(kind, {}).get(name)
    assert outcome is not None, f"the process ended before: {ENDED in outcomes.get(kind, {}).values()}"
    assert outcome.is_input_error or ((kind, name) in READ and not outcome.error), outcome
    assert outcome.seconds < 5, outcome
    assert len(outcome.text) < 1500
    assert "more memory than there is" not in outcome.text
