"""Runs the folded generator: one interface over torch, ONNX Runtime and OpenVINO.

engine.picture(picture)      -> state     once per template; keep it (`StateCache`)
engine.speech(windows)       -> heard     for many windows at once
engine.render(states, heard) -> pictures  a few frames at once
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.backends import Placement, open_session
from talkinghead.contracts import Backend, FloatArray, Precision
from talkinghead.engine.lru import Lru
from talkinghead.families.synctalk2d.crop import Picture
from talkinghead.families.synctalk2d.folded import FoldedUNet, Form
from talkinghead.families.synctalk2d.graphs import (
    picture_network,
    render_network,
    render_parts,
    speech_network,
    state_names,
)
from talkinghead.families.synctalk2d.shapes import state_shapes

SPEECH_BATCH = 8
"""Windows per call of the audio branch."""
STREAMS = 2
"""Frames that OpenVINO works on at once, if there are as many cores: none of them waits for another one's cores."""


class Engine(ABC):
    """A generator that is ready to run. Not safe for use from several threads at once."""

    backend: Backend
    device: str
    precision: Precision
    form: Form
    batch: int
    """Frames that `render` likes to get at once."""
    _num_deep = 0
    """Maps of the state, from the bottleneck up, that stay in float32 in a faster precision."""

    def __init__(self, net: FoldedUNet) -> None:
        self.net = net

    @property
    def side(self) -> int:
        """Width and height of the network's picture."""
        return self.net.variant.size.inner_px

    @abstractmethod
    def picture(self, picture_bgr: Picture) -> Any:
        """What depends on a template alone; picture_bgr is uint8 [side, side, 3]."""

    @abstractmethod
    def speech(self, windows: FloatArray) -> list[Any]:
        """What depends on speech alone, one item per window; windows are [n, *input_shape] float32."""

    @abstractmethod
    def render(self, states: Sequence[Any], heard: Sequence[Any]) -> list[Picture]:
        """Pictures uint8 BGR [side, side, 3], one per item."""

    def stream(self, pairs: Iterable[tuple[Any, Any]]) -> Iterator[Picture]:
        """Pictures of (state, heard) pairs, in order; some pairs may be taken before the first picture comes."""
        waiting = iter(pairs)
        while part := list(islice(waiting, self.batch)):
            states, heard = zip(*part, strict=True)
            yield from self.render(states, heard)

    def state_bytes(self) -> int:
        """Memory of one template's state."""
        fast = 4 if self.precision == "float32" else 2
        sizes = [int(np.prod(shape[1:])) for shape in state_shapes(self.net, self.form, 1)]
        return sum((4 if k < self._num_deep else fast) * size for k, size in enumerate(sizes))

    def __call__(self, picture_bgr: Picture, window: FloatArray) -> Picture:
        """One frame, nothing reused."""
        return self.render([self.picture(picture_bgr)], self.speech(window[None]))[0]


class StateCache:
    """States of the templates shown last, within a bound of memory.

    Templates are shown forwards and backwards, so the ones seen last come next at every turn.
    """

    def __init__(self, engine: Engine, max_bytes: int) -> None:
        self._engine = engine
        self._states: Lru[int, Any] = Lru(max(1, max_bytes // max(1, engine.state_bytes())))
        self.hits = 0
        self.misses = 0

    @property
    def room(self) -> int:
        """States that are kept at most."""
        return self._states.limit

    def get(self, key: int, picture: Callable[[], Picture]) -> Any:
        """The state of template `key`, made from `picture()` when it is not there."""
        state = self._states.find(key)
        if state is not None:
            self.hits += 1
            return state
        self.misses += 1
        state = self._engine.picture(picture())
        self._states.keep(key, state)
        return state


class TorchEngine(Engine):
    """Torch on the CPU or on a GPU; on a GPU `render` is a CUDA graph."""

    backend = "torch"

    def __init__(
        self,
        net: FoldedUNet,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        form: Form = "joined",
        batch: int = 1,
    ) -> None:
        import torch

        from talkinghead.backends.torch_backend import TorchSession, to_channels_last

        super().__init__(net)
        self._torch = torch
        self._device = torch.device(device)
        self.device = str(self._device)
        self.precision = precision
        self.form = form
        self.batch = batch
        place = Placement(self.device, "torch", precision)
        self._picture = TorchSession(picture_network(net, form), place)
        self._speech = TorchSession(speech_network(net, form), place)
        self._render = TorchSession(render_network(net, form), place)
        for session in (self._picture, self._speech, self._render):  # depthwise convolutions are faster so
            session.module = to_channels_last(session.module)
        self._names = state_names(len(state_shapes(net, form, 1)))
        self._graph: Any = None
        self._statics: tuple[list[Any], Any, Any] | None = None

    def picture(self, picture_bgr: Picture) -> Any:
        pixels = self._picture.tensor(np.ascontiguousarray(picture_bgr)[None])
        return list(self._picture.call({"picture": pixels}).values())

    def speech(self, windows: FloatArray) -> list[Any]:
        heard: list[Any] = []
        for start in range(0, len(windows), SPEECH_BATCH):
            part = self._speech.tensor(windows[start : start + SPEECH_BATCH])
            part = part.contiguous(memory_format=self._torch.channels_last)
            found = self._speech.call({"windows": part})["heard"]
            heard.extend(found[i : i + 1] for i in range(len(found)))
        return heard

    def render(self, states: Sequence[Any], heard: Sequence[Any]) -> list[Picture]:
        torch = self._torch
        with torch.inference_mode():
            maps = [torch.cat(parts) if len(states) > 1 else parts[0] for parts in zip(*states, strict=True)]
            sound = torch.cat(list(heard)) if len(heard) > 1 else heard[0]
            graphed = self._device.type == "cuda" and len(states) == self.batch
            pictures = self._replay(maps, sound) if graphed else self._run(maps, sound)
            return list(pictures.cpu().numpy())

    def _run(self, maps: Sequence[Any], sound: Any) -> Any:
        return self._render.call({"heard": sound, **dict(zip(self._names, maps, strict=True))})["picture"]

    def _replay(self, maps: Sequence[Any], sound: Any) -> Any:
        """The same as `_run` as one CUDA graph with inputs at fixed addresses."""
        torch = self._torch
        if self._statics is None:
            kept_maps = [m.clone(memory_format=torch.preserve_format) for m in maps]
            kept_sound = sound.clone(memory_format=torch.preserve_format)
            side_stream = torch.cuda.Stream(self._device)
            side_stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(side_stream):
                for _ in range(3):
                    self._run(kept_maps, kept_sound)
            torch.cuda.current_stream(self._device).wait_stream(side_stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                out = self._run(kept_maps, kept_sound)
            self._statics = (kept_maps, kept_sound, out)
        kept_maps, kept_sound, out = self._statics
        for kept, new in zip(kept_maps, maps, strict=True):
            kept.copy_(new)
        kept_sound.copy_(sound)
        self._graph.replay()
        return out


class SessionEngine(Engine):
    """A runtime for CPUs; everything passes between its sessions as arrays.

    Args:
        speech_batch: windows that the audio branch takes at once.
        streams: frames that are worked on at once.
    """

    device = "cpu"
    batch = 1

    def __init__(
        self,
        net: FoldedUNet,
        *,
        backend: Backend,
        precision: Precision,
        form: Form,
        threads: int = 0,
        cache_folder: Path | None = None,
        speech_batch: int = SPEECH_BATCH,
        streams: int = STREAMS,
    ) -> None:
        super().__init__(net)
        self._speech_batch = speech_batch
        self.backend = backend
        self.precision = precision
        self.form = form
        names = state_names(len(state_shapes(net, form, 1)))
        self._num_deep = 1 + len(names) // 2 if precision == "bfloat16" else 0

        def session(
            network: Any, precision: Precision, batch: int, packed: Sequence[str] = (), streams: int = 1
        ) -> Any:
            place = Placement("cpu", backend, precision)
            return open_session(
                network,
                place,
                batch=batch,
                threads=threads or None,
                packed=packed,
                streams=streams,
                cache_folder=cache_folder,
            )

        shared = [] if backend == "onnx" else names[self._num_deep :] if self._num_deep else [*names, "heard"]
        self._picture = session(picture_network(net, form, 1), precision, 1, shared)
        self._speech = session(speech_network(net, form, speech_batch), precision, speech_batch, shared)
        if self._num_deep:
            deep, shallow = render_parts(net, form, self._num_deep, 1)
            self._deep = session(deep, "float32", 1)
            self._last = session(shallow, precision, 1, shared, streams)
        else:
            self._last = session(render_network(net, form, 1), precision, 1, shared, streams)

    def picture(self, picture_bgr: Picture) -> Any:
        return self._picture.run({"picture": np.ascontiguousarray(picture_bgr)[None]})

    def speech(self, windows: FloatArray) -> list[Any]:
        heard: list[Any] = []
        for start in range(0, len(windows), self._speech_batch):
            part = np.ascontiguousarray(windows[start : start + self._speech_batch])
            count = len(part)
            if count < self._speech_batch:
                part = np.concatenate([part, np.repeat(part[-1:], self._speech_batch - count, axis=0)])
            found = self._speech.run({"windows": part})["heard"]
            heard.extend(found[i : i + 1] for i in range(count))
        return heard

    def render(self, states: Sequence[Any], heard: Sequence[Any]) -> list[Picture]:
        return [self._last.run(self._given(*pair))["picture"][0] for pair in zip(states, heard, strict=True)]

    def stream(self, pairs: Iterable[tuple[Any, Any]]) -> Iterator[Picture]:
        for found in self._last.run_many(self._given(*pair) for pair in pairs):
            yield found["picture"][0]

    def _given(self, state: Any, sound: Any) -> dict[str, Any]:
        """What the last session takes."""
        given = {"heard": sound, **state}
        if self._num_deep:
            small = dict(list(given.items())[: self._num_deep + 1])
            given = {"deep": self._deep.run(small)["deep"], **dict(list(state.items())[self._num_deep :])}
        return given


class OnnxEngine(SessionEngine):
    """ONNX Runtime on the CPU, float32."""

    def __init__(self, net: FoldedUNet, *, form: Form = "split", **options: Any) -> None:
        super().__init__(net, backend="onnx", precision="float32", form=form, **options)


class OpenVinoEngine(SessionEngine):
    """OpenVINO on the CPU. Maps stay in the layout and precision in which they are computed.

    In bfloat16 the small maps are computed in float32: that alone keeps 45 dB, at a tenth of the time.
    """

    def __init__(
        self,
        net: FoldedUNet,
        *,
        precision: Precision = "float32",
        form: Form | None = None,
        **options: Any,
    ) -> None:
        form = form or ("split" if precision == "float32" else "joined")
        super().__init__(net, backend="openvino", precision=precision, form=form, **options)
