"""Rows of the catalogue of public checkpoints: what each file is for, where it is, and what its licence says.

Nothing in a row is guessed. `found_in` says where its facts are from; a hash or address that no source gives is left
empty, and the hash is then recorded when the file first arrives. No weights come with this package.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """What one may do with a file. Not legal advice: the licence's own text counts."""

    name: str
    summary: str
    """What it allows and forbids, one or two sentences."""
    url: str = ""
    """Where it can be read; empty where the authors publish it beside the file only."""
    commercial: bool | None = None
    """Whether commercial use is allowed; None where the authors do not say."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One public file."""

    name: str
    purpose: str
    path: str
    """Where it lies below the model folder, with forward slashes."""
    licence: Licence
    found_in: str
    """Where address, size and hash of this row are from."""
    kind: str
    """What the content is: the name of a `weights.kinds.Kind`, or "" where the content does not tell."""
    model: str | None = None
    """Name in the registry of the model that takes it as its checkpoint; None for parts and detectors."""
    urls: tuple[str, ...] = ()
    """Addresses of the file, best first; empty where it may not be fetched by a program."""
    size_bytes: int | None = None
    sha256: str = ""
    archive_member: str = ""
    """The one file to take out of a zip archive; empty where the file itself is meant."""
    member_sha1: str = ""
    """SHA-1 of that file, where the publisher gives one."""
    convert: bool = False
    """Whether it is kept as safetensors, without optimiser states."""
    obtain: str = ""
    """How a person gets it, where a program may not."""
    brings: tuple[str, ...] = ()
    """Rows of the files that it does not work without; `models pull` fetches them along with it."""
    listed: bool = True
    """Whether lists name it before it is installed; not if it comes along with another, or is one of very many."""

    @property
    def stored_path(self) -> str:
        """`path`, with the suffix that the file is kept under."""
        return f"{self.path.rpartition('.')[0]}.safetensors" if self.convert else self.path


HUB = "https://huggingface.co"
NOT_STATED = Licence("not stated for the weights", "The weights carry no licence of their own. Ask their authors.")
