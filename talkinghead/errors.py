"""Every error that the package raises on purpose.

    TalkingHeadError
    ├── InputError                 something given by the user cannot be used
    │   ├── OptionError            an unknown, contradictory or out-of-range option
    │   ├── MediaError             a picture, video or sound file
    │   │   ├── MediaNotFound      no such file, or a folder where a file is wanted
    │   │   ├── UnreadableMedia    not media, damaged beyond use, or absurd in size
    │   │   ├── NoVideoStream      the file has no picture
    │   │   ├── NoAudioStream      the file has no sound
    │   │   └── AudioTooShort      no samples, or fewer than the job needs
    │   ├── FaceError
    │   │   ├── NoFaceFound        no face in any frame (or in one, under the policy `fail`)
    │   │   └── AmbiguousFace      several candidates where the caller asked for one; has `.picture`
    │   ├── CheckpointError
    │   │   ├── UnsafeCheckpoint   the file would run code when loaded
    │   │   └── WrongCheckpoint    not a checkpoint of this model, truncated, or of another version
    │   ├── StaleStage             a stage's input files do not fit together
    │   └── BadAddress             neither a path nor an address of a known kind, or one with a password in it
    ├── OutputError                a result cannot be written
    │   ├── OutputExists           the file is there and overwriting was not asked for
    │   ├── UnwritableOutput       missing folder, no permission, disk full
    │   └── EncoderUnavailable     no usable encoder for what was asked
    ├── StorageError               files elsewhere cannot be read or written; has `.retryable`
    │   └── NothingThere           no such file there
    ├── MissingDependency          an optional package is not installed; names the extra
    ├── MissingWeights             a model file is needed and not found
    ├── BrokenFamily               a model that another package brings cannot be used
    ├── BackendError               device or runtime failed
    │   └── OutOfMemory            even the smallest batch does not fit
    └── Cancelled                  the caller stopped the job

A message says what was given, what is accepted, and what to try. `InputError` also means "no need for a
traceback": the command line prints the message alone and exits with status 2 (1 for the others, 130 for `Cancelled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class TalkingHeadError(Exception):
    """Root of the tree.

    Args:
        what: what was given or what happened, one sentence.
        accepted: what would have been accepted.
        remedy: what to try next.
    """

    exit_status = 1

    def __init__(self, what: str, *, accepted: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.accepted = accepted
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.accepted:
            parts.append(f"Accepted: {self.accepted}")
        if self.remedy:
            parts.append(f"Try: {self.remedy}")
        return "\n".join(parts)

    @property
    def in_one_line(self) -> str:
        """The message for a list or a table, without line breaks."""
        first, *rest = str(self).splitlines() or [""]
        return " ".join([first, *(line if line.endswith((".", "?")) else f"{line}." for line in rest)])


class InputError(TalkingHeadError):
    exit_status = 2


class OptionError(InputError):
    pass


class MediaError(InputError):
    pass


class MediaNotFound(MediaError):
    pass


class UnreadableMedia(MediaError):
    pass


class NoVideoStream(MediaError):
    pass


class NoAudioStream(MediaError):
    pass


class AudioTooShort(MediaError):
    pass


class FaceError(InputError):
    pass


class NoFaceFound(FaceError):
    pass


class AmbiguousFace(FaceError):
    """Several faces where exactly one was asked for.

    Attributes:
        picture: a PNG with numbered boxes, or None if it could not be written.
    """

    def __init__(
        self, what: str, *, accepted: str | None = None, remedy: str | None = None, picture: Path | None = None
    ) -> None:
        super().__init__(what, accepted=accepted, remedy=remedy)
        self.picture = picture


class CheckpointError(InputError):
    pass


class UnsafeCheckpoint(CheckpointError):
    pass


class WrongCheckpoint(CheckpointError):
    pass


class StaleStage(InputError):
    pass


class BadAddress(InputError):
    pass


class OutputError(TalkingHeadError):
    pass


class OutputExists(OutputError):
    pass


class UnwritableOutput(OutputError):
    pass


class EncoderUnavailable(OutputError):
    pass


class StorageError(TalkingHeadError):
    """Files elsewhere cannot be read or written.

    Attributes:
        retryable: whether the same may succeed later: the other side was busy, slow or cut the connection. It was
            tried several times before this is raised.
        after_s: seconds after which the other side asked to be tried again, or None.
    """

    def __init__(
        self,
        what: str,
        *,
        accepted: str | None = None,
        remedy: str | None = None,
        retryable: bool = False,
        after_s: float | None = None,
    ) -> None:
        super().__init__(what, accepted=accepted, remedy=remedy)
        self.retryable = retryable
        self.after_s = after_s


class NothingThere(StorageError):
    pass


class MissingDependency(TalkingHeadError):
    """An optional package is needed.

    Args:
        package: the import name that failed.
        extra: the extra of this package that brings it.
        purpose: what it is needed for, as a noun phrase.
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            remedy=f'pip install "talkinghead[{extra}]"',
        )


class MissingWeights(TalkingHeadError):
    pass


class BrokenFamily(TalkingHeadError):
    pass


class BackendError(TalkingHeadError):
    pass


class OutOfMemory(BackendError):
    pass


class Cancelled(TalkingHeadError):
    exit_status = 130

    def __init__(self, what: str = "Cancelled.") -> None:
        super().__init__(what)


def choices(values: Sequence[str]) -> str:
    """Spell a list of accepted values: `a, b or c`."""
    names = [str(value) for value in values]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
