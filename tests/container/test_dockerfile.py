"""The Dockerfile: what it says holds together, and its steps run in an environment of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.container.dockerfile import Instruction, Stage, read
from tests.container.words import check_words, has_command

ARGS, STAGES = read((ROOT / "Dockerfile").read_text(encoding="utf-8"))
FINAL = STAGES[-1]
STARTS_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def only(stage: Stage, name: str) -> Instruction:
    (one,) = stage.all(name)
    return one


def test_there_is_a_variant_for_cpus_and_one_for_gpus() -> None:
    assert ARGS["VARIANT"] == "cpu"
    assert FINAL.image == "${VARIANT}"
    assert [stage.name for stage in STAGES] == ["cpu", "cuda", None]
    assert STAGES[0].variables().keys() <= STAGES[1].variables().keys()
    for stage in STAGES:
        assert set(re.findall(r"\$\{(\w+)\}", stage.image)) <= set(ARGS)


def test_it_does_not_run_as_root() -> None:
    user = only(FINAL, "USER").text
    assert user.isdigit()
    assert int(user) > 0
    assert f"--uid {user} " in next(one.text for one in FINAL.all("RUN") if "useradd" in one.text)
    names = [one.name for one in FINAL.instructions]
    assert "RUN" not in names[names.index("USER") :]


def test_what_is_copied_is_there_and_sent() -> None:
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for copy in FINAL.all("COPY"):
        *sources, _ = copy.text.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in sent


def test_its_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = FINAL.variables("ARG")["EXTRAS"] + STAGES[1].variables()["VARIANT_EXTRAS"]
    assert set(asked.split(",")) <= set(extras)
    assert {"fleet", "serve"} <= set(asked.split(","))


@pytest.mark.parametrize("run", [run for stage in STAGES for run in stage.all("RUN")], ids=lambda run: run.text[:30])
def test_every_step_is_what_a_shell_takes(run: Instruction) -> None:
    assert subprocess.run(["sh", "-n", "-e"], input=run.command, text=True, check=False).returncode == 0


SERVES = pytest.mark.skipif(not has_command("serve"), reason="needs the command `serve`")


@SERVES
def test_its_command_is_one_and_is_asked_for_its_health() -> None:
    from talkinghead.serve.options import DEFAULT_PORT

    words = only(FINAL, "CMD").exec_form
    check_words(words)
    assert words[1] == "serve"
    assert only(FINAL, "EXPOSE").text == words[words.index("--port") + 1] == str(DEFAULT_PORT)
    assert f"http://127.0.0.1:{DEFAULT_PORT}/healthz" in only(FINAL, "HEALTHCHECK").exec_form


@dataclass
class Image:
    """What the Dockerfile's steps make, below a folder instead of below `/`."""

    root: Path
    environment: dict[str, str]
    folder: Path
    port: int

    def here(self, text: str) -> str:
        """A text of the Dockerfile with paths below the folder, and with a port that is free."""
        inside = re.sub(r"(?<![\w.])/(opt|data|src)(?=/|\b)", rf"{self.root}/\1", text)
        return inside.replace(only(FINAL, "EXPOSE").text, str(self.port))

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        words = [self.here(word) for word in words]
        return subprocess.run(words, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made by all steps but those that need root and another system (its packages, its user). With fewer extras."""
    taken = ("TALKINGHEAD", "PYTHON", "COVERAGE")
    image = Image(tmp_path_factory.mktemp("root"), {}, Path(), free_port())
    variables = {**STAGES[0].variables(), **FINAL.variables("ARG"), **FINAL.variables()}
    variables.update(
        EXTRAS="demo,serve", STORAGE="", TORCH_INDEX="", PATH=variables["PATH"].replace("$PATH", os.environ["PATH"])
    )
    image.environment.update({name: value for name, value in os.environ.items() if not name.startswith(taken)})
    image.environment.update({name: image.here(value) for name, value in variables.items()})
    (image.root / "data").mkdir()
    for one in FINAL.instructions:
        if one.name == "WORKDIR":
            image.folder = Path(image.here(one.text))
            image.folder.mkdir(parents=True, exist_ok=True)
        elif one.name == "COPY":
            *sources, target = one.text.split()
            for source in sources:
                copied = image.folder / target / (source if target.endswith("/") else "")
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, copied)
        elif one.name == "RUN" and "useradd" not in one.text:
            done = image.run(["sh", "-ec", one.command])
            assert done.returncode == 0, done.stdout + done.stderr
    return image


@pytest.mark.thorough
def test_its_steps_install_the_package(image: Image) -> None:
    shown = image.run(["python", "-c", "import talkinghead; print(talkinghead.__file__)"])
    assert shown.stdout.startswith(f"{image.root}/opt/talkinghead/lib/")
    for extra in ("fastapi", "prometheus_client", "skimage"):
        assert image.run(["python", "-c", f"import {extra}"]).returncode == 0


@pytest.mark.thorough
@SERVES
@pytest.mark.skipif(shutil.which("wget") is None, reason="needs wget")
def test_its_command_runs_and_is_well(image: Image) -> None:
    health = only(FINAL, "HEALTHCHECK").exec_form
    assert image.run(health).returncode != 0
    words = [image.here(word) for word in only(FINAL, "CMD").exec_form]
    with subprocess.Popen(words, cwd=image.folder, env=image.environment) as service:
        try:
            until_s = time.monotonic() + STARTS_S
            while image.run(health).returncode != 0:
                assert service.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.2)
            service.send_signal(signal.SIGTERM)
            assert service.wait(STARTS_S) in (0, 130, 143, -signal.SIGTERM)
        finally:
            service.kill()
    assert (image.root / "data" / "service").is_dir()
