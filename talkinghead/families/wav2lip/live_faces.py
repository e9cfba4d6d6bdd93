"""Wav2Lip in live sessions: rest shows the source, and the faces of all sessions go through the network together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from talkinghead.audio.mel import MelSettings, mel_spectrogram
from talkinghead.contracts import SPEECH_RATE_HZ, FaceStatus, Frame
from talkinghead.engine.context import RunContext
from talkinghead.engine.live.face import LiveFace, Order
from talkinghead.families.wav2lip.architecture import MEL_COLUMNS
from talkinghead.families.wav2lip.engine import Engine, Face, Request, Task
from talkinghead.families.wav2lip.frames import Wav2LipAvatar
from talkinghead.families.wav2lip.listening import Window, Windows, stack_windows
from talkinghead.families.wav2lip.precision import GeneratorPlace

NOTHING = Window(np.full((MelSettings().bands, MEL_COLUMNS), -4.0, np.float32), 0, 0.0)
"""What is heard in silence: it shows the source."""


@lru_cache(maxsize=1)
def spoken_window() -> Window:
    """What a face hears in the middle of the package's own sentence."""
    from talkinghead.assets import demo_speech_path
    from talkinghead.media import read_audio

    samples = read_audio(demo_speech_path(), SPEECH_RATE_HZ).samples[: 2 * SPEECH_RATE_HZ]
    mel = mel_spectrogram(samples)
    return Window(mel, mel.shape[1] // 2)


class LiveWav2LipFace(LiveFace[Windows]):
    """A prepared face, or several, in one session."""

    def __init__(self, avatar: Wav2LipAvatar) -> None:
        self._rest: Windows = (NOTHING,) * len(avatar.tracks)

    @property
    def rest(self) -> Windows:
        return self._rest

    def eased(self, window: Windows, share: float) -> Windows:
        return tuple(replace(each, gate=each.gate * share) for each in window)


@dataclass(eq=False)
class _Wanted:
    """A face to be made."""

    place: int
    """Of its order."""
    number: int
    """Of the face in its picture."""
    crop: Face
    window: Window
    key: tuple[int, int, int]


class LiveDrawing:
    """Draws for all live sessions of a head, in one thread.

    Args:
        engine: of small batches.
        place: decides where it runs, at the first face.
        reuse: keep what depends on a source frame alone.
    """

    def __init__(self, engine: Engine, place: GeneratorPlace, *, reuse: bool) -> None:
        self.engine, self._place, self._reuse = engine, place, reuse
        self._settled = False
        self._opening = threading.Lock()
        self._run = RunContext()

    @property
    def at_once(self) -> int:
        """Faces that the network takes together."""
        return self.engine.batch

    def expect(self, avatar: Wav2LipAvatar, run: RunContext) -> None:
        """Open the networks, decide how precisely they run, and make a face, in the thread of who opens a session:
        speech that begins later waits for nothing.

        Args:
            run: what is drawn from now on counts there.
        """
        with self._opening:
            self._run = run
            seen = np.flatnonzero(avatar.tracks[0].status != FaceStatus.MISSING)
            if self._settled or not len(seen):
                return
            self._place.recall(run.cache)
            self.engine.move(self._place.placement)
            if not self._place.is_decided:
                self.engine.expect_comparison()
            task = self._task([avatar])
            self.engine.open_ahead(task)
            index = int(seen[0])
            frame = next(iter(avatar.frames.read(index, index + 1)))
            crop = self.engine.crop(frame, avatar.tracks[0].boxes_xyxy[index])
            self._settle(crop, spoken_window(), task)
            (embedding,) = self.engine.hear(stack_windows([spoken_window()]), task)
            list(self.engine.run([Request(embedding, crop, (avatar.number, 0, index), 1.0), None], task))

    def _settle(self, crop: Face, window: Window, task: Task) -> None:
        if not self._settled:
            self._place.settle(self.engine, crop, stack_windows([window])[0], task)
            self.engine.end_comparison()
            self._settled = True

    def _task(self, avatars: Sequence[Wav2LipAvatar]) -> Task:
        """Features of source frames are kept where those of all faces fit."""
        distinct = {avatar.number: avatar.num_frames * len(avatar.tracks) for avatar in avatars}
        return Task(self._run, self._reuse and sum(distinct.values()) <= self.engine.most_features)

    def draw(self, orders: Sequence[Order]) -> list[Frame]:
        """Finished frames, RGB uint8 [H, W, 3]; the source frame itself where nothing is said."""
        frames = [order.picture for order in orders]
        wanted = [each for place, order in enumerate(orders) for each in self._wanted(place, order)]
        if not wanted:
            return frames
        task = self._task([order.avatar for order in orders])
        self._settle(wanted[0].crop, wanted[0].window, task)
        embeddings = self.engine.hear(stack_windows([each.window for each in wanted]), task)
        requests = [
            Request(embedding, each.crop, each.key, each.window.gate, owner=each)
            for each, embedding in zip(wanted, embeddings, strict=True)
        ]
        for result in self.engine.run([*requests, None], task):
            if result is not None:
                each, face = result[0].owner, result[1]
                order = orders[each.place]
                box = order.avatar.tracks[each.number].boxes_xyxy[order.source_index]
                frames[each.place] = self.engine.put_back(frames[each.place], face, each.crop, box, each.window.gate)
        return frames

    def _wanted(self, place: int, order: Order) -> list[_Wanted]:
        avatar: Wav2LipAvatar = order.avatar
        index, windows = order.source_index, order.pose
        return [
            _Wanted(
                place,
                number,
                self.engine.crop(order.picture, track.boxes_xyxy[index]),
                window,
                (avatar.number, number, index),
            )
            for number, (track, window) in enumerate(zip(avatar.tracks, windows, strict=True))
            if window.gate > 0 and track.status[index] != FaceStatus.MISSING
        ]
