"""The web page beside the service: two doors of one workshop, with one queue."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from talkinghead.hosting.workshop import Order, Workshop
from talkinghead.webui.options import AppOptions
from talkinghead.webui.studio import Studio
from tests.serve.conftest import client_of, ended, opened, ordered


def test_the_page_and_the_service_stand_on_one_queue(
    stripes: None, tmp_path: Path, media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from talkinghead.serve import server

    @contextmanager
    def beside(workshop: Workshop) -> Any:
        studio = Studio(tmp_path / "page", AppOptions(), workshop=workshop)
        yield studio
        studio.close()
        assert workshop.folder.is_dir()  # the service goes on with it

    whole = server.open_service
    monkeypatch.setattr("talkinghead.serve.open_service", lambda options, **more: whole(options, beside=beside, **more))
    with opened() as running, client_of(running) as anna:
        studio = running.beside
        paths = {}
        for name, path in media.items():
            with studio.uploads.room("127.0.0.1", path.stat().st_size) as folder:
                paths[name] = studio.uploads.keep("127.0.0.1", Path(shutil.copyfile(path, folder / path.name)))
        slow = {"model": {"delay_s": 0.1}}
        job = studio.start("visitor", Order("stripes", paths["audio"], paths["face"], options=slow))
        video = ordered(anna, media).json()
        assert (video["status"], video["position"]) == ("queued", 1)  # behind that of the page
        studio.cancel("visitor")
        assert ended(anna, video["id"])["status"] == "completed"
        assert job.state().phase == "cancelled"
