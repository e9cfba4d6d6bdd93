"""A face restoration network, or an upscaler, from its checkpoint to sharpened crops."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.gate import Verdict, first_faithful, psnr_db
from talkinghead.backends.placement import Offer, Order, Placement, candidates
from talkinghead.contracts import ArrayStore, Frame
from talkinghead.enhance.align import SIDE
from talkinghead.enhance.model_files import CATALOGUE, what_it_is
from talkinghead.enhance.spandrel_import import import_spandrel
from talkinghead.errors import MissingWeights, OutOfMemory, WrongCheckpoint
from talkinghead.reading import reason
from talkinghead.reading.bounds import shortened
from talkinghead.weights import read_checkpoint
from talkinghead.weights.known_hash import FileHash
from talkinghead.weights.store import how_to_get, part

if TYPE_CHECKING:
    from torch import Tensor

ACCEPTED = "GFPGAN 1.2 to 1.4, RestoreFormer, or an upscaler of the ESRGAN family (Real-ESRGAN, compact ones)"
RESTORER = Offer(
    title="face restoration",
    exact=(("torch", "float32"),),
    exact_source="the only runtime",
    reduced={
        "amx": Order((("torch", "bfloat16"),), "known, not measured: a matrix unit multiplies bfloat16"),
        "avx512-bf16": Order((("torch", "bfloat16"),), "known, not measured: half the memory traffic"),
        "arm-bf16": Order((("torch", "bfloat16"),), "known, not measured: half the memory traffic"),
    },
    cuda_named=("bfloat16",),
)
UPSCALER_INPUT = 256
"""Side of the crop that an upscaler sees: about what a generated face has; what comes out is brought to SIDE."""
CUDA_BATCH = 8
"""Crops per call on CUDA devices; on processors one, which takes no longer each."""
VERSION = 1
"""Raised when what is computed changes."""


@dataclass(frozen=True, eq=False)
class RestorerFile:
    """A network that was read, in float32 on the processor."""

    name: str
    """Of the architecture, as spandrel calls it."""
    purpose: str
    """"FaceSR", "SR" or "Restoration"."""
    scale: int
    module: Any
    """torch.nn.Module."""
    forward: Callable[[Tensor], Tensor]
    """[B, 3, S, S] in [0, 1] to [B, 3, S * scale, S * scale] in [0, 1], RGB."""
    file_hash: FileHash

    @property
    def input_px(self) -> int:
        """Side of the crops that go in."""
        return UPSCALER_INPUT if self.scale > 1 else SIDE


def find_restorer(given: Path) -> Path:
    """The file of a path, or of a name of the model store.

    Raises:
        MissingWeights: neither.
    """
    if given.exists():
        return given
    installed = part(str(given))
    if installed is not None:
        return installed
    row = next((row for row in CATALOGUE if row.name == str(given)), None)
    if row is not None:
        raise MissingWeights(f"The network {row.name} is not installed.", remedy=how_to_get(row))
    names = ", ".join(row.name for row in CATALOGUE)
    raise MissingWeights(
        f"There is no file {str(given)!r} to sharpen faces with.", accepted=f"a file, or a name of the store: {names}"
    )


def read_restorer(path: Path) -> RestorerFile:
    """Read a network; no code of the file is run.

    Raises:
        WrongCheckpoint: another kind of network, damaged or incomplete. UnsafeCheckpoint: the file would run code.
        MissingDependency: the extra is not installed.
    """
    checkpoint = read_checkpoint(path)
    spandrel = import_spandrel()
    found = what_it_is(checkpoint.tensors)
    if found is None:
        raise _stranger(checkpoint.tensors, path)
    if not found.runs:
        raise WrongCheckpoint(f"{path} is {found.title} and does not sharpen faces here.", accepted=ACCEPTED)
    _check_values(checkpoint.tensors, path)
    try:
        model = _built(spandrel, checkpoint.tensors)
    except Exception as error:  # what an architecture makes of foreign weights is not known
        raise WrongCheckpoint(
            f"{path} begins like {found.title} and is not one: {shortened(reason(error), 300)}.", accepted=ACCEPTED
        ) from error
    takes_pictures = isinstance(model, spandrel.ImageModelDescriptor)
    if not takes_pictures or (model.input_channels, model.output_channels) != (3, 3) or model.scale > 8:
        raise WrongCheckpoint(
            f"{path} is a network for {model.purpose} ({model.architecture.name}) of {model.input_channels} to "
            f"{model.output_channels} channels, {model.scale} times the size.",
            accepted=ACCEPTED,
        )
    model.eval()
    forward = partial(_gfpgan, model.model) if model.architecture.id == "GFPGAN" else model
    return RestorerFile(
        str(model.architecture.name), str(model.purpose), int(model.scale), model.model, forward, FileHash(path)
    )


def _gfpgan(module: Any, image: Tensor) -> Tensor:
    """GFPGAN speaks [-1, 1]. Its noise is that of the checkpoint: drawn anew for each frame, as published, it flickers.

    Source: `gfpgan/utils.py` of TencentARC/GFPGAN (the range).
    """
    made: Tensor = module(image * 2 - 1, return_rgb=False, randomize_noise=False)[0]
    return (made / 2 + 0.5).clamp(0, 1)


def _built(spandrel: Any, tensors: Mapping[str, NDArray[Any]]) -> Any:
    """spandrel's model with these weights, loaded strictly.

    It is built without memory first: sizes that a small file claims may be those of an enormous network, which is then
    refused for the tensors that it lacks.
    """
    import torch

    state = {}
    for name, value in tensors.items():
        array = value.astype(np.float32) if value.dtype.kind == "f" else np.array(value)
        state[name] = torch.from_numpy(np.ascontiguousarray(array))
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # that nothing is copied to where no memory is
        spandrel.MAIN_REGISTRY.load(dict(state))
    return spandrel.MAIN_REGISTRY.load(state)


def _check_values(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    bad = next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)
    if bad is not None:
        raise WrongCheckpoint(f"{path} is damaged: {shortened(bad, 60)} holds values that are not numbers.")


def _stranger(tensors: Mapping[str, NDArray[Any]], path: Path) -> WrongCheckpoint:
    """The error for a file of another kind."""
    held = ", ".join(shortened(name, 60) for name in list(tensors)[:3])
    return WrongCheckpoint(
        f"{path} holds no network that sharpens faces: {len(tensors)} tensors ({held}).", accepted=ACCEPTED
    )


class Restorer:
    """A network where it runs. Used by one thread at a time.

    Args:
        file: the network.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: as for the model whose faces are sharpened; a number format that is asked for by name is meant for
            that model, and here means "auto".
    """

    def __init__(self, file: RestorerFile, device: str, precision: str) -> None:
        self.file = file
        asked = precision if precision in ("fast", "parity", "float32") else "auto"
        self._places = candidates(RESTORER, device, "auto", asked)
        self._verdict: Verdict | None = None
        self.batch = 1 if self._places[0].device == "cpu" else CUDA_BATCH
        self._moved = False

    @property
    def verdict(self) -> Verdict:
        """Where and how precisely it runs; until it is decided, the first way."""
        return self._verdict or Verdict(self._places[0])

    def first(self, crop: Frame, store: ArrayStore) -> tuple[Frame, float]:
        """Sharpen the first crop of a job, and decide before how precisely: reduced only where this crop stays what it
        is in float32.

        Returns:
            What was made, and the seconds that one crop takes here, measured.
        """
        if self._verdict is None:
            self._verdict = first_faithful(
                self._places,
                lambda place: psnr_db(self._run([crop], place)[0], self._run([crop], _exact(place))[0], peak=255),
                network=f"face restoration {self.file.name}/{VERSION}",
                weights_sha256=lambda: self.file.file_hash.hex,
                store=store,
            )
        if self.verdict.placement.device != "cpu":
            self.restore([crop])  # a GPU chooses its kernels once, which takes longer than the crop
        started = time.perf_counter()
        (made,) = self.restore([crop])
        return made, time.perf_counter() - started

    def restore(self, crops: Sequence[Frame]) -> list[Frame]:
        """Sharpened crops.

        Args:
            crops: [SIDE, SIDE, 3] uint8 each.
        Raises:
            OutOfMemory: not even one fits into the memory of the device.
        """
        import torch

        made: list[Frame] = []
        while len(made) < len(crops):
            part_of_them = crops[len(made) : len(made) + self.batch]
            try:
                made += self._run(part_of_them, self.verdict.placement)
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    raise OutOfMemory(
                        f"Not even one crop fits into the memory of {self.verdict.placement.device}.",
                        remedy="--device cpu, or close other programs that use the device",
                    ) from error
                self.batch //= 2
        return made

    def _run(self, crops: Sequence[Frame], place: Placement) -> list[Frame]:
        import torch

        from talkinghead.backends.torch_backend import DTYPES

        if not self._moved:
            self.file.module.to(place.device)
            self._moved = True
        size = (self.file.input_px, self.file.input_px)
        seen = [cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops]
        pictures = torch.from_numpy(np.stack(seen)).to(place.device).permute(0, 3, 1, 2).contiguous()
        half = place.precision != "float32"
        kind = place.device.partition(":")[0]
        with torch.inference_mode(), torch.autocast(kind, DTYPES[place.precision] if half else None, enabled=half):
            made = self.file.forward(pictures.float() / 255)
        finished = (made.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [np.asarray(cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8) for face in finished]


def _exact(place: Placement) -> Placement:
    return Placement(place.device, "torch", "float32")
