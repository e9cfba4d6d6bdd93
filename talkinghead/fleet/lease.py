"""One driver at a time for one OUT, and workers that know whether theirs is still the one.

On this machine and on network drives it is a lock that the system lets go when the driver and its children have ended;
the file says who has it. In object storage it is a numbered entry for each run: the next number belongs to whoever
writes it first, a holder writes its entry again now and then, and one that was not for a while may be followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from talkinghead.errors import InputError, NothingThere, OutputError, StorageError
from talkinghead.files import make_folder, unwritable
from talkinghead.fleet.ledger import FOLDER
from talkinghead.reading import parse_json
from talkinghead.storage.address import Address
from talkinghead.storage.base import Store
from talkinghead.system import is_running, open_file, try_lock

LEASE_S = 120.0
"""An entry that was not written again for so long may be followed."""
RENEW_S = 20.0
"""How often it is written again."""
PATIENCE_S = 2.0
"""How long a lock may be waited for,"""
CHILDREN_S = 60.0
"""and one whose driver was killed: its children notice that and end."""
_LOCK = f"{FOLDER}/lock"
_LEASES = f"{FOLDER}/lease"
_LOCK_BYTES = 4096
_HISTORY = 100_000
"""More runs than anybody makes."""


class Superseded(OutputError):
    """Another run has taken over; what this one still does does not count."""


def new_run() -> str:
    """A name for a run: its time, and what makes it unique."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class Lease(ABC):
    """The right to fill OUT. Made by `take`."""

    run: str
    token: str
    """By this a worker finds out whether the lease still holds: `still_holds`."""
    runs: tuple[str, ...] = ()
    """Earlier runs, as far as they are known for certain."""
    inherited: tuple[int, ...] = ()
    """Descriptors that children of this process should inherit, so that nobody else begins while they still work."""

    @abstractmethod
    def keep(self) -> None:
        """Called now and then while it is needed.

        Raises:
            Superseded: another run has it.
        """

    @abstractmethod
    def release(self) -> None:
        """Let others have it; once is enough."""


def take(store: Store, out: Address, *, clock: Callable[[], float] = time.time) -> Lease:
    """The right to fill OUT, for a new run.

    Raises:
        OutputError: another run has it; says which. UnwritableOutput, StorageError: nothing can be written there.
    """
    return _FileLease(out) if out.is_local else _StoredLease(store, out, clock)


def still_holds(store: Store, out: Address, token: str) -> bool:
    """Whether the lease with this token is the latest.

    Raises:
        StorageError: it cannot be known.
    """
    if out.is_local:
        return _read(out.join(_LOCK).path).get("run") == token
    return store.stat(_address(out, int(token) + 1)) is None


def holder(run: str) -> dict[str, Any]:
    """Who has a lease, for those who are refused."""
    return {"run": run, "host": socket.gethostname(), "process": os.getpid(), "since": time.time()}


class _FileLease(Lease):
    def __init__(self, out: Address) -> None:
        self.run = self.token = new_run()
        path = out.join(_LOCK).path
        make_folder(path.parent)
        try:
            self._descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            self._lock(out, path)
            # In one piece and always as long, so that a reader sees this holder or the one before.
            text = json.dumps(holder(self.run)).encode("ascii").ljust(_LOCK_BYTES - 1) + b"\n"
            try:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.write(self._descriptor, text)
                os.fsync(self._descriptor)
            except OSError as error:
                raise unwritable(path, error) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        if os.name == "posix":
            self.inherited = (self._descriptor,)

    def _lock(self, out: Address, path: Path) -> None:
        since_s = time.monotonic()
        while not try_lock(self._descriptor):
            who = _read(path)
            if time.monotonic() - since_s > (CHILDREN_S if _is_gone(who) else PATIENCE_S):
                raise _held(out, who, remedy="wait until it has ended, or end it")
            time.sleep(0.05)

    def keep(self) -> None:
        """The system keeps it."""

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _StoredLease(Lease):
    def __init__(self, store: Store, out: Address, clock: Callable[[], float]) -> None:
        self.run = new_run()
        self._store, self._out, self._clock = store, out, clock
        number, last = 0, None
        runs = []
        while number < _HISTORY and (found := self._at(number + 1)) is not None:
            number, last = number + 1, found
            runs.append(str(found.get("run", "")))
        if last is not None and _number(last.get("until")) > clock():
            left_s = _number(last.get("until")) - clock()
            raise _held(out, last, remedy=f"wait until it has ended; if it was killed, for {left_s:.0f} s")
        self._number, self.token = number + 1, str(number + 1)
        self.runs = tuple(run for run in runs if run)
        self._mine = holder(self.run)
        if not store.write_bytes(_address(out, self._number), self._entry(LEASE_S), exclusive=True):
            raise _held(out, self._at(self._number) or {}, remedy="wait until it has ended")
        self._renewed = clock()

    def _at(self, number: int) -> dict[str, Any] | None:
        try:
            return _parsed(self._store.read_bytes(_address(self._out, number), _LOCK_BYTES))
        except NothingThere:
            return None

    def _entry(self, seconds: float) -> bytes:
        return json.dumps({**self._mine, "until": self._clock() + seconds}).encode("ascii")

    def keep(self) -> None:
        if self._clock() - self._renewed < RENEW_S:
            return
        if not still_holds(self._store, self._out, self.token):
            raise Superseded(f"Another run has taken over {self._out.shown!r}: this one was not heard of for too long.")
        self._store.write_bytes(_address(self._out, self._number), self._entry(LEASE_S))
        self._renewed = self._clock()

    def release(self) -> None:
        with contextlib.suppress(StorageError):  # it ends by itself after a while
            if still_holds(self._store, self._out, self.token):
                self._store.write_bytes(_address(self._out, self._number), self._entry(0.0))


def _address(out: Address, number: int) -> Address:
    return out.join(f"{_LEASES}/{number:06d}.json")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _parsed(file.read(_LOCK_BYTES))
    except OSError:
        return {}


def _parsed(data: bytes) -> dict[str, Any]:
    with contextlib.suppress(InputError):
        found = parse_json(data, "a lease")
        if isinstance(found, dict):
            return found
    return {}


def _is_gone(who: Mapping[str, Any]) -> bool:
    """Whether a holder is a process of this machine that has ended."""
    number = who.get("process")
    if who.get("host") != socket.gethostname() or not isinstance(number, int) or number <= 0:
        return False
    return not is_running(number)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _held(out: Address, who: Mapping[str, Any], *, remedy: str) -> OutputError:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_number(who.get("since"))))
    name = f"process {who.get('process')} on {who.get('host')}, since {since}" if who else "a process that is not named"
    return OutputError(f"Another run fills {out.shown!r}: {name}.", remedy=remedy)
