"""Importing spandrel, whose classes build the networks, without torchvision.

spandrel takes three names from torchvision. A wheel of torchvision loads only beside the very build of PyTorch that it
was compiled for (not beside a PyTorch for processors, if it is the one of the package index), and importing it takes
longer than everything else here. So spandrel is given these names from here while it is imported; if torchvision is
loaded already it is left alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any

from talkinghead.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PURPOSE = "Sharpening faces (--enhance)"
_NAMES = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
_lock = threading.Lock()


def import_spandrel() -> Any:
    """The module `spandrel`.

    Raises:
        MissingDependency: spandrel, einops or PyTorch is not installed.
    """
    for package in ("torch", "einops", "spandrel"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, extra="enhance", purpose=PURPOSE)
    with _lock:
        if "spandrel" in sys.modules or "torchvision" in sys.modules:
            return importlib.import_module("spandrel")
        with _stand_ins():
            return importlib.import_module("spandrel")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Modules that hold what spandrel takes from torchvision, for as long as it is imported."""
    modules = {name: ModuleType(name) for name in _NAMES}
    functional = modules[_NAMES[-1]]
    functional.normalize = normalize  # type: ignore[attr-defined]
    functional.InterpolationMode = InterpolationMode  # type: ignore[attr-defined]
    functional.rotate = _rotate  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in _NAMES:
            sys.modules.pop(name, None)


class InterpolationMode(Enum):
    """As far as spandrel names it."""

    BILINEAR = "bilinear"


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(image - mean) / std for each channel, [..., C, H, W]."""
    middle, spread = (image.new_tensor(values)[:, None, None] for values in (mean, std))
    return (image - middle) / spread


def _rotate(*_: Any, **__: Any) -> Tensor:
    """Only an inpainting network turns pictures, and none is taken here."""
    raise NotImplementedError
