"""Cameras, spherical harmonics and rasterisers; knows no family.

Each fast path has a slow readable twin with the same names: `rasterize_reference` is the specification of
`rasterize_cpu` (numba) and `rasterize_cuda` (gsplat), `spherical_harmonics` of `spherical_harmonics_cpu`.

Once it is imported this folder stands under the same name as the public function `talkinghead.render`; so that the
function works either way, the module can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkinghead.contracts import Result


class _CallableModule(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Result:
        """`talkinghead.api.render`."""
        from talkinghead.api import render

        return render(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
