"""The stages of one run: source frames are read, faces cut out, generated and put back.

read -> PlannedFrame -> crop -> FaceWork -> generate -> FaceWork -> compose -> Frame
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from talkinghead.contracts import FaceStatus, FaceTrack, Frame, FrameSource
from talkinghead.engine.head import Avatar
from talkinghead.engine.lru import Lru
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, PlannedFrame, planned_frames
from talkinghead.families.wav2lip.engine import Ears, Engine, Face, Request, Task, new_source
from talkinghead.families.wav2lip.listening import Window, Windows, stack_windows
from talkinghead.families.wav2lip.precision import GeneratorPlace

REPEATS_KEPT = 512
"""Generated faces kept for the same face hearing the same again."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Wav2LipAvatar(Avatar):
    """A prepared face, or several."""

    frames: FrameSource
    tracks: tuple[FaceTrack, ...]
    """One per face that will speak."""
    number: int = field(default_factory=new_source, init=False)
    """Tells its faces from all others in what the engine keeps."""


@dataclass(eq=False)
class FaceWork:
    """One output frame on its way."""

    planned: PlannedFrame
    crops: tuple[Face | None, ...]
    """Per face; None where nothing is generated."""
    faces: list[Face | None]
    """Generated, per face."""
    missing: int = 0
    """Faces that are still to come."""

    def to_generate(self) -> Iterator[tuple[int, Face]]:
        """Number and crop of each face that speaks."""
        for number, crop in enumerate(self.crops):
            if crop is not None:
                yield number, crop


class FaceRun:
    """One run over a prepared face. The stages may run in threads of their own.

    Args:
        windows: one item per output frame; may still grow.
        place: decides where the engine runs, at the first face.
        reuse: generate what repeats once.
        profile: where the trace of the task is written to at the end.
    """

    def __init__(
        self,
        engine: Engine,
        avatar: Wav2LipAvatar,
        windows: Sequence[Windows],
        plan: FramePlan,
        task: Task,
        place: GeneratorPlace,
        *,
        reuse: bool = True,
        profile: Path | None = None,
    ) -> None:
        self.engine = engine
        self.avatar = avatar
        self.windows = windows
        self.plan = plan
        self.task = task
        self._place = place
        self._settled = False
        self._reuse = reuse
        self._profile = profile

    def stages(self) -> tuple[Stage, ...]:
        """See the module."""
        return (
            Stage("read", self.read, queue_size=4),
            Stage("crop", self.crop, queue_size=16),
            Stage("generate", self.generate, queue_size=16),
            Stage("compose", self.compose, queue_size=4),
        )

    def read(self, indices: Iterator[int]) -> Iterator[PlannedFrame]:
        planned = planned_frames(self.avatar.frames, self.plan, self.task.run.first)
        for _ in indices:
            with self.task.tracer.span("read"):
                frame = next(planned, None)
            if frame is None:
                return
            yield frame

    def crop(self, frames: Iterator[PlannedFrame]) -> Iterator[FaceWork]:
        for planned in frames:
            crops: list[Face | None] = []
            with self.task.tracer.span("crop"):
                for track, window in zip(self.avatar.tracks, self.windows[planned.index], strict=True):
                    if window.gate <= 0 or track.status[planned.source_index] == FaceStatus.MISSING:
                        crops.append(None)
                    else:
                        crops.append(self.engine.crop(planned.frame, track.boxes_xyxy[planned.source_index]))
            yield FaceWork(planned, tuple(crops), [None] * len(crops), sum(crop is not None for crop in crops))

    def generate(self, works: Iterator[FaceWork]) -> Iterator[FaceWork]:
        """Ask the engine for what is not known yet; frames leave in order."""
        engine, task, reuse = self.engine, self.task, self._reuse
        ears = [Ears(engine, self.windows, number, task, reuse=reuse) for number in range(len(self.avatar.tracks))]
        known: Lru[Hashable, Face] = Lru(REPEATS_KEPT)
        asked: dict[Hashable, list[tuple[FaceWork, int]]] = {}
        waiting: deque[FaceWork] = deque()

        def requests() -> Iterator[Request | None]:
            for work in works:
                waiting.append(work)
                for number, crop in work.to_generate():
                    self._settle(crop, self.windows[work.planned.index][number])
                    embedding, heard = ears[number].embedding(work.planned.index)
                    source = (number, work.planned.source_index)
                    strength = self.windows[work.planned.index][number].gate
                    identity = (source, heard if heard is not None else work.planned.index, engine.variant(strength))
                    face = known.find(identity)
                    if face is not None:
                        work.faces[number] = face
                        work.missing -= 1
                        task.run.count("faces reused")
                    elif identity in asked:
                        asked[identity].append((work, number))
                        task.run.count("faces reused")
                    else:
                        asked[identity] = [(work, number)]
                        yield Request(embedding, crop, (self.avatar.number, *source), strength, owner=identity)
                # What is under way is asked for when frames could leave, when many wait (then the network finishes what
                # it has, also while nobody speaks), and when nothing more has been heard so far.
                last = work.planned.index + 1 == len(self.windows)
                if waiting and (last or len(waiting) >= engine.in_flight + engine.batch or not waiting[0].missing):
                    yield None

        try:
            for result in engine.run(requests(), task):
                if result is not None:
                    request, face = result
                    if reuse:
                        known.keep(request.owner, face)
                    for work, number in asked.pop(request.owner):
                        work.faces[number] = face
                        work.missing -= 1
                while waiting and not waiting[0].missing:
                    yield waiting.popleft()
        finally:
            engine.end_comparison()  # where no face spoke, or the run ended before, nothing was compared

    def _settle(self, crop: Face, window: Window) -> None:
        """Decide, by the first face that speaks, where the generator runs."""
        if not self._settled:
            if self.task.run.first and not self._place.is_decided:
                crop, window = self._first_face() or (crop, window)
            self._place.settle(self.engine, crop, stack_windows([window])[0], self.task)
            self._settled = True

    def _first_face(self) -> tuple[Face, Window] | None:
        """The first face of the whole video that speaks, by which a stretch is decided too."""
        frames = self.avatar.frames
        for index in range(len(self.plan)):
            shown = int(self.plan.indices[index])
            for track, window in zip(self.avatar.tracks, self.windows[index], strict=True):
                if window.gate > 0 and track.status[shown] != FaceStatus.MISSING:
                    frame = next(iter(frames.read(shown, shown + 1)))
                    return self.engine.crop(frame, track.boxes_xyxy[shown]), window
        return None

    def compose(self, works: Iterator[FaceWork]) -> Iterator[Frame]:
        for work in works:
            planned = work.planned
            frame = planned.frame
            with self.task.tracer.span("compose"):
                for number, (face, crop) in enumerate(zip(work.faces, work.crops, strict=True)):
                    if face is None or crop is None:
                        continue
                    box = self.avatar.tracks[number].boxes_xyxy[planned.source_index]
                    frame = self.engine.put_back(frame, face, crop, box, self.windows[planned.index][number].gate)
            yield frame
        if self._profile is not None:
            self._write_profile(self._profile)

    def _write_profile(self, path: Path) -> None:
        now = time.perf_counter()
        for part, operators in self.engine.profile().items():
            begin = now
            for item in operators:
                self.task.tracer.add(
                    item.name,
                    begin,
                    begin + item.seconds,
                    track=f"operators of one call: {part}",
                    kind=item.kind,
                    implementation=item.implementation,
                )
                begin += item.seconds
        self.task.tracer.write(path)
