"""Phones of a sound, recognised while something else is done: preparing the face that is going to say it, and drawing
what it says first.

with PhonesAhead(speech.clip) as ahead:
    avatar = head.prepare(...)
    phones, until_s = ahead.known(0.0)
    found = recognised(speech.clip, ahead)
"""

from __future__ import annotations

import json
import math
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from talkinghead.audio.phones import PhoneResult, recognise_phones
from talkinghead.contracts import ArrayStore, AudioClip, Phone
from talkinghead.errors import Cancelled
from talkinghead.files import cache_key
from talkinghead.reading import parse_json
from talkinghead.version import __version__

_POLL_S = 0.1
"""How often who waits looks whether the job was stopped."""


class PhonesAhead:
    """Recognises the phones of a sound in a thread; a context manager, and leaving it ends the work."""

    def __init__(self, clip: AudioClip, store: ArrayStore | None = None) -> None:
        """
        Args:
            clip: as for `recognise_phones`.
            store: where phones that were found before are looked up, and left; None: nowhere.
        """
        self._store = store
        self._samples = weakref.ref(clip.samples)
        self._end_s = float(clip.duration_s)
        self._clip: AudioClip | None = clip
        self.done_s = 0.0
        """Seconds of the sound that have been listened to."""
        self._known: tuple[Sequence[Phone], float] = ((), 0.0)
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._found: PhoneResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="listen-ahead", daemon=True)

    def __enter__(self) -> PhonesAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def is_of(self, clip: AudioClip) -> bool:
        """Whether it is this sound that is listened to."""
        return clip.samples is self._samples()

    def known(self, after_s: float, check: Callable[[], None] = lambda: None) -> tuple[Sequence[Phone], float]:
        """The phones so far, and the second until which they are known; waits until that is later than `after_s`, or
        the end.

        Args:
            check: called now and then while it waits; what it raises ends the waiting.
        Returns:
            Phones without holes, of which only the last one may still grow, if it is a silence.
        Raises:
            What `recognise_phones` raises.
        """
        while self._thread.is_alive() and self._known[1] <= after_s:
            check()
            with self._news:
                self._news.wait(_POLL_S)
        if self._thread.is_alive():
            return self._known
        found = self.result()
        return found.phones, math.inf

    def result(self, progress: Callable[[float, float], None] | None = None) -> PhoneResult:
        """What was found; waits for it.

        Args:
            progress: as for `recognise_phones`; what it raises ends the waiting.
        Raises:
            What `recognise_phones` raises.
        """
        while self._thread.is_alive():
            if progress is not None:
                progress(self.done_s, self._end_s)
            self._thread.join(_POLL_S)
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found

    def _work(self) -> None:
        clip, self._clip = self._clip, None
        assert clip is not None
        try:
            if self._store is None:
                self._found = recognise_phones(clip, progress=self._note, known=self._tell)
            else:
                self._found = remembered_phones(clip, self._store, progress=self._note, known=self._tell)
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that asks for the result)
            self._error = error

    def _tell(self, phones: Sequence[Phone], until_s: float) -> None:
        self._known = tuple(phones), until_s
        with self._news:
            self._news.notify_all()

    def _note(self, done_s: float, _end_s: float) -> None:
        if self._stopped.is_set():
            raise Cancelled()
        self.done_s = done_s


def remembered_phones(
    clip: AudioClip,
    store: ArrayStore,
    progress: Callable[[float, float], None] | None = None,
    known: Callable[[Sequence[Phone], float], None] | None = None,
) -> PhoneResult:
    """As `recognise_phones`; phones of a sound that was listened to before, by this version, are looked up."""
    key = cache_key("phones/1", samples=clip.samples, rate=clip.sample_rate_hz, version=__version__)
    stored = store.get(key)
    if stored is not None:
        told = parse_json(stored["told"].tobytes(), "phones that were kept")
        return PhoneResult(tuple(Phone(*phone) for phone in told["phones"]), told["method"], tuple(told["notes"]))
    found = recognise_phones(clip, progress=progress, known=known)
    phones = [[phone.start_s, phone.end_s, phone.label] for phone in found.phones]
    text = json.dumps({"phones": phones, "method": found.method, "notes": found.notes})
    store.put(key, {"told": np.frombuffer(text.encode("utf-8"), np.uint8)})
    return found


def recognised(
    clip: AudioClip,
    ahead: PhonesAhead | None,
    progress: Callable[[float, float], None] | None = None,
    *,
    given: tuple[Phone, ...] | None = None,
) -> PhoneResult:
    """Phones of a sound: those that are given, those that are being recognised already if they are of this one, else
    recognised now."""
    if given is not None:
        return PhoneResult(given, "given")
    if ahead is not None and ahead.is_of(clip):
        return ahead.result(progress)
    return recognise_phones(clip, progress=progress)
