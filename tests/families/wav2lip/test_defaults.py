"""What is better than the published script: defaults, options, reuse, laws of the whole head."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead import api  # noqa: E402
from talkinghead.backends import Placement  # noqa: E402
from talkinghead.cli.main import main  # noqa: E402
from talkinghead.contracts import AudioClip, FaceStatus, Speech  # noqa: E402
from talkinghead.engine.cache import Cache, NullCache  # noqa: E402
from talkinghead.engine.context import RunContext  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions  # noqa: E402
from talkinghead.engine.runner import run_stages  # noqa: E402
from talkinghead.errors import AudioTooShort, MissingWeights, NoFaceFound, OptionError, OutOfMemory  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip import tracking  # noqa: E402
from talkinghead.families.wav2lip.config import Wav2LipConfig, parse_map  # noqa: E402
from talkinghead.families.wav2lip.engine import Engine, EngineOptions, Request, Task  # noqa: E402
from talkinghead.families.wav2lip.frames import FaceRun  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.weights import load_generator  # noqa: E402
from talkinghead.media.arrays import ArraySource  # noqa: E402
from tests.synthetic_media import make_sound, make_video, speech_like  # noqa: E402

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (72, 80, 3), dtype=np.uint8)
BOX = FaceOptions(box=(10, 8, 66, 64))


@pytest.fixture(scope="module")
def checkpoint(thin_checkpoint: Path) -> Path:
    return thin_checkpoint


def load(checkpoint: Path, **family: Any) -> Wav2LipHead:
    more = {key: family.pop(key) for key in ("compat", "precision", "backend") if key in family}
    return Wav2LipHead(LoadOptions(checkpoint=checkpoint, device="cpu", family={"batch_size": 4, **family}, **more))


def rendered(head: Wav2LipHead, avatar: Any, said: Speech, options: RenderOptions | None = None) -> Any:
    """The frames of a run, and what it counted."""
    options = options or RenderOptions()
    run = RunContext(cache=avatar.cache)
    plan = head.plan(avatar, said, options)
    heard = head.hear(avatar, said, plan.fps, run=run)
    work = run_stages(range(len(plan)), head.stages(avatar, heard, plan, run), overlap=options.overlap)
    return np.stack(list(work)), run


def speech(seconds: float = 0.5) -> Speech:
    clip = AudioClip(speech_like(seconds), 16_000)
    return Speech(clip, clip)


def prepare(head: Wav2LipHead, source: Any = PICTURE, **more: Any) -> Any:
    return head.prepare(source, PrepareOptions(faces=BOX, cache=NullCache(), **more))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "face.mp4", num_frames=6, size=(80, 72))


def test_picture_and_sound_end_together(checkpoint: Path) -> None:
    head = load(checkpoint)
    for samples in (1, 100, 640, 641, 8000):
        clip = AudioClip(np.full(samples, 0.1, np.float32), 16_000)
        frames = list(head.frames(prepare(head), Speech(clip, clip)))
        assert len(frames) == -(-samples // 640)


def test_compat_needs_a_window_of_sound(checkpoint: Path) -> None:
    head = load(checkpoint, compat=True)
    clip = AudioClip(np.zeros(2900, np.float32), 16_000)
    with pytest.raises(AudioTooShort):
        list(head.frames(prepare(head), Speech(clip, clip)))


def test_only_the_lower_face_changes_and_silence_shows_the_source(checkpoint: Path) -> None:
    head = load(checkpoint)
    sound = np.concatenate([np.zeros(16_000, np.float32), speech_like(0.5), np.zeros(16_000, np.float32)])
    clip = AudioClip(sound, 16_000)
    frames, run = rendered(head, prepare(head), Speech(clip, clip))
    changed = (frames != PICTURE).any(axis=3)
    assert not changed[:10].any()
    assert not changed[-10:].any()
    assert changed[28:34].any(axis=(1, 2)).all()
    assert not changed[:, :26].any()  # above the nose
    assert not changed[:, 64:].any()
    assert not changed[:, :, :10].any()
    assert run.counters["faces generated"] < 30
    ungated = load(checkpoint, silence_gate=False)
    frames = np.stack(list(ungated.frames(prepare(ungated), Speech(clip, clip))))
    assert (frames[5] != PICTURE).any()


def test_reuse_changes_nothing(checkpoint: Path, video: Path) -> None:
    sound = speech(0.8)
    results, counted = [], []
    for reuse in (True, False):
        head = load(checkpoint, reuse=reuse, precision="parity", backend="torch", silence_gate=False)
        avatar = prepare(head, video)
        frames, run = rendered(head, avatar, sound)
        results.append(frames.astype(int))
        counted.append(run.counters["features reused"])
    assert np.abs(results[0] - results[1]).max() <= 1
    assert (results[0] == results[1]).mean() > 0.999
    assert counted[0] > 0
    assert counted[1] == 0


def test_faces_one_after_the_other_are_never_mixed_up(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that is done with is freed, and the next may get its address: kept features must not go by it."""
    monkeypatch.setattr("talkinghead.families.wav2lip.pipeline.id", lambda _: 1, raising=False)
    head, said = load(checkpoint, silence_gate=False), speech(0.2)
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, PICTURE.shape, dtype=np.uint8)
        frames, run = rendered(head, prepare(head, picture), said)
        assert run.counters["features reused"] == len(frames) - 1  # all but the first of this face


def test_kept_features_change_nothing(checkpoint: Path, tmp_path: Path) -> None:
    said = speech()
    cache = Cache(tmp_path)
    runs = []
    for keep in ("never", "pictures", "pictures"):
        head = load(checkpoint, keep_features=keep, silence_gate=False)
        avatar = head.prepare(PICTURE, PrepareOptions(faces=BOX, cache=cache))
        frames, run = rendered(head, avatar, said)
        runs.append((frames, run.counters["features from disk"]))
        head.engine.close()
    assert [count for _, count in runs] == [0, 0, 1]
    for frames, _ in runs[1:]:
        np.testing.assert_array_equal(frames, runs[0][0])


def test_equal_windows_over_a_picture_are_generated_once(checkpoint: Path) -> None:
    head = load(checkpoint, silence_gate=False)
    clip = AudioClip(np.zeros(32_000, np.float32), 16_000)
    frames, run = rendered(head, prepare(head), Speech(clip, clip))
    assert len(frames) == 50
    assert run.counters["faces generated"] == 1
    assert run.counters["windows encoded"] == 1
    assert all((frame == frames[0]).all() for frame in frames)


@pytest.mark.thorough
def test_threads_and_batches_change_nothing(checkpoint: Path, video: Path) -> None:
    sound = speech(0.6)
    expected: np.ndarray | None = None
    for family, overlap in (({}, True), ({}, False), ({"threads": 1}, True), ({"batch_size": 1}, True)):
        head = load(checkpoint, precision="parity", **family)
        frames = np.stack(list(head.frames(prepare(head, video), sound, RenderOptions(overlap=overlap))))
        if expected is None:
            expected = frames
        difference = np.abs(frames.astype(int) - expected)
        assert difference.max() <= (0 if family == {} else 1)


def test_pingpong_by_default_and_wrap_under_compat(checkpoint: Path, video: Path) -> None:
    head, compat = load(checkpoint), load(checkpoint, compat=True)
    plans = [list(item.plan(prepare(item, video), speech(0.5), RenderOptions()).indices) for item in (head, compat)]
    assert plans[0] == [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2]
    assert plans[1][:8] == [0, 1, 2, 3, 4, 5, 0, 1]
    static = load(checkpoint, static=True)
    assert set(static.plan(prepare(static, video), speech(), RenderOptions()).indices) == {0}


class ScriptedDetector:
    """Finds faces where a script says, left to right; a frame says its row of the script in its first pixel."""

    name = "scripted"
    has_key_points = False
    description = identity = "scripted"
    batch_size = 2
    looks_at_pixels = True
    network = None

    def __init__(self, script: list[list[tuple[int, int, int, int]]]) -> None:
        self._script = dict(enumerate(script))

    def detect(self, frames: Any) -> Any:
        from talkinghead.contracts import Detection

        rows = [self._script.get(int(frame[0, 0, 0]), []) for frame in frames]
        return [[Detection(np.array(box, np.float32), 0.9) for box in row] for row in rows]


def scripted_avatar(
    head: Wav2LipHead, script: Any, monkeypatch: pytest.MonkeyPatch, *, picture: Any = PICTURE, turns: int = 0
) -> Any:
    """An avatar of frames that were turned by so many quarters against what the script is about."""
    frames = [picture.copy() for _ in script]
    for number, frame in enumerate(frames):
        frame[0, 0] = number
    source = ArraySource([np.ascontiguousarray(np.rot90(frame, turns)) for frame in frames], fps=Fraction(25))
    monkeypatch.setattr("talkinghead.media.sources.open_frames", lambda *_, **__: source)
    monkeypatch.setattr("talkinghead.face.load_detector", lambda _: ScriptedDetector(script))
    monkeypatch.setattr(tracking, "published_detector", lambda _: ScriptedDetector(script))
    return head.prepare("x.mp4", PrepareOptions(faces=FaceOptions(smoothing=0), cache=NullCache()))


def test_gaps_are_held_unless_compat(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script: Any = [[(10, 8, 60, 60)], [], [(12, 8, 62, 60)]]
    head, smooth = load(checkpoint), cv2.GaussianBlur(PICTURE, (0, 0), 5)
    avatar = scripted_avatar(head, script, monkeypatch, picture=smooth)
    assert avatar.track.count(FaceStatus.HELD) == 1
    assert len(list(head.frames(avatar, speech(0.2)))) == 5
    compat = load(checkpoint, compat=True)
    with pytest.raises(NoFaceFound, match="frame 1"):
        scripted_avatar(compat, script, monkeypatch)


def test_a_face_that_lies_speaks_as_it_lies(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, script = load(checkpoint, silence_gate=False), [[(10, 8, 60, 60)]]
    upright = scripted_avatar(head, script, monkeypatch)
    expected = np.stack(list(head.frames(upright, speech(0.2))))
    assert upright.turn is None
    for turns in (1, 2, 3):
        lying = scripted_avatar(head, script, monkeypatch, turns=turns)
        assert lying.turn is not None
        frames = np.stack(list(head.frames(lying, speech(0.2))))
        np.testing.assert_array_equal(frames, np.rot90(expected, turns, axes=(1, 2)))


def test_pads_are_added_inside_the_frame(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    avatar = scripted_avatar(load(checkpoint, pads=(1, 40, 2, 3)), [[(10, 8, 60, 60)]], monkeypatch)
    np.testing.assert_array_equal(avatar.track.boxes_xyxy[0], [8, 7, 63, 72])


def test_several_faces_with_different_sounds(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_sound(tmp_path / "a.wav", samples=speech_like(0.4, seed=1))
    make_sound(tmp_path / "b.wav", samples=np.zeros(6400, np.float32))
    head = load(checkpoint, map=f"0={tmp_path / 'a.wav'},1={tmp_path / 'b.wav'}")
    avatar = scripted_avatar(head, [[(2, 10, 34, 60), (44, 10, 76, 60)]] * 3, monkeypatch)
    assert [track.boxes_xyxy[0, 0] for track in avatar.tracks] == [2, 44]
    frames = np.stack(list(head.frames(avatar, speech(0.4))))
    changed = (frames != PICTURE).any(axis=(0, 1, 3))
    assert changed[2:34].any()
    assert not changed[44:].any()  # its sound is silent
    single = load(checkpoint, face_index=1)
    avatar = scripted_avatar(single, [[(2, 10, 34, 60), (44, 10, 76, 60)]] * 3, monkeypatch)
    assert avatar.track.boxes_xyxy[0, 0] == 44


def test_configuration_refuses_contradictions() -> None:
    assert parse_map(" 0=a.wav, 1 = b c.wav ") == {0: Path("a.wav"), 1: Path("b c.wav")}
    for text in ("a.wav", "0=", "0=a,0=b", "x=a.wav"):
        with pytest.raises(OptionError):
            parse_map(text)
    refused: list[dict[str, Any]] = [
        {"feather": 0.9},
        {"pads": (1, 2)},
        {"batch_size": "0"},
        {"batch_size": "many"},
        {"face_index": 0, "map": "0=a.wav"},
        {"threads": -1},
    ]
    for values in refused:
        with pytest.raises(OptionError):
            Wav2LipConfig(**values)


def test_compat_names_the_detector_it_needs(checkpoint: Path) -> None:
    head = load(checkpoint, compat=True)
    with pytest.raises(MissingWeights, match="S3FD"):
        head.prepare(PICTURE, PrepareOptions(cache=NullCache()))


def test_out_of_memory_halves_and_says_so(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.backends.torch_backend import TorchSession

    original = TorchSession.run
    sizes: list[int] = []

    def run(self: Any, inputs: Any) -> Any:
        if "face" in inputs and "audio" in inputs:
            sizes.append(len(inputs["face"]))
            if sizes[-1] > 2:
                raise OutOfMemory("no room")
        return original(self, inputs)

    monkeypatch.setattr(TorchSession, "run", run)
    head = load(checkpoint, backend="torch", precision="parity", batch_size=8, reuse=False, silence_gate=False)
    frames, run = rendered(head, prepare(head), speech(0.24))
    assert len(frames) == 6
    assert sizes == [6, 4, 2, 2, 2]
    assert len(run.fallbacks) == 2
    assert "batch of 8" in run.fallbacks[0]


@pytest.mark.thorough
def test_eight_bits_are_calibrated_on_the_clip_and_their_loss_is_said(
    checkpoint: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("talkinghead.families.wav2lip.engine.CALIBRATION_FACES", 2)
    monkeypatch.setattr("talkinghead.families.wav2lip.engine.CHECKED_FACES", 2)
    head = load(checkpoint, precision="int8", silence_gate=False)
    exact = load(checkpoint, precision="parity", silence_gate=False)
    sound = speech(0.3)
    (frames, run), (expected, _) = (rendered(item, prepare(item, video), sound) for item in (head, exact))
    assert frames.shape == expected.shape
    avatar = prepare(head)
    described = head.describe(avatar, head.hear(avatar, sound), run)
    loss = described.networks[0].psnr_db
    assert loss is not None
    assert 20 < loss < 60
    assert [network.precision for network in described.networks] == ["int8", "float32"]
    assert described.model_details["int8_psnr_db"] == loss
    assert np.abs(frames.astype(int) - expected).mean() < 12


def test_long_silence_holds_few_frames(checkpoint: Path) -> None:
    """Frames that wait for nobody leave at once: memory stays flat."""
    head = load(checkpoint)
    clip = AudioClip(np.concatenate([speech_like(0.3), np.zeros(16_000 * 6)]).astype(np.float32), 16_000)
    avatar = prepare(head)
    heard = head.hear(avatar, Speech(clip, clip))
    plan = head.plan(avatar, Speech(clip, clip), RenderOptions())
    taken = [0]

    def indices() -> Any:
        for index in range(len(plan)):
            taken[0] = index
            yield index

    task = Task(RunContext(cache=NullCache()), split=True)
    work = FaceRun(head.engine, avatar, heard.windows, plan, task, head.place)
    for count, _ in enumerate(work.generate(work.crop(work.read(indices())))):
        assert taken[0] - count <= head.engine.in_flight + head.engine.batch + 1


def test_engine_answers_in_order_with_flushes(checkpoint: Path) -> None:
    engine = Engine(load_generator(checkpoint), Placement.choose("cpu", "auto", "parity"), EngineOptions(batch_size=2))
    faces = RNG.integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    embeddings = RNG.standard_normal((5, 512)).astype(np.float32)
    items: list[Any] = [Request(embeddings[i], faces[i], i, owner=i) for i in range(5)]
    owners = [
        "flush" if result is None else result[0].owner
        for result in engine.run(
            iter([items[0], None, None, *items[1:4], None, items[4]]), Task(RunContext(cache=NullCache()))
        )
    ]
    assert owners == [0, "flush", "flush", 1, 2, 3, "flush", 4]


def test_command_line_report_and_profile(
    checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sound(tmp_path / "s.wav", samples=speech_like(0.5))
    out, report, trace = tmp_path / "o.mp4", tmp_path / "r.json", tmp_path / "t.json"
    arguments = ["generate", "--model", "wav2lip", "--checkpoint", str(checkpoint), "--face", str(video)]
    arguments += ["--audio", str(tmp_path / "s.wav"), "--box", "10,8,66,64", "-o", str(out), "--quiet"]
    assert main([*arguments, "--report", str(report), "--profile", str(trace)]) == 0, capsys.readouterr().err
    data = json.loads(report.read_text())
    assert data["model"] == "wav2lip"
    assert data["num_frames"] == 13
    assert data["model_details"]["architecture"] == "wav2lip96"
    assert data["model_details"]["placement"]
    assert len(data["weights_sha256"]) == 64
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"read", "crop", "compose", "audio encoder"} <= {event["name"] for event in events}
    assert any("operators" in str(event.get("args")) for event in events if event["ph"] == "M")
    assert main([*arguments, "--align", "sideways"]) == 2
    assert main([*arguments[:3], "--face", str(video), "--audio", str(tmp_path / "s.wav"), "-o", str(out)]) == 2


def test_api_loads_it(checkpoint: Path) -> None:
    head = api.load("wav2lip", checkpoint=checkpoint, device="cpu", align="published")
    assert isinstance(head, Wav2LipHead)
    with pytest.raises(OptionError, match="aligned"):
        api.load("wav2lip", checkpoint=checkpoint, aligned="published")
