"""The generator at work: crops in, faces out, in batches; what repeats is computed once.

    engine.crop(frame, box) -> Request -> engine.run(...) -> engine.put_back(frame, face, ...)

What a crop and a face are is the engine's own affair: here the network's pictures, `DeviceEngine` takes and gives the
pixels of the box. An engine keeps networks and what they computed of source faces; what belongs to one run of it is in
a `Task`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import Graph, Network, Placement, Session, open_session
from talkinghead.backends.base import OperatorTime
from talkinghead.backends.gate import exact_place, psnr_db
from talkinghead.backends.placement import HIGHEST_PSNR_DB
from talkinghead.bounds import THREADS, Between, check_fields
from talkinghead.contracts import FloatArray, Frame
from talkinghead.cores import available_cores
from talkinghead.engine.context import RunContext
from talkinghead.engine.lru import Lru
from talkinghead.errors import OutOfMemory
from talkinghead.families.wav2lip.architecture import EMBEDDING
from talkinghead.families.wav2lip.features import FeatureStore
from talkinghead.families.wav2lip.graphs import feature_names, network
from talkinghead.families.wav2lip.listening import Windows, stack_windows
from talkinghead.families.wav2lip.postprocess import Finish, first_row_used, paste_face, to_faces_bgr
from talkinghead.families.wav2lip.preprocess import face_crop_bgr, network_faces
from talkinghead.families.wav2lip.weights import GeneratorWeights
from talkinghead.measure.trace import NoTracer, Tracer

Face = NDArray[np.uint8]
"""A crop that goes into an engine, [S, S, 3] uint8 BGR for `Engine`, or a face that comes out, without the rows that
its finish does not use."""

_SOURCES = itertools.count()


def new_source() -> int:
    """A number for a source of faces that no other one of this process has; an `id` would be given again."""
    return next(_SOURCES)


AUDIO_BATCH = 32
FEATURE_CACHE_BYTES = 512 * 1024**2
"""Face features kept; 440 frames of the 96-pixel generator."""
FACE_CACHE_ITEMS = 1024
"""Generated faces kept for windows that come again (silence over a still picture)."""
CPU_BATCH = 16
"""Best on CPUs: activations stay in the cache (measured, docs/performance.md)."""
CPU_LATENCY_BATCH = 2
CALIBRATION_FACES = 16
CHECKED_FACES = 8
MOST_STREAMS = 4
"""Batches that a CPU works on at once, a core or more for each: more would only hold more frames in memory."""
GPU_BATCH = 64
GPU_LATENCY_BATCH = 8


@dataclass(frozen=True, eq=False)
class Request:
    """One face to generate."""

    embedding: FloatArray
    """[512] float32, what the face hears."""
    face: Face
    """From `Engine.crop`."""
    key: Hashable
    """Equal for equal source faces, of `new_source` and a place in it: kept features outlive the run."""
    strength: float = 1.0
    """How much of the generated face is shown, where that is decided as it is made (see `Engine.variant`)."""
    owner: Any = None
    """Whatever the caller needs back."""


@dataclass(frozen=True)
class EngineOptions:
    """How the engine works; see `Wav2LipConfig` for what users choose."""

    batch_size: Annotated[int, Between(0, 9_999)] = 0
    latency: bool = False
    threads: Annotated[int, THREADS] = 0
    profile: bool = False
    compile: bool = False
    whole_sound: bool = True
    """Many windows are heard at once; else only those of the next faces."""

    def __post_init__(self) -> None:
        check_fields(self)

    def batch(self, device: str) -> int:
        """Frames per call."""
        if self.batch_size:
            return self.batch_size
        if device == "cpu":
            return CPU_LATENCY_BATCH if self.latency else CPU_BATCH
        return GPU_LATENCY_BATCH if self.latency else GPU_BATCH


@dataclass(frozen=True, eq=False)
class Task:
    """One run of the engine: what belongs to it and to no other."""

    run: RunContext
    split: bool = False
    """Keep the face encoder's features per `Request.key` and run only the decoder; pays where source frames come
    again."""
    store: FeatureStore | None = None
    """Where features are kept on disk too."""
    tracer: Tracer = field(default_factory=NoTracer)


class Engine:
    """One generator on one device. Not safe for use from several threads at once."""

    def __init__(
        self,
        weights: GeneratorWeights,
        placement: Placement,
        options: EngineOptions | None = None,
        *,
        finish: Finish | None = None,
    ) -> None:
        self.weights = weights
        self.architecture = weights.architecture
        self.placement = placement
        self.options = options or EngineOptions()
        self.finish = finish or Finish()
        self.first_row = first_row_used(self.finish, self.architecture.size)
        """Of the faces that are made; what is above is not computed."""
        self.batch = self.options.batch(placement.device)
        """Frames per call; less than the options say where they did not fit into memory."""
        self.audio_batch = AUDIO_BATCH if self.options.whole_sound else self.batch
        self.int8_psnr_db: float | None = None
        """What 8 bits lose on the faces that they are calibrated on, against float32."""
        self.from_cache: bool | None = None
        """Whether the network was found compiled."""
        self._graphs: dict[str, Graph] | None = None
        """Graphs that were built, by part, while a comparison with float32 is to come."""
        self._int8_samples: list[dict[str, NDArray[Any]]] | None = None
        self._sessions: dict[str, Session] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        bytes_per_frame = 4 * sum(int(np.prod(shape)) for shape in self.architecture.feature_shapes)
        self._features: Lru[Hashable, tuple[NDArray[Any], ...]] = Lru(max(1, FEATURE_CACHE_BYTES // bytes_per_frame))
        self._stacked: tuple[tuple[Hashable, ...], dict[str, NDArray[Any]]] | None = None

    @property
    def size(self) -> int:
        return self.architecture.size

    @property
    def most_features(self) -> int:
        """Source faces whose features are kept."""
        return self._features.limit

    @property
    def _fewest(self) -> int:
        """Items of a call at the least: PyTorch adds up a batch of one in another order than any other, so that what is
        made would depend on what it is made with."""
        alone_differs = self.placement.backend == "torch" and self.placement.device == "cpu"
        return min(2, self.batch) if alone_differs else 1

    @property
    def streams(self) -> int:
        """Calls of the network under way at once."""
        if self.placement.device != "cpu" or self.placement.backend != "openvino":
            return 1
        return min(MOST_STREAMS, self.options.threads or available_cores())

    @property
    def in_flight(self) -> int:
        """Faces that may be under way at once."""
        return self.batch * (self.streams + 1)

    # Frames ---------------------------------------------------------------------------------------------------------

    def crop(self, frame: Frame, box_xyxy: NDArray[Any]) -> Face:
        """What a request needs of a frame, RGB uint8 [H, W, 3]."""
        return face_crop_bgr(frame, box_xyxy, self.size)

    def put_back(self, frame: Frame, face: Face, crop: Face, box_xyxy: NDArray[Any], strength: float = 1.0) -> Frame:
        """Put a face that was made of a crop into a copy of its frame, with the request's strength."""
        return paste_face(frame, face, crop, box_xyxy, self.finish, strength)

    def variant(self, strength: float) -> Hashable:  # noqa: ARG002 - the interface
        """Equal for strengths that give the same face. Here all do: the strength counts when it is put back."""
        return None

    # Sessions -------------------------------------------------------------------------------------------------------

    def warm_up(self, task: Task) -> None:
        """Open what `run` will need, so that it does not wait."""
        for part in self._parts(task):
            self.session(part, task)

    def open_ahead(self, task: Task) -> None:
        """Begin to open what `run` will need, in threads; `session` waits for them."""
        if self.placement.precision == "int8" or self.options.compile:
            return  # the one needs faces of the clip first, the other is not made for threads
        if not self.weights.file_hash.is_known:  # a checkpoint seen for the first time: nothing compiled can be there
            threading.Thread(target=self._fold_quietly, name="fold").start()
        for part in self._parts(task):
            if part not in self._sessions:
                threading.Thread(target=self._open_quietly, args=(part, task), name=f"open {part}").start()

    def _fold_quietly(self) -> None:
        with contextlib.suppress(Exception):
            self.weights.folded  # noqa: B018 - computed now, while the file is still being hashed

    def _open_quietly(self, part: str, task: Task) -> None:
        with contextlib.suppress(Exception):  # who needs the session tries again, and gets the error
            self.session(part, task)

    def _parts(self, task: Task) -> tuple[str, ...]:
        if not task.split:
            return ("audio", "generator")
        return ("audio", "decoder") if task.store is not None else ("audio", "face", "decoder")

    def session(self, part: str, task: Task) -> Session:
        """The session of one part of the network, opened when first needed."""
        with self._locks[part]:
            if part not in self._sessions:
                self._sessions[part] = self._opened(part, task)
            return self._sessions[part]

    def _opened(self, part: str, task: Task) -> Session:
        started = time.perf_counter()
        threads = self.options.threads or available_cores()
        placement = self.placement
        samples = None
        if placement.precision == "int8":
            samples = self._int8_samples if part == "generator" else None
            if samples is None:  # only the generator is quantised; the audio encoder costs little
                placement = Placement(placement.device, placement.backend, "float32", placement.why)
        session = open_session(
            self._network(part),
            placement,
            batch=self.audio_batch if part == "audio" else self.batch,
            threads=threads,
            streams=1 if part in ("audio", "face") else self.streams,
            cache_folder=task.run.cache.compiled_folder,
            profile=self.options.profile,
            packed=feature_names(self.architecture),
            compile=self.options.compile,
            int8_samples=samples,
        )
        task.run.count("milliseconds opening networks", round(1000 * (time.perf_counter() - started)))
        if part in ("decoder", "generator"):
            self.from_cache = session.facts.from_cache
        return session

    def _network(self, part: str) -> Network:
        key = self.weights.sha256 if self.weights.file_hash.is_known else lambda: self.weights.sha256
        made = network(part, self.architecture, lambda: self.weights.folded, key, self.first_row)
        return replace(made, graph=lambda: self._graph(part, made))

    def _graph(self, part: str, made: Network) -> Graph:
        kept = self._graphs
        if kept is not None and part in kept:
            return kept[part]
        graph = made.built_graph()
        assert graph is not None
        if kept is not None:
            kept[part] = graph
        return graph

    # Precision ------------------------------------------------------------------------------------------------------

    def move(self, placement: Placement) -> None:
        """Run somewhere else from now on."""
        if placement.name == self.placement.name:
            return
        self.placement = placement
        for part in list(self._locks):
            with self._locks[part]:  # behind who is still opening it for the place before
                self._close((part,))
        self._features.clear()
        self._stacked = None

    def expect_comparison(self) -> None:
        """Keep the graphs that are built from now on, so that float32 need not build them again."""
        if self._graphs is None:
            self._graphs = {}

    def end_comparison(self) -> None:
        """Let them go."""
        self._graphs = None

    def faithfulness_db(self, placement: Placement, face: Face, window: FloatArray, task: Task) -> float:
        """How near one generated face comes to the same in float32; the engine runs at the place from then on.

        Args:
            face: from `crop`.
            window: [80, 16] float32, what is heard with it.
        """
        self.move(placement)
        with task.tracer.span("precision"):
            return psnr_db(self._sample(face, window, task), self._exact(face, window, task), peak=1)

    def _sample(self, face: Face, window: FloatArray, task: Task) -> NDArray[Any]:
        """One face as the engine makes it, before it is rounded: [1, 3, S - first_row, S] float32."""
        audio = self.session("audio", task).run({"mel": window[None, None]})["audio"]
        planes = self._planes(face)
        if not task.split:
            return self.session("generator", task).run({"audio": audio, "face": planes})["output"]
        features = self.session("face", task).run({"face": planes})
        return self.session("decoder", task).run({"audio": audio, **features})["output"]

    def _exact(self, face: Face, window: FloatArray, task: Task) -> NDArray[Any]:
        """The same in float32, of the parts that were built already."""
        place = exact_place(self.placement)

        def run(part: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return open_session(self._network(part), place).run(inputs)

        audio, planes = run("audio", {"mel": window[None, None]})["audio"], self._planes(face)
        if not task.split:
            return run("generator", {"audio": audio, "face": planes})["output"]
        return run("decoder", {"audio": audio, **run("face", {"face": planes})})["output"]

    def _planes(self, face: Face) -> NDArray[np.float32]:
        """A crop as the network takes it, [1, 6, S, S]."""
        return network_faces(face[None])

    # Sound ----------------------------------------------------------------------------------------------------------

    def hear(self, windows: FloatArray, task: Task) -> FloatArray:
        """Audio embeddings, [n, 80, 16] -> [n, 512] float32."""
        session = self.session("audio", task)
        with task.tracer.span("audio encoder", windows=len(windows)):
            parts = [
                self._called(session, {"mel": windows[first : first + self.audio_batch, None]})["audio"]
                for first in range(0, len(windows), self.audio_batch)
            ]
        task.run.count("windows encoded", len(windows))
        return np.concatenate(parts).reshape(-1, EMBEDDING)

    # Faces ----------------------------------------------------------------------------------------------------------

    def run(self, requests: Iterable[Request | None], task: Task) -> Iterator[tuple[Request, Face] | None]:
        """Generate faces, in order.

        Args:
            requests: a None asks for everything that is under way; a None comes back behind it.
        Raises:
            OutOfMemory: not even one face fits.
        """
        source: Iterator[Any] = iter(requests)
        wanted = self.options.batch(self.placement.device)
        if self.batch < wanted:
            task.run.fall_back(f"Batches of {self.batch} are used: {wanted} did not fit into memory before.")
        for first in source:  # where the network runs may be decided when the first face is asked for
            if first is not None:
                source = itertools.chain([first], source)
                break
            yield None
        else:
            return
        if self.placement.precision == "int8":
            task = replace(task, split=False)  # the quantised form is the whole generator
            source = self._calibrated(source, task)
        ended = False
        while not ended:
            pending: deque[list[Request]] = deque()
            stop: list[Any] = []
            try:
                for faces in self.produce(self._batches(source, pending, stop), task):
                    task.run.count("faces generated", len(faces))
                    yield from zip(pending.popleft(), faces, strict=True)
            except OutOfMemory:
                self._halve(task)
                source = itertools.chain(itertools.chain.from_iterable(pending), stop[:1], source)
                continue
            ended = stop[0] is _END
            if not ended:
                yield None

    def _calibrated(self, source: Iterator[Any], task: Task) -> Iterator[Any]:
        """Calibrate on the run's first faces, measure what is lost on others, and give them all back."""
        taken: list[Any] = []
        for request in source:
            taken.append(request)
            if request is None or len(taken) == CALIBRATION_FACES + CHECKED_FACES:
                break
        faces = [request for request in taken if request is not None]
        self._close(("generator",))  # calibrated on the faces of an earlier run
        self._int8_samples = [self._inputs([request], task) for request in faces[:CALIBRATION_FACES]]
        checked = self._inputs(faces[-CHECKED_FACES:], task)
        place = Placement(self.placement.device, self.placement.backend, "float32")
        exact = open_session(self._network("generator"), place, batch=len(checked["audio"])).run(checked)["output"]
        found = self.session("generator", task).run(checked)["output"]
        self.int8_psnr_db = round(min(psnr_db(found, exact, peak=1), HIGHEST_PSNR_DB), 1)
        return itertools.chain(taken, source)

    def _batches(
        self, source: Iterator[Any], pending: deque[list[Request]], stop: list[Any]
    ) -> Iterator[list[Request]]:
        """Batches up to a None or the end, which goes to `stop`; each is put into `pending` too."""
        while not stop:
            batch: list[Request] = []
            while len(batch) < self.batch:
                request: Any = next(source, _END)
                if request is None or request is _END:
                    stop.append(request)
                    break
                batch.append(request)
            if batch:
                pending.append(batch)
                yield batch

    def produce(self, batches: Iterator[list[Request]], task: Task) -> Iterator[Sequence[Face]]:
        """The faces of each batch, in order; several batches may be under way."""
        session = self.session("decoder" if task.split else "generator", task)
        sizes: deque[int] = deque()

        def inputs() -> Iterator[dict[str, NDArray[Any]]]:
            for batch in batches:
                sizes.append(len(batch))
                yield self._filled(self._inputs(batch, task))

        for output in session.run_many(inputs()):
            with task.tracer.span("faces out"):
                faces = list(to_faces_bgr(output["output"][: sizes.popleft()]))
            yield faces

    def _called(self, session: Session, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        count = len(next(iter(inputs.values())))
        return {name: value[:count] for name, value in session.run(self._filled(inputs)).items()}

    def _filled(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Inputs of at least as many items as a call has."""
        if len(next(iter(inputs.values()))) >= self._fewest:
            return inputs
        return {name: np.repeat(value, self._fewest, axis=0) for name, value in inputs.items()}

    def _inputs(self, batch: list[Request], task: Task) -> dict[str, NDArray[Any]]:
        with task.tracer.span("faces in", faces=len(batch)):
            audio = np.stack([request.embedding for request in batch]).reshape(-1, EMBEDDING, 1, 1)
            if task.split:
                return {"audio": audio, **self._batch_features(batch, task)}
            return {"audio": audio, "face": network_faces(np.stack([request.face for request in batch]))}

    def _batch_features(self, batch: list[Request], task: Task) -> dict[str, NDArray[Any]]:
        """Features of the batch's faces; those of new faces are computed and kept. Packed as the runtime likes."""
        keys = tuple(request.key for request in batch)
        if self._stacked is not None and self._stacked[0] == keys:
            task.run.count("features reused", len(keys))
            return self._stacked[1]
        names = feature_names(self.architecture)
        known = {key: self._features.find(key) for key in keys}
        found = {key: features for key, features in known.items() if features is not None}
        fresh = {request.key: request.face for request in batch if request.key not in found}
        if task.store is not None:
            for key, face in list(fresh.items()):
                stored = task.store.get(face)
                if stored is not None:
                    found[key] = stored
                    self._features.keep(key, stored)
                    task.run.count("features from disk")
                    del fresh[key]
        if fresh:
            with task.tracer.span("face encoder", faces=len(fresh)):
                faces = network_faces(np.stack(list(fresh.values())))
                outputs = self._called(self.session("face", task), {"face": faces})
            for index, key in enumerate(fresh):
                found[key] = tuple(outputs[name][index].copy() for name in names)
                self._features.keep(key, found[key])
                if task.store is not None:
                    task.store.put(fresh[key], found[key])
        task.run.count("features reused", len(keys) - len(fresh))
        stacked = {name: np.stack([found[key][level] for key in keys]) for level, name in enumerate(names)}
        self._stacked = (keys, stacked) if len(set(keys)) == 1 else None
        return stacked

    def _halve(self, task: Task) -> None:
        """Use half the batch from now on.

        Raises:
            OutOfMemory: it is one already.
        """
        if self.batch <= 1:
            raise OutOfMemory(
                f"Not even one {self.size}-pixel face fits into the memory of {self.placement.device}.",
                remedy="--device cpu, or close other programs that use the device",
            )
        before, self.batch = self.batch, self.batch // 2
        task.run.fall_back(f"A batch of {before} did not fit into memory; batches of {self.batch} are used instead.")
        self._close(("face", "decoder", "generator"))
        self._stacked = None

    def profile(self) -> dict[str, list[OperatorTime]]:
        """Operators of the last call of each part, where `EngineOptions.profile` is set."""
        return {part: session.profile() for part, session in self._sessions.items()}

    def close(self) -> None:
        """Release the memory."""
        self._close(tuple(self._sessions))

    def _close(self, parts: Iterable[str]) -> None:
        for part in parts:
            if part in self._sessions:
                self._sessions.pop(part).close()


_END = object()


class Ears:
    """Audio embeddings of one face, computed in blocks as frames come near; equal windows are encoded once.

    Args:
        engine: computes them.
        windows: one item per output frame; may still grow.
        number: of the face.
    """

    BLOCK = 4 * AUDIO_BATCH

    def __init__(
        self, engine: Engine, windows: Sequence[Windows], number: int, task: Task, *, reuse: bool = True
    ) -> None:
        self._engine = engine
        self._windows = windows
        self._number = number
        self._task = task
        self._reuse = reuse
        self._known: Lru[Hashable, FloatArray] = Lru(FACE_CACHE_ITEMS)
        self._first = 0
        self._block: list[tuple[FloatArray, Hashable]] = []

    def embedding(self, frame: int) -> tuple[FloatArray, Hashable]:
        """[512] float32 of one output frame, and a value that is equal for equal windows.

        Args:
            frame: later ones than before, or the same.
        """
        stop = self._first + len(self._block)
        if frame >= stop:
            block = frame - frame % self.BLOCK
            self._first = max(block, stop)  # what came late of a block, without what is done
            self._block = self._encode(self._windows[self._first : block + self.BLOCK])
        return self._block[frame - self._first]

    def _encode(self, heard: Sequence[Windows]) -> list[tuple[FloatArray, Hashable]]:
        windows = stack_windows([item[self._number] for item in heard])
        if not self._reuse:
            embeddings = self._engine.hear(windows, self._task)
            return [(embedding, None) for embedding in embeddings]
        marks = [hashlib.blake2b(window.data, digest_size=16).digest() for window in windows]
        kept = {mark: self._known.find(mark) for mark in marks}
        known = {mark: embedding for mark, embedding in kept.items() if embedding is not None}
        fresh = {mark: index for index, mark in enumerate(marks) if mark not in known}
        if fresh:
            embeddings = self._engine.hear(windows[list(fresh.values())], self._task)
            for mark, embedding in zip(fresh, embeddings, strict=True):
                known[mark] = embedding
                self._known.keep(mark, embedding)
        self._task.run.count("windows reused", len(marks) - len(fresh))
        return [(known[mark], mark) for mark in marks]
