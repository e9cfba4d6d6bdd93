"""What ledgers say, whoever wrote them and however it ended; and who may fill a folder."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import OutputError, StorageError, UnwritableOutput
from talkinghead.fleet import ledger
from talkinghead.fleet.job import Job
from talkinghead.fleet.lease import LEASE_S, RENEW_S, Superseded, still_holds, take
from talkinghead.fleet.ledger import (
    LEDGER,
    Entry,
    History,
    Intent,
    driver_name,
    entries_of,
    open_journal,
    read_entries,
    was_published,
)
from talkinghead.fleet.opening import open_ledger
from talkinghead.storage.address import Address
from talkinghead.storage.base import Stat, Store
from talkinghead.storage.store import open_store
from tests.fleet.model import Fate, ModelStore

KEYS = [f"{number:064x}" for number in range(4)]
FACTS = {"output": "/out/a.mp4", "size": 3, "sha256": "ab", "before": None, "report": {}}


@pytest.fixture(params=["local", "objects"])
def place(request: Any, tmp_path: Path) -> tuple[Store, Address]:
    """A store and OUT in it."""
    if request.param == "local":
        out = Address.of(tmp_path / "out")
        return open_store(out), out
    out = Address.of("memory://bucket/out")
    return ModelStore(out, Fate([])), out


def test_what_was_said_can_be_read_by_everybody(place: tuple[Store, Address], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SEGMENT_ENTRIES", 4)
    store, out = place
    said = [Entry("done", KEYS[row % 4], row, "w1", 1, {"size": row, "text": "é\n"}, t=row + 0.5) for row in range(11)]
    journal = open_journal(store, out, "w1")
    for entry in said:
        journal.add(entry, certain=entry.row % 3 == 0)
    journal.flush()
    assert list(entries_of(store, out, "w1")) == said
    journal.close()
    assert list(entries_of(store, out, "w2")) == []
    assert list(read_entries(store, out)) == said


def test_writers_are_found_where_a_listing_is_late(place: tuple[Store, Address], monkeypatch: Any) -> None:
    store, out = place
    for writer, entry in (
        (driver_name("r1"), Entry("given", KEYS[0], 1, "w1", 1)),
        ("w1", Entry("done", KEYS[0], 1, "w1", 1)),
    ):
        journal = open_journal(store, out, writer)
        journal.add(entry, certain=True)
        journal.close()

    def late(self: Store, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:
        return iter(())

    monkeypatch.setattr(type(store), "list", late)
    assert [entry.event for entry in read_entries(store, out)] == []
    assert [entry.event for entry in read_entries(store, out, ["r1", "r2"])] == ["given", "done"]


def test_a_line_that_is_only_half_there_was_never_said(tmp_path: Path) -> None:
    out = Address.of(tmp_path)
    store = open_store(out)
    journal = open_journal(store, out, "w1")
    journal.add(Entry("given", KEYS[0], 1, "w1", 1))
    plain = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(descriptor, data[: len(data) - 10])

    with mock.patch("talkinghead.fleet.ledger.os.write", full), pytest.raises(UnwritableOutput, match="No room"):
        journal.add(Entry("intent", KEYS[1], 2, "w1", 1, FACTS))
    journal.add(Entry("done", KEYS[2], 3, "w1", 1, FACTS))
    path = out.join(f"{LEDGER}/w1.jsonl").path
    with path.open("ab") as file:
        file.write(b'{"t":1,"event":"done","key":"' + KEYS[3].encode())
    assert [(entry.event, entry.key) for entry in entries_of(store, out, "w1")] == [
        ("given", KEYS[0]),
        ("done", KEYS[2]),
    ]


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([
    b"[]", b"null", b'{"event":1}', b'{"event":"done","key":"zz"}', b'{"event":"intent","key":"' + b"a" * 64 + b'"}',
    b'{"event":"done","key":"","row":"x"}', b'{"event":"given","key":null}',
]))))  # fmt: skip
def test_damaged_lines_end_nothing(lines: list[bytes]) -> None:
    found = [entry for line in lines if (entry := Entry.of(line)) is not None]
    History(found)


def test_a_history_tells_what_is_to_be_done() -> None:
    history = History()
    history.add(Entry("given", KEYS[0], 1, "w1", 2))
    history.add(Entry("intent", KEYS[0], 1, "w1", 2, FACTS))
    history.add(Entry("aside", KEYS[1], 2, "", 3, {"error": "no face"}))
    assert (history.attempts(KEYS[0]), len(history.intents(KEYS[0]))) == (2, 1)
    assert not history.is_completed(KEYS[0])
    aside = history.aside(KEYS[1])
    assert aside is not None
    assert aside.more["error"] == "no face"
    history.add(Entry("done", KEYS[0], 1, "w1", 2, FACTS, t=1.0))
    assert (history.is_completed(KEYS[0]), history.size(KEYS[0])) == (True, FACTS["size"])
    assert (history.attempts(KEYS[0]), history.intents(KEYS[0])) == (0, ())
    history.add(Entry("done", KEYS[1], 2, "w1", 4, {**FACTS, "output": "/out/b.mp4"}))
    assert history.aside(KEYS[1]) is None


def test_a_video_counts_as_published_by_its_content(tmp_path: Path) -> None:
    from talkinghead.files import file_sha256

    path = tmp_path / "a.mp4"
    store = open_store(tmp_path)
    path.write_bytes(b"abc")
    stat = store.stat(Address.of(path))
    assert stat is not None

    def intent(**values: Any) -> Intent:
        facts = {**FACTS, "output": str(path), "sha256": file_sha256(path), **values}
        return Intent.of(Entry("intent", KEYS[0], 1, "w1", 1, facts))

    assert was_published(store, intent())
    assert not was_published(store, intent(size=4))
    assert not was_published(store, intent(sha256="00"))
    assert not was_published(store, intent(before=stat.version))  # nothing has happened to it yet
    assert not was_published(store, intent(output=str(tmp_path / "b.mp4")))


def test_while_storage_is_away_the_driver_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SEGMENT_ENTRIES", 2)
    monkeypatch.setattr("talkinghead.fleet.opening.FLUSH_S", -1.0)
    out = Address.of("memory://bucket/out")
    store = ModelStore(out, Fate([]))
    now_s = [1e9]
    with open_ledger(out, store=store, clock=lambda: now_s[0]) as opened:
        with monkeypatch.context() as patch:

            def away(*_: Any, **__: Any) -> bool:
                raise StorageError("no answer", retryable=True)

            patch.setattr(ModelStore, "write_bytes", away)
            patch.setattr(ModelStore, "_download", away)
            now_s[0] += RENEW_S
            for row in range(5):
                job = Job(KEYS[0], row, {}, "o", "h", "f", 1.0)
                opened.note("lost", job, "w1", 1, certain=True)
                assert opened.settle(job, "w1", 1) is None
                opened.keep()
        opened.keep()
        said = entries_of(store, out, driver_name(opened.run))
        assert [(entry.event, entry.row) for entry in said] == [("run", 0), *[("lost", row) for row in range(5)]]


# Who may --------------------------------------------------------------------------------------------------------------


def test_one_run_at_a_time_fills_a_folder(place: tuple[Store, Address], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.fleet.lease.PATIENCE_S", 0.0)
    store, out = place
    first = take(store, out)
    assert still_holds(store, out, first.token)
    with pytest.raises(OutputError, match=rf"process {os.getpid()} on "):
        take(store, out)
    first.keep()
    first.release()
    second = take(store, out)
    assert not still_holds(store, out, first.token)
    assert still_holds(store, out, second.token)
    assert second.run != first.run
    second.release()


def test_children_of_a_killed_driver_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.fleet.lease.PATIENCE_S", 0.0)
    out = Address.of(tmp_path)
    store = open_store(out)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    monkeypatch.setattr("talkinghead.fleet.lease.os.getpid", lambda: ended.pid)
    first = take(store, out)  # names a process that is gone, as if only its children had the lock
    monkeypatch.undo()
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        first.release()

    monkeypatch.setattr("talkinghead.fleet.lease.time.sleep", wait)
    take(store, out).release()
    assert len(waits) == 1


def test_in_object_storage_a_run_that_is_silent_may_be_followed() -> None:
    out = Address.of("memory://bucket/out")
    store = ModelStore(out, Fate([]))
    now_s = [1e9]
    first = take(store, out, clock=lambda: now_s[0])
    now_s[0] += LEASE_S - 1
    first.keep()  # writes its entry again
    now_s[0] += LEASE_S - 1
    with pytest.raises(OutputError, match="if it was killed, for 1 s"):
        take(store, out, clock=lambda: now_s[0])
    now_s[0] += 2
    second = take(store, out, clock=lambda: now_s[0])
    assert second.runs == (first.run,)
    now_s[0] += RENEW_S
    with pytest.raises(Superseded):
        first.keep()
    first.release()  # changes nothing
    assert still_holds(store, out, second.token)
    second.keep()


def test_of_two_that_follow_at_once_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Address.of("memory://bucket/out")
    store = ModelStore(out, Fate([]))
    plain = ModelStore.write_bytes
    won = []

    def meanwhile(self: ModelStore, address: Address, data: bytes, *, exclusive: bool = False) -> bool:
        monkeypatch.undo()
        won.append(take(store, out))
        return plain(self, address, data, exclusive=exclusive)

    monkeypatch.setattr(ModelStore, "write_bytes", meanwhile)
    with pytest.raises(OutputError, match="Another run fills"):
        take(store, out)
    assert json.loads(store.read_bytes(out.join(".talkinghead/lease/000001.json"), 4096))["run"] == won[0].run
