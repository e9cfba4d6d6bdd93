"""Where files may stand: names that a file system takes, outputs that are no inputs, folders of the user."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from talkinghead import system
from talkinghead.errors import OptionError, UnwritableOutput

MAX_NAME_BYTES = 255
"""Of a file's name, on nearly every file system."""
_PARTIAL_BYTES = 80
"""Of the final name in a temporary one; `.`, the rest of it and what makes it unique take 19 more."""

STAGE_RECORD = ".stage.json"
"""Suffix of the record beside what a step wrote, and its name inside a folder."""
_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif"}
"""What is made, and never a part of a folder that is read."""

_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f]')
"""Signs that no name has on Windows, beside the separators of paths."""
_DEVICE = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]", re.IGNORECASE)
_LONG_PATH = 240
"""Of 259 letters, less what a temporary name has more."""

_NO_LETTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

NOWHERE = Path(os.devnull, "no-home-folder")
"""Stands for the user's folder where there is no home: nothing is in it, and nothing can be written there."""


# Names ----------------------------------------------------------------------------------------------------------------


def partial_name(name: str) -> str:
    """A name for what is not complete yet, beside the one that it will have: hidden, unique, and never too long."""
    return f".{_cut(name, _PARTIAL_BYTES)}.{secrets.token_hex(6)}.part"


def fitted_name(stem: str, suffix: str = "") -> str:
    """`stem` and `suffix` as one name, with the stem shortened where a file system would not take it.

    Names that were shortened differ where the stems do.
    """
    if len(os.fsencode(stem + suffix)) <= MAX_NAME_BYTES:
        return stem + suffix
    mark = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    return _cut(stem, MAX_NAME_BYTES - len(os.fsencode(mark + suffix))) + mark + suffix


def printable(name: object) -> str:
    """A name in one line that every terminal, file and program takes: what is no letter is written as Python does."""
    return _NO_LETTER.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), str(name))


def folded_name(name: str) -> str:
    """What names have in common that are one file to some file system: case and Unicode form do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def name_fault(name: str) -> str | None:
    """Why Windows takes the name of a file for something else, or not at all; None where it is a name there too.

    Args:
        name: one step of a path.
    """
    if found := _NOT_IN_NAMES.search(name):
        return f"{found[0]!r} cannot stand in a name on Windows"
    if name.rstrip(" .") != name:
        return "Windows leaves out dots and blanks at the end of a name"
    if _DEVICE.fullmatch(name.partition(".")[0].rstrip(" ")):
        return f"{name.partition('.')[0]} is a device on Windows, whatever follows it"
    return None


def path_fault(path: Path) -> str | None:
    """`name_fault` of the first step that has one, where this is Windows; elsewhere None."""
    if not system.WINDOWS:
        return None
    steps = path.parts[1 if path.anchor else 0 :]
    return next((fault for step in steps if step not in (".", "..") and (fault := name_fault(step))), None)


def portable_name(name: str, instead: str = "file") -> str:
    """A name that every file system takes as it is, much like the given one: nothing in it is a folder, a drive or a
    device.

    Args:
        instead: for a name of which nothing is left.
    """
    name = "".join(sign if sign.isprintable() and sign not in '<>:"|?*/\\' else "_" for sign in name)
    name = name.strip(" ").rstrip(" .") or instead
    return f"_{name}" if name_fault(name) else name


def long_path_remedy(path: Path) -> str | None:
    """What to do where Windows may find a path too long; None elsewhere."""
    if not system.WINDOWS or len(str(path.absolute())) < _LONG_PATH:
        return None
    return "a shorter path: Windows takes 259 letters, unless long paths are switched on (docs/platforms.md)"


def _cut(name: str, size: int) -> str:
    """The first `size` bytes of a name at most, never less than whole characters."""
    raw = os.fsencode(name)
    if len(raw) <= size:
        return name
    while size and raw[size] & 0xC0 == 0x80:  # the next byte belongs to a character that began before
        size -= 1
    return os.fsdecode(raw[:size])


# What is written and what is read -------------------------------------------------------------------------------------

Paths = Collection[str | os.PathLike[str] | None]


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a path leads, in terms that do not depend on how it is spelled."""

    named: str
    """As it was given."""
    real: Path
    itself: tuple[int, int] | None
    """Device and number of the file or folder; None where there is none."""
    folder: bool
    """It is there, and a folder."""
    above: tuple[tuple[int, int], ...]
    """Device and number of each folder above that is there, the nearest first."""
    rest: tuple[str, ...]
    """Names below the nearest, as a file system that knows neither case nor Unicode forms would keep them."""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> _Place | None:
        """None for what is no path at all; whoever opens it finds out."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return None
        status = _status(real)
        above, rest = [], [real.name]
        for folder in real.parents:
            found = _status(folder)
            if found is not None:
                above.append((found.st_dev, found.st_ino))
            elif not above:
                rest.insert(0, folder.name)
        itself = (status.st_dev, status.st_ino) if status is not None else None
        is_folder = status is not None and stat.S_ISDIR(status.st_mode)
        return cls(str(path), real, itself, is_folder, tuple(above), tuple(map(folded_name, rest)))

    @property
    def spots(self) -> Iterator[tuple[object, ...]]:
        """By these it is known, whatever the path, the link or the spelling."""
        if self.itself is not None:
            yield self.itself
        yield (self.above[:1], self.rest)

    @property
    def folders(self) -> Iterator[tuple[object, ...]]:
        """The spots of the folders above, those that are not there yet first."""
        yield from ((self.above[:1], self.rest[:length]) for length in range(len(self.rest) - 1, 0, -1))
        yield from self.above

    @property
    def is_made_here(self) -> bool:
        """Whether it is known as something that was made, wherever it lies: a video, or what a step wrote."""
        if self.folder:
            return (self.real / STAGE_RECORD).is_file()
        name = fitted_name(self.real.name, STAGE_RECORD)
        return self.real.suffix.lower() in _VIDEOS or self.real.with_name(name).is_file()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


class Written:
    """Marks a parameter of a command, or a field of a configuration, as a file that is written, or a folder that is
    replaced as a whole: `Annotated[Path | None, WRITTEN]`."""


WRITTEN = Written()


def check_apart(outputs: Paths, inputs: Paths = ()) -> None:
    """Refuse outputs that would replace an input or one another: by any path, link, case or Unicode form.

    Names that differ in case or Unicode form alone count as one, since on many file systems they are.

    Args:
        outputs: files that will be written and folders that will be replaced as a whole; None is left out.
        inputs: files and folders that are read; None is left out.
    Raises:
        OptionError
    """
    read = _spots(inputs)
    written: dict[tuple[object, ...], _Place] = {}
    for output in _places(outputs):
        if given := _found(output.spots, read):
            also = f" ({given.named!r})" if output.named != given.named else ""
            raise OptionError(f"The output {output.named!r} is one of the inputs{also}.", remedy="another name for it")
        given = _found(output.folders, read)
        if given is not None and given.folder and output.itself is not None and not output.is_made_here:
            raise OptionError(
                f"The output {output.named!r} is there already, in {given.named!r}, which is one of the inputs.",
                remedy="a place outside of it",
            )
        if other := _found(output.spots, written):
            raise OptionError(
                f"Two outputs are one file: {other.named!r} and {output.named!r}.", remedy="another name for one"
            )
        written.update(dict.fromkeys(output.spots, output))
    for inner in _places(outputs):
        if outer := _found(inner.folders, written):
            raise OptionError(
                f"The output {inner.named!r} lies in {outer.named!r}, which is an output itself.",
                remedy="another place for one",
            )
    for given in _places(inputs):
        if outer := _found(given.folders, written):
            raise OptionError(
                f"The output {outer.named!r} is a folder that holds one of the inputs ({given.named!r}).",
                remedy="another name for it",
            )


def _places(paths: Paths) -> Iterator[_Place]:
    return (place for path in paths if path is not None and (place := _Place.of(path)) is not None)


def _spots(paths: Paths) -> dict[tuple[object, ...], _Place]:
    return {spot: place for place in _places(paths) for spot in place.spots}


def _found(spots: Iterable[tuple[object, ...]], known: Mapping[tuple[object, ...], _Place]) -> _Place | None:
    """What is known under one of the spots, the first."""
    return next((known[spot] for spot in spots if spot in known), None)


# Folders --------------------------------------------------------------------------------------------------------------


def user_folder(kind: Literal["cache", "data"]) -> Path:
    """Where the platform keeps a user's cache or data of this package.

    What HOME, XDG_CACHE_HOME and XDG_DATA_HOME name counts where it is a whole path, as the rules of XDG have it; else
    the home of the account. Without any home it is `NOWHERE`.
    """
    if sys.platform in ("win32", "darwin"):
        import platformdirs

        find = {"cache": platformdirs.user_cache_dir, "data": platformdirs.user_data_dir}[kind]
        found = Path(find("talkinghead", appauthor=False))
        return found if found.is_absolute() else NOWHERE / "talkinghead"
    variable, usual = {"cache": ("XDG_CACHE_HOME", ".cache"), "data": ("XDG_DATA_HOME", ".local/share")}[kind]
    given = os.environ.get(variable, "")
    return (Path(given) if Path(given).is_absolute() else (_home() or NOWHERE) / usual) / "talkinghead"


def given_folder(text: str) -> Path:
    """A folder that an environment variable names; `~` is the home."""
    if text != "~" and not text.startswith(("~/", "~\\") if system.WINDOWS else "~/"):
        return Path(text)
    return (_home() or NOWHERE) / text[2:]


def _home() -> Path | None:
    """The home folder, a whole path, or None."""
    if Path(given := os.environ.get("HOME", "")).is_absolute():
        return Path(given)
    try:
        found = Path.home() if sys.platform == "win32" else _home_of_account()
    except (KeyError, RuntimeError):  # no such account
        return None
    return found if found.is_absolute() else None


def _home_of_account() -> Path:
    import pwd

    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def _temporary() -> str:
    """The environment variable that names the folder for temporary files."""
    return "TEMP" if system.WINDOWS else "TMPDIR"


@contextmanager
def temporary_folder(prefix: str = "talkinghead-") -> Iterator[Path]:
    """A folder for the time of the block.

    Raises:
        UnwritableOutput: there is no place for one, or no room in it.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise UnwritableOutput(
            f"There is no place for temporary files: {error.strerror or error}.",
            remedy=f"set {_temporary()} to a folder that can be written",
        ) from error
    with made as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise UnwritableOutput(
                f"There is no room for temporary files in {Path(name).parent!s}: {error.strerror}.",
                remedy=f"free some space, or set {_temporary()} to a folder on another disk",
            ) from error
