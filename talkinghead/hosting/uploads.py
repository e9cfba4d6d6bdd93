"""What visitors send: how much of it is taken, where it lies, and to whom it belongs.

A file lies under a name that cannot be guessed, so that only who sent it can name it. The first session that uses it
has it for good, and takes it along when it ends; what nobody uses goes after a while.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from talkinghead.bounds import shown
from talkinghead.errors import InputError, OptionError, UnreadableMedia, choices
from talkinghead.hosting.limits import SendingLimits
from talkinghead.places import portable_name
from talkinghead.system import remove_tree

MAX_FILES = 200
"""Files that one visitor has here at the same time."""
FILES_AT_ONCE = 10
"""Files of one upload."""
VISITORS = 10
"""All visitors together may have as much as this many."""
SPARE_BYTES = 500_000_000
"""So much of the disk stays free."""
UNUSED_S = 600.0
"""After which a file that was sent and not used is removed."""
FRAME_BYTES = 64 * 1024
"""What stands around the files of an upload."""
_HEADER_BYTES = 4_096


class TooMuch(InputError):
    """A visitor sent more than is taken."""


@dataclass
class Upload:
    """One file that was sent."""

    path: Path
    place: str
    """Where it came from, as limits count it."""
    num_bytes: int
    owner: str | None
    """The session that uses it."""
    came_s: float


class Uploads:
    """The files that were sent.

    Args:
        folder: where they lie, private.
        clock: seconds, for tests.
    """

    def __init__(self, folder: Path, options: SendingLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.options = options
        self._clock = clock
        self._known: dict[str, Upload] = {}
        self._coming: list[Upload] = []
        self._lock = threading.Lock()

    @property
    def largest_bytes(self) -> int:
        """Of one file."""
        return self.options.max_upload_mb * 1_000_000

    # Coming in

    @contextmanager
    def room(self, place: str, num_bytes: int) -> Iterator[Path]:
        """A folder for an upload that was announced; what is not kept in it is removed afterwards.

        Args:
            num_bytes: of the whole upload, as its header says.
        Raises:
            TooMuch: the visitor, or all together, have sent too much.
        """
        coming = Upload(self.folder / secrets.token_hex(16), place, num_bytes, None, self._clock())
        with self._lock:
            self._check(coming)
            self._coming.append(coming)
        try:
            coming.path.mkdir(mode=0o700, parents=True)
            yield coming.path
        finally:
            with self._lock:
                self._coming.remove(coming)
                kept = any(upload.path.parent == coming.path for upload in self._known.values())
            if not kept:
                remove_tree(coming.path)

    def _check(self, coming: Upload) -> None:
        most = self.options.visitor_bytes
        if coming.num_bytes > self.largest_bytes * FILES_AT_ONCE + FRAME_BYTES:
            raise TooMuch("That is too much at once.", accepted=f"files of at most {self.options.max_upload_mb} MB")
        there = [*self._known.values(), *self._coming]
        own = [upload for upload in there if upload.place == coming.place]
        if sum(upload.num_bytes for upload in own) + coming.num_bytes > most + FRAME_BYTES or len(own) >= MAX_FILES:
            raise TooMuch(
                f"You have {len(own)} files here, and this one would be too much.",
                accepted=f"at most {MAX_FILES} files and {most // 1_000_000} MB in all",
                remedy="close pages that are not needed any more; their files go with them",
            )
        whole = sum(upload.num_bytes for upload in there) + coming.num_bytes
        if whole > VISITORS * most or shutil.disk_usage(self.folder.parent).free < coming.num_bytes + SPARE_BYTES:
            raise TooMuch("There is no room for more files here now.", remedy="wait for a few minutes")

    def keep(self, place: str, path: Path) -> Path:
        """Count a file that has come."""
        with self._lock:
            num_bytes = path.stat().st_size
            self._known[str(path)] = Upload(path, place, max(1, num_bytes), None, self._clock())
        return path

    # Being used

    def knows(self, path: str) -> bool:
        """Whether this is a file that was sent."""
        return path in self._known

    def claim(self, path: str, owner: str) -> Path:
        """A file that this session sent; from now on it is its own.

        Raises:
            OptionError: no such file, or it belongs to another.
        """
        with self._lock:
            upload = self._known.get(path)
            if upload is None or upload.owner not in (None, owner):
                raise OptionError(
                    "That is no file that you have sent.", accepted="a file that is uploaded", remedy="upload it again"
                )
            upload.owner = owner
            return upload.path

    def end(self, owner: str) -> None:
        """Remove what a session sent."""
        self._remove(lambda upload: upload.owner == owner)

    def sweep(self) -> None:
        """Remove what nobody used."""
        before = self._clock() - UNUSED_S
        self._remove(lambda upload: upload.owner is None and upload.came_s < before)

    def _remove(self, unwanted: Callable[[Upload], bool]) -> None:
        with self._lock:
            gone = [path for path, upload in self._known.items() if unwanted(upload)]
            folders = [self._known.pop(path).path.parent for path in gone]
        for path in gone:
            Path(path).unlink(missing_ok=True)
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()  # only if it is empty: another file of the same upload may be in use


# The form of an upload ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FormRules:
    """What a form may hold."""

    largest_bytes: int
    """Of one file."""
    files: Mapping[str, int]
    """Names of fields that are files, and how often each may stand in the form."""
    texts: Mapping[str, int] = field(default_factory=dict)
    """Names of fields that are texts, and how many bytes each may have; it stands there once."""


@dataclass
class Form:
    """What a form held."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    """Field and file, in the order in which they came."""
    texts: dict[str, str] = field(default_factory=dict)


async def receive_files(
    content_type: str,
    body: AsyncIterator[bytes],
    folder: Path,
    largest_bytes: int,
    tell: Callable[[str, bytes], None] | None = None,
) -> list[Path]:
    """Write the files of a multipart form that has only such, named "files", into a folder; as `receive_form`."""
    rules = FormRules(largest_bytes, {"files": FILES_AT_ONCE})
    return [path for _, path in (await receive_form(content_type, body, folder, rules, tell)).files]


async def receive_form(
    content_type: str,
    body: AsyncIterator[bytes],
    folder: Path,
    rules: FormRules,
    tell: Callable[[str, bytes], None] | None = None,
) -> Form:
    """Take a multipart form; its files are written into a folder as they come.

    Args:
        content_type: header that names the boundary.
        tell: called with the name of a file and what has come of it.
    Raises:
        UnreadableMedia: not such a form, or not as the rules say. TooMuch: a file or a text is too large, or there are
            too many.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise UnreadableMedia("That is no form with files.")
    form = _Form(folder, rules, tell)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
        if not form.is_whole:
            raise UnreadableMedia("The upload ended early.", remedy="send it again")
    except FormParserError as error:
        raise UnreadableMedia("The form of the upload is damaged.", remedy="send it again") from error
    finally:
        form.close()
    return form.found


class _Form:
    """Takes the parts of a form that the rules name; others are refused."""

    def __init__(self, folder: Path, rules: FormRules, tell: Callable[[str, bytes], None] | None) -> None:
        self.folder, self.rules, self.tell = folder, rules, tell
        self.found = Form()
        self._file: BinaryIO | None = None
        self._text: bytearray | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._name = self._value = b""
        self._written = 0
        self._field = self._said = ""
        self.is_whole = False
        """Its last boundary has come."""

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _finish(self) -> None:
        self.is_whole = True

    def _begin(self) -> None:
        self._headers, self._name, self._value, self._written = [], b"", b"", 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._short()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._short()

    def _short(self) -> None:
        if len(self._name) + len(self._value) > _HEADER_BYTES or len(self._headers) > 10:
            raise UnreadableMedia("The form of the upload has headers that are too long.")

    def _header(self) -> None:
        self._headers.append((self._name.lower(), self._value))
        self._name = self._value = b""

    def _unknown_field(self, is_file: bool) -> OptionError:
        name = shown(self._field)
        if self._field in self.rules.files:
            return OptionError(f"{name} is sent as a text.", accepted=f"a file (with curl: -F {self._field}=@FILE)")
        if self._field in self.rules.texts and is_file:
            return OptionError(f"{name} is sent as a file.", accepted=f"a text (with curl: -F {self._field}=TEXT)")
        return OptionError(f"The form has a field {name}.", accepted=choices([*self.rules.files, *self.rules.texts]))

    def _open(self) -> None:
        from python_multipart.multipart import parse_options_header

        described = dict(self._headers).get(b"content-disposition", b"")
        options = parse_options_header(described)[1]
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        is_file = b"filename" in options
        if self._field not in (self.rules.files if is_file else self.rules.texts):
            raise self._unknown_field(is_file)
        if not is_file:
            if self._field in self.found.texts:
                raise UnreadableMedia(f"The form has two fields {self._field!r}.")
            self._text = bytearray()
            return
        most = self.rules.files[self._field]
        if sum(name == self._field for name, _ in self.found.files) >= most:
            raise TooMuch("Those are too many files at once.", accepted=f"at most {most}")
        self._said = options[b"filename"].decode("utf-8", "replace")
        path = self.folder / safe_name(self._said)
        while path.exists():
            path = path.with_name(f"{secrets.token_hex(4)}-{path.name}"[-120:])
        self._file = path.open("xb")
        self.found.files.append((self._field, path))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._written += end - start
        if self._text is not None:
            if self._written > self.rules.texts[self._field]:
                most = self.rules.texts[self._field]
                raise TooMuch(f"The field {self._field!r} is too long.", accepted=f"at most {most:,} bytes")
            self._text += data[start:end]
            return
        assert self._file is not None
        if self._written > self.rules.largest_bytes:
            raise TooMuch("The file is too large.", accepted=f"at most {self.rules.largest_bytes // 1_000_000} MB")
        self._file.write(data[start:end])
        if self.tell is not None:
            self.tell(self._said, data[start:end])

    def _end(self) -> None:
        if self._text is not None:
            try:
                self.found.texts[self._field] = self._text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UnreadableMedia(f"The field {self._field!r} is no text in UTF-8.") from error
        self.close()

    def close(self) -> None:
        self._text = None
        if self._file is not None:
            self._file.close()
            self._file = None


def safe_name(given: str) -> str:
    """The last part of a name that a visitor gave, without what a system may take for something else; at most 100
    bytes, and its suffix kept.
    """
    name = portable_name(re.split(r"[/\\]", given)[-1].strip(" ."))
    stem, suffix = Path(name).stem, Path(name).suffix
    suffix = suffix if len(suffix.encode()) <= 12 else ""
    stem = stem.encode()[: 100 - len(suffix.encode())].decode(errors="ignore").strip(" .")
    return f"{stem or 'file'}{suffix}"
