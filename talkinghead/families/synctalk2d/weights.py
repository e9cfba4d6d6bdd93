"""Reading the published checkpoints: any wrapper, any of the three key layouts, size and mode from the shapes.

| layout | found in                 | stem                  | blocks                         | audio branch    |
|--------|--------------------------|-----------------------|--------------------------------|-----------------|
| A      | SyncTalk_2D, UDH classic | `inc.inconv.0.conv.*` | `maxpool_conv.0.double_conv.*` | by name         |
| B      | UDH refactored           | `inc.inconv.conv.*`   | `maxpool_conv.double_conv.*`   | by name         |
| C      | the lqql8790229 fork     | as B                  | as B                           | `net.{n}` (ave) |

Everything is translated to layout A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import MissingWeights, OptionError, WrongCheckpoint, choices
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, MODES, SIZES, Variant
from talkinghead.files import file_sha256
from talkinghead.reading import reading
from talkinghead.weights import Checkpoint, read_checkpoint

Array = NDArray[Any]

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin")

_NET_NAMES = {
    "0": "conv1",
    "1": "conv2",
    "2": "conv3",
    "3": "bn3",
    "5": "conv4",
    "6": "conv5",
    "7": "bn5",
    "9": "conv6",
    "10": "conv7",
}
"""Layout C numbers the audio branch (its activations take 4 and 8)."""

PHONES = "phones"
"""What a file may state that its network hears: features that are made from recognised phones."""
SOUND_ROWS = "sound-rows/1"
"""The same: rows of `sound_rows`, which this package trains with; another number, other rows."""
HEARD = (PHONES, SOUND_ROWS)
WANTED = "a generator of SyncTalk_2D or Ultralight-Digital-Human (state dict, 484 or 556 entries)"


@dataclass(frozen=True, eq=False)
class GeneratorWeights:
    """The tensors of one generator."""

    path: Path
    tensors: Mapping[str, Array]
    """Key layout A, float32."""
    size: str
    """"328" or "160"."""
    audio_variants: tuple[str, ...]
    """Keys of AUDIO_VARIANTS that have these shapes: one, or ave and hubert."""
    layout: str
    """"A", "B" or "C": how the file names its tensors."""
    stated_mode: str | None
    """Mode that the file itself states (a converted file does)."""
    sha256: str | None
    hears: str | None = None
    """One of HEARD, where the file states that its features are made here: from recognised phones (a constructed file),
    or as `sound_rows` (a file that was trained here)."""

    def variant(self, mode: str | None = None) -> Variant:
        """The network that these weights belong to.

        Args:
            mode: one of MODES, or None to take it from the shapes or the file's own statement.
        Raises:
            OptionError: the mode is not decidable from the weights and not given, or contradicts them.
        """
        found = [AUDIO_VARIANTS[name] for name in self.audio_variants]
        modes = [audio.mode for audio in found]
        if mode is not None and mode not in MODES:
            raise OptionError(f"There is no mode {mode!r}.", accepted=choices(MODES))
        if mode is not None and mode not in modes:
            raise OptionError(
                f"{self.path} is a network for {choices(modes)} features, not for {mode}.",
                accepted=f"--mode {choices(modes)}",
            )
        wanted = mode or (modes[0] if len(modes) == 1 else self.stated_mode)
        if wanted is None:
            raise OptionError(
                f"{self.path} listens to {choices(modes)} features: the two have the same weights, "
                "so the file cannot tell which.",
                accepted=f"--mode {choices(modes)}",
                remedy="the mode that it was trained with (ave, unless another was chosen)",
            )
        return Variant(SIZES[self.size], found[modes.index(wanted)])


def to_published_layout(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """Rename the tensors of any published layout to layout A.

    Returns:
        The same arrays by their names in layout A, and "A", "B" or "C".
    """
    layout = "A"
    renamed: dict[str, Array] = {}
    for name, value in tensors.items():
        new = re.sub(r"^inc\.inconv\.conv\.", "inc.inconv.0.conv.", name)
        new = re.sub(r"^(down\d+\.maxpool_conv)\.double_conv\.", r"\1.0.double_conv.", new)
        if new != name and layout == "A":
            layout = "B"
        match = re.match(r"^audio_model\.net\.(\d+)\.(.+)$", name)
        if match is not None:
            layout = "C"
            new = f"audio_model.{_NET_NAMES.get(match[1], 'net.' + match[1])}.{match[2]}"
        renamed[new] = value
    return renamed, layout


def recognise(tensors: Mapping[str, Array], source: str | Path) -> tuple[str, tuple[str, ...]]:
    """Size and audio branch of a state dict in layout A.

    Returns:
        Key of SIZES, and the keys of AUDIO_VARIANTS that have these shapes.
    Raises:
        WrongCheckpoint: not such a generator.
    """
    conv1 = tensors.get("audio_model.conv1.conv.0.weight")
    if conv1 is None or conv1.ndim != 4 or "inc.inconv.0.conv.0.weight" not in tensors:
        examples = ", ".join(list(tensors)[:3]) or "nothing"
        raise WrongCheckpoint(f"{source} is not a generator of this family (it holds {examples}).", accepted=WANTED)
    size = "328" if "down5.maxpool_conv.0.double_conv.0.conv.0.weight" in tensors else "160"
    width = int(conv1.shape[1])
    names = tuple(
        name
        for name, audio in AUDIO_VARIANTS.items()
        if audio.input_shape[0] == width and (size == "160" or not name.startswith("udh-"))
    )
    if not names:
        raise WrongCheckpoint(
            f"{source} has an audio branch of {width} input channels.", accepted="32, 256, 16 or 128 input channels"
        )
    return size, names


def generator_weights(
    tensors: Mapping[str, Array], source: str | Path, *, stated_mode: str | None = None, sha256: str | None = None
) -> GeneratorWeights:
    """Recognise and check the tensors of a generator.

    Args:
        tensors: without wrapper and `module.` prefixes, any published layout.
        source: for messages.
    Raises:
        WrongCheckpoint: missing, unexpected or misshapen tensors; the message names them.
    """
    renamed, layout = to_published_layout(tensors)
    size, names = recognise(renamed, source)
    wanted = expected_shapes(size, names[0])
    check_shapes(renamed, wanted, source, f"the {size} generator with {choices(names)} features")
    ready = {name: np.asarray(renamed[name], np.float32) for name in wanted if not name.endswith("num_batches_tracked")}
    if layout == "C":
        stated_mode = "ave"  # only this mode's audio branch is numbered
    if stated_mode is not None and stated_mode not in [AUDIO_VARIANTS[name].mode for name in names]:
        stated_mode = None
    return GeneratorWeights(Path(source), ready, size, names, layout, stated_mode, sha256)


def check_shapes(
    tensors: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]], source: str | Path, what: str
) -> None:
    """Refuse a state dict that is not exactly the wanted one; `num_batches_tracked` is not used and may be absent.

    Raises:
        WrongCheckpoint: the message shows up to three differences of each kind.
    """
    problems: list[str] = []
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in wanted]
    shapes = [
        f"{name} is {list(tensors[name].shape)}, not {list(wanted[name])}"
        for name in wanted
        if name in tensors and tuple(tensors[name].shape) != wanted[name] and not name.endswith("num_batches_tracked")
    ]
    for label, names in (("lacks", missing), ("has besides", unexpected), ("differs:", shapes)):
        if names:
            rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{label} {', '.join(names[:3])}{rest}")
    if problems:
        raise WrongCheckpoint(f"{source} is not {what}: it {'; it '.join(problems)}.", accepted=WANTED)


@lru_cache(maxsize=16)
def expected_shapes(size: str, audio: str) -> Mapping[str, tuple[int, ...]]:
    """Name to shape of every entry of the published state dict, in layout A."""
    picture, branch = SIZES[size], AUDIO_VARIANTS[audio]
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def block(name: str, in_width: int, out_width: int) -> None:
        hidden = 2 * in_width
        shapes[f"{name}.conv.0.weight"] = (hidden, in_width, 1, 1)
        norm(f"{name}.conv.1", hidden)
        shapes[f"{name}.conv.3.weight"] = (hidden, 1, 3, 3)
        norm(f"{name}.conv.4", hidden)
        shapes[f"{name}.conv.6.weight"] = (out_width, hidden, 1, 1)
        norm(f"{name}.conv.7", out_width)

    def double(name: str, in_width: int, out_width: int) -> None:
        block(f"{name}.double_conv.0", in_width, out_width)
        block(f"{name}.double_conv.1", out_width, out_width)

    def plain(name: str, norm_name: str, in_width: int, out_width: int) -> None:
        shapes[f"{name}.weight"] = (out_width, in_width, 3, 3)
        shapes[f"{name}.bias"] = (out_width,)
        norm(norm_name, out_width)

    block("audio_model.conv1", branch.input_shape[0], branch.conv1_width)
    block("audio_model.conv2", branch.conv1_width, branch.conv2_width)
    plain("audio_model.conv3", "audio_model.bn3", branch.conv2_width, 256)
    block("audio_model.conv4", 256, 256)
    plain("audio_model.conv5", "audio_model.bn5", 256, 512)
    block("audio_model.conv6", 512, 512)
    block("audio_model.conv7", 512, 512)
    widths = picture.skip_widths
    double("fuse_conv.0", 2 * widths[-1], widths[-1])
    double("fuse_conv.1", widths[-1], widths[-1] // 2)
    block("inc.inconv.0", 6, widths[0])
    for k, (in_width, out_width) in enumerate(pairwise(widths), start=1):
        double(f"down{k}.maxpool_conv.0", in_width, out_width)
    deep = widths[-1] // 2
    for k, (skip, out_width) in enumerate(zip(widths[-2::-1], picture.up_widths, strict=True), start=1):
        double(f"up{k}.conv", deep + skip, out_width)
        deep = out_width
    shapes["outc.conv.weight"] = (3, deep, 1, 1)
    shapes["outc.conv.bias"] = (3,)
    return shapes


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file: the path itself, or the one with the highest number in a folder.

    Entries whose name before the first dot is not a number are left out (the published script stops at them).

    Raises:
        MissingWeights: no such path, or no numbered checkpoint in the folder.
    """
    if path.is_file():
        return path
    if not path.exists():
        raise MissingWeights(f"There is no checkpoint {path}.", remedy="check the path")
    numbered = [
        (int(entry.name.split(".")[0]), entry)
        for entry in path.iterdir()
        if entry.is_file() and entry.suffix in CHECKPOINT_SUFFIXES and entry.name.split(".")[0].isdecimal()
    ]
    if not numbered:
        raise MissingWeights(
            f"The folder {path} holds no numbered checkpoint.",
            accepted="files such as 99.pth, of which the highest number is taken",
            remedy="give the file itself, for example the last.pth that training wrote",
        )
    return max(numbered, key=lambda found: (found[0], found[1].name))[1]


def read_generator(path: str | Path) -> GeneratorWeights:
    """Read a generator from a file or from a folder of numbered files.

    Raises:
        MissingWeights: nothing there. WrongCheckpoint: not such a generator. UnsafeCheckpoint: it would run code.
    """
    file = find_checkpoint(Path(path))
    checkpoint: Checkpoint = read_checkpoint(file)
    stated, hears = checkpoint.metadata.get("mode"), checkpoint.metadata.get("hears")
    with reading(file, WrongCheckpoint, what="does not hold a generator"):
        weights = generator_weights(
            checkpoint.tensors,
            file,
            stated_mode=stated if isinstance(stated, str) else None,
            sha256=file_sha256(file),
        )
    if hears is not None and hears not in HEARD:
        raise WrongCheckpoint(
            f"{file} hears {hears!r}, which this version does not know.",
            accepted=f"nothing special, or {choices(HEARD)}",
            remedy="the version of the package that it was trained with, or a newer one",
        )
    return replace(weights, hears=hears)
