"""Training: what is learned from, what is refused, and from a video to an avatar that speaks."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import talkinghead as th
from talkinghead.cli.main import main
from talkinghead.contracts import AudioClip
from talkinghead.errors import (
    AmbiguousFace,
    InputError,
    NoAudioStream,
    NoFaceFound,
    OptionError,
    OutOfMemory,
    OutputExists,
    TalkingHeadError,
    UnwritableOutput,
    WrongCheckpoint,
)
from talkinghead.face import FaceOptions
from talkinghead.families.synctalk2d import training
from talkinghead.families.synctalk2d.build import check_template
from talkinghead.families.synctalk2d.network import UNet
from talkinghead.families.synctalk2d.procedural import mouth
from talkinghead.families.synctalk2d.published import UNetModel
from talkinghead.families.synctalk2d.sound_rows import DELAY, tiled
from talkinghead.families.synctalk2d.training import train_avatar
from talkinghead.families.synctalk2d.training_data import APART, TrainingData
from talkinghead.families.synctalk2d.training_options import TrainOptions
from talkinghead.families.synctalk2d.training_task import AvatarTask, Weights, new_network
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, SizeVariant, Variant
from talkinghead.families.synctalk2d.weights import SOUND_ROWS, read_generator
from talkinghead.media import write_video
from talkinghead.training.speed import Speed
from talkinghead.weights import write_safetensors

CPU = Speed(torch.device("cpu"), half=False)
BOX = FaceOptions(box=(40, 20, 120, 120))
TINY = SizeVariant("tiny", 88, (5, 5, 70, 65), False, 16, (32, 64, 512), (64, 32, 16), 20)
"""The published network with three levels instead of four, 80 pixels wide."""


def drawn_person(num_frames: int) -> TrainingData:
    """A mouth on plain skin, as open as a number says that its sound tells."""
    rng = np.random.default_rng(0)
    gaps = np.clip(np.convolve(rng.uniform(-1.2, 2.2, num_frames + 4), np.ones(5) / 5, "valid"), 0, 1)
    side = np.arange(80) + 0.5
    x, y = np.meshgrid((side - 40) / 34, (side - 40) / 34 + 1.1)
    crops = np.empty((num_frames, 80, 80, 3), np.uint8)
    for k, shape in enumerate(mouth.plain(gaps)):
        picture = np.array([0.93, 0.74, 0.64]) * (1 - 0.1 * x[..., None] ** 2) + mouth.painted(
            x, y, shape.astype(float)
        )
        crops[k] = np.clip(np.rint(255 * picture[:, :, ::-1]), 0, 255)
    values = rng.uniform(0.3, 0.5, (num_frames + DELAY, 32)).astype(np.float32)
    values[DELAY:, 1] = gaps
    middle = np.tile(np.array([40, 42, 26, 22], np.float32), (num_frames, 1))
    poses = rng.normal(0, 0.01, (num_frames, 4)).astype(np.float32)
    variant = Variant(TINY, AUDIO_VARIANTS["ave"])
    return TrainingData(variant, crops, (tiled(values),), middle, poses, np.ones(num_frames, bool))


@pytest.fixture(scope="module")
def person() -> TrainingData:
    return drawn_person(240)


def test_nothing_is_learned_from_what_is_held_out(person: TrainingData) -> None:
    width = person.variant.audio.window_rows
    assert person.first_held_out == 216
    assert person.held_out.tolist() == list(range(216, 240))
    assert person.learned.max() + width <= person.first_held_out
    assert person.alike.max() <= person.learned.max()
    assert (np.abs(person.alike - np.arange(240)[:, None]) >= APART).all()


def test_references_have_about_the_same_pose(person: TrainingData) -> None:
    far = np.linalg.norm(person.poses[:, None] - person.poses[person.learned][None], axis=2)
    chosen = np.linalg.norm(person.poses[:, None] - person.poses[person.alike], axis=2)
    assert chosen.mean() < 0.7 * far.mean()
    assert (np.diff(chosen, axis=1) >= -1e-5).all()


def test_a_batch_follows_from_seed_and_step(person: TrainingData, tmp_path: Path) -> None:
    task = AvatarTask(person, Weights(), tmp_path)
    one, again, other = (task.batch(np.random.default_rng((5, step)), 8, step) for step in (3, 3, 4))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["truth"], other["truth"])
    assert one["follows"].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert one["weight"].mean(axis=(1, 2, 3)) == pytest.approx(1, rel=1e-4)
    assert one["weight"].max() / one["weight"].min() == pytest.approx(4)
    x, y, width, height = TINY.mask_xywh
    picture = one["picture"]
    assert (picture[:, 3:, y : y + height, x : x + width] == 0).all()
    assert np.array_equal(picture[:, 3:, :y], one["truth"][:, :, :y])


def test_frames_without_a_face_are_not_learned_from() -> None:
    data = drawn_person(60)
    usable = np.ones(60, bool)
    usable[[3, 58]] = False
    fewer = TrainingData(data.variant, data.crops, data.rows, data.mouths, data.poses, usable)
    assert 3 not in fewer.learned
    assert 58 not in fewer.held_out


@pytest.mark.thorough
def test_it_begins_with_the_reference(person: TrainingData, tmp_path: Path) -> None:
    task = AvatarTask(person, Weights(), tmp_path)
    begun = task.evaluate(new_network(person, 0), CPU)["mouth_psnr"]
    torch.manual_seed(0)
    drawn = task.evaluate(UNet(person.variant), CPU)["mouth_psnr"]
    assert begun > drawn + 6
    assert begun > task.baselines["reference_mouth_psnr"] - 4


# Refusals -----------------------------------------------------------------------------------------------------------


def write_speaker(path: Path, seconds: float = 5.0, *, fps: int = 25, sound: bool = True) -> Path:
    """Noise that moves, and sound."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 200, (18, 20, 3)).astype(np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    samples = rng.uniform(-0.1, 0.1, int(16_000 * seconds)).astype(np.float32)
    frames = (np.roll(picture, k % 5, axis=0) for k in range(round(seconds * fps)))
    write_video(path, frames, fps=Fraction(fps), soundtrack=AudioClip(samples, 16_000) if sound else None)
    return path


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaker(tmp_path_factory.mktemp("speaker") / "me.mp4")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (TrainOptions(batch=5), OptionError, "odd"),
        (TrainOptions(features="hubert"), OptionError, "encoder"),
    ],
)
def test_options_that_do_not_fit(
    options: TrainOptions, error: type[TalkingHeadError], text: str, speaker: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=text):
        train_avatar(speaker, tmp_path / "me", options)
    assert not (tmp_path / "me").exists()


def test_videos_that_cannot_be_used(speaker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "me"
    with pytest.raises(InputError, match=r"lasts 2\.0 s"):
        train_avatar(write_speaker(tmp_path / "short.mp4", 2.0), out)
    with pytest.raises(NoAudioStream):
        train_avatar(write_speaker(tmp_path / "still.mp4", sound=False), out)
    with pytest.raises(InputError, match="no unfinished training"):
        train_avatar(speaker, out, resume=True)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(training.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UnwritableOutput, match="needs about"):
        train_avatar(speaker, out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("here")
    with pytest.raises(OutputExists, match="--resume"):
        train_avatar(speaker, out)


def test_faces_that_cannot_be_used(speaker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen:
        """A detector of a number of faces; None: of one, in every third frame."""

        identity = description = "seen"

        def __init__(self, count: int) -> None:
            self._count = count

        def detect(self, frames: Any) -> Any:
            boxes = [(10.0, 10.0, 60.0, 60.0), (90.0, 10.0, 140.0, 60.0)][: self._count]
            return [[type("Found", (), {"box_xyxy": box})() for box in boxes] for _ in frames]

    template: Any = type("Folder", (), {"num_frames": 40, "read_frame": lambda *_: None})()
    for count, refused in ((1, False), (2, True)):
        monkeypatch.setattr("talkinghead.face.detectors.load_detector", lambda _, count=count: Seen(count))
        if refused:
            with pytest.raises(AmbiguousFace, match="Two people"):
                training._refuse_several(template, FaceOptions())
        else:
            training._refuse_several(template, FaceOptions())

    class Made:
        num_frames, num_without_face, warnings, contact_sheet = 100, 60, (), "sheet.png"

    monkeypatch.setattr(training, "build_template", lambda *_, **__: Made())
    (tmp_path / training.WORK).mkdir()
    with pytest.raises(NoFaceFound, match="40 of 100"):
        training._template(speaker, tmp_path, TrainOptions(), FaceOptions(), lambda _: None)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    tried: list[int] = []

    def learn(*given: Any) -> dict[str, Any]:
        tried.append(given[3].batch)
        if given[3].batch > 4:
            raise OutOfMemory("full")
        return {}

    monkeypatch.setattr(training, "_learn_with", learn)
    ranks: Any = type("Ranks", (), {"count": 1})
    training._learn(None, None, Path(), TrainOptions(batch=16), None, ranks, told.append, lambda: False)  # type: ignore[arg-type]
    assert tried == [16, 8, 4]
    assert told[-1].endswith("going on with 4.")


def test_a_network_that_hears_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    state = {name: value.numpy() for name, value in UNet(Variant(*_published())).state_dict().items()}
    write_safetensors(state, tmp_path / "1.safetensors", metadata={"mode": "ave", "hears": "sound-rows/9"})
    with pytest.raises(WrongCheckpoint, match="sound-rows/9"):
        read_generator(tmp_path)


def _published() -> tuple[Any, Any]:
    from talkinghead.families.synctalk2d.variants import SIZES

    return SIZES["160"], AUDIO_VARIANTS["ave"]


# From end to end ----------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_from_a_video_to_an_avatar_that_speaks(tmp_path: Path) -> None:
    """With a varying stop in between; the folder is what this package, its checks and the published interface take."""
    video = write_speaker(tmp_path / "me.mp4", fps=30)
    options = TrainOptions(steps=4, batch=2, voices=1, preview_every=2, precision="float32")
    asked = iter([False, True])
    stopped = train_avatar(video, tmp_path / "me", options, BOX, stop=lambda: next(asked))
    assert stopped.report["stopped"] == "asked"
    made = train_avatar(video, tmp_path / "me", TrainOptions(preview_every=2), resume=True)
    whole = train_avatar(video, tmp_path / "whole", options, BOX)
    for name in ("1.safetensors", "aud_ave.npy"):
        assert (made.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert made.report["history"] == whole.report["history"]
    assert not (made.path / ".training").exists()
    assert sorted(path.name for path in (made.path / "previews").iterdir()) == ["step-000002.png", "step-000004.png"]
    assert json.loads((made.path / "training.json").read_text())["steps"] == 4
    assert "lasts 5 s" in made.warnings[0]
    found = check_template(made.path)
    assert found.usable
    assert found.findings == ()
    weights = read_generator(made.path)
    assert (weights.hears, weights.stated_mode) == (SOUND_ROWS, "ave")
    model = UNetModel(str(made.path / "checkpoint" / "1.pth"), "ave", "cpu")
    assert model.predict(np.zeros((1, 6, 160, 160), np.float32), np.zeros((1, 32, 16, 16), np.float32)).shape == (
        160,
        160,
        3,
    )
    shutil.rmtree(tmp_path / "whole")
    words = ["generate", "--model", "synctalk2d", "--checkpoint", str(made.path), "--audio", str(video)]
    assert main([*words, "-o", str(tmp_path / "out.mp4"), "--duration", "1", "-q"]) == 0
    head = th.load("synctalk2d", checkpoint=made.path)
    avatar = head.prepare(made.path)
    speech = th.listen(video)
    offline = head.hear(avatar, speech).windows  # type: ignore[attr-defined]
    live = head.live_listener(avatar, Fraction(25), None)  # type: ignore[attr-defined]
    said = [*live.push(speech.clip.samples), *live.flush()]
    assert np.array_equal(np.stack(said), np.asarray(offline[:]))
