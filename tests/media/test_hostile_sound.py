"""Sound that asks for far more than it is: read within its budget, or refused in words."""

from __future__ import annotations

import sys

import pytest

from tests.media.hostile import GROUPS, Found, outcomes, right

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and memory are counted by Linux"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return outcomes("sound", tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", GROUPS["sound"])
def test_hostile_sound(name: str, found: dict[str, Found]) -> None:
    assert right(GROUPS["sound"][name], found[name]), found[name]
