"""The published files of ARTalk: where they lie, how they are called, and how to get them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from talkinghead.errors import MissingWeights, OptionError, choices

ENVIRONMENT = "ARTALK_ASSET_DIR"
DEFAULT_FOLDER = Path("assets")
STORE_FOLDER = "artalk"
"""Below the model folder, where the catalogue keeps these files."""
NO_STYLE = ("", "default", "none")
"""Names that mean no style."""
STYLE_SUFFIXES = (".pt", ".npy", ".safetensors")


@dataclass(frozen=True)
class Asset:
    """One published file."""

    path: str
    """Below the asset folder."""
    num_bytes: int
    sha256: str
    source: str
    """Where it is published."""


ASSETS: Mapping[str, Asset] = {
    "artalk_wav2vec": Asset(
        "ARTalk_wav2vec.pt",
        1_959_150_898,
        "d89615a32e2a6b4e35cf5494c1e400b2acedc43812f63423b9f5d705046d67c2",
        "huggingface.co/xg-chu/ARTalk",
    ),
    "config": Asset(
        "config.json",
        303,
        "7546248a7eace5184a3b072de6fac80f22109e32f073ba4f616a7971a6f190fe",
        "huggingface.co/xg-chu/ARTalk",
    ),
    "flame_with_eye": Asset(
        "FLAME_with_eye.pt",
        26_819_643,
        "b87a1d3513b3df0504f1e1f93bcb85ac01abe4dadf92e75ac08046c4a68403be",
        "flame.is.tue.mpg.de (its licence has to be accepted there)",
    ),
    "gagavatar_model": Asset(
        "GAGAvatar/GAGAvatar.pt",
        747_434_426,
        "75d449fd1d67dd7bbc613cef17f0196b1c84766935adc75d5231bc89e33950f8",
        "huggingface.co/xg-chu/GAGAvatar",
    ),
    "tracked_avatars": Asset(
        "GAGAvatar/tracked.pt",
        183_503_648,
        "9b716493929ca0a19a50ce87c291627ff15d81980cad572f75b8d023dc3770fd",
        "huggingface.co/xg-chu/ARTalk",
    ),
    "gagavatar_logo": Asset(
        "GAGAvatar/gagavatar_logo.png",
        351_301,
        "235ac41d5190b2964ca712c5ea4cd3be34c6e864764bce361aa350f74ef16811",
        "github.com/xg-chu/ARTalk",
    ),
}


@dataclass(frozen=True)
class AssetFolder:
    """A folder of published files; any of them may be absent."""

    root: Path
    store: Path | None = None
    """Folder of the model store that is looked into for what `root` lacks; None where a folder was named."""

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self.root,) if self.store is None else (self.root, self.store)

    def path(self, name: str) -> Path:
        return self.root / ASSETS[name].path

    def find(self, name: str) -> Path | None:
        """The file if it is there."""
        paths = (folder / ASSETS[name].path for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def need(self, name: str, purpose: str) -> Path:
        """The file, or an error that says where it comes from.

        Raises:
            MissingWeights
        """
        path = self.find(name)
        if path is None:
            raise MissingWeights(
                f"{purpose} needs {self.path(name)}, and there is no such file.",
                remedy=f"get it from {ASSETS[name].source} and put it there, give the folder with --assets, or see "
                "talkinghead models list",
            )
        return path

    @property
    def styles(self) -> dict[str, Path]:
        """Style names and files, sorted."""
        found: dict[str, Path] = {}
        for folder in reversed(self._folders):
            for path in (folder / "style_motion").glob("*"):
                if path.suffix in STYLE_SUFFIXES:
                    found[path.stem] = path
        return dict(sorted(found.items()))

    def style(self, name: str) -> Path | None:
        """The file of a style; None for no style.

        Raises:
            OptionError: no such style.
        """
        if name in NO_STYLE:
            return None
        given = Path(name)
        if given.suffix in STYLE_SUFFIXES and given.is_file():
            return given
        styles = self.styles
        if name not in styles:
            raise OptionError(
                f"There is no style {name!r} in {self.root / 'style_motion'}.",
                accepted=choices(["default", *styles, "a .pt or .npy file"]),
            )
        return styles[name]


def asset_folder(given: Path | None, checkpoint: Path | None = None) -> AssetFolder:
    """The folder that is meant; where none is named, the model store has what is not in it.

    Raises:
        OptionError: a folder was named and is not there.
    """
    if given is not None:
        if not given.is_dir():
            raise OptionError(f"There is no folder {str(given)!r}.", accepted="--assets FOLDER of the published files")
        return AssetFolder(given)
    if os.environ.get(ENVIRONMENT):
        named = Path(os.environ[ENVIRONMENT])
        if not named.is_dir():
            raise OptionError(f"{ENVIRONMENT} names {str(named)!r}, which is not a folder.")
        return AssetFolder(named)
    from talkinghead.weights.folder import model_folder

    root = checkpoint.parent if checkpoint is not None else DEFAULT_FOLDER
    return AssetFolder(root, model_folder() / STORE_FOLDER)
