"""Input files that exist, hashes of content, and output files that appear only when they are complete."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from talkinghead.errors import MediaNotFound, OutputExists, UnreadableMedia, UnwritableOutput
from talkinghead.places import DISK_FULL, NOWHERE, long_path_remedy, partial_name, path_fault
from talkinghead.system import open_file, remove, remove_tree, replace

SEQUENCE_PICTURE = "{:06d}.png"
SEQUENCE_SOUND = "sound.wav"
_SEQUENCE_FILE = re.compile(r"\d{6,}\.png|sound\.wav")
"""What a folder of pictures holds; a folder with anything else in it is never replaced."""

_COARSEST_TIME_S = 2.0
"""Steps of the times of files on FAT."""

_KEY_FORMAT = 1
"""Part of every cache key: raised when the spelling of values changes."""


def text_to_paths(config: Any, *names: str) -> None:
    """Let fields of a frozen dataclass that name files be given as text; called while it is built."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, str):
            object.__setattr__(config, name, Path(value))


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Check that a path names a readable, regular, non-empty file.

    Raises:
        MediaNotFound: nothing there, or a folder.
        UnreadableMedia: empty, no permission, or a pipe or device.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        remedy = long_path_remedy(path) or "check the spelling and the folder"
        raise MediaNotFound(f"There is no file {str(path)!r}.", remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise UnreadableMedia(f"{str(path)!r} cannot be opened: {error}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaNotFound(
            f"{str(path)!r} is a folder.", accepted="a picture, video or sound file", remedy="name one file in it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableMedia(
            f"{str(path)!r} is a pipe or device; media is read more than once and from any position.",
            remedy="save it to a file first",
        )
    if status.st_size == 0:
        raise UnreadableMedia(f"{str(path)!r} is empty (0 bytes).", remedy="copy or download it again")
    if not os.access(path, os.R_OK):
        raise UnreadableMedia(f"{str(path)!r} may not be read: permission denied.")
    return path


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a pipe that is there."""
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes; remembered in this process while size, times and inode stay the same.

    What was written a moment ago is not remembered: a file system with coarse times may give the next content the same.
    """
    path = Path(path).resolve()
    status = path.stat()
    if -_COARSEST_TIME_S < time.time() - status.st_mtime < _COARSEST_TIME_S:
        return _sha256(path)
    return _sha256_of_version(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


@lru_cache(maxsize=256)
def _sha256_of_version(path: Path, version: tuple[int, ...]) -> str:  # noqa: ARG001 (part of the cache key)
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_content(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Whether two names stand for one file, or for copies of it; False if one of them is no file."""
    first, second = Path(a), Path(b)
    try:
        if not (first.is_file() and second.is_file()):
            return False
        if first.samefile(second):
            return True
        return first.stat().st_size == second.stat().st_size and file_sha256(first) == file_sha256(second)
    except OSError:
        return False


def cache_key(kind: str, /, **parts: object) -> str:
    """Hash everything that decides an entry's content.

    Args:
        kind: what is stored, with the version of the code that makes it ("faces/1").
        parts: content hashes, options (plain values, dataclasses of them, arrays), model hashes. Paths are
            refused: the same path may hold other content tomorrow.
    Returns:
        64 hexadecimal digits.
    Raises:
        TypeError: a part has no stable spelling.
    """
    text = json.dumps(
        [_KEY_FORMAT, kind, {name: _plain(value) for name, value in parts.items()}], sort_keys=True, ensure_ascii=True
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: object) -> Any:
    """A JSON value that differs whenever `value` differs; refuses what has no stable spelling."""
    import numpy as np  # here: most who import this module for its files have no arrays

    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, enum.Enum) else [type(value).__name__, value.name]
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, enum.Enum):
        return [type(value).__name__, value.name]
    if isinstance(value, Fraction):
        return ["fraction", value.numerator, value.denominator]
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be part of a cache key")
        data = np.ascontiguousarray(value)
        return ["array", data.dtype.str, list(data.shape), hashlib.sha256(data.tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return ["scalar", value.dtype.str, value.tobytes().hex()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [type(value).__name__, fields]
    if isinstance(value, Mapping):
        return ["map", sorted(([_plain(k), _plain(v)] for k, v in value.items()), key=json.dumps)]
    if isinstance(value, (list, tuple)):
        return ["list", [_plain(item) for item in value]]
    raise TypeError(
        f"{type(value).__name__} cannot be part of a cache key: a path or an object says nothing about content"
    )


_HELD = (32, 33)
"""Errors of Windows: a sharing violation, a lock violation."""


def unwritable(path: Path, error: OSError) -> UnwritableOutput:
    """The error to raise when writing `path` failed in the operating system."""
    if NOWHERE in path.parents:
        return UnwritableOutput(
            "There is no home folder to keep files in.",
            remedy="set HOME, or TALKINGHEAD_HOME and TALKINGHEAD_CACHE to folders that can be written",
        )
    if error.errno in DISK_FULL:
        return UnwritableOutput(
            f"No room left for {str(path)!r}: {error.strerror or error}.",
            remedy="free some space, or write to another disk",
        )
    if getattr(error, "winerror", None) in _HELD:
        return UnwritableOutput(
            f"{str(path)!r} cannot be written: another program has it open.", remedy="close it there, or another name"
        )
    return UnwritableOutput(
        f"{str(path)!r} cannot be written: {error.strerror or error}.",
        remedy=long_path_remedy(path) or "another folder",
    )


def check_target(path: str | os.PathLike[str], *, overwrite: bool, folder: bool = False) -> Path:
    """Check that an output may be written, without writing anything.

    Returns:
        The final path; a link is followed.
    Raises:
        OutputExists, UnwritableOutput
    """
    named, final = str(path), _final(path)
    if not final.name:
        raise UnwritableOutput(f"{named!r} is not a file name.")
    if not final.parent.is_dir():
        raise UnwritableOutput(
            f"There is no folder {str(final.parent)!r} to write {final.name!r} in.",
            remedy="make the folder, or choose another",
        )
    if not os.access(final.parent, os.W_OK):
        raise UnwritableOutput(
            f"The folder {str(final.parent)!r} may not be written to: permission denied.",
            remedy="choose another folder",
        )
    try:
        final.lstat()
    except FileNotFoundError:
        return final
    except OSError as error:
        raise unwritable(Path(path), error) from error
    if folder:
        _check_sequence_folder(named, final)
    elif final.is_dir():
        raise UnwritableOutput(f"{named!r} is a folder.", accepted="a file name")
    elif not final.is_file():
        raise UnwritableOutput(f"{named!r} is a pipe or device.", accepted="the name of an ordinary file")
    if not overwrite and (not folder or any(final.iterdir())):
        raise OutputExists(f"{named!r} exists.", remedy="choose another name, or allow overwriting")
    return final


def _check_sequence_folder(named: str, final: Path) -> None:
    """Refuse what is no folder of numbered pictures alone."""
    if not final.is_dir():
        raise UnwritableOutput(f"{named!r} is a file.", accepted="the name of a folder for the pictures")
    strangers = [item.name for item in final.iterdir() if not _SEQUENCE_FILE.fullmatch(item.name)]
    if strangers:
        raise OutputExists(
            f"The folder {named!r} holds other files, such as {min(strangers)!r}.", remedy="choose a new folder"
        )


def _final(path: str | os.PathLike[str]) -> Path:
    """The whole path that a name stands for; links are followed.

    Raises:
        UnwritableOutput: it stands for none.
    """
    if fault := path_fault(Path(path)):
        raise UnwritableOutput(f"{str(path)!r} cannot be written: {fault}.", remedy="another name")
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a zero byte, or what has no bytes on this system
        raise UnwritableOutput(f"{str(path)!r} is not a file name.") from error
    except OSError as error:  # only for a name that is not whole
        raise UnwritableOutput(
            f"{str(path)!r} cannot be written: the folder in which this runs is not there any more.",
            remedy="a whole path, or run it in a folder that is there",
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        UnwritableOutput: it cannot be made.
    """
    if fault := path_fault(folder):
        raise UnwritableOutput(f"The folder {str(folder)!r} cannot be made: {fault}.", remedy="another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UnwritableOutput(f"{str(folder)!r} cannot be a folder: a file is in the way.") from error
    except OSError as error:
        raise UnwritableOutput(
            f"The folder {str(folder)!r} cannot be made: {error.strerror or error}.",
            remedy=long_path_remedy(folder) or "another folder",
        ) from error


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Make the folder that a file goes into, for a block that writes it.

    Where the block fails, what was made for it and is still empty goes again.

    Raises:
        UnwritableOutput: it cannot be made.
    """
    final = _final(path)
    missing = [folder for folder in final.parents if not os.path.lexists(folder)]
    make_folder(final.parent)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # somebody else has put something there
            for folder in missing:
                folder.rmdir()
        raise


def check_folder_for(path: Path) -> None:
    """Check that the folder of a file is there, or can be made.

    Raises:
        UnwritableOutput: it cannot.
    """
    folder = _final(path).parent
    while not os.path.lexists(folder):
        try:
            folder.lstat()
        except FileNotFoundError:
            folder = folder.parent
        except OSError as error:
            raise unwritable(folder, error) from error
    if not folder.is_dir():
        raise UnwritableOutput(f"{str(folder)!r} cannot be a folder: a file is in the way.")
    if not os.access(folder, os.W_OK):
        raise UnwritableOutput(
            f"The folder {str(folder)!r} may not be written to: permission denied.", remedy="choose another folder"
        )


class PendingOutput:
    """A file or folder under a temporary sibling name, renamed to its final name by `commit`.

    Leaving the `with` block without `commit`, for whatever reason, removes it.

    Args:
        path: final name. A link is followed.
        overwrite: whether an existing file may be replaced.
        folder: make a folder instead of a file.
    Raises:
        OutputExists, UnwritableOutput: before anything is written.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = True, folder: bool = False) -> None:
        self.named = Path(path)
        self.final = check_target(path, overwrite=overwrite, folder=folder)
        self.folder = folder
        self.committed = False
        self.temporary = self.final.with_name(partial_name(self.final.name))
        try:
            if folder:
                self.temporary.mkdir()
            else:
                os.close(open_file(self.temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError as error:
            raise unwritable(self.named, error) from error

    def commit(self, *, flush: bool = True) -> None:
        """Give it the final name.

        Args:
            flush: have everything on the disk before; off for many small files of a work that can be done again.
        """
        try:
            if self.folder:
                for item in self.temporary.iterdir() if flush else ():
                    flush_file(item)
                if self.final.is_dir():
                    _empty_sequence_folder(self.final)
                    self.final.rmdir()
            elif flush:
                flush_file(self.temporary)
            replace(self.temporary, self.final)
        except OSError as error:
            raise unwritable(self.named, error) from error
        self.committed = True
        if flush:
            flush_folder(self.final.parent)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """For what is written in the block: errors of the operating system name the output."""
        try:
            yield
        except OSError as error:
            raise unwritable(self.named, error) from error

    def discard(self) -> None:
        """Remove what was written so far."""
        if self.committed:
            return
        if self.folder:
            remove_tree(self.temporary)
        else:
            with contextlib.suppress(OSError):  # still open somewhere (Windows): the error that led here counts
                remove(self.temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def write_bytes(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True, flush: bool = True) -> None:
    """Write a whole file so that it appears complete or not at all.

    Args:
        flush: as for `PendingOutput.commit`.
    """
    with PendingOutput(path, overwrite=overwrite) as pending:
        with pending.writing():
            pending.temporary.write_bytes(data)
        pending.commit(flush=flush)


def _empty_sequence_folder(folder: Path) -> None:
    for item in folder.iterdir():
        if _SEQUENCE_FILE.fullmatch(item.name):
            remove(item)


def flush_file(path: Path) -> None:
    """Have a file's content on the disk.

    Raises:
        OSError
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse; the rename itself has happened
    finally:
        os.close(descriptor)
