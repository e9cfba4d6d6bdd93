"""The stage of the real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiortc")

from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import PrepareOptions
from talkinghead.face import FaceOptions
from talkinghead.live import heads
from talkinghead.live.heads import Cast, Heads
from talkinghead.registry import family


@pytest.mark.parametrize("can_be_chosen", [(), ("wav2lip",)])
def test_what_other_models_run_in_is_loaded_before_anybody_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_be_chosen: tuple[str, ...]
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(Heads, "models", lambda _: [{"name": name} for name in ("viseme", *can_be_chosen)])
    monkeypatch.setattr(heads, "named", loaded.append)
    monkeypatch.setattr(heads, "load_ahead", lambda: loaded.append("runtimes"))
    picture = np.full((96, 96, 3), 128, np.uint8)
    options = PrepareOptions(faces=FaceOptions(box=(16, 16, 80, 80)), cache=NullCache())
    stage = Heads(Cast("viseme", picture, prepare=options), tmp_path)
    assert loaded == [family(name).builder for name in can_be_chosen] + ["runtimes"] * len(can_be_chosen)
    face = tmp_path / "coming"
    face.write_bytes(b"png")
    name = stage.keep(face)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    stage.forget({name})
    assert not list(tmp_path.iterdir())
