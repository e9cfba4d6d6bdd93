"""Videos that ask for far more than they are: read within their budgets, or refused in words."""

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
    return outcomes("video", tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", GROUPS["video"])
def test_hostile_video(name: str, found: dict[str, Found]) -> None:
    assert right(GROUPS["video"][name], found[name]), found[name]
