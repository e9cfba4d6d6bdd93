"""The example workflows: both forms load, and fit the nodes that are there."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.comfyui.write_workflows import API_FOLDER, FOLDER, WORKFLOWS, api_form, is_widget, kinds, page_form, written

EVERY = pytest.mark.parametrize("name", sorted(WORKFLOWS))


@EVERY
def test_the_files_are_those_that_the_nodes_ask_for(pack, name):
    """Else: python -m tests.comfyui.write_workflows"""
    known = kinds(pack)
    for folder, form in ((FOLDER, page_form), (API_FOLDER, api_form)):
        assert (folder / f"{name}.json").read_text(encoding="utf-8") == written(form(WORKFLOWS[name], known))


def test_no_file_is_left_over():
    for folder in (FOLDER, API_FOLDER):
        assert {path.stem for path in folder.glob("*.json")} == set(WORKFLOWS)


def fits(value: Any, kind: Any) -> bool:
    """Whether a widget takes a value."""
    if isinstance(kind, list):
        return value in kind
    return type(value) in {"INT": (int,), "FLOAT": (int, float), "STRING": (str,), "BOOLEAN": (bool,)}[kind]


@EVERY
def test_the_form_of_the_api_fits(pack, name):
    """Every node is known, every required input is there, every value and every link is of its type."""
    known = kinds(pack)
    form = json.loads((API_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for row in form.values():
        kind = known[row["class_type"]]
        assert set(kind.required) <= set(row["inputs"]) <= set(kind.inputs)
        for key, value in row["inputs"].items():
            if isinstance(value, list):
                source, slot = value
                assert known[form[source]["class_type"]].outputs[slot][1] == kind.inputs[key]
            else:
                assert fits(value, kind.inputs[key]), (row["class_type"], key, value)


@EVERY
def test_the_form_of_the_page_fits(pack, name):
    """Links join outputs and inputs of one type, both ends know them, and each node has a value for each widget."""
    known = kinds(pack)
    form = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in form["nodes"]}
    assert len(nodes) == len(form["nodes"])
    for number, source, slot, target, place, kind in form["links"]:
        output, taken = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        assert number in output["links"]
        assert taken["link"] == number
        assert output["type"] == kind == taken["type"]
    for node in form["nodes"]:
        if node["type"] == "Note":
            continue
        row = known[node["type"]]
        assert [(one["name"], one["type"]) for one in node["outputs"]] == list(row.outputs)
        sockets = {one["name"]: one for one in node["inputs"]}
        for key, kind in row.inputs.items():
            assert is_widget(kind) or key in sockets
            assert is_widget(kind) or key in row.optional or sockets[key]["link"] is not None
        if node["type"].startswith("TalkingHead"):
            shown = [key for key, kind in row.inputs.items() if is_widget(kind)]
            values = [value for value in node["widgets_values"] if value != "fixed"]
            assert len(values) == len(shown)
            assert all(fits(value, row.inputs[key]) for key, value in zip(shown, values, strict=True))


def test_what_is_used_of_comfyui_is_what_it_has(pack):
    """Every input of its own nodes that a workflow sets is described here."""
    known = kinds(pack)
    for workflow in WORKFLOWS.values():
        for node in workflow.nodes.values():
            assert set(node.given) | set(node.links) <= set(known[node.kind].inputs)
