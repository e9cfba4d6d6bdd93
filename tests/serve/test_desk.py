"""What is promised to clients, whatever happens to the server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import OptionError
from talkinghead.hosting.workshop import Workshop
from talkinghead.serve.desk import Desk, Video
from talkinghead.serve.faults import KeyConflict, NotYet, TooOften, told
from talkinghead.serve.options import ServeOptions
from talkinghead.serve.orders import Asked
from talkinghead.serve.records import Shelf
from tests.serve.conftest import WAIT_S

ASKED = Asked("stripes", face="me.mp4", audio="hello.wav")
Make = Callable[..., dict[str, Any]]
RESULT: dict[str, Any] = {
    "audio_s": 1.0,
    "wall_s": 0.1,
    "realtime_factor": 10.0,
    "stages": {"render": 0.1},
    "files": {},
}
pytestmark = pytest.mark.usefixtures("stripes")


@contextmanager
def desk(folder: Path, maker: Make | None = None, **more: Any) -> Iterator[Desk]:
    """A desk with its data in a folder."""
    options = ServeOptions(data=folder / "data", **more.pop("options", {}))
    workshop, shelf = Workshop(folder / "workshop", options), Shelf(folder / "data")
    made = Desk(workshop, options, shelf, maker=maker, **more)
    try:
        yield made
    finally:
        made.close()
        shelf.close()
        workshop.close()


def files(media: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Files as if they had just come."""
    folder.mkdir(exist_ok=True)
    return {name: Path(shutil.copyfile(path, folder / path.name)) for name, path in media.items()}


def finish(video: Video) -> str:
    """Wait until its end is written down."""
    for _ in range(3):
        assert video.job is not None
        video.job.wait(WAIT_S)
    return video.record.status


class Blocked:
    """A maker that waits until it is cancelled; tells when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, asked: Any, place: Path, cache: Path, progress: Any, cancel: Any) -> dict[str, Any]:
        (place / "made-0").mkdir(exist_ok=True)
        (place / "made-0" / "half").write_bytes(b"x")
        self.begun.set()
        while True:
            cancel.check()
            cancel._event.wait(1.0)


def test_after_a_restart_what_waited_is_made_and_what_was_done_is_there(tmp_path: Path, media: dict[str, Path]) -> None:
    blocked = Blocked()
    with desk(tmp_path, lambda *_: RESULT) as first:
        done = first.order("anna", ASKED, files(media, tmp_path / "a"), "key")[0]
        assert finish(done) == "completed"
    with desk(tmp_path, blocked) as second:
        assert second.find("anna", done.record.id).record.result == RESULT
        names = [second.order("anna", ASKED, files(media, tmp_path / "b"))[0].record.id for _ in range(2)]
        assert blocked.begun.wait(WAIT_S)
        assert second.order("anna", ASKED, files(media, tmp_path / "c"), "key") == (
            second.find("anna", done.record.id),
            True,
        )
    with desk(tmp_path) as third:
        again = [third.find("anna", name) for name in names]
        assert [finish(video) for video in again] == ["completed"] * 2
        assert third.file(again[0], "video").stat().st_size > 0
        assert [video.record.attempts for video in again] == [
            1,
            1,
        ]  # being asked to stop is no failure
        assert {video.record.id for video in third.own("anna")} == {done.record.id, *names}


def test_what_ends_the_server_again_and_again_is_put_aside(tmp_path: Path, media: dict[str, Path]) -> None:
    with desk(tmp_path, Blocked()) as first:
        video = first.order("anna", ASKED, files(media, tmp_path / "a"))[0]
    shelf = Shelf(tmp_path / "data")
    shelf.save(replace(video.record, status="in_progress", attempts=3))
    shelf.close()
    with desk(tmp_path) as second:
        found = second.find("anna", video.record.id)
        assert found.record.status == "failed"
        assert found.record.error["type"] == "ServerStopped"


def test_an_order_that_was_never_accepted_leaves_nothing(tmp_path: Path, media: dict[str, Path]) -> None:
    with desk(tmp_path) as first:
        with pytest.raises(OptionError):
            first.order("anna", replace(ASKED, options={"nose": {}}), files(media, tmp_path / "a"))
        assert list((tmp_path / "data" / "videos").iterdir()) == []
    (tmp_path / "data" / "videos" / f"video_{'0' * 32}").mkdir()  # the server was killed in between
    with desk(tmp_path) as second:
        assert second.own("anna") == []
        assert list((tmp_path / "data" / "videos").iterdir()) == []


def test_finished_videos_go_after_a_while(tmp_path: Path, media: dict[str, Path]) -> None:
    now = [1000.0]
    with desk(tmp_path, lambda *_: RESULT, clock=lambda: now[0], options={"keep_h": 1}) as made:
        video = made.order("anna", ASKED, files(media, tmp_path / "a"), "key")[0]
        finish(video)
        now[0] += 3600
        assert made.expire() == 0
        now[0] += 1
        assert made.expire() == 1
        assert not made.shelf.place(video.record.id).exists()
        assert made.order("anna", ASKED, files(media, tmp_path / "b"), "key")[1] is False


def test_a_removed_video_is_gone_once_nobody_writes_there(tmp_path: Path, media: dict[str, Path]) -> None:
    blocked = Blocked()
    with desk(tmp_path, blocked) as made:
        video = made.order("anna", ASKED, files(media, tmp_path / "a"))[0]
        assert blocked.begun.wait(WAIT_S)
        made.remove("anna", video.record.id)
        finish(video)
        made.sweep()
        assert list((tmp_path / "data" / "videos").iterdir()) == []
        assert made.own("anna") == []


def test_an_order_that_is_still_coming_is_not_taken_twice(
    tmp_path: Path, media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(tmp_path, lambda *_: RESULT) as made:
        again: list[int] = []

        def check(*_: Any) -> None:
            with pytest.raises(KeyConflict) as raised:
                made.order("anna", ASKED, files(media, tmp_path / "b"), "key")
            again.append(raised.value.status)

        monkeypatch.setattr(made, "_check", check)
        made.order("anna", ASKED, files(media, tmp_path / "a"), "key")
        assert again == [409]


def test_who_is_refused_learns_when_to_come_again(tmp_path: Path, media: dict[str, Path]) -> None:
    blocked = Blocked()
    with desk(tmp_path, blocked, options={"max_waiting": 0}) as made:
        made.order("anna", ASKED, files(media, tmp_path / "a"))
        assert blocked.begun.wait(WAIT_S)
        made._pace_s["stripes"] = 30.0
        with pytest.raises(TooOften) as raised:
            made.order("ben", ASKED, files(media, tmp_path / "b"))
        assert raised.value.wait_s == 30.0


def test_one_server_has_a_folder(tmp_path: Path) -> None:
    with desk(tmp_path), pytest.raises(OptionError, match="Another server"):
        Shelf(tmp_path / "data")


def test_an_error_that_nobody_foresaw_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from starlette.testclient import TestClient

    from talkinghead.serve.app import build_app

    with desk(tmp_path) as made:
        made.workshop.described = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        with TestClient(build_app(made)) as client:
            reply = client.get("/v1/models")  # would raise what was handed on
    assert reply.status_code == 500
    assert [record.name for record in caplog.records if record.exc_info] == ["talkinghead.serve"]
    number = caplog.records[-1].getMessage().split()[1]
    assert reply.json()["error"]["message"].endswith(f"under {number}.")


def test_addresses_of_the_service_are_no_folders(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        remedy = "/v1/videos/video_0/events tells when it is"
        assert told(NotYet("The video is not made yet.", remedy), made.workshop)["remedy"] == remedy
        assert "/srv" not in told(OptionError("There is no '/srv/faces/me.png'."), made.workshop)["message"]
