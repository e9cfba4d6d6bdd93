"""Sharpening inside jobs: what it changes and what not, of every family that offers it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead import api  # noqa: E402
from talkinghead.cli.main import main  # noqa: E402
from talkinghead.contracts import AudioClip, FaceStatus, FaceTrack, Phone, Picture, Speech  # noqa: E402
from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.context import ProgressEvent, RunContext  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions  # noqa: E402
from talkinghead.engine.runner import run_stages  # noqa: E402
from talkinghead.engine.timeline import frame_plan  # noqa: E402
from talkinghead.enhance import align, faces  # noqa: E402
from talkinghead.enhance.config import EnhanceConfig  # noqa: E402
from talkinghead.enhance.faces import Finder, MadeFace, tracked_face  # noqa: E402
from talkinghead.enhance.restorer import Restorer  # noqa: E402
from talkinghead.enhance.stage import Enhancement  # noqa: E402
from talkinghead.enhance.steady import detail  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from tests.enhance.networks import needs_spandrel, sharpened  # noqa: E402
from tests.synthetic_media import speech_like  # noqa: E402

pytestmark = needs_spandrel

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (120, 160, 3), dtype=np.uint8)
POINTS = np.array([[60, 40], [90, 40], [75, 58], [62, 72], [88, 72]], np.float32)
FACE = MadeFace(key_points=POINTS)


def enhancement(sharp: Path | None, **more: Any) -> Enhancement:
    return Enhancement(EnhanceConfig(enhance=sharp, **more), LoadOptions(device="cpu"))


def run_over(
    work: Enhancement, frames: list[Any], faces_of: Any = lambda _index, _source: (FACE,), **context: Any
) -> tuple[list[Any], RunContext]:
    """The frames of a run of the stage alone, and what it left behind."""
    run = RunContext(cache=NullCache(), **context)
    plan = frame_plan(len(frames), Fraction(25), len(frames), Fraction(25), "hold")
    stages = work.stages(faces_of, plan, run)
    return list(run_stages(frames, stages, overlap=False)) if stages else frames, run


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b).any(axis=-1)


def test_one_frame_is_crop_network_and_way_back(sharp: Path) -> None:
    """The crop sharpened as the formula says; what is added but for broad colours goes through the mask."""
    (made,), _ = run_over(enhancement(sharp, enhance_strength=0.5), [PICTURE])
    matrix, (rows, columns) = align.to_template(POINTS), align.area_part("lower")
    seen = align.crop(PICTURE, matrix)
    added = detail(sharpened(seen).astype(np.uint8)[rows, columns], seen[rows, columns])
    shown = 0.5 * added * align.area_mask("lower")[rows, columns, None]
    wanted = align.put_back(PICTURE, shown, matrix, (columns.start, rows.start))
    assert np.abs(made.astype(int) - wanted).max() <= 1  # a rounding at a half
    assert changed(made, PICTURE).sum() > 500


def test_what_is_not_the_face_stays_as_it_is_to_the_bit(sharp: Path) -> None:
    for area, rows in (("lower", slice(0, 45)), ("face", slice(0, 0))):
        (made,), _ = run_over(enhancement(sharp, enhance_area=area), [PICTURE])
        assert not changed(made, PICTURE)[rows].any()
        assert not changed(made, PICTURE)[:, 140:].any()
        assert changed(made, PICTURE).any()
    assert not np.shares_memory(made, PICTURE)


def test_nothing_is_done_where_nothing_is_asked(sharp: Path) -> None:
    frames = [PICTURE, 255 - PICTURE]
    for work in (enhancement(None), enhancement(Path("off")), enhancement(sharp, enhance_strength=0.0)):
        made, run = run_over(work, frames)
        assert all(np.array_equal(a, b) for a, b in zip(made, frames, strict=True))
        assert run.counters["faces enhanced"] == 0
    assert enhancement(None).details(RunContext()) == {}
    assert enhancement(None).networks == ()


def test_only_frames_that_speak_unless_all_are_asked_for(sharp: Path) -> None:
    def quiet_then_loud(index: int, _: int) -> Iterator[MadeFace]:
        yield MadeFace(share=(0.0, 0.5, 1.0)[index], key_points=POINTS)

    made, run = run_over(enhancement(sharp), [PICTURE] * 3, quiet_then_loud)
    differences = [np.abs(frame.astype(int) - PICTURE).sum() for frame in made]
    assert differences[0] == 0
    assert 0.4 < differences[1] / differences[2] < 0.6
    assert run.counters["faces enhanced"] == 1  # the same crop once
    assert run.counters["faces enhanced before"] == 1
    made, _ = run_over(enhancement(sharp, enhance_frames="all"), [PICTURE] * 3, quiet_then_loud)
    assert np.array_equal(made[0], made[2])
    assert changed(made[0], PICTURE).any()


def test_batches_transparency_and_frames_without_a_face(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However crops are batched, the frames are the same and in order; alpha stays with its picture."""
    frames: list[Any] = [np.roll(PICTURE, k, axis=1) for k in range(5)]
    alpha = np.full(PICTURE.shape[:2], 7, np.uint8)
    frames[1] = Picture(frames[1], alpha)

    def some(index: int, _: int) -> tuple[MadeFace, ...]:
        return () if index == 2 else (FACE, MadeFace(1, key_points=POINTS + 30))[: 1 + index % 2]

    alone, _ = run_over(enhancement(sharp), frames, some)
    batched = enhancement(sharp)
    assert batched._restorer is not None
    batched._restorer.batch = 3
    together, _ = run_over(batched, frames, some)
    for a, b in zip(alone, together, strict=True):
        if isinstance(a, Picture):
            assert a.alpha is alpha
            a, b = a.frame, b.frame
        assert np.array_equal(a, b)
    assert together[2] is frames[2]


def test_flicker_of_a_network_that_invents_is_damped(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that adds other noise to each frame of a still face: the finished video shimmers by a quarter of it."""
    rng = np.random.default_rng(3)

    def inventing(_: Restorer, crops: list[np.ndarray]) -> list[np.ndarray]:
        return [np.clip(crop + rng.normal(scale=12, size=crop.shape), 0, 255).astype(np.uint8) for crop in crops]

    monkeypatch.setattr(Restorer, "restore", inventing)
    still = np.clip(PICTURE // 2 + 60, 0, 255).astype(np.uint8)
    frames = [still.copy() for _ in range(14)]
    for index, frame in enumerate(frames):
        frame[0, 0] = index  # no two crops are equal: nothing is taken from the frame before
        frame[75, 75] = 100 + index % 2
    work = enhancement(sharp, enhance_strength=1.0)
    made, run = run_over(work, frames)
    there = slice(62, 78), slice(60, 90)
    shimmer = np.mean(
        [np.abs(a[there].astype(int) - b[there]).mean() for a, b in zip(made[5:], made[4:], strict=False)]
    )
    matrix = align.to_template(POINTS)
    seen, mask = align.crop(still, matrix), align.area_mask("lower")[..., None]
    alone = [
        align.put_back(still, (made_anew.astype(np.float32) - seen) * mask, matrix)
        for made_anew in inventing(work._restorer, [seen, seen])  # type: ignore[arg-type]
    ]
    assert shimmer < 0.4 * np.abs(alone[0][there].astype(int) - alone[1][there]).mean()
    told = work.details(run)["enhance"]
    assert told["flicker_levels"] < 0.3 * told["flicker_levels_before_steadying"]


def test_what_it_will_take_is_said_before_it_begins(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Restorer, "first", lambda _self, crop, _store: (crop, 1.5))
    events: list[ProgressEvent] = []
    _, run = run_over(enhancement(sharp), [PICTURE] * 100, lambda index, _: (FACE,) if index < 2 else (),
                      progress=events.append)  # fmt: skip
    said = "Sharpening a face takes 1.5 s here (measured), a second of video 38 s, all 100 frames 2 minutes."
    assert [event.note for event in events if event.note] == [said]
    assert run.warnings == (said,)
    monkeypatch.setattr(Restorer, "first", lambda _self, crop, _store: (crop, 0.01))
    assert run_over(enhancement(sharp), [PICTURE])[1].warnings == ()


# Where the face is ----------------------------------------------------------------------------------------------------


class Mesh:
    """Answers with points that tremble around the same place."""

    def __init__(self) -> None:
        self.key_points = POINTS

    def fit(self, _frame: Any, square: Any) -> Any:
        self.square = square
        self.key_points = (POINTS + RNG.normal(scale=1.0, size=POINTS.shape)).astype(np.float32)
        return self

    def follow(self, _frame: Any, last: Any) -> Any:
        return last


def test_points_come_from_the_mesh_else_from_the_box_else_from_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    box = np.array([40, 20, 110, 100], np.int32)
    monkeypatch.setattr("talkinghead.face.mesh.networks.found_mesh", lambda: Mesh())
    finder = Finder()
    places = np.stack([finder.points(MadeFace(box_xyxy=box), PICTURE) for _ in range(40)])
    assert np.abs(places[10:].mean(axis=0) - POINTS).max() < 1
    assert np.diff(places[1:], axis=0).std() < 0.5  # the mesh's own differences have 1.4
    monkeypatch.setattr("talkinghead.face.mesh.networks.found_mesh", lambda: None)
    left, right, nose, *corners = Finder().points(MadeFace(box_xyxy=box), PICTURE)
    assert 40 < left[0] < nose[0] < right[0] < 110
    assert 20 < left[1] < nose[1] < corners[0][1] == corners[1][1] < 100
    assert Finder().points(MadeFace(), np.zeros_like(PICTURE)) is None


def test_a_cut_is_not_followed_slowly() -> None:
    finder, far = Finder(), POINTS + 60
    finder.points(MadeFace(key_points=POINTS, is_steady=False), PICTURE)
    near = finder.points(MadeFace(key_points=POINTS + 4, is_steady=False), PICTURE)
    np.testing.assert_allclose(near, POINTS + 4 * faces.FOLLOWED, atol=1e-4)
    assert np.array_equal(finder.points(MadeFace(key_points=far, is_steady=False), PICTURE), far)
    assert np.array_equal(finder.points(FACE, PICTURE), POINTS)


def test_a_track_tells_its_face() -> None:
    boxes, status = (
        np.array([[1, 2, 30, 40]] * 3, np.int32),
        np.array([0, FaceStatus.HELD, FaceStatus.MISSING], np.uint8),
    )
    points = np.stack([POINTS, np.full((5, 2), np.nan, np.float32), POINTS])
    track = FaceTrack(boxes, status, np.ones(3, np.float32), points)
    first, held, gone = (tracked_face(track, index, person=2, share=0.5) for index in range(3))
    assert gone is None
    assert first is not None
    assert np.array_equal(first.key_points, POINTS)
    assert (first.person, first.share) == (2, 0.5)
    assert held is not None
    assert held.key_points is None  # it is looked for in the box


# Families -------------------------------------------------------------------------------------------------------------

BOX = FaceOptions(box=(40, 20, 110, 100))


def sounding(seconds: float) -> Speech:
    """Half a second of silence, then a voice."""
    clip = AudioClip(np.concatenate([np.zeros(8000, np.float32), speech_like(seconds)]), 16_000)
    return Speech(clip, clip, phones=(Phone(0, 0.5, "SIL"), Phone(0.5, 0.5 + seconds, "AA")))


def frames_of(model: str, source: Any, said: Speech, **family: Any) -> list[np.ndarray]:
    head = api.load(model, device="cpu", **family)
    avatar = head.prepare(source, PrepareOptions(faces=BOX, cache=NullCache()))
    return list(head.frames(avatar, said))


@pytest.mark.thorough
def test_wav2lip_is_sharpened_where_it_speaks(generator: Path, sharp: Path) -> None:
    """Also a picture that is prepared once; in the silence before the speech the source is shown as it is."""
    said = sounding(0.4)
    plain = frames_of("wav2lip", PICTURE, said, checkpoint=generator)
    made = frames_of("wav2lip", PICTURE, said, checkpoint=generator, enhance=sharp)
    off = frames_of("wav2lip", PICTURE, said, checkpoint=generator, enhance=sharp, enhance_strength=0)
    assert all(np.array_equal(a, b) for a, b in zip(plain, off, strict=True))
    touched = [changed(a, b) for a, b in zip(plain, made, strict=True)]
    assert np.array_equal(made[0], PICTURE)
    assert touched[-1].any()
    assert not any(where[:30].any() for where in touched)
    assert not any(where[:, 130:].any() for where in touched)


@pytest.mark.thorough
def test_the_animator_is_sharpened_too(sharp: Path) -> None:
    said = sounding(0.3)
    plain, made = (frames_of("viseme", PICTURE, said, idle_motion=False, **more) for more in ({}, {"enhance": sharp}))
    assert changed(plain[-1], made[-1]).any()
    assert not changed(plain[-1], made[-1])[:, 150:].any()


@pytest.mark.thorough
def test_the_command_reports_it(generator: Path, sharp: Path, tmp_path: Path) -> None:
    from talkinghead.media import write_png, write_wav

    write_png(tmp_path / "me.png", PICTURE)
    write_wav(tmp_path / "hello.wav", AudioClip(speech_like(0.4), 16_000))
    command = [
        "generate", "--model", "wav2lip", "--checkpoint", str(generator), "--face", str(tmp_path / "me.png"),
        "--audio", str(tmp_path / "hello.wav"), "-o", str(tmp_path / "out.mp4"), "--box", "40,20,110,100",
        "--enhance", str(sharp), "--enhance-area", "face", "--device", "cpu", "--report", str(tmp_path / "report.json"),
    ]  # fmt: skip
    assert main(command) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [stage["name"] for stage in report["stages"]][-2:] == ["enhance", "write"]
    assert report["networks"][-1]["name"] == "face restoration"
    told = report["model_details"]["enhance"]
    assert told["network"] == "RealESRGAN Compact"
    assert told["area"] == "face"
    assert told["faces"] + told["faces_reused"] == 10
    assert told["seconds_per_face"] > 0
