"""SyncTalk_2D in live sessions: rows of features as the sound arrives, and templates of all sessions drawn together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.encoders import ave, wenet
from talkinghead.audio.live_mouth import LiveMouth
from talkinghead.audio.mouth import as_motion
from talkinghead.contracts import MOUTH_COLUMNS, SPEECH_RATE_HZ, FloatArray, Frame
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Listener, Told
from talkinghead.engine.live.face import LiveFace, Order
from talkinghead.engine.timeline import source_frames_at
from talkinghead.errors import OptionError
from talkinghead.families.synctalk2d import sound_rows
from talkinghead.families.synctalk2d.config import SyncTalk2DConfig
from talkinghead.families.synctalk2d.crop import filled_canvas, inner_picture, paste_crop
from talkinghead.families.synctalk2d.engine import Engine, StateCache
from talkinghead.families.synctalk2d.features import window_rows
from talkinghead.families.synctalk2d.procedural import mouth, weights
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, AudioVariant

if TYPE_CHECKING:
    from talkinghead.families.synctalk2d.pipeline import TemplateAvatar, TemplateReader
    from talkinghead.families.synctalk2d.speech import SpeechListener

RowStream = ave.AveStream | wenet.WenetStream | sound_rows.SoundRows


class LiveWindows(Listener[FloatArray]):
    """Windows of features, [*input_shape] float32, as soon as their rows are known: those of the whole sound.

    Args:
        rows: gives rows of features, 25 or 20 a second.
        audio: the network's audio branch.
        fps: of the output; at another rate than the network's, windows repeat or are left out.
        edges: see `SyncTalk2DConfig.window_edges`.
        smooth: every row is averaged with its neighbours.
        published: as many windows as the published script has rows, instead of one for every frame of the sound.
        lock: held while the encoder works, which all sessions share.
    """

    def __init__(
        self,
        rows: RowStream,
        audio: AudioVariant,
        fps: Fraction,
        *,
        edges: str,
        smooth: bool,
        published: bool,
        lock: threading.Lock,
    ) -> None:
        self._stream, self._audio, self._fps = rows, audio, fps
        self._edges, self._smooth, self._published, self._lock = edges, smooth, published, lock
        self._num_samples = self._made = 0
        self._raw: FloatArray = np.empty((0, audio.row_size), np.float32)
        """The last two rows that came, where they are to be averaged; all the same at first."""
        self._rows: FloatArray = np.empty((0, audio.row_size), np.float32)
        """Rows from `_first` on."""
        self._first = 0

    @property
    def lookahead_s(self) -> float:
        if isinstance(self._stream, sound_rows.SoundRows):
            return sound_rows.LOOKAHEAD_S + float(self._smooth / self._audio.fps)
        after = self._audio.window_rows // 2 - 1 + self._smooth
        if isinstance(self._stream, ave.AveStream):  # its first row comes twice
            return float((after - 1) / self._audio.fps + Fraction(ave.LOOKAHEAD_SAMPLES, SPEECH_RATE_HZ))
        return float(after / self._audio.fps + Fraction(wenet.LOOKAHEAD_SAMPLES, SPEECH_RATE_HZ))

    def push(self, samples: FloatArray) -> list[FloatArray]:
        self._num_samples += len(samples)
        with self._lock:
            rows = self._stream.push(samples)
        self._add(self._smoothed(rows.reshape(len(rows), self._audio.row_size)))
        known = self._first + len(self._rows)
        # A window ends with row k + half - 1, and so many own frames have such windows.
        ready = max(0, known - (self._audio.window_rows // 2 - 1))
        return self._cut(self._num_frames(ready), known)

    def flush(self) -> list[FloatArray]:
        if not self._num_samples:
            return []
        num_own = math.ceil(Fraction(self._num_samples, SPEECH_RATE_HZ) * self._audio.fps)
        with self._lock:
            rows = self._stream.flush(None if self._published else num_own)
        self._add(self._smoothed(rows.reshape(len(rows), self._audio.row_size), ended=True))
        known = self._first + len(self._rows)
        return self._cut(self._num_frames(known if self._published else num_own), known)

    def told(self) -> Told:
        return Told(method=f"{self._audio.mode}, live")

    def _num_frames(self, num_own: int) -> int:
        """Frames of the output that begin within so many of the network's."""
        return math.ceil(num_own * self._fps / self._audio.fps)

    def _smoothed(self, rows: FloatArray, *, ended: bool = False) -> FloatArray:
        if not self._smooth:
            return rows
        known = np.concatenate([self._raw if len(self._raw) else rows[:1], rows])
        if ended:
            known = np.concatenate([known, known[-1:]])
        self._raw = known[-2:]
        mean: FloatArray = ((known[:-2] + known[1:-1] + known[2:]) / np.float32(3)).astype(np.float32)
        return mean

    def _add(self, rows: FloatArray) -> None:
        self._rows = np.concatenate([self._rows, rows])

    def _cut(self, stop: int, known: int) -> list[FloatArray]:
        frames = np.arange(self._made, max(self._made, stop), dtype=np.int64)
        own = source_frames_at(frames, self._fps, self._audio.fps)
        index = window_rows(known, own, self._audio.window_rows, edges=self._edges)
        cut = self._rows[np.maximum(index - self._first, 0)]  # [n, window_rows, row_size]
        cut[index < 0] = 0
        self._made += len(frames)
        following = int(source_frames_at(np.array([self._made]), self._fps, self._audio.fps)[0])
        kept = max(0, min(following - self._audio.window_rows // 2, known - 1) - self._first)
        self._rows, self._first = self._rows[kept:].copy(), self._first + kept
        return list(cut.reshape(len(frames), *self._audio.input_shape))


class LivePhoneWindows(Listener[FloatArray]):
    """What the constructed network hears: the shape of the mouth in the row that is the frame's own.

    Args:
        fps: of the output.
    """

    def __init__(self, fps: Fraction) -> None:
        self._fps, self._mouth = fps, LiveMouth(fps)

    @property
    def lookahead_s(self) -> float:
        return self._mouth.lookahead_s

    def push(self, samples: FloatArray) -> list[FloatArray]:
        return [shaped_window(row) for row in self._mouth.push(samples)]

    def flush(self) -> list[FloatArray]:
        return [shaped_window(row) for row in self._mouth.flush()]

    def told(self) -> Told:
        return Told(method="phones (live)")


def shaped_window(row: FloatArray) -> FloatArray:
    """The window of a mouth: a row of MOUTH_COLUMNS, [6] float32, to [*input_shape]."""
    audio = AUDIO_VARIANTS["ave"]
    window = np.zeros((audio.window_rows, audio.row_size), np.float32)
    window[weights.ON_TIME_ROW] = weights.encoded(mouth.shapes(as_motion(audio.fps, row[:, None])))[0]
    return window.reshape(audio.input_shape)


@dataclass(eq=False)
class LiveHearing:
    """What listens in the sessions of a head; encoders are loaded when they are first needed."""

    config: SyncTalk2DConfig
    encoder: Callable[[AudioVariant], SpeechListener]
    published: bool
    """As under `compat`."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._rests: dict[tuple[str, bool], FloatArray] = {}

    def listener(self, audio: AudioVariant, fps: Fraction, *, phones: bool) -> Listener[FloatArray]:
        """For one utterance.

        Args:
            phones: the network is told the shape of the mouth.
        Raises:
            OptionError: features that are made of the whole sound.
        """
        if phones:
            return LivePhoneWindows(fps)
        return LiveWindows(
            self._stream(audio),
            audio,
            fps,
            edges=self.config.window_edges,
            smooth=self.config.smooth_features,
            published=self.published,
            lock=self._lock,
        )

    def rest(self, audio: AudioVariant, *, phones: bool) -> FloatArray:
        """What is heard in silence, [*input_shape]; one array for all sessions."""
        key = (audio.name, phones)
        if key not in self._rests:
            if phones:
                self._rests[key] = shaped_window(np.zeros(len(MOUTH_COLUMNS), np.float32))
            else:
                stream = self._stream(audio)
                with self._lock:
                    row = stream.silent_row().reshape(-1)
                self._rests[key] = np.tile(row, (audio.window_rows, 1)).reshape(audio.input_shape)
        return self._rests[key]

    def _stream(self, audio: AudioVariant) -> RowStream:
        if self.config.features is not None:
            raise OptionError(
                f"The features of {self.config.features} belong to one sound, and a live session hears another.",
                remedy="leave --features out",
            )
        if audio.mode == "hubert":
            raise OptionError(
                "A network of the mode hubert cannot be live: HuBERT hears every row with all sound before and after "
                "it, at the level of the whole sound.",
                accepted="networks of the modes ave and wenet, and the constructed one, which hears phones",
                remedy="train the person with ave, or use frames() with each whole sentence",
            )
        with self._lock:
            return self.encoder(audio).stream()


class LiveTemplateFace(LiveFace[FloatArray]):
    """A template folder in one session: templates go on, and in silence the network hears silence.

    Args:
        rest: its window.
    """

    def __init__(self, rest: FloatArray) -> None:
        self._rest = rest

    @property
    def rest(self) -> FloatArray:
        return self._rest

    def eased(self, window: FloatArray, share: float) -> FloatArray:
        return np.asarray(self._rest + np.float32(share) * (window - self._rest), np.float32)


@dataclass(eq=False)
class _Opened:
    """What the drawing thread keeps of an avatar."""

    engine: Engine
    reader: TemplateReader
    states: StateCache
    rest: FloatArray
    rest_heard: Any = None


class LiveDrawing:
    """Draws for all live sessions of a head, in one thread.

    Args:
        open_engine: (avatar, a window, run) to a generator that nobody else uses.
        open_reader: reads templates for this thread.
        cache_bytes: for what is kept of the templates of an avatar.
    """

    def __init__(
        self,
        open_engine: Callable[[TemplateAvatar, FloatArray, RunContext], Engine],
        open_reader: Callable[[TemplateAvatar], TemplateReader],
        *,
        cache_bytes: int,
    ) -> None:
        self._open_engine, self._open_reader, self._cache_bytes = open_engine, open_reader, cache_bytes
        self._engines: dict[str, Engine] = {}
        self._opened: WeakKeyDictionary[TemplateAvatar, _Opened] = WeakKeyDictionary()
        self._opening = threading.Lock()

    def expect(self, avatar: TemplateAvatar, rest: FloatArray, run: RunContext) -> None:
        """Open the network for an avatar, in the thread of who opens a session.

        Args:
            rest: the window of silence.
        """
        with self._opening:
            if avatar in self._opened:
                return
            name = avatar.variant.name
            if name not in self._engines:
                engine = self._engines[name] = self._open_engine(avatar, rest, run)
                engine(_picture(avatar.reader.get(0).canvas), rest)  # the first picture takes longer
            engine = self._engines[name]
            states = StateCache(engine, self._cache_bytes - self._cache_bytes // 2)
            self._opened[avatar] = _Opened(engine, self._open_reader(avatar), states, rest)

    def draw(self, orders: Sequence[Order]) -> list[Frame]:
        """Finished frames, RGB uint8 [H, W, 3]."""
        frames: dict[int, Frame] = {}
        engines = dict.fromkeys(self._opened[order.avatar].engine for order in orders)
        for engine in engines:
            own = [place for place, order in enumerate(orders) if self._opened[order.avatar].engine is engine]
            frames.update(zip(own, self._drawn(engine, [orders[place] for place in own]), strict=True))
        return [frames[place] for place in range(len(orders))]

    def _drawn(self, engine: Engine, orders: Sequence[Order]) -> list[Frame]:
        opened = [self._opened[order.avatar] for order in orders]
        templates = [each.reader.get(order.source_index) for each, order in zip(opened, orders, strict=True)]
        heard = self._heard(engine, opened, [order.pose for order in orders])
        states = [
            each.states.get(order.source_index, partial(_picture, template.canvas))
            for each, order, template in zip(opened, orders, templates, strict=True)
        ]
        frames = []
        made = engine.stream(zip(states, heard, strict=True))
        for each, template, picture in zip(opened, templates, made, strict=True):
            canvas = filled_canvas(template.canvas, picture[:, :, ::-1])
            frames.append(paste_crop(template.frame, template.box, canvas, each.reader.filters, keep=template.keep))
        return frames

    def _heard(self, engine: Engine, opened: Sequence[_Opened], windows: Sequence[FloatArray]) -> list[Any]:
        """What the audio branch says; of silence it is asked once."""
        for each in opened:
            if each.rest_heard is None:
                (each.rest_heard,) = engine.speech(each.rest[None])
        spoken = [window for each, window in zip(opened, windows, strict=True) if window is not each.rest]
        said = iter(engine.speech(np.stack(spoken)) if spoken else ())
        return [
            each.rest_heard if window is each.rest else next(said) for each, window in zip(opened, windows, strict=True)
        ]


def _picture(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the network sees of a canvas, BGR."""
    return np.ascontiguousarray(inner_picture(canvas)[:, :, ::-1])
