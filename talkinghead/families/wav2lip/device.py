"""The generator on a GPU with everything around it: bytes go up, finished bytes come down.

Cropping, masking, scaling, truncation, colour match, resizing and blending run where the network runs. What depends on
the source face alone stays on the device. The network is captured as a CUDA graph; copies are asynchronous from and to
pinned memory, and one batch is prepared while the one before is computed.

The resizing repeats OpenCV's bilinear arithmetic on 8 bits exactly, so `--compat` gives the same pixels here.
Everything also runs on the CPU device, which is how it is tested.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from talkinghead.backends import Placement
from talkinghead.contracts import Frame
from talkinghead.engine.lru import Lru
from talkinghead.errors import OutOfMemory
from talkinghead.families.wav2lip.architecture import EMBEDDING
from talkinghead.families.wav2lip.engine import Engine, EngineOptions, Face, Request, Task
from talkinghead.families.wav2lip.graphs import feature_names, network
from talkinghead.families.wav2lip.postprocess import (
    MATCH_BLOCKS,
    MATCH_TOP,
    MAX_GAIN,
    MAX_SHIFT,
    Finish,
    lower_face_mask,
)
from talkinghead.families.wav2lip.weights import GeneratorWeights

COEFFICIENT_BITS = 11
"""OpenCV's fixed point for bilinear weights."""
REGIONS_KEPT = 256


# Resizing -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _resize_table(source: int, target: int, vertical: bool, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions and 11-bit weights of OpenCV's INTER_LINEAR along one axis."""
    position = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    share = position - first.astype(np.float32)
    if not vertical:  # along rows OpenCV clamps the weights too, along columns only the positions
        outside = (first < 0) | (first >= source - 1)
        share[outside] = 0
        first = np.clip(first, 0, source - 1)
    one = np.float32(1 << COEFFICIENT_BITS)
    weights = [np.rint((np.float32(1) - share) * one), np.rint(share * one)]
    places = [np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1)]
    low, high = (torch.from_numpy(place).to(device) for place in places)
    a, b = (torch.from_numpy(weight.astype(np.int32)).to(device) for weight in weights)
    return low, high, a, b


def resize_linear(picture: Tensor, height: int, width: int) -> Tensor:
    """OpenCV's INTER_LINEAR on 8 bits, to the bit. [H, W, C] uint8 to [height, width, C] uint8, on any device."""
    if picture.shape[:2] == (height, width):
        return picture
    device = str(picture.device)
    left, right, a, b = _resize_table(picture.shape[1], width, False, device)
    top, bottom, c, d = _resize_table(picture.shape[0], height, True, device)
    wide = picture.to(torch.int32)
    rows = wide[:, left] * a[None, :, None] + wide[:, right] * b[None, :, None]
    above, below = rows[top] >> 4, rows[bottom] >> 4
    mixed = ((c[:, None, None] * above) >> 16) + ((d[:, None, None] * below) >> 16)
    return ((mixed + 2) >> 2).to(torch.uint8)


# Colours and blending -------------------------------------------------------------------------------------------------


def match_colours_batch(generated: Tensor, source: Tensor) -> Tensor:
    """`postprocess.match_colours` for a batch. [B, S, S, 3] uint8 each, to the same."""
    made, wanted = (_blocks_beside(face) for face in (generated, source))
    gain = (wanted.std(dim=1, correction=0) + 1) / (made.std(dim=1, correction=0) + 1)
    gain = gain.clamp(1 / MAX_GAIN, MAX_GAIN)
    shift = (wanted.mean(dim=1) - gain * made.mean(dim=1)).clamp(-MAX_SHIFT, MAX_SHIFT)
    return (generated * gain[:, None, None] + shift[:, None, None] + 0.5).clamp(0, 255).to(torch.uint8)


def _blocks_beside(faces: Tensor) -> Tensor:
    """Means of the blocks that `postprocess.match_colours` compares. [B, S, S, 3] uint8 to [B, n, 3] float32."""
    size = faces.shape[1]
    block = size // MATCH_BLOCKS
    beside = faces[:, int(MATCH_TOP * size) : size // 2].float()
    return beside.reshape(len(faces), -1, block, MATCH_BLOCKS, block, 3).mean(dim=(2, 4)).flatten(1, 2)


@lru_cache(maxsize=64)
def _mask(width: int, height: int, feather: float, device: str) -> Tensor:
    return torch.from_numpy(np.array(lower_face_mask(width, height, feather))).to(device)[..., None]


def finish_region(face_bgr: Tensor, region: Tensor, finish: Finish, strength: float) -> Tensor:
    """The pixels of the box with the face pasted. RGB uint8 [h, w, 3].

    Args:
        face_bgr: [S, S, 3] uint8, colours matched already.
        region: the box of the source frame, RGB uint8 [h, w, 3].
    """
    height, width = region.shape[:2]
    if finish.paste == "box" and strength >= 1:
        return resize_linear(face_bgr, height, width).flip(-1)
    mode = "bicubic" if height > face_bgr.shape[0] else "area"
    planes = face_bgr.flip(-1).permute(2, 0, 1)[None].float()
    patch = functional.interpolate(planes, size=(height, width), mode=mode).clamp(0, 255)[0].permute(1, 2, 0)
    mask = _mask(width, height, 0.0 if finish.paste == "box" else finish.feather, str(region.device))
    below = region.float()
    return (below + mask * strength * (patch - below) + 0.5).to(torch.uint8)


# The engine -----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Slot:
    """Memory of one batch under way."""

    embeddings: Tensor
    """[B, 512] float32 on the host, pinned on CUDA."""
    finished: Any = None
    """CUDA event behind the download."""
    faces: list[Tensor] | None = None
    """On the host."""


class DeviceEngine(Engine):
    """See `Engine`. Crops are the pixels of the box, RGB uint8 [h, w, 3], and so are the faces: pasted already."""

    def __init__(
        self,
        weights: GeneratorWeights,
        placement: Placement,
        options: EngineOptions | None = None,
        *,
        finish: Finish | None = None,
    ) -> None:
        super().__init__(weights, placement, options, finish=finish)
        self._device = torch.device(placement.device)
        self._cuda = self._device.type == "cuda"
        self._regions: Lru[Hashable, tuple[Tensor, Tensor]] = Lru(REGIONS_KEPT)
        self._bank: dict[Hashable, int] = {}
        self._levels: list[Tensor] = []
        self._programs: dict[bool, _Program] = {}

    @property
    def in_flight(self) -> int:
        return 2 * self.batch

    def crop(self, frame: Frame, box_xyxy: NDArray[Any]) -> Face:
        x1, y1, x2, y2 = (int(edge) for edge in box_xyxy)
        return frame[y1:y2, x1:x2]

    def put_back(
        self,
        frame: Frame,
        face: Face,
        crop: Face,  # noqa: ARG002 - the interface
        box_xyxy: NDArray[Any],
        strength: float = 1.0,  # noqa: ARG002 - it was counted in when the face was made
    ) -> Frame:
        x1, y1, x2, y2 = (int(edge) for edge in box_xyxy)
        frame = frame.copy()
        frame[y1:y2, x1:x2] = face
        return frame

    def variant(self, strength: float) -> Hashable:
        return strength

    def warm_up(self, task: Task) -> None:
        super().warm_up(task)
        self._program(task.split)

    def _parts(self, task: Task) -> tuple[str, ...]:  # noqa: ARG002 - the other parts are programs here
        return ("audio",)

    # One batch --------------------------------------------------------------------------------------------------------

    def produce(self, batches: Iterator[list[Request]], task: Task) -> Iterator[Sequence[Face]]:
        under_way: deque[_Slot] = deque()
        try:
            with torch.inference_mode():
                for batch in batches:
                    under_way.append(self._launch(batch, task))
                    if len(under_way) == 2:
                        yield self._collect(under_way.popleft(), task)
                while under_way:
                    yield self._collect(under_way.popleft(), task)
        except torch.OutOfMemoryError as error:
            self._programs.clear()
            self._bank.clear()
            self._levels = []
            self._regions.clear()
            if self._cuda:
                torch.cuda.empty_cache()
            raise OutOfMemory(f"{self.batch} faces do not fit into the memory of {self._device}.") from error

    def _launch(self, batch: list[Request], task: Task) -> _Slot:
        """Queue everything for one batch; nothing waits for the device."""
        with task.tracer.span("faces in", faces=len(batch)):
            pairs = [self._source(request) for request in batch]
            regions = [region for region, _ in pairs]
            crops = torch.stack([crop for _, crop in pairs])
            slot = _Slot(self._host(np.stack([request.embedding for request in batch])))
            audio = slot.embeddings.to(self._device, non_blocking=True)
        with task.tracer.span("network", faces=len(batch)):
            program = self._program(task.split)
            made = program(audio, self._bank_rows(batch, crops, task) if task.split else crops)[: len(batch)]
            faces = torch.cat([crops[:, : self.first_row], made], dim=1)
        with task.tracer.span("finish", faces=len(batch)):
            if self.finish.colour_match:
                faces = match_colours_batch(faces, crops)
            done = [
                finish_region(face, region, self.finish, request.strength)
                for face, region, request in zip(faces, regions, batch, strict=True)
            ]
            slot.faces = [self._download(region) for region in done]
            if self._cuda:
                slot.finished = torch.cuda.Event()  # type: ignore[no-untyped-call]
                slot.finished.record()
        return slot

    def _collect(self, slot: _Slot, task: Task) -> list[Face]:
        if slot.finished is not None:
            with task.tracer.span("wait for the device"):
                slot.finished.synchronize()
        assert slot.faces is not None
        return [face.numpy() for face in slot.faces]

    def _host(self, value: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        return tensor.pin_memory() if self._cuda else tensor

    def _download(self, value: Tensor) -> Tensor:
        if not self._cuda:
            return value.contiguous()
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        host.copy_(value, non_blocking=True)
        return host

    def _source(self, request: Request) -> tuple[Tensor, Tensor]:
        """The pixels of the box, and what the network takes of them ([S, S, 3] uint8 BGR), on the device."""
        known = self._regions.find(request.key)
        if known is None:
            region = self._host(request.face).to(self._device, non_blocking=True)
            known = region, resize_linear(region, self.size, self.size).flip(-1)
            self._regions.keep(request.key, known)
        return known

    # Features -------------------------------------------------------------------------------------------------------

    def _bank_rows(self, batch: list[Request], crops: Tensor, task: Task) -> Tensor:
        """Rows of the feature bank for a batch; faces that are new are encoded and put in. [B] int64."""
        fresh = {request.key: index for index, request in enumerate(batch) if request.key not in self._bank}
        if fresh:
            limit = self.most_features
            if len(self._bank) + len(fresh) > limit:
                self._bank.clear()
                fresh = {request.key: index for index, request in enumerate(batch)}
            program = self._encoder()
            for keys in (list(fresh)[i : i + self.batch] for i in range(0, len(fresh), self.batch)):
                chosen = crops[[fresh[key] for key in keys]]
                for level, value in enumerate(program(planes_of(chosen, self._dtype))):
                    self._store(level, len(self._bank), value, limit)
                self._bank.update({key: len(self._bank) + offset for offset, key in enumerate(keys)})
        task.run.count("features reused", len(batch) - len(fresh))
        return torch.tensor([self._bank[request.key] for request in batch], device=self._device)

    def _store(self, level: int, row: int, value: Tensor, limit: int) -> None:
        """Write features into the bank, which grows by doubling up to `limit` rows."""
        if level == len(self._levels):
            self._levels.append(self._room(min(limit, max(self.batch, len(value))), value))
        bank = self._levels[level]
        if row + len(value) > len(bank):
            grown = self._room(min(limit, 2 * (row + len(value))), value)
            grown[:row] = bank[:row]
            self._levels[level] = grown
        self._levels[level][row : row + len(value)] = value

    @staticmethod
    def _room(rows: int, like: Tensor) -> Tensor:
        return torch.empty((rows, *like.shape[1:]), dtype=like.dtype, device=like.device).contiguous(
            memory_format=torch.channels_last
        )

    @property
    def _dtype(self) -> torch.dtype:
        from talkinghead.backends.torch_backend import DTYPES

        return DTYPES[self.placement.precision]

    # Programs -------------------------------------------------------------------------------------------------------

    def _module(self, part: str) -> torch.nn.Module:
        from talkinghead.backends.torch_backend import build_module, place_module

        net = network(part, self.architecture, lambda: self.weights.folded, self.weights.sha256, self.first_row)
        module = place_module(build_module(net), self.placement.device, self.placement.precision)
        if self.options.compile:  # CUDA graphs are recorded here already
            module = cast(torch.nn.Module, torch.compile(module, dynamic=False, mode="max-autotune-no-cudagraphs"))
        return module

    def _encoder(self) -> torch.nn.Module:
        if self._encoder_module is None:
            self._encoder_module = self._module("face")
        return self._encoder_module

    _encoder_module: torch.nn.Module | None = None

    def _program(self, split: bool) -> _Program:
        if split not in self._programs:
            module = self._module("decoder" if split else "generator")
            self._programs[split] = _Program(module, self, split=split)
        return self._programs[split]

    def move(self, placement: Placement) -> None:
        if placement.name != self.placement.name:
            super().move(placement)
            self._forget()

    def _sample(self, face: Face, window: NDArray[np.float32], task: Task) -> NDArray[Any]:
        audio = self.session("audio", task).run({"mel": window[None, None]})["audio"]
        with torch.inference_mode():
            planes = planes_of(self._crop_of(face), self._dtype)
            (output,) = self._module("generator")(torch.from_numpy(audio).to(self._device, self._dtype), planes)
            found: NDArray[Any] = output.float().cpu().numpy()
        return found

    def _planes(self, face: Face) -> NDArray[np.float32]:
        found: NDArray[np.float32] = planes_of(self._crop_of(face), torch.float32).contiguous().cpu().numpy()
        return found

    def _crop_of(self, face: Face) -> Tensor:
        """[1, S, S, 3] uint8 BGR of the pixels of a box."""
        region = self._host(face).to(self._device)
        return resize_linear(region, self.size, self.size).flip(-1)[None]

    def banks(self) -> list[Tensor]:
        """The feature bank, one tensor per level; replaced when it grows."""
        return self._levels

    def close(self) -> None:
        super().close()
        self._forget()

    def _forget(self) -> None:
        self._encoder_module = None
        self._programs.clear()
        self._bank.clear()
        self._levels = []
        self._regions.clear()


def planes_of(crops_bgr: Tensor, dtype: torch.dtype) -> Tensor:
    """`preprocess.network_faces` on the device: [B, S, S, 3] uint8 to [B, 6, S, S], channels last."""
    size = crops_bgr.shape[1]
    whole = crops_bgr.permute(0, 3, 1, 2).float() / 255
    masked = whole.clone()
    masked[:, :, size // 2 :] = 0
    return torch.cat([masked, whole], dim=1).to(dtype).contiguous(memory_format=torch.channels_last)


class _Program:
    """The network for one batch size, captured as a CUDA graph where there is one. [B, H, S, 3] uint8 BGR out."""

    def __init__(self, module: torch.nn.Module, engine: DeviceEngine, *, split: bool) -> None:
        self._module = module
        self._engine = engine
        self._split = split
        self._graph: Any = None
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._output: Tensor | None = None
        self._captured_banks: list[int] = []

    def __call__(self, audio: Tensor, second: Tensor) -> Tensor:
        """
        Args:
            audio: [n, 512] float32.
            second: crops [n, S, S, 3] uint8, or rows of the feature bank [n] int64.
        """
        engine = self._engine
        if not engine._cuda:
            return self._compute(audio, second)
        batch = engine.batch
        banks = [bank.data_ptr() for bank in engine.banks()] if self._split else []
        if self._graph is None or banks != self._captured_banks:
            self._capture(audio, second, batch)
            self._captured_banks = banks
        assert self._inputs is not None
        assert self._output is not None
        for buffer, value in zip(self._inputs, (audio, second), strict=True):
            buffer[: len(value)].copy_(value, non_blocking=True)
        self._graph.replay()
        return self._output.clone()

    def _compute(self, audio: Tensor, second: Tensor) -> Tensor:
        engine = self._engine
        embedding = audio.reshape(-1, EMBEDDING, 1, 1).to(engine._dtype)
        if self._split:
            features = [bank.index_select(0, second) for bank in engine.banks()]
            assert len(features) == len(feature_names(engine.architecture))
            (output,) = self._module(embedding, *features)
        else:
            (output,) = self._module(embedding, planes_of(second, engine._dtype))
        faces: Tensor = (output.float() * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return faces

    def _capture(self, audio: Tensor, second: Tensor, batch: int) -> None:
        """Record one run on buffers of a full batch; the first runs choose the kernels."""
        self._inputs = (
            torch.zeros((batch, *audio.shape[1:]), dtype=audio.dtype, device=audio.device),
            torch.zeros((batch, *second.shape[1:]), dtype=second.dtype, device=second.device),
        )
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._compute(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = self._compute(*self._inputs)
