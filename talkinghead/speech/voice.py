"""The interface of a speech engine, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from talkinghead.contracts import AudioClip, Phone


@dataclass(frozen=True, eq=False)
class Spoken:
    """A stretch of synthesised speech."""

    clip: AudioClip
    """Mono, at the engine's own rate."""
    phones: tuple[Phone, ...] | None
    """From 0 to the end of the clip without holes, ARPAbet; None where the engine does not tell."""
    text: str
    """What is said."""
    notes: tuple[str, ...] = ()
    """What the user should know about the language that was taken, as sentences."""


@runtime_checkable
class Voice(Protocol):
    """One voice of one engine, ready to speak. Not for use by several threads at once."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def name(self) -> str:
        """The voice that was chosen, for the report."""

    @property
    def lang(self) -> str:
        """Code of the language that it speaks; empty where that is not known."""

    @property
    def sample_rate_hz(self) -> int | None:
        """Rate of all clips; None where it is known with the first one."""

    def speak(self, sentence: str) -> Spoken:
        """Say one sentence.

        Raises:
            BackendError: the engine failed.
        """
