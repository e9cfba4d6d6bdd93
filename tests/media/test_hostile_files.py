"""Inputs that reach further than themselves: play lists, pipes, devices, patterns for names."""

from __future__ import annotations

import sys

import pytest

from tests.media.hostile import GROUPS, Found, outcomes, right

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and memory are counted by Linux")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return outcomes("files", tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", GROUPS["files"])
def test_hostile_files(name: str, found: dict[str, Found]) -> None:
    assert right(GROUPS["files"][name], found[name]), found[name]
