"""The smaller commands, run for real."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

from talkinghead import __version__
from talkinghead.cli.main import commands, hidden_commands
from talkinghead.cli.rows import load_command
from talkinghead.cli.stage import steps
from talkinghead.engine.context import ProgressEvent
from talkinghead.reference.networks import ReferenceNetwork
from talkinghead.registry import FAMILIES
from talkinghead.terminal import console
from tests.conftest import ROOT
from tests.synthetic_media import make_sound


@pytest.mark.parametrize("row", commands(), ids=lambda row: row.name)
def test_every_command_has_help(row, run):
    ran = run(row.name, "--help")
    assert ran.status == 0, ran.err
    assert f"talkinghead {row.name}" in ran.out
    assert row.help.endswith(".")
    assert load_command(row).name == row.name


@pytest.mark.parametrize("row", commands(), ids=lambda row: row.name)
def test_every_option_has_help(row):
    def check(command):
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{command.name}: {parameter.name}"
        for sub in getattr(command, "commands", {}).values():
            check(sub)

    check(load_command(row))


def test_the_list_of_commands(run):
    for arguments in ((), ("--help",)):
        ran = run(*arguments)
        assert ran.status == 0
        for row in commands():
            assert re.search(rf"\b{row.name}\b", ran.out)
    assert run("--version").out == f"talkinghead {__version__}\n"


def test_commands_have_names_of_their_own():
    names = [row.name for row in commands()]
    assert len(set(names)) == len(names)
    assert hidden_commands() == ()


def test_steps(run):
    names = [row.name for row in steps()]
    assert len(set(names)) == len(names)
    ran = run("stage", "--help")
    assert ran.status == 0
    for row in steps():
        assert re.search(rf"\b{row.name}\b", ran.out)
        assert row.help.endswith(".")
        ran_help = run("stage", row.name, "--help")
        assert ran_help.status == 0
        assert f"talkinghead stage {row.name}" in ran_help.out
    assert "Did you mean 'chunk-mel'" in run("stage", "chunk-mell").err
    assert run("stage").status == 2


@pytest.mark.parametrize("path", sorted((ROOT / "talkinghead" / "stages").glob("[a-z]*_*.py")), ids=lambda p: p.stem)
def test_stages_are_programs_of_their_own(path, monkeypatch, capfd):
    """`python -m talkinghead.stages.NAME` is `talkinghead stage NAME`."""
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"talkinghead.stages.{path.stem}", run_name="__main__")
    assert ended.value.code == 0
    assert f"talkinghead stage {path.stem.replace('_', '-')}" in capfd.readouterr().out


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "talkinghead", "--version"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == f"talkinghead {__version__}\n"


def test_doctor(run):
    ran = run("doctor")
    assert ran.status == 0, ran.err
    words = ("python", "cores", "libx264", "aac", "haar", "base", "cache", "The built-in animator can run here.")
    for word in (*words, "the best way first"):
        assert word in ran.out
    ran = run("doctor", "--json")
    found = json.loads(ran.out)
    assert ran.err == ""
    assert found["version"] == __version__
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["kind"]
    assert set(found["runtimes"]) == {"torch", "onnx", "openvino"}
    assert {row["precision"] for row in found["placements"]} == {"fast", "parity"}
    for row in found["placements"]:
        assert row["why"]
        assert all(way.split()[0] in found["runtimes"] for way in row["ways"])
    assert {"libx264", "aac"} <= {encoder["name"] for encoder in found["encoders"] if encoder["usable"]}
    assert [detector["name"] for detector in found["detectors"] if detector["automatic"]]
    assert next(extra for extra in found["extras"] if extra["name"] == "base")["complete"]
    assert found["problems"] == []
    assert ["models pull face-mesh" in sentence for sentence in found["advice"]] == [True]
    assert found["cache_folder"].startswith(os.environ["TALKINGHEAD_CACHE"])


def test_doctor_names_models_that_cannot_be_used(run, monkeypatch):
    """The base installation works all the same."""
    from talkinghead.registry import FAMILIES, Broken

    assert FAMILIES.broken == ()
    monkeypatch.setattr(FAMILIES, "_broken", (Broken("glow", "glow-package", "RuntimeError: no licence"),))
    ran = run("doctor")
    assert ran.status == 0
    assert "warning: The model 'glow' of the package glow-package cannot be used: RuntimeError: no licence" in ran.out
    assert "pip uninstall glow-package" in ran.out
    (row,) = json.loads(run("doctor", "--json").out)["broken_models"]
    assert "glow-package" in row


def test_doctor_finds_models_and_says_what_is_missing(run, monkeypatch, tmp_path):
    (tmp_path / "models" / "faces").mkdir(parents=True)
    (tmp_path / "models" / "faces" / "net.onnx").write_bytes(b"12345")
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path))
    found = json.loads(run("doctor", "--json").out)
    assert [(file["path"].endswith("net.onnx"), file["size_bytes"]) for file in found["models"]] == [(True, 5)]

    import talkinghead.service.doctor as module

    monkeypatch.setattr(module, "_version", lambda name: None if name == "numpy" else "1.0")
    ran = run("doctor")
    assert ran.status == 1
    assert "problem: The package numpy is missing" in ran.out


def test_cache(run):
    from talkinghead.engine.cache import Cache
    from talkinghead.files import cache_key

    run("cache", "clear")
    Cache().put(cache_key("test/1", number=1), {"a": np.arange(1000)})
    found = json.loads(run("cache", "size", "--json").out)
    assert found["entries"] == 1
    assert found["bytes"] > 0
    assert "1 entries" in run("cache", "size").out
    assert json.loads(run("cache", "clear", "--json").out)["freed_bytes"] == found["bytes"]
    assert json.loads(run("cache", "size", "--json").out)["entries"] == 0
    assert run("cache").status == 2


def test_models(run):
    text = run("models", "list").out
    found = json.loads(run("models", "list", "--json").out)
    assert [row["name"] for row in found] == list(FAMILIES)
    for name in FAMILIES:
        assert name in text
    options = {item["name"]: item for item in found[0]["options"]}
    assert options["idle_motion"]["flag"] == "--idle-motion"
    assert options["idle_motion"]["default"] is True


@pytest.fixture
def doubler(monkeypatch):
    """A reference network for tests."""
    import talkinghead.reference.networks as module

    def double(weights, inputs, config, options):
        return {"y": inputs["x"] * weights["w"] + config.get("add", 0)}

    row = ReferenceNetwork("test.double", "Doubles.", {"x": "[n] float32"}, {"y": "[n] float32"}, double)
    monkeypatch.setattr(module, "networks", lambda: {row.name: row})


@pytest.mark.usefixtures("doubler")
def test_reference(run, tmp_path):
    assert run("reference", "list").out.splitlines()[2:] == [
        "test.double  Doubles.",
        "Inputs and outputs: talkinghead reference list NAME",
    ]
    for arguments in (["test"], ["test.double"], ["--verbose"]):
        assert "  in   x  [n] float32" in run("reference", "list", *arguments).out
    assert run("reference", "list", "test.triple").status == 2
    assert json.loads(run("reference", "list", "--json").out)[0]["inputs"] == {"x": "[n] float32"}
    np.savez(tmp_path / "i.npz", **{"golden/x": np.arange(3, dtype=np.float32)})
    np.savez(tmp_path / "w.npz", w=np.float32(2))
    (tmp_path / "c.json").write_text('{"add": 1}')
    out = tmp_path / "o.npz"
    ran = run("reference", "run", "test.double", "--weights", tmp_path / "w.npz", "--inputs", tmp_path / "i.npz",
              "--config", tmp_path / "c.json", "-o", out)  # fmt: skip
    assert ran.status == 0, ran.err
    assert np.load(out)["y"].tolist() == [1.0, 3.0, 5.0]
    assert re.search(r"^y +3 +float32$", ran.out, re.MULTILINE)


@pytest.mark.usefixtures("doubler")
def test_reference_refuses(run, tmp_path):
    np.savez(tmp_path / "i.npz", x=np.arange(3))
    np.savez(tmp_path / "other.npz", z=np.arange(3))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    np.savez(tmp_path / "w.npz", w=np.float32(2))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "list.json").write_text("[1]")
    out = tmp_path / "o.npz"

    def refused(*arguments, name="test.double", inputs="i.npz", output=out):
        ran = run("reference", "run", name, "--inputs", tmp_path / inputs, "-o", output, *arguments)
        assert ran.status in (1, 2)
        assert ran.err.startswith("error: ")
        assert "Unexpected" not in ran.err
        assert not out.exists()
        return ran.err

    weights = ("--weights", tmp_path / "w.npz")
    assert "needs weights" in refused()
    assert "reference list" in refused(*weights, name="test.triple")
    assert "lack x" in refused(*weights, inputs="other.npz")
    assert "pickled Python objects" in refused(*weights, inputs="objects.npz")
    assert "damaged or cut short" in refused(*weights, inputs="text.npz")
    assert "no file" in refused(*weights, inputs="none.npz")
    assert "no file" in refused("--weights", tmp_path / "none.safetensors")
    assert "JSON object" in refused(*weights, "--config", tmp_path / "list.json")
    assert "no folder" in refused(*weights, output=tmp_path / "nowhere" / "o.npz")


@pytest.mark.thorough
def test_cues(run, tmp_path):
    speech = make_sound(tmp_path / "speech.wav", 0.6)
    ran = run("cues", speech)
    assert ran.status == 0, ran.err
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert rows
    assert float(rows[0][0]) == 0.0
    assert {shape for _, shape in rows} <= set("ABCDEFGHX")
    assert [float(time) for time, _ in rows] == sorted(float(time) for time, _ in rows)
    for suffix in ("json", "tsv", "srt"):
        out = tmp_path / f"cues.{suffix}"
        ran = run("cues", speech, "-o", out)
        assert ran.status == 0, ran.err
        assert out.stat().st_size > 0
        assert "mouth shapes over 0.60 s" in ran.out
    assert json.loads((tmp_path / "cues.json").read_text())["mouthCues"]
    ran = run("cues", speech, "-o", tmp_path / "cues.doc")
    assert ran.status == 2
    assert "doc" in ran.err
    assert run("cues", tmp_path / "none.wav").status == 2
    assert run("cues", speech, "-o", tmp_path / "nowhere" / "cues.json").status == 1


def test_tables_align_and_numbers_are_flush_right():
    text = console.table(["name", "n"], [["a", 1], ["long name", 12.5]])
    assert text.splitlines() == ["name          n", "---------  ----", "a             1", "long name  12.5"]


def test_sizes_for_people():
    assert [console.size_text(n) for n in (0, 999, 1500, 2.5e6, 3e9, 4e12)] == [
        "0 bytes", "999 bytes", "1.5 kB", "2.5 MB", "3.0 GB", "4000.0 GB",
    ]  # fmt: skip


def test_plain_progress_says_each_end_once(capsys):
    with console.ProgressDisplay(label="[1/2] a") as progress:
        progress(ProgressEvent("open-face", 0, None))
        for done in range(101):
            progress(ProgressEvent("render", done, 100))
        progress(ProgressEvent("render", 100, 100))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "100/100" in line] == [lines[-1]]
    assert lines[-1].startswith("[1/2] a: render  100/100")
    assert len(lines) <= 3
