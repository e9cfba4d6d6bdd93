"""Where and how precisely a model runs, for commands that declare their options themselves: `device: Device = "auto"`.

Names, values and help are those of `LoadOptions`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from talkinghead.engine.head import BackendChoice, LoadOptions, PrecisionChoice
from talkinghead.engine.options import option_fields


def _option(name: str) -> Any:
    item = next(item for item in option_fields(LoadOptions) if item.name == name)
    return typer.Option(item.flag, help=item.help)


Device = Annotated[str, _option("device")]
Precision = Annotated[PrecisionChoice, _option("precision")]
Backend = Annotated[BackendChoice, _option("backend")]
