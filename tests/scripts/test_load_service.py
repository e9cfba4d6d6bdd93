"""The service under load, in its small form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.scripts import load_script
from tests.serve.conftest import TOKENS, opened
from tests.stripes import FACTS
from tests.synthetic_media import make_sound, make_video


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_accepted_order_ends_as_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 requests of 8 clients with cancels, disconnects and bad input."""
    from talkinghead.registry import FAMILIES

    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
    script = load_script("load_service")
    files = {"face": make_video(tmp_path / "me.mp4", 10), "audio": make_sound(tmp_path / "hello.wav", 0.5)}
    with opened(max_waiting=5, max_own=100) as running:
        where = {"base_url": running.url, "headers": {"Authorization": f"Bearer {TOKENS['anna']}"}}
        figures = script.load(where, files, {"model": FACTS.name}, count=60, clients=8, seed=1)
    assert figures.faults == []
    assert set(figures.did) == set(script.MANNERS)
    assert 500 not in figures.answers
    assert figures.answers[429] > 0
