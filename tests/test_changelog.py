"""The changelog and the version of the package are one story."""

from __future__ import annotations

import re
from datetime import date

import pytest

import talkinghead
from tests.conftest import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def releases() -> list[tuple[tuple[int, ...], date]]:
    """Number and date of each version, in the order of the page; what is not released yet stands above them."""
    released = HEADINGS[1:] if HEADINGS[0] == "[Unreleased]" else HEADINGS
    found = []
    for heading in released:
        match = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading)
        assert match, heading
        found.append((tuple(map(int, match.groups()[:3])), date.fromisoformat(match[4])))
    return found


def test_the_newest_version_is_that_of_the_package() -> None:
    version, _ = releases()[0]
    assert ".".join(map(str, version)) == talkinghead.__version__


def test_versions_and_dates_go_down_the_page() -> None:
    versions, dates = zip(*releases(), strict=True)
    assert list(versions) == sorted(set(versions), reverse=True)
    assert list(dates) == sorted(dates, reverse=True)


@pytest.mark.parametrize("section", re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:], ids=HEADINGS)
def test_changes_stand_under_their_kind(section: str) -> None:
    kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
    assert kinds
    assert set(kinds) <= KINDS
    assert len(set(kinds)) == len(kinds)
    assert not re.search(r"^- ", section.split("### ")[0], re.MULTILINE)
