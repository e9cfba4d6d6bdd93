"""Folders of reference outputs for ports: the arrays at every seam of a pipeline and the graphs between them.

    FOLDER/manifest.json     what follows, in order, with hashes and tolerances
    FOLDER/seams/NAME.npy    one array per seam
    FOLDER/NAME.onnx         graphs that lead from some seams to others

A port writes the same arrays under the same names; `compare_folders` says at which seam the two part.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import InputError, MediaNotFound, OutputExists
from talkinghead.files import make_folder, unwritable
from talkinghead.places import partial_name
from talkinghead.reading import read_json, read_npy, reading, shown
from talkinghead.system import remove_tree, replace

Array = NDArray[Any]
FORMAT = "talkinghead-reference 1"
SEAMS = "seams"
ROUNDING_SHARE = 1e-3
"""Share of the values of a picture that may differ by the tolerance: truncation turns rounding into a grey level."""


@dataclass(frozen=True, eq=False)
class Seam:
    """One array that passes between two steps."""

    name: str
    about: str
    """What it is: axes, units, range, order."""
    array: Array
    tolerance: float
    """Largest difference between two right implementations."""


@dataclass(frozen=True)
class GraphFile:
    """A graph that leads from seams to seams."""

    name: str
    """File name."""
    model: bytes = field(repr=False)
    inputs: Mapping[str, str]
    """Graph input to seam."""
    outputs: Mapping[str, str]
    """Graph output to seam."""


@dataclass(frozen=True)
class Comparison:
    """Two versions of one seam."""

    seam: str
    max_difference: float
    mean_difference: float
    tolerance: float
    ok: bool
    note: str = ""


def write_reference_folder(
    folder: str | Path,
    seams: Sequence[Seam],
    graphs: Sequence[GraphFile],
    details: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a folder; it appears under its name only when complete.

    Raises:
        OutputExists: it is there and `overwrite` is off. UnwritableOutput: it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise OutputExists(f"{str(folder)!r} exists.", remedy="another name, or --force")
    if folder.exists() and not (folder / "manifest.json").is_file():
        raise OutputExists(f"{folder} is no reference folder; it is not replaced.", remedy="another name")
    pending = folder.with_name(partial_name(folder.name))
    try:
        make_folder(folder.parent)
        pending.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        (pending / SEAMS).mkdir()
        rows = []
        for seam in seams:
            buffer = io.BytesIO()
            np.save(buffer, seam.array, allow_pickle=False)
            (pending / SEAMS / f"{seam.name}.npy").write_bytes(buffer.getvalue())
            rows.append(
                {
                    "name": seam.name,
                    "file": f"{SEAMS}/{seam.name}.npy",
                    "about": seam.about,
                    "shape": list(seam.array.shape),
                    "dtype": str(seam.array.dtype),
                    "tolerance": seam.tolerance,
                    "mean": float(np.mean(seam.array, dtype=np.float64)),
                    "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
                }
            )
        graph_rows = []
        for graph in graphs:
            (pending / graph.name).write_bytes(graph.model)
            graph_rows.append(
                {
                    "file": graph.name,
                    "inputs": dict(graph.inputs),
                    "outputs": dict(graph.outputs),
                    "sha256": hashlib.sha256(graph.model).hexdigest(),
                }
            )
        manifest = {"format": FORMAT, **details, "seams": rows, "graphs": graph_rows}
        (pending / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            remove_tree(folder, strict=True)
        replace(pending, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        remove_tree(pending)
    return folder


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        MediaNotFound: no such folder or manifest. InputError: not of this format.
    """
    path = Path(folder) / "manifest.json"
    if not path.is_file():
        raise MediaNotFound(f"{folder} has no manifest.json.", accepted="a folder of reference outputs")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is not of the format {FORMAT!r}.")
    with reading(path, what="is not a manifest of reference outputs"):
        for kind, wanted in _ROW_FIELDS.items():
            for row in manifest[kind]:
                _check_row(row, wanted)
        names = {row["name"] for row in manifest["seams"]}
        strange = [seam for graph in manifest["graphs"] for seam in _seams_of(graph) if seam not in names]
        if strange:
            raise ValueError(f"a graph names the seam {shown(strange[0])}, which it does not list")
    return manifest


_ROW_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "seams": {"name": str, "file": str, "sha256": str, "tolerance": (int, float)},
    "graphs": {"file": str, "sha256": str, "inputs": dict, "outputs": dict},
}
"""What is used of a manifest's rows."""


def _check_row(row: Any, wanted: Mapping[str, type | tuple[type, ...]]) -> None:
    for name, kinds in wanted.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kinds):
            raise ValueError(f"{name} of a row is {shown(row.get(name) if isinstance(row, dict) else row)}")
    inside = PurePosixPath(row["file"])
    if inside.is_absolute() or ".." in inside.parts or "\\" in row["file"]:
        raise ValueError(f"{shown(row['file'])} is not a file of its folder")


def _seams_of(graph: Mapping[str, Any]) -> list[Any]:
    return [*graph["inputs"].values(), *graph["outputs"].values()]


def check_folder(folder: str | Path) -> list[Comparison]:
    """Look whether a folder is whole: every hash, and every graph in ONNX Runtime on the arrays beside it.

    Returns:
        One row per file and per graph output.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    rows: list[Comparison] = []
    for entry in (*manifest["seams"], *manifest["graphs"]):
        path = folder / entry["file"]
        if not path.is_file():
            rows.append(Comparison(entry["file"], float("inf"), float("inf"), 0.0, False, "missing"))
            continue
        ok = hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        difference = 0.0 if ok else float("inf")
        rows.append(Comparison(entry["file"], difference, difference, 0.0, ok, "" if ok else "changed since"))
    seams = {entry["name"]: entry for entry in manifest["seams"]}
    for graph in manifest["graphs"]:
        if not all(row.ok for row in rows):
            break
        rows.extend(_run_graph(folder, graph, seams))
    return rows


def _run_graph(folder: Path, graph: Mapping[str, Any], seams: Mapping[str, Any]) -> list[Comparison]:
    """A graph on the recorded inputs, one item of the batch at a time where its batch is 1."""
    from talkinghead.backends.onnx_runtime import open_onnx
    from talkinghead.reading.onnx_file import check_onnx_file

    path = folder / graph["file"]
    check_onnx_file(path)
    session = open_onnx(path, name=str(path), purpose="Checking the graphs of a reference folder")
    outputs = [entry.name for entry in session.get_outputs()]

    def run(given: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(outputs, session.run(None, dict(given)), strict=True))

    inputs = {name: _load(folder / seams[seam]["file"]) for name, seam in graph["inputs"].items()}
    single = any(entry.shape[0] == 1 for entry in session.get_inputs())
    count = len(next(iter(inputs.values())))
    if single:
        parts = [run({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        found = {name: np.concatenate([part[name] for part in parts]) for name in graph["outputs"]}
    else:
        found = run(inputs)
    return [
        compare(f"{graph['file']}: {name}", found[name], _load(folder / seams[seam]["file"]), seams[seam]["tolerance"])
        for name, seam in graph["outputs"].items()
    ]


def compare_folders(folder: str | Path, other: str | Path) -> list[Comparison]:
    """Compare the arrays of a port with a reference folder, seam by seam in order.

    Args:
        folder: the reference.
        other: a folder with `seams/NAME.npy` or `NAME.npy`; seams that it lacks are left out.
    Raises:
        InputError: it has none of the seams.
    """
    folder, other = Path(folder), Path(other)
    rows: list[Comparison] = []
    for entry in read_manifest(folder)["seams"]:
        candidates = (other / entry["file"], other / f"{entry['name']}.npy")
        path = next((path for path in candidates if path.is_file()), None)
        if path is not None:
            rows.append(compare(entry["name"], _load(path), _load(folder / entry["file"]), entry["tolerance"]))
    if not rows:
        names = ", ".join(entry["name"] for entry in read_manifest(folder)["seams"])
        raise InputError(f"{other} has none of the arrays of {folder}.", accepted=f"NAME.npy for: {names}")
    return rows


def where_they_part(rows: Sequence[Comparison]) -> str | None:
    """Name of the first seam that differs, or None."""
    return next((row.seam for row in rows if not row.ok), None)


def compare(name: str, found: Array, wanted: Array, tolerance: float) -> Comparison:
    """Two arrays of one seam."""
    if found.shape != wanted.shape:
        note = f"shape {list(found.shape)} instead of {list(wanted.shape)}"
        return Comparison(name, float("inf"), float("inf"), tolerance, False, note)
    if found.dtype.kind not in "fiub":
        return Comparison(name, float("inf"), float("inf"), tolerance, False, f"type {found.dtype}")
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    largest = float(difference.max(initial=0.0))
    mean = float(difference.mean()) if difference.size else 0.0
    ok = largest <= tolerance
    note = ""
    if wanted.dtype == np.uint8 and tolerance > 0:
        share = float(np.mean(difference > 0)) if difference.size else 0.0
        ok = ok and share <= ROUNDING_SHARE
        note = f"{share:.2%} of the values differ" if share >= 1e-4 else "under 0.01 % of the values differ"
        note = note if share else ""
    if not np.isfinite(largest):
        ok, note = False, "values that are not numbers"
    return Comparison(name, largest, mean, tolerance, ok, note)


def _load(path: Path) -> Array:
    return read_npy(path)
