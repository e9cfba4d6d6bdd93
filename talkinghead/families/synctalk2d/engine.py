"""Runs the folded generator: one interface over torch, ONNX Runtime and OpenVINO.

engine.picture(picture)      -> state     once per template; keep it (`StateCache`)
engine.speech(windows)       -> heard     for many windows at once
engine.render(states, heard) -> pictures  a few frames at once
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.synctalk2d.crop import Picture
from talkinghead.families.synctalk2d.folded import FoldedUNet, Form

SPEECH_BATCH = 8
"""Windows per call of the audio branch."""


class Engine(ABC):
    """A generator that is ready to run. Not safe for use from several threads at once."""

    backend: str
    device: str
    precision: str
    form: Form
    batch: int
    """Frames that `render` likes to get at once."""

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

    @abstractmethod
    def state_bytes(self) -> int:
        """Memory of one template's state."""

    def __call__(self, picture_bgr: Picture, window: FloatArray) -> Picture:
        """One frame, nothing reused."""
        return self.render([self.picture(picture_bgr)], self.speech(window[None]))[0]


class StateCache:
    """States of the templates shown last, within a bound of memory.

    Templates are shown forwards and backwards, so the ones seen last come next at every turn.
    """

    def __init__(self, engine: Engine, max_bytes: int) -> None:
        self._engine = engine
        self._room = max(1, max_bytes // max(1, engine.state_bytes()))
        self._states: OrderedDict[int, Any] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, key: int, picture: Callable[[], Picture]) -> Any:
        """The state of template `key`, made from `picture()` when it is not there."""
        if key in self._states:
            self._states.move_to_end(key)
            self.hits += 1
            return self._states[key]
        self.misses += 1
        state = self._engine.picture(picture())
        self._states[key] = state
        while len(self._states) > self._room:
            self._states.popitem(last=False)
        return state


def _batches(windows: NDArray[Any], size: int) -> list[tuple[NDArray[Any], int]]:
    """Full batches (the last one padded by repetition) with the number of real items."""
    found = []
    for start in range(0, len(windows), size):
        part = windows[start : start + size]
        count = len(part)
        if count < size:
            part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
        found.append((np.ascontiguousarray(part), count))
    return found


class TorchEngine(Engine):
    """Torch on the CPU or on a GPU; on a GPU `render` is a CUDA graph."""

    backend = "torch"

    def __init__(
        self, net: FoldedUNet, *, device: str = "cpu", precision: str = "float32", form: Form = "joined", batch: int = 1
    ) -> None:
        import torch

        from talkinghead.graph.torch_ops import TorchOps

        super().__init__(net)
        self._torch = torch
        self._device = torch.device(device)
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
        self._ops = TorchOps(self._device, self._dtype)
        self.device = str(self._device)
        self.precision = precision
        self.form = form
        self.batch = batch
        self._graph: Any = None
        self._statics: tuple[list[Any], Any, Any] | None = None

    def state_bytes(self) -> int:
        from talkinghead.families.synctalk2d.shapes import state_shapes

        width = {"float32": 4, "bfloat16": 2, "float16": 2}[self.precision]
        return sum(int(np.prod(shape)) for shape in state_shapes(self.net, self.form, 1)) * width

    def picture(self, picture_bgr: Picture) -> Any:
        from talkinghead.families.synctalk2d import folded

        with self._torch.inference_mode():
            image = self._torch.from_numpy(np.ascontiguousarray(picture_bgr)[None]).to(self._device)
            six = folded.six_channels(self._ops, self.net, image)
            six = six.contiguous(memory_format=self._torch.channels_last)
            return folded.picture_state(self._ops, self.net, self.form, six)

    def speech(self, windows: FloatArray) -> list[Any]:
        from talkinghead.families.synctalk2d import folded

        heard: list[Any] = []
        with self._torch.inference_mode():
            for start in range(0, len(windows), SPEECH_BATCH):
                part = self._torch.from_numpy(np.ascontiguousarray(windows[start : start + SPEECH_BATCH]))
                part = part.to(self._device, self._dtype).contiguous(memory_format=self._torch.channels_last)
                found = folded.speech_state(self._ops, self.net, self.form, part)
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
        from talkinghead.families.synctalk2d import folded

        return self._ops.picture(folded.render(self._ops, self.net, self.form, maps, sound))

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


class OnnxEngine(Engine):
    """ONNX Runtime on the CPU, float32."""

    backend = "onnx"
    device = "cpu"
    precision = "float32"

    def __init__(self, net: FoldedUNet, *, form: Form = "split", threads: int = 0) -> None:
        import onnxruntime

        from talkinghead.families.synctalk2d import onnx_graph

        super().__init__(net)
        self.form = form
        self.batch = 1
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other stages need the cores

        def session(model: Any) -> Any:
            return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

        model, self._num_states = onnx_graph.picture_graph(net, form)
        self._picture = session(model)
        self._speech = session(onnx_graph.speech_graph(net, form, SPEECH_BATCH))
        self._render = session(onnx_graph.render_graph(net, form))

    def state_bytes(self) -> int:
        from talkinghead.families.synctalk2d.shapes import state_shapes

        return sum(int(np.prod(shape)) for shape in state_shapes(self.net, self.form, 1)) * 4

    def picture(self, picture_bgr: Picture) -> Any:
        return self._picture.run(None, {"picture": np.ascontiguousarray(picture_bgr)[None]})

    def speech(self, windows: FloatArray) -> list[Any]:
        heard: list[Any] = []
        for part, count in _batches(windows, SPEECH_BATCH):
            found = self._speech.run(None, {"windows": part})[0]
            heard.extend(found[i : i + 1] for i in range(count))
        return heard

    def render(self, states: Sequence[Any], heard: Sequence[Any]) -> list[Picture]:
        pictures = []
        for state, sound in zip(states, heard, strict=True):
            feed = {"heard": sound, **{f"state{k}": value for k, value in enumerate(state)}}
            pictures.append(self._render.run(None, feed)[0][0])
        return pictures


class OpenVinoEngine(Engine):
    """OpenVINO on the CPU. Maps stay in the layout and precision in which they are computed.

    In bfloat16 the small maps are computed in float32: that alone keeps 45 dB, at a tenth of the time.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(
        self,
        net: FoldedUNet,
        *,
        precision: str = "float32",
        form: Form | None = None,
        threads: int = 0,
        streams: int = 1,
    ) -> None:
        import openvino

        from talkinghead.families.synctalk2d import onnx_graph

        super().__init__(net)
        self.precision = precision
        self.form = form or ("split" if precision == "float32" else "joined")
        self.batch = streams
        self._ov = openvino
        types = openvino.Type
        fast = {"float32": types.f32, "bfloat16": types.bf16, "float16": types.f16}[precision]
        self._core = openvino.Core()
        self._settings: dict[str, Any] = {"NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads

        model, num_states = onnx_graph.picture_graph(net, self.form)
        self._num_deep = 1 + num_states // 2 if precision == "bfloat16" else 0
        self._types = [types.f32 if k < self._num_deep else fast for k in range(num_states)]
        self._heard_type = types.f32 if self._num_deep else fast
        picture = self._compiled(model, precision, outputs=self._types)
        speech_model = onnx_graph.speech_graph(net, self.form, SPEECH_BATCH)
        speech = self._compiled(speech_model, precision, outputs=[self._heard_type])
        if self._num_deep:
            deep_model, shallow_model = onnx_graph.render_parts(net, self.form, self._num_deep)
            inputs = [self._heard_type, *self._types[: self._num_deep]]
            deep = self._compiled(deep_model, "float32", inputs=inputs, outputs=[types.f32])
            last = self._compiled(shallow_model, precision, inputs=[types.f32, *self._types[self._num_deep :]])
            self._deep = [deep.create_infer_request() for _ in range(streams)]
        else:
            render_model = onnx_graph.render_graph(net, self.form)
            last = self._compiled(render_model, precision, inputs=[self._heard_type, *self._types])
            self._deep = []
        self._shapes = [list(out.shape) for out in picture.outputs]
        self._heard_shape = list(speech.outputs[0].shape)
        self._picture = picture.create_infer_request()
        self._speech = speech.create_infer_request()
        self._last = [last.create_infer_request() for _ in range(streams)]

    def _compiled(self, model: Any, precision: str, *, inputs: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> Any:
        """Compile a graph; its maps come and go as [B, H, W, C] of the given types, so that nothing is converted."""
        from openvino import Layout
        from openvino.preprocess import PrePostProcessor

        from talkinghead.graph.compiled import OPENVINO_PRECISIONS

        steps = PrePostProcessor(self._core.read_model(model=model.SerializeToString()))
        for k, kind in enumerate(inputs):
            steps.input(k).tensor().set_element_type(kind).set_layout(Layout("NHWC"))
            steps.input(k).model().set_layout(Layout("NCHW"))
        for k, kind in enumerate(outputs):
            steps.output(k).model().set_layout(Layout("NCHW"))
            steps.output(k).tensor().set_element_type(kind).set_layout(Layout("NHWC"))
        settings = {**self._settings, "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[precision]}
        return self._core.compile_model(steps.build(), "CPU", settings)

    def state_bytes(self) -> int:
        sizes = zip(self._shapes, self._types, strict=True)
        return sum(int(np.prod(shape)) * int(kind.size) for shape, kind in sizes)

    def picture(self, picture_bgr: Picture) -> Any:
        sizes = zip(self._shapes, self._types, strict=True)
        state = [self._ov.Tensor(kind, self._ov.Shape(shape)) for shape, kind in sizes]
        self._picture.set_input_tensor(self._ov.Tensor(np.ascontiguousarray(picture_bgr)[None]))
        for k, tensor in enumerate(state):
            self._picture.set_output_tensor(k, tensor)
        self._picture.infer()
        return state

    def speech(self, windows: FloatArray) -> list[Any]:
        heard: list[Any] = []
        for part, count in _batches(windows, SPEECH_BATCH):
            found = self._ov.Tensor(self._heard_type, self._ov.Shape(self._heard_shape))
            self._speech.set_input_tensor(self._ov.Tensor(part))
            self._speech.set_output_tensor(0, found)
            self._speech.infer()
            for i in range(count):
                start, stop = [i, 0, 0, 0], [i + 1, *self._heard_shape[1:]]
                heard.append(self._ov.Tensor(found, self._ov.Coordinate(start), self._ov.Coordinate(stop)))
        return heard

    def render(self, states: Sequence[Any], heard: Sequence[Any]) -> list[Picture]:
        pictures: list[Picture] = []
        streams = len(self._last)
        for start in range(0, len(states), streams):
            part = list(zip(states[start : start + streams], heard[start : start + streams], strict=True))
            given = [[sound, *state] for state, sound in part]
            if self._num_deep:
                split = self._num_deep + 1
                self._run(self._deep, [tensors[:split] for tensors in given])
                deep = [request.get_output_tensor(0) for request in self._deep]
                given = [[deep[i], *tensors[split:]] for i, tensors in enumerate(given)]
            self._run(self._last, given)
            pictures += [np.array(request.get_output_tensor(0).data[0]) for request in self._last[: len(part)]]
        return pictures

    @staticmethod
    def _run(requests: Sequence[Any], given: Sequence[Sequence[Any]]) -> None:
        """Run requests side by side, each on its tensors."""
        busy = []
        for request, tensors in zip(requests, given, strict=False):
            for k, tensor in enumerate(tensors):
                request.set_input_tensor(k, tensor)
            request.start_async()
            busy.append(request)
        for request in busy:
            request.wait()
