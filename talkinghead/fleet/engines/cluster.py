"""Workers that are actors of a Ray cluster: one that runs, or one that is started here for the time being.

What passes through Ray is the text of jobs and outcomes, a few kilobytes each, never a frame; files go by storage.
Actors belong to the driver and end with it. The driver asks them how far they are, so that many cannot flood it.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import json
import logging
import math
import os
import queue
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from talkinghead.bounds import THREADS, Between, check_fields
from talkinghead.engine.progress import JobProgress
from talkinghead.errors import BackendError, MissingDependency, OptionError
from talkinghead.fleet.engines.base import Died, Ended, Event, Progressed, Ready, new_name, taken
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.threads import thread_environment
from talkinghead.fleet.worker import Worker, WorkerOptions
from talkinghead.provenance.signing import signing_environment
from talkinghead.system import end_process, is_running, remove_tree

NAMESPACE = "talkinghead"
"""Where our actors have their names in a cluster."""
WORKER = "talkinghead.fleet.engines.cluster:open_worker"
"""What an actor runs: a function of a name and of options as a row of JSON, that gives a worker."""
ASK_EVERY_S = 2.0
"""How often a worker is asked how far it is."""
ASKED_PER_S = 50.0
"""How many workers are asked per second, all together."""
END_S = 10.0
"""How long an actor that was stopped may take to end."""
ROOM_S = 600.0
"""How long no worker at all may have a place before the run is given up."""
BEGIN_S = 120.0
"""How long a cluster that is started here may take to begin."""
LOOK_EVERY_S = 5.0
"""How often the head is looked at."""
GONE_S = 30.0
"""How long the head may be away before the run is given up;"""
RECONNECT_S = 120.0
"""Ray itself would end this process without a word to anybody after this."""
REASON_LETTERS = 400
OWN_STORE_BYTES = 128 << 20
"""Object store of a cluster that is started here; nothing large passes through it."""


What = Literal["open", "run", "told"]


@dataclass(frozen=True)
class ClusterOptions:
    """Where workers run, and what each has."""

    address: str | None = None
    """Address of a cluster that runs (`auto` finds the one of this machine); None starts one here, for this run, that
    nobody beyond this machine reaches."""
    cpus: Annotated[float, Between(0, 10_000, above=True)] = 1.0
    """Cores that each worker has; for Ray's books, and how many threads a worker uses."""
    gpus: Annotated[float, Between(0, 1_000)] = 0.0
    """Graphics processors that each worker has; below 1 several share one."""
    threads: Annotated[int | None, THREADS] = None
    """Threads of each worker; None: as many as cores, at least 1."""
    workers: Annotated[int, Between(1, 100_000)] = 1
    """How many there will be; for the size of a cluster that is started here."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.address is not None and self.address.startswith("ray://"):
            raise OptionError(
                f"{self.address!r} is an address for Ray's clients, which this is not.",
                accepted="HOST:PORT of the head, or auto",
                remedy="run the command on a machine of the cluster, or hand it in by `ray job submit`",
            )
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise OptionError(
                f"A worker cannot have {self.gpus:g} graphics processors.",
                accepted="fractions up to 1, or whole numbers",
            )

    @property
    def threads_each(self) -> int:
        return self.threads or max(1, int(self.cpus))


def open_worker(name: str, options: Mapping[str, Any]) -> Worker:
    """The worker that every engine runs."""
    return Worker(name, WorkerOptions.from_dict(options))


class Actor:
    """A worker as Ray runs it. Takes and gives text.

    Args:
        name: of the worker.
        worker: module and function, as `WORKER`.
        options: of the worker, as JSON.
    """

    def __init__(self, name: str, worker: str, options: str) -> None:
        self._name, self._maker, self._options = name, worker, options
        self._worker: Any = None
        self._news: dict[str, Any] | None = None

    def open(self) -> str:
        """Make the worker; says where it is."""
        module, _, name = self._maker.partition(":")
        self._worker = getattr(importlib.import_module(module), name)(self._name, json.loads(self._options))
        return json.dumps({"host": socket.gethostname(), "pid": os.getpid()})

    def run(self, job: str, attempt: int) -> str:
        """Do a job."""
        known = Job.from_dict(json.loads(job))
        whole = JobProgress()

        def progress(event: Any) -> None:
            share, _ = whole.update(event)
            self._news = {"key": known.key, "share": share}

        outcome = self._worker.run(known, attempt, progress=progress)
        return json.dumps(outcome.to_dict())

    def told(self) -> str:
        """How far the job is, since this was last asked; empty if nothing is new."""
        news, self._news = self._news, None
        return json.dumps(news) if news is not None else ""


@dataclass(eq=False)
class _Known:
    """What the driver knows of an actor."""

    actor: Any
    pid: int | None = None
    """Of its process, where that is on this machine."""
    key: str = ""
    """Of the job that it has."""
    asked_s: float = 0.0
    is_asked: bool = False
    """And has not answered yet."""


@dataclass(frozen=True)
class _Answer:
    """What came of a call, or why nothing came."""

    worker: str
    what: What
    text: str = ""
    error: Exception | None = None


def connect(options: ClusterOptions, folder: Path | None = None) -> Any:
    """Reach the cluster, or start one that nobody beyond this machine reaches; gives Ray.

    Args:
        folder: for logs and sockets of a cluster that is started here; a short path. Default: Ray's own, `/tmp/ray`.
    Raises:
        MissingDependency: Ray is not installed. BackendError: no cluster answers, or none can be started.
    """
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
        "RAY_gcs_rpc_server_reconnect_timeout_s": f"{RECONNECT_S:.0f}",
        "RAY_raylet_start_wait_time_s": f"{BEGIN_S:.0f}",
    }
    if options.address is None:
        # Everything of it listens on 127.0.0.1 then. The token keeps other users of this machine out, and is given
        # so that none is written into the user's folder.
        settings |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
        settings |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ.update(settings)
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("ray", extra="fleet", purpose="The engine 'ray'") from error
    if ray.is_initialized():
        raise BackendError(
            "This process is connected to a Ray cluster already.", remedy="ray.shutdown() before a run is started"
        )
    _silence(ray)
    hook = sys.excepthook
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        if options.address is not None:
            ray.init(address=options.address, namespace=NAMESPACE, **quiet)
        else:
            ray.init(
                address="local",
                namespace=NAMESPACE,
                num_cpus=math.ceil(options.cpus * options.workers),
                num_gpus=math.ceil(options.gpus * options.workers),
                object_store_memory=OWN_STORE_BYTES,
                include_dashboard=False,
                _temp_dir=None if folder is None else str(folder),
                **quiet,
            )
    except Exception as error:  # Ray raises this very class where a cluster does not start in time
        if options.address is None:
            raise BackendError(f"No Ray cluster could be started here: {first_line(error)}") from error
        raise BackendError(
            f"No Ray cluster answers at {options.address!r}: {first_line(error)}",
            remedy="`ray start --head` starts one, `ray status` shows whether it runs; one that asks for a token needs "
            "RAY_AUTH_MODE=token here; without --address one is started for the run",
        ) from error
    finally:
        sys.excepthook = hook  # Ray's own asks the head
    return ray


def own_folder() -> Path:
    """A folder of this user for a cluster that is started here; its path leaves room for the names of sockets."""
    return Path(tempfile.mkdtemp(prefix="talkinghead-ray-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108


def _silence(ray: Any) -> None:
    """Keep Ray from printing what its events say already: that workers died, with the last lines of its own logs."""
    module = getattr(ray._private, "worker", None)
    if module is not None and hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = lambda *_, **__: None


def first_line(error: BaseException) -> str:
    """The first line of a message that may be long."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:REASON_LETTERS]


def reason_of(error: BaseException) -> str:
    """Why an actor is gone, out of what Ray says of it."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # its own code failed
        return f"{type(cause).__name__}: {first_line(cause)}"
    text = " ".join(str(error).split())
    for mark in ("The actor is dead because", "Worker exit detail:"):
        _, found, rest = text.partition(mark)
        text = rest.strip() if found else text
    return text.partition(" Some common causes")[0][:REASON_LETTERS]


def _wait_until_gone(pid: int) -> None:
    """Wait for the end of a process of this machine; end it where that takes long."""
    until = time.monotonic() + END_S
    while time.monotonic() < until:
        if not is_running(pid):
            return
        time.sleep(0.01)
    end_process(pid)


class _Head:
    """Whether the cluster's head, and Ray on this machine, are there.

    Calls of Ray wait for a head that is gone, and after a while Ray ends the process. So a thread asks, and the run can
    end in order.
    """

    def __init__(self, ray: Any, clock: Callable[[], float]) -> None:
        self._ray, self._clock = ray, clock
        context = ray.get_runtime_context()
        self._address, self._node = context.gcs_address, context.get_node_id()
        self._checked_s = clock()
        self._missed_s = 0.0
        self._is_alone = False
        self._closed = threading.Event()
        self.is_gone = False
        threading.Thread(target=self._watch, name="ray-head", daemon=True).start()

    def check(self) -> None:
        """Look at what is known.

        Raises:
            BackendError: it is gone.
        """
        if self._is_alone:
            self._gone("Ray has ended on this machine")
        # Where this process or its machine stood still for a while, that is no time in which the head was away.
        now = self._clock()
        self._missed_s += min(1.0, now - self._checked_s)
        self._checked_s = now
        if self._missed_s > GONE_S:
            self._gone(f"The head of the Ray cluster at {self._address} does not answer any more")

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            with contextlib.suppress(Exception):
                nodes = {node["NodeID"]: node["Alive"] for node in self._ray.nodes()}  # waits while there is no head
                self._missed_s = 0.0
                self._is_alone = not nodes.get(self._node, True)

    def _gone(self, what: str) -> NoReturn:
        self.is_gone = True
        raise BackendError(
            f"{what}; the workers are lost.",
            remedy="start the cluster and then the same command again: what is done stays done",
        )


class RayEngine:
    """Workers on a Ray cluster.

    Args:
        options: of each worker.
        cluster: where they run.
        worker: module and function that opens the worker.
    Raises:
        MissingDependency: Ray is not installed. BackendError: there is no cluster at the address.
    """

    name = "ray"

    def __init__(
        self,
        options: WorkerOptions,
        cluster: ClusterOptions,
        *,
        worker: str = WORKER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        self._options = json.dumps({**options.to_dict(), "threads": cluster.threads_each})
        self._worker, self._clock = worker, clock
        self._environment = {**thread_environment(cluster.threads_each), **signing_environment()}
        if cluster.address is None:
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._folder = own_folder() if cluster.address is None else None
        try:
            self._ray = connect(cluster, self._folder)
        except BaseException:
            self._remove_folder()
            raise
        self._head = _Head(self._ray, clock)
        self._known: dict[str, _Known] = {}
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._turn: deque[str] = deque()
        self._waits_since = clock()
        self._had_room = False
        # By this the actors of a driver that was killed are found: nobody else works for this folder now.
        self._place = hashlib.sha256(options.out.encode()).hexdigest()[:16]
        self._end_others()

    def start(self) -> str:
        """See `Engine.start`."""
        name = new_name("ray")
        actor = (
            self._ray.remote(concurrency_groups={"tell": 1})(Actor)
            .options(
                num_cpus=self.cluster.cpus,
                num_gpus=self.cluster.gpus,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=1,
                name=f"{self._place}:{name}",
                namespace=NAMESPACE,
                runtime_env={"env_vars": self._environment},
            )
            .remote(name, self._worker, self._options)
        )
        self._known[name] = _Known(actor)
        self._await(name, "open", actor.open.remote())
        return name

    def submit(self, worker: str, job: Job, attempt: int) -> None:
        """See `Engine.submit`."""
        known = self._known.get(worker)
        if known is None:  # it died, and nobody has asked for events since
            return
        known.key = job.key
        self._await(worker, "run", known.actor.run.remote(json.dumps(job.to_dict()), attempt))

    def events(self, timeout_s: float) -> Sequence[Event]:
        """See `Engine.events`.

        Raises:
            BackendError: the cluster is gone, or has had no room for any worker for ten minutes.
        """
        self._head.check()
        self._ask()
        news = [event for answer in taken(self._answers, timeout_s) if (event := self._event(answer)) is not None]
        self._check_room()
        return news

    def stop(self, worker: str) -> None:
        """See `Engine.stop`."""
        known = self._known.pop(worker, None)
        if known is None:
            return
        self._end(known.actor)
        if known.pid is not None:
            _wait_until_gone(known.pid)

    def close(self) -> None:
        """See `Engine.close`."""
        self._head.close()
        closing = threading.Thread(target=self._shut_down, name="ray-shutdown", daemon=True)
        closing.start()
        closing.join(END_S)
        if closing.is_alive():  # it waits for a head that is gone, and would do so again when this process ends
            atexit.unregister(self._ray.shutdown)

    def _shut_down(self) -> None:
        if not self._head.is_gone:
            for known in self._known.values():
                with contextlib.suppress(Exception):
                    self._ray.kill(known.actor)
        self._known.clear()
        with contextlib.suppress(Exception):
            self._ray.shutdown()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            remove_tree(self._folder)

    def _await(self, worker: str, what: What, ref: Any) -> None:
        """Have what comes of a call put in line."""

        def take(future: Any) -> None:
            try:
                self._answers.put(_Answer(worker, what, future.result()))
            except Exception as error:  # noqa: BLE001 (Ray's, or what its own code raised there)
                self._answers.put(_Answer(worker, what, error=error))

        ref.future().add_done_callback(take)

    def _check_room(self) -> None:
        """Give up where no worker has found a place for long.

        Raises:
            BackendError
        """
        if not self._had_room and self._known and self._clock() - self._waits_since > ROOM_S:
            raise BackendError(
                f"The cluster had no room for a worker with {self.cluster.cpus:g} cores and {self.cluster.gpus:g} "
                f"graphics processors for {ROOM_S:.0f} s; it has {self._room()}.",
                remedy="ask for less by --cpus and --gpus, or add machines",
            )

    def _event(self, answer: _Answer) -> Event | None:
        """What an answer says; nothing where that is not news."""
        known = self._known.get(answer.worker)
        if known is None:
            return None
        if answer.error is not None:
            del self._known[answer.worker]
            with contextlib.suppress(Exception):
                self._ray.kill(known.actor)  # where only the connection to it was lost
            return Died(answer.worker, reason_of(answer.error))
        if answer.what == "run":
            known.key = ""
            return Ended(answer.worker, Outcome.from_dict(json.loads(answer.text)))
        if answer.what == "open":
            self._had_room = True
            place = json.loads(answer.text)
            known.pid = place["pid"] if place["host"] == socket.gethostname() else None
            self._turn.append(answer.worker)
            return Ready(answer.worker)
        known.is_asked = False
        told = json.loads(answer.text) if answer.text else {}
        if told and told["key"] == known.key:
            return Progressed(answer.worker, told["key"], told["share"])
        return None

    def _ask(self) -> None:
        """Ask those whose turn it is how far they are; who does not answer is not asked again."""
        now = self._clock()
        every_s = max(ASK_EVERY_S, len(self._turn) / ASKED_PER_S)
        for _ in range(len(self._turn)):
            worker = self._turn[0]
            known = self._known.get(worker)
            if known is not None and now - known.asked_s < every_s:
                return
            self._turn.popleft()
            if known is None:
                continue
            self._turn.append(worker)
            known.asked_s = now
            if not known.is_asked:
                known.is_asked = True
                self._await(worker, "told", self._told(known.actor))

    def _end_others(self) -> None:
        """End what a driver that was killed left behind."""
        ray = self._ray
        names = [found["name"] for found in ray.util.list_named_actors(all_namespaces=True)]
        for name in names:
            if name.startswith(f"{self._place}:"):
                with contextlib.suppress(ValueError):
                    self._end(ray.get_actor(name, namespace=NAMESPACE))

    @staticmethod
    def _told(actor: Any) -> Any:
        return actor.told.options(concurrency_group="tell").remote()

    def _end(self, actor: Any) -> None:
        """Kill an actor, and wait until it is known to be dead."""
        self._ray.kill(actor)
        until = time.monotonic() + END_S
        while time.monotonic() < until:
            try:
                self._ray.get(self._told(actor), timeout=END_S)
            except self._ray.exceptions.RayError:
                return
            time.sleep(0.01)

    def _room(self) -> str:
        has = self._ray.cluster_resources()
        return f"{has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} graphics processors"
