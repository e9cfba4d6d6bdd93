"""Which models can run, and what can be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.errors import OptionError
from talkinghead.registry import FAMILIES, family
from talkinghead.service.availability import all_models, availability, sources_in
from tests.stripes import FACTS


def test_every_registered_model_is_there_and_a_missing_one_says_how_to_get_it() -> None:
    found = {row.facts.name: row for row in all_models()}
    assert list(found) == list(FAMILIES)
    assert found["viseme"].ready
    assert not found["wav2lip"].ready
    assert "talkinghead models pull wav2lip-gan" in found["wav2lip"].remedy
    with pytest.raises(OptionError):
        availability("nobody")


def test_a_new_family_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
    assert all_models()[-1].facts is FACTS


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.service.doctor.missing_packages", lambda extra: ("torch",))
    found = availability("artalk")
    assert not found.ready
    assert found.remedy == 'pip install "talkinghead[models]"'


def test_folders_are_recognised_by_their_marks(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "full_body_img").mkdir()
        (tmp_path / name / "landmarks").mkdir()
    facts = family("synctalk2d")
    assert [path.name for path in sources_in([tmp_path], facts)] == ["one", "two"]
    assert sources_in([tmp_path / "one"], facts) == (tmp_path / "one",)
    assert sources_in([tmp_path], family("viseme")) == ()
