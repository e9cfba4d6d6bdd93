"""The HTTP service under Ray Serve: `serve run talkinghead.fleet.serve:app data=/srv/videos tokens=/srv/tokens.txt`.

    proxy ──► Desk (one replica): orders, records in the data folder, events, files
                │  one call for each video, progress comes back as it is made
                ▼
              Maker (min_replicas to max_replicas, by the length of the line): models and faces stay warm

What was promised to clients is in the data folder, which all replicas reach. A maker that is lost costs its video a new
beginning on another; where the desk is lost, Ray starts it again, and it goes on from the folder. What passes through
Ray is rows of JSON; files go by the folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from talkinghead.bounds import MAX_PATH, Between, Length, shown
from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.options import OptionField, build_config, option_fields
from talkinghead.errors import BackendError, Cancelled, MissingDependency, OptionError
from talkinghead.serve.options import ServeOptions
from talkinghead.service.rows import from_row, to_row
from talkinghead.system import remove_tree

LOG = logging.getLogger("talkinghead.serve")
TELL_S = 0.25
"""Between two words of a maker about its progress."""
LOSSES = 3
"""How many makers one video may take with it."""
START_S = 60.0
"""How long the desk waits for a folder that another one has just lost."""


@dataclass(frozen=True)
class ScaledOptions(ServeOptions):
    """The service on a cluster. Address and port are Ray Serve's."""

    min_replicas: Annotated[int, Between(0, 10_000)] = 1
    """Makers that are kept where there is nothing to do."""
    max_replicas: Annotated[int, Between(1, 10_000)] = 2
    """Makers at most; each makes one video at a time."""
    cpus: Annotated[float, Between(0, 1_000, above=True)] = 1.0
    """Cores of a maker."""
    gpus: Annotated[float, Between(0, 64)] = 0.0
    """Graphics processors of a maker; fractions let several share one."""
    allow_address: Annotated[str | None, Length(MAX_PATH)] = None
    """Addresses below which files are fetched, separated by commas."""
    gallery: Annotated[str | None, Length(MAX_PATH)] = None
    """Folders of faces, templates and scenes to offer, separated by commas; every replica reaches them."""
    everybody: bool = False
    """Let everybody in who reaches the proxy, without a token."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data is None:
            raise OptionError("No data folder is given.", accepted="data=DIR, a folder that every replica reaches")
        if self.min_replicas > self.max_replicas:
            raise OptionError(f"{self.min_replicas} replicas are more than {self.max_replicas}.")

    @staticmethod
    def of(args: Mapping[str, Any]) -> ScaledOptions:
        """Options from the arguments of `serve run` (texts) or of a configuration file (JSON values).

        Raises:
            OptionError: an unknown name, or a value that is none of it.
        """
        known = {item.name: item for item in option_fields(ScaledOptions)}
        values = {name: _read(known[name], value) if name in known else value for name, value in args.items()}
        return build_config(ScaledOptions, values, owner="The service")

    @property
    def in_hand(self) -> int:
        """Videos that are handed to Ray at the same time: as many as can be made, and some by which it sees a line."""
        return min(64, 2 * self.max_replicas)


def app(args: dict[str, Any]) -> Any:
    """The application, for `serve run`, for a configuration file, and for KubeRay's RayService.

    Args:
        args: fields of `ScaledOptions`.
    Raises:
        MissingDependency: Ray Serve is not installed. OptionError: the arguments cannot be used.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise MissingDependency("ray", extra="fleet", purpose="Serving on a cluster") from error
    from talkinghead.serve.server import check_packages

    check_packages()
    options = ScaledOptions.of(args)
    if not options.everybody and options.tokens is None and not os.environ.get("TALKINGHEAD_SERVE_TOKENS"):
        raise OptionError(
            "Nobody could ask: there are no tokens.",
            accepted="tokens=FILE, or the variable TALKINGHEAD_SERVE_TOKENS",
            remedy="everybody=true lets everybody in who reaches the proxy",
        )
    row = to_row(options)
    maker = serve.deployment(
        Maker,
        name="Maker",
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 2.0,
            "downscale_delay_s": 300.0,
        },
        graceful_shutdown_timeout_s=20.0,
    )
    desk = serve.deployment(
        serve.ingress()(Front),
        name="Desk",
        num_replicas=1,
        max_ongoing_requests=1_000,
        ray_actor_options={"num_cpus": 0.5},
        graceful_shutdown_timeout_s=20.0,
    )
    return desk.bind(row, maker.bind(row), os.environ.get("TALKINGHEAD_SERVE_TOKENS", ""))


def _read(item: OptionField, value: Any) -> Any:
    if item.type is bool:
        if str(value).lower() not in ("true", "false"):
            raise OptionError(f"{item.name} is {shown(value)}.", accepted="true or false")
        return str(value).lower() == "true"
    try:
        return item.parse(str(value))
    except OptionError as error:
        raise OptionError(f"{item.name} is {shown(value)}.", accepted=error.accepted) from None


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


# Makers ---------------------------------------------------------------------------------------------------------------


class Maker:
    """Makes one video after the other, with models that stay loaded.

    Args:
        row: the options (`service.rows`).
    """

    def __init__(self, row: dict[str, Any]) -> None:
        from talkinghead.hosting.folders import server_folder, sweep
        from talkinghead.hosting.workshop import Workshop

        options = from_row(ScaledOptions, row, "The service")
        sweep()
        self._stack = ExitStack()
        private = self._stack.enter_context(server_folder())
        folders = [Path(part) for part in _parts(options.gallery)]
        self._workshop = Workshop(private / "workshop", options, folders=folders, max_pixels=options.max_pixels)
        assert options.data is not None
        self._workshop.private.append(options.data.absolute())
        self._stack.callback(self._workshop.close)

    async def make(self, asked: dict[str, Any], place: str, cache: str) -> AsyncIterator[str]:
        """Make a video; gives rows of JSON: progress, then what was made or why it was not.

        Args:
            asked: the order. place, cache: as for `serve.making.make`.
        """
        from talkinghead.serve.faults import told
        from talkinghead.serve.making import make
        from talkinghead.serve.orders import Asked

        order, cancel = from_row(Asked, asked, "The order"), CancelToken()
        latest: list[ProgressEvent] = []

        def work() -> dict[str, Any]:
            return make(self._workshop, order, Path(place), Path(cache), latest.append, cancel)

        making = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            while True:
                done, _ = await asyncio.wait([making], timeout=TELL_S)
                if latest:
                    event = latest[-1]
                    latest.clear()
                    yield json.dumps({"progress": asdict(event)})
                if done:
                    break
            try:
                yield json.dumps({"made": making.result()})
            except Cancelled:
                yield json.dumps({"cancelled": True})
            except Exception as error:  # noqa: BLE001 (told to whoever ordered it)
                yield json.dumps({"failed": told(error, self._workshop)})
        finally:
            cancel.cancel()  # whoever asked has gone, or it is done

    def __del__(self) -> None:
        self._stack.close()


class Remote:
    """Has videos made by makers; a maker of `serve.desk`.

    Args:
        handle: of the makers' deployment.
    """

    def __init__(self, handle: Any) -> None:
        self._make = handle.options(stream=True).make

    def __call__(self, asked: Any, place: Path, cache: Path, progress: Progress, cancel: CancelToken) -> Any:
        from ray.exceptions import RayError, RayTaskError

        from talkinghead.serve.records import MADE

        for lost in range(1, LOSSES + 1):
            cancel.check()
            for left in place.glob(f"{MADE}*"):
                remove_tree(left)
            try:
                return self._once(to_row(asked), place, cache, progress, cancel)
            except RayTaskError:  # the maker lives, and would fail in the same way again
                raise
            except RayError as error:
                LOG.warning("%s lost its maker (%d of %d): %s", place.name, lost, LOSSES, type(error).__name__)
                time.sleep(min(5.0, 0.5 * 2**lost))
        raise BackendError(f"The video ended {LOSSES} of the processes that were to make it.")

    def _once(
        self, asked: dict[str, Any], place: Path, cache: Path, progress: Progress, cancel: CancelToken
    ) -> dict[str, Any]:
        from talkinghead.serve.faults import Told

        answers = self._make.remote(asked, str(place), str(cache))
        with _stopping(answers, cancel):
            try:
                for text in answers:
                    row = json.loads(text)
                    if "progress" in row:
                        progress(ProgressEvent(**row["progress"]))
                    elif "made" in row:
                        return dict(row["made"])
                    elif "failed" in row:
                        raise Told(row["failed"])
                    else:
                        raise Cancelled()
            except Exception:
                cancel.check()  # an answer that was stopped raises errors of its own
                raise
        cancel.check()
        raise BackendError("A maker said nothing of its video.")


@contextmanager
def _stopping(answers: Any, cancel: CancelToken) -> Iterator[None]:
    """Stop what is awaited once a token is used."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(TELL_S):
            if cancel.cancelled:
                answers.cancel()
                return

    watcher = threading.Thread(target=watch, name="serve-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


# The desk -------------------------------------------------------------------------------------------------------------


class Front:
    """The application that answers: one replica, which takes orders and knows what became of them.

    Args:
        row: the options (`service.rows`). makers: handle of their deployment. tokens: as `TALKINGHEAD_SERVE_TOKENS`.
    """

    def __init__(self, row: dict[str, Any], makers: Any, tokens: str) -> None:
        from talkinghead.serve.server import open_desk
        from talkinghead.serve.tokens import Tokens, read_tokens, tokens_file

        options = from_row(ScaledOptions, row, "The service")
        hashes = [*read_tokens(tokens, "TALKINGHEAD_SERVE_TOKENS")]
        hashes += tokens_file(options.tokens) if options.tokens is not None else []
        self._options, self._tokens = options, Tokens(hashes)
        self._stack = ExitStack()
        end = time.monotonic() + START_S
        while True:
            try:
                self._desk = self._stack.enter_context(
                    open_desk(
                        replace(options, at_once=options.in_hand),
                        allow_addresses=_parts(options.allow_address),
                        folders=[Path(part) for part in _parts(options.gallery)],
                        maker=Remote(makers),
                    )
                )
                return
            except OptionError:
                if time.monotonic() > end:
                    raise
                time.sleep(1.0)  # the desk before this one is still letting go of the folder

    def __serve_build_asgi_app__(self) -> Any:
        from talkinghead.serve.server import guarded

        return guarded(self._desk, self._options, self._tokens)

    def __del__(self) -> None:
        self._stack.close()
