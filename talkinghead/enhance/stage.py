"""Sharpening as a stage of a head: finished frames in, the same frames with a sharper face out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talkinghead.contracts import FloatArray, Frame, NetworkRun, Picture
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import LoadOptions
from talkinghead.engine.lru import Lru
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan
from talkinghead.enhance import align
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.enhance.faces import FOLLOWED_FRAMES, Finder, MadeFace
from talkinghead.enhance.restorer import Restorer, find_restorer, read_restorer
from talkinghead.enhance.steady import Steady, detail, remembered_from

REPEATS_KEPT = 64
"""Crops that are remembered: a still face that says the same again is sharpened once."""
LONGEST_JOB = 1_000_000
"""Frames; a plan of more is a stream without an end that could be told."""

FacesOf = Callable[[int, int], Iterable[MadeFace]]
"""(output frame, source frame) to the faces that were made there."""


@dataclass(frozen=True, eq=False)
class _Crop:
    """A face of a frame on its way."""

    face: MadeFace
    matrix: align.Matrix
    seen: Frame
    """The aligned crop."""
    mark: bytes
    """Equal for equal crops."""


@dataclass(eq=False)
class _Work:
    """A frame on its way."""

    index: int
    """Output frame."""
    value: Frame | Picture
    crops: list[_Crop]

    @property
    def frame(self) -> Frame:
        return self.value.frame if isinstance(self.value, Picture) else self.value


class Enhancement:
    """The sharpening that a head was loaded with; it does nothing where none was asked for.

    Args:
        config: what was asked.
        options: of the head: device and precision.
    Raises:
        MissingWeights, WrongCheckpoint, UnsafeCheckpoint, MissingDependency: the network cannot be taken.
    """

    def __init__(self, config: EnhanceConfig, options: LoadOptions) -> None:
        self._config = config
        self._restorer: Restorer | None = None
        if config.network is not None:
            self._restorer = Restorer(read_restorer(find_restorer(config.network)), options.device, options.precision)

    @property
    def works(self) -> bool:
        """Whether frames are changed at all."""
        return self._restorer is not None and self._config.enhance_strength > 0

    def stages(self, faces_of: FacesOf, plan: FramePlan, run: RunContext) -> tuple[Stage, ...]:
        """The stage that goes behind the one that finishes frames; none where nothing is to be done.

        Args:
            faces_of: faces that the model makes in an output frame, in whatever order; asked once per frame, in order.
        """
        if self._restorer is None or not self.works:
            return ()
        return (Stage("enhance", _Job(self._config, self._restorer, faces_of, plan, run), queue_size=4),)

    def led_in(self, wanted: range) -> range:
        """Some output frames, and those before them that their sharpening depends on; see `Head.frames_to_make`."""
        if not self.works:
            return wanted
        return range(max(0, remembered_from(wanted.start) - FOLLOWED_FRAMES), wanted.stop)

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        """Where it runs, for the report."""
        return () if self._restorer is None else (self._restorer.verdict.run("face restoration"),)

    def details(self, run: RunContext) -> dict[str, Any]:
        """What was done, for the report's details; empty where nothing was asked for."""
        if self._restorer is None:
            return {}
        counted, file = run.counters, self._restorer.file
        pairs = max(1, counted["enhanced pairs"])
        return {
            "enhance": {
                "network": file.name,
                "weights_sha256": file.file_hash.hex,
                "strength": self._config.enhance_strength,
                "area": self._config.enhance_area,
                "faces": counted["faces enhanced"],
                "faces_reused": counted["faces enhanced before"],
                "seconds_per_face": counted["microseconds to enhance a face"] / 1e6,
                "flicker_levels": round(counted["flicker in thousandths"] / 1000 / pairs, 3),
                "flicker_levels_before_steadying": round(counted["flicker made in thousandths"] / 1000 / pairs, 3),
            }
        }


class _Job:
    """One run of the stage."""

    def __init__(
        self, config: EnhanceConfig, restorer: Restorer, faces_of: FacesOf, plan: FramePlan, run: RunContext
    ) -> None:
        self._config = config
        self._restorer = restorer
        self._faces_of = faces_of
        self._plan = plan
        self._run = run
        self._part = align.area_part(config.enhance_area)
        self._mask = align.area_mask(config.enhance_area)[self._part]
        self._steady: dict[int, Steady] = {}
        self._known: Lru[bytes, Frame] = Lru(REPEATS_KEPT)
        self._settled = False

    def __call__(self, values: Iterator[Frame | Picture]) -> Iterator[Frame | Picture]:
        finder = Finder()
        waiting: list[_Work] = []
        fresh = 0
        for index, value in enumerate(values, self._run.first):
            work = self._looked_at(index, value, finder)
            waiting.append(work)
            fresh += len(work.crops)
            if fresh >= self._restorer.batch or not fresh:
                yield from self._finished(waiting)
                waiting, fresh = [], 0
        yield from self._finished(waiting)

    def _looked_at(self, index: int, value: Frame | Picture, finder: Finder) -> _Work:
        """Cut out the faces of a frame."""
        work = _Work(index, value, [])
        for face in self._faces_of(index, int(self._plan.indices[index])):
            wanted = 1.0 if self._config.enhance_frames == "all" else face.share
            points = finder.points(face, work.frame) if wanted > 0 else None
            if points is None:
                continue
            matrix = align.to_template(points)
            seen = align.crop(work.frame, matrix)
            mark = hashlib.blake2b(seen.data, digest_size=16).digest()
            work.crops.append(_Crop(MadeFace(face.person, wanted, points), matrix, seen, mark))
        return work

    def _finished(self, works: Sequence[_Work]) -> Iterator[Frame | Picture]:
        made = self._restored([crop for work in works for crop in work.crops])
        for work in works:
            frame = work.frame
            here = {crop.face.person for crop in work.crops}
            for person, steady in self._steady.items():
                if person not in here:
                    steady.forget()
            for crop in work.crops:
                rows, columns = self._part
                added = self._added(work.index, crop, made[crop.mark])
                frame = align.put_back(frame, added, crop.matrix, (columns.start, rows.start))
            yield Picture(frame, work.value.alpha) if isinstance(work.value, Picture) else frame

    def _restored(self, crops: Sequence[_Crop]) -> dict[bytes, Frame]:
        """The network's crops by their marks; what is known is not computed again."""
        if crops and not self._settled:
            self._begin(crops[0])
            self._run.count("faces enhanced")
            self._run.count("faces enhanced before", -1)
        found = {crop.mark: known for crop in crops if (known := self._known.find(crop.mark)) is not None}
        fresh = {crop.mark: crop.seen for crop in crops if crop.mark not in found}
        for mark, face in zip(fresh, self._restorer.restore(list(fresh.values())), strict=True):
            found[mark] = face
            self._known.keep(mark, face)
        self._run.count("faces enhanced", len(fresh))
        self._run.count("faces enhanced before", len(crops) - len(fresh))
        return found

    def _begin(self, crop: _Crop) -> None:
        """Decide how precisely the network runs, and say what the job will take by the first crop."""
        made, seconds = self._restorer.first(crop.seen, self._run.cache)
        self._known.keep(crop.mark, made)
        for sentence in self._restorer.verdict.refused:
            self._run.fall_back(sentence)
        self._run.count("microseconds to enhance a face", round(seconds * 1e6))
        self._settled = True
        count, fps = len(self._plan), float(self._plan.fps)
        if seconds * fps < 1:
            return
        text = f"Sharpening a face takes {seconds:.2g} s here (measured), a second of video {_minutes(seconds * fps)}"
        if count < LONGEST_JOB:
            text += f", all {count} frames {_minutes(seconds * count)}"
        self._run.note(f"{text}.", total=min(count, LONGEST_JOB))

    def _added(self, index: int, crop: _Crop, made: Frame) -> FloatArray:
        """What is added to the part of a crop that is shown, [h, w, 3] float32."""
        steady = self._steady.setdefault(crop.face.person, Steady())
        seen = crop.seen[self._part]
        added, flicker = steady.add(index, seen, detail(made[self._part], seen), self._mask)
        if flicker is not None:
            self._run.count("enhanced pairs")
            self._run.count("flicker made in thousandths", round(1000 * flicker.made))
            self._run.count("flicker in thousandths", round(1000 * flicker.shown))
        weight = self._mask * np.float32(self._config.enhance_strength * crop.face.share)
        shown: FloatArray = added * weight[..., None]
        return shown


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
