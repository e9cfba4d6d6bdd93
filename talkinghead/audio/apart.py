"""Recognisers in processes of their own.

pocketsphinx holds Python's lock while it listens, so that nothing else of the process runs meanwhile: no decoding, no
drawing, and no second recogniser. In a process of its own it holds up nobody.

    with Witnesses(clip, blocks, words=True) as witnesses:
        for number in range(len(blocks)):
            witnesses.begin(number, words=True)
            phones, words = witnesses.phones(), witnesses.words()

Both witnesses listen at the same time, and the one to phones runs ahead. What they say is what the recognisers of
`audio.recogniser` say here.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, BinaryIO, Literal

from talkinghead.audio import recogniser
from talkinghead.audio.recogniser import Block, Decoded, Heard, Recogniser
from talkinghead.contracts import AudioClip
from talkinghead.errors import BackendError
from talkinghead.places import temporary_folder
from talkinghead.processes import can_be_apart, python_program

APART_FROM_S = 3.0
"""Shorter sounds are listened to in this process: starting another takes a third of a second of a core."""
_POLL_S = 0.1
Kind = Literal["AllPhones", "Words"]
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""One thread listens; NumPy need not start others."""
_LENGTH = struct.Struct("<Q")


def is_heard_apart(clip: AudioClip) -> bool:
    """Whether a sound is listened to in other processes, which leaves the lock of Python to this one."""
    return clip.duration_s >= APART_FROM_S and can_be_apart()


class RecogniserApart(Recogniser):
    """A recogniser of `audio.recogniser` that runs in another process, which starts at once and ends with `close`."""

    def __init__(self, kind: Kind) -> None:
        """Start the process.

        Raises:
            BackendError: it cannot be started.
        """
        self._kind = kind
        self._files = contextlib.ExitStack()
        # What the process puts down for a moment is removed here, should it be ended meanwhile.
        folder = str(self._files.enter_context(temporary_folder()))
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [*python_program("talkinghead.audio.apart:serve", site=False), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder), **_ONE_THREAD},
            )
        except OSError as error:
            self._files.close()
            raise BackendError(f"A process for speech recognition cannot be started: {error}.") from error

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        with contextlib.suppress(OSError), self._process:  # waits, and closes both pipes
            pass
        self._files.close()

    def decode(self, pcm: bytes) -> Decoded:
        """As the recogniser itself.

        Raises:
            BackendError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(_LENGTH.pack(len(pcm)))
            self._process.stdin.write(pcm)
            self._process.stdin.flush()
            phones, words = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise BackendError(
                f"The process that recognises speech ({self._kind}) has ended ({self._process.poll()}).",
                remedy="try again, with more free memory; or --phones with the times of the phones",
            ) from error
        return Decoded([_row(row) for row in phones], [_row(row) for row in words])


class Witnesses:
    """Both recognisers at work on the blocks of a sound, each in a thread and, but for short sounds, in a process.

    A context manager: leaving it ends all work.
    """

    def __init__(
        self, clip: AudioClip, blocks: Sequence[Block], *, words: bool, check: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            words: whether words may be listened for at all.
            check: called now and then while somebody waits; what it raises ends the waiting.
        Raises:
            BackendError: a process cannot be started.
        """
        self._samples, self._blocks, self._listens_for_words = clip.samples, blocks, words
        self._check = check
        self._apart = is_heard_apart(clip)
        self._close = contextlib.ExitStack()
        self._phones: Sequence[Future[Heard]] = ()
        self._now: tuple[Future[Heard], Future[Heard] | None] | None = None

    def __enter__(self) -> Witnesses:
        with contextlib.ExitStack() as stack:  # closes what was opened before an error
            self._hear_phones = self._listener(stack, "AllPhones")
            self._hear_words = self._listener(stack, "Words") if self._listens_for_words else None
            self._close = stack.pop_all()
        self._phones = [self._hear_phones(block) for block in self._blocks]
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def _listener(self, stack: contextlib.ExitStack, kind: Kind) -> Callable[[Block], Future[Heard]]:
        """What listens to a block in a thread of its own, one block after the other."""
        pool = ThreadPoolExecutor(1, thread_name_prefix=f"listen-{kind}")
        stack.callback(pool.shutdown, cancel_futures=True)
        if self._apart:
            apart = RecogniserApart(kind)
            stack.callback(apart.close)  # before the thread that waits for it
            return lambda block: pool.submit(apart.block, self._samples, block)
        here = pool.submit(getattr(recogniser, kind))
        return lambda block: pool.submit(lambda: here.result().block(self._samples, block))

    def begin(self, number: int, *, words: bool) -> None:
        """Turn to a block.

        Args:
            words: whether to listen for words in it.
        """
        block = self._blocks[number]
        said = self._hear_words(block) if words and self._hear_words is not None else None
        self._now = self._phones[number], said

    def phones(self) -> Heard:
        """What sounds like which phone in the block."""
        assert self._now is not None
        return self._waited(self._now[0])

    def words(self) -> Heard | None:
        """The words of the block; None where they are not listened for."""
        assert self._now is not None
        return None if self._now[1] is None else self._waited(self._now[1])

    def _waited(self, future: Future[Heard]) -> Heard:
        while not wait([future], timeout=_POLL_S).done:
            self._check()
        return future.result()


def _row(values: list[Any]) -> tuple[int, int, Any]:
    first, last, value = values
    return first, last, value


def serve() -> None:
    """What runs in the process: sound comes in, what is heard goes out, a line for each; until there is no more."""
    listening = getattr(recogniser, sys.argv[2])()
    while (pcm := _received(sys.stdin.buffer)) is not None:
        heard = listening.decode(pcm)
        sys.stdout.write(json.dumps([heard.phones, heard.words]) + "\n")
        sys.stdout.flush()


def _received(stream: BinaryIO) -> bytes | None:
    head = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else None
