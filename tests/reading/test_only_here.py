"""Files of strangers are read in one place: no other module opens JSON, arrays, archives or ONNX by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.conftest import ROOT

READERS = {
    *("json.load", "json.loads", "np.load", "numpy.load", "np.loadtxt", "np.genfromtxt", "np.fromregex"),
    *("zipfile.ZipFile", "tarfile.open", "shutil.unpack_archive", "pickle.load", "pickle.loads", "torch.load"),
    *("onnx.load", "onnx.load_model", "onnx.load_model_from_string", "np.lib.format.read_array"),
}
OWN_FILES = {
    "audio/apart.py": "json.loads",  # what a process of our own answers
    "assets/__init__.py": "json.loads",  # comes with the package
    "backends/int8.py": "onnx.load",  # written a moment ago by the library itself
    "backends/onnx_backend.py": "json.loads",  # as above
    "engine/cache.py": "zipfile.ZipFile",  # writes
    "fleet/engines/child.py": "json.loads",  # what the process says that started it
    "fleet/engines/cluster.py": "json.loads",  # what driver and workers of one run say to each other
    "fleet/engines/pool.py": "json.loads",  # as above
    "fleet/ledger.py": "json.loads",  # millions of lines of our own, each looked at before it is believed
    "fleet/planning.py": "json.loads",  # kept in memory as text
    "fleet/results.py": "json.loads",  # a temporary file of its own
    "fleet/serve.py": "json.loads",  # what replicas of one application say to each other
    "families/artalk/export.py": "json.loads",  # what was just made, for tests
}
"""Modules with a call of their own, and why."""


def name_of(node: ast.expr) -> str:
    """`np.load` of a call of it."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def calls() -> Iterator[tuple[str, int, str]]:
    """(module, line, name) of every call of a reader; a value that was only just written as JSON is no file."""
    for path in sorted((ROOT / "talkinghead").rglob("*.py")):
        module = path.relative_to(ROOT / "talkinghead").as_posix()
        text = path.read_text(encoding="utf-8")
        if not any(f"{name}(" in text for name in READERS):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or name_of(node.func) not in READERS:
                continue
            copied = (
                bool(node.args) and isinstance(node.args[0], ast.Call) and name_of(node.args[0].func) == "json.dumps"
            )
            if not copied:
                yield module, node.lineno, name_of(node.func)


def test_no_other_module_reads_them() -> None:
    found = list(calls())
    elsewhere = [
        f"talkinghead/{module}:{line} calls {name}"
        for module, line, name in found
        if not module.startswith("reading/") and OWN_FILES.get(module) != name
    ]
    assert elsewhere == []
    assert {module for module, _, _ in found if not module.startswith("reading/")} == set(OWN_FILES), "the list is true"
    assert {name for module, _, name in found if module.startswith("reading/")} >= {"json.loads", "zipfile.ZipFile"}
