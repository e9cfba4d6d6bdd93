"""The head behind the common pipeline: `generate`, its options, the steps one by one, and the constructed head."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import talkinghead as th
from talkinghead.assets import demo_phones_path, demo_speech_path
from talkinghead.audio.phones import read_phones
from talkinghead.backends import placement
from talkinghead.backends.gate import MIN_PSNR_DB
from talkinghead.backends.processor import Processor
from talkinghead.cli.main import main
from talkinghead.contracts import AudioClip, Frame, Phone, Report
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import PrepareOptions, RenderOptions
from talkinghead.errors import AudioTooShort, InputError, MediaNotFound, OptionError, StaleStage
from talkinghead.families.talkinggaussian import bench, pipeline
from talkinghead.families.talkinggaussian import network as published
from talkinghead.families.talkinggaussian.frames import BLACK
from talkinghead.families.talkinggaussian.inspect import cloud_facts, head_facts, histogram_picture, turntable
from talkinghead.families.talkinggaussian.phone_features import ALPHABET, PEAK
from talkinghead.families.talkinggaussian.pipeline import SceneCameras, TalkingGaussianHead
from talkinghead.families.talkinggaussian.procedural import UNIT, rig
from talkinghead.families.talkinggaussian.procedural.build import (
    ProceduralConfig,
    build_head,
    head_poses,
    write_model,
    write_scene,
)
from talkinghead.families.talkinggaussian.scene import read_poses
from talkinghead.families.talkinggaussian.steps import _count
from talkinghead.measure.cases import BenchSettings
from talkinghead.measure.memory import peak_memory_bytes
from talkinghead.measure.quality import psnr
from talkinghead.media import open_frames, probe, read_picture, write_png, write_wav

PHONES = (
    Phone(0, 0.3, "SIL"),
    Phone(0.3, 0.7, "AA"),
    Phone(0.7, 1.0, "M"),
    Phone(1.0, 1.3, "IY"),
    Phone(1.3, 1.7, "SIL"),
)


def tone(seconds: float, rate: int = 16_000) -> AudioClip:
    time = np.arange(round(seconds * rate)) / rate
    return AudioClip((0.2 * np.sin(2 * np.pi * 200 * time)).astype(np.float32), rate)


def load(scene: SimpleNamespace, **options: object) -> TalkingGaussianHead:
    options = {"audio_features": "phones", "device": "cpu", "precision": "parity", **options}
    head = th.load("talkinggaussian", checkpoint=scene.model, **options)
    assert isinstance(head, TalkingGaussianHead)
    return head


def frames_of(head: TalkingGaussianHead, data: Path, seconds: float, **render: object) -> list[Frame]:
    speech = th.listen(tone(seconds), phones=PHONES)
    return list(head.frames(head.prepare(data), speech, RenderOptions(**render)))


@pytest.mark.thorough
def test_video_is_as_long_as_the_sound(scene: SimpleNamespace, tmp_path: Path) -> None:
    """1.7 s over a recording of 12 poses: they go forwards and backwards."""
    output = tmp_path / "my film.v1.mp4"
    result = th.generate(
        scene.data, demo_speech_path(), output, model="talkinggaussian", checkpoint=scene.model,
        audio_features="phones", device="cpu",
    )  # fmt: skip
    found = probe(output)
    assert found.video is not None
    assert len(open_frames(output)) == result.report.num_frames == 145
    assert found.audio
    assert result.report.model == "talkinggaussian"
    assert result.report.fps == "25"
    assert result.report.weights_sha256 == load(scene).trained.sha256
    assert {stage.name for stage in result.report.stages} >= {
        "listen",
        "read",
        "pose",
        "draw",
        "compose",
        "write",
    }
    assert any("approximated" in text for text in result.report.warnings)


@pytest.mark.thorough
def test_pingpong_trim_and_poses(scene: SimpleNamespace) -> None:
    head = load(scene)
    everything = frames_of(head, scene.data, 1.7)
    assert len(everything) == 43
    assert len(frames_of(head, scene.data, 1.7, loop="trim")) == 12
    other = frames_of(load(scene, poses="val"), scene.data, 0.5)
    assert not np.array_equal(other[0], everything[0])
    file = frames_of(load(scene, poses=str(scene.data / "transforms_val.json")), scene.data, 0.5)
    np.testing.assert_array_equal(file[3], other[3])


def test_compat_ends_as_the_published_program(scene: SimpleNamespace) -> None:
    assert len(frames_of(load(scene, compat=True), scene.data, 1.7)) == 12  # the poses
    assert len(frames_of(load(scene, compat=True), scene.data, 0.4)) == 10  # the rows of features
    assert len(frames_of(load(scene), scene.data, 0.4)) == 10


def test_same_frames_with_and_without_overlap_and_threads(scene: SimpleNamespace) -> None:
    one = frames_of(load(scene, threads=1), scene.data, 0.5)
    many = frames_of(load(scene, threads=3), scene.data, 0.5, overlap=False)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


def test_expressions(scene: SimpleNamespace, tmp_path: Path, fresh_data: Callable[[], Path]) -> None:
    source = frames_of(load(scene), scene.data, 0.5)
    neutral = frames_of(load(scene, expression="neutral"), scene.data, 0.5)
    assert not np.array_equal(source[2], neutral[2])
    # a file with the recording's own rows gives the recording's own expressions
    own = frames_of(load(scene, expression=str(scene.data / "au.csv")), scene.data, 0.5)
    np.testing.assert_array_equal(own[5], source[5])
    data = fresh_data()
    (data / "au.csv").unlink()
    assert len(frames_of(load(scene, expression="neutral"), data, 0.5)) == 13
    with pytest.raises(MediaNotFound, match="neutral"):
        frames_of(load(scene), data, 0.5)


def test_free_camera(scene: SimpleNamespace) -> None:
    still = load(scene)
    turned = load(scene, yaw=25.0, pitch=-10.0, zoom=1.4, torso=False)
    a, b = (frames_of(head, scene.data, 0.3) for head in (still, turned))
    assert np.abs(a[0].astype(int) - b[0]).mean() > 5
    assert turned.prepare(scene.data).warnings == ()
    assert "torso" in load(scene, yaw=5.0).prepare(scene.data).warnings[0]
    avatar = still.prepare(scene.data)
    camera = SceneCameras(avatar, still.config, still.pivot)(3)
    np.testing.assert_array_equal(camera.world_view, avatar.poses.camera(3, avatar.size).world_view)


def test_fast_precision_stays_close(scene: SimpleNamespace) -> None:
    exact = frames_of(load(scene), scene.data, 0.5)
    fast = frames_of(load(scene, precision="bfloat16"), scene.data, 0.5)
    # random networks move these few Gaussians much farther than trained ones do; see the constructed head below
    assert min(psnr(a, b) for a, b in zip(exact, fast, strict=True)) > 45


def report_of(head: TalkingGaussianHead, scene: SimpleNamespace, cache: Cache, output: Path) -> Report:
    avatar = head.prepare(scene.data, PrepareOptions(cache=cache))
    return head.render(avatar, th.listen(tone(0.2), phones=PHONES), output).report


def test_a_reduced_precision_is_measured_once(
    scene: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor with bfloat16, whatever runs the test."""
    monkeypatch.setattr(placement, "this_processor", lambda: Processor(frozenset({"amx_bf16"}), "made up"))
    cache, output = Cache(tmp_path / "cache"), tmp_path / "v.mp4"
    motion = report_of(load(scene, precision="auto"), scene, cache, output).networks[0]
    assert (motion.backend, motion.precision) == ("torch", "bfloat16")
    assert motion.psnr_db is not None
    assert motion.psnr_db >= MIN_PSNR_DB
    assert "measured" in motion.why
    assert report_of(load(scene), scene, cache, output).precision == "float32"
    assert report_of(load(scene, precision="auto", compat=True), scene, cache, output).precision == "float32"

    monkeypatch.setattr(pipeline, "psnr_db", lambda *_, peak: pytest.fail("the verdict is remembered"))
    assert report_of(load(scene, precision="fast"), scene, cache, output).networks[0] == motion
    named = report_of(load(scene, precision="bfloat16"), scene, Cache(tmp_path / "other"), output).networks[0]
    assert (named.precision, named.psnr_db) == ("bfloat16", None)


def test_a_precision_that_loses_too_much_is_left(
    scene: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "this_processor", lambda: Processor(frozenset({"amx_bf16"}), "made up"))
    monkeypatch.setattr(pipeline, "psnr_db", lambda *_, peak: 44.0)
    head = load(scene, precision="auto")
    for _ in range(2):  # every report says so
        report = report_of(head, scene, Cache(tmp_path / "cache"), tmp_path / "v.mp4")
        assert (report.precision, report.networks[0].psnr_db) == ("float32", None)
        assert "keeps only 44.0 dB" in report.fallbacks[0]
    exact = frames_of(load(scene), scene.data, 0.2)
    np.testing.assert_array_equal(frames_of(head, scene.data, 0.2), exact)


def test_features_from_a_file(scene: SimpleNamespace) -> None:
    head = load(scene, audio_features="trained", features=scene.data / "custom.npy")
    speech = th.listen(tone(0.36), phones=PHONES)
    avatar, run = head.prepare(scene.data), RunContext()
    heard = head.hear(avatar, speech, run=run)
    assert run.counters["rows of features"] == len(heard.windows) == 9
    assert not heard.notes
    longer = head.hear(avatar, th.listen(tone(2)))
    assert "another sound" in longer.notes[0]


def test_only_needed_torso_pictures_are_asked_for(scene: SimpleNamespace, fresh_data: Callable[[], Path]) -> None:
    data = fresh_data()
    (data / "torso_imgs" / "11.png").unlink()
    head, speech = load(scene), th.listen(tone(0.3), phones=PHONES)
    avatar = head.prepare(data, PrepareOptions(speech=speech))
    assert len(list(head.frames(avatar, speech))) == 8
    with pytest.raises(MediaNotFound, match="11"):
        head.prepare(data)


def test_wrong_use_is_said_clearly(scene: SimpleNamespace, tmp_path: Path) -> None:
    head = load(scene)
    with pytest.raises(InputError, match="scene folder"):
        head.prepare(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(MediaNotFound, match="not a folder"):
        head.prepare(tmp_path / "x")
    with pytest.raises(AudioTooShort):
        frames_of(head, scene.data, 0.05)
    with pytest.raises(OptionError, match="precision"):
        load(scene, precision="int3")
    with pytest.raises(OptionError, match="backend"):
        load(scene, backend="onnx")
    with pytest.raises(OptionError, match="no option 'yaww'"):
        load(scene, yaww=1)
    with pytest.raises(OptionError, match="25 rows"):
        head.hear(head.prepare(scene.data), th.listen(tone(1)), Fraction(30))
    with pytest.raises(OptionError, match="needs a checkpoint"):
        th.load("talkinggaussian")


@pytest.mark.thorough
def test_the_steps_give_the_same_pixels(scene: SimpleNamespace, tmp_path: Path) -> None:
    sound = tmp_path / "a b.wav"
    write_wav(sound, tone(0.6))
    given = ["--checkpoint", str(scene.model), "--scene", str(scene.data)]
    f, m, r, c, o = (str(tmp_path / name) for name in ("f.npy", "motion", "render", "frames", "o.mp4"))
    step = ["stage", "gaussians"]
    assert main([*step, "features", "--audio", str(sound), *given[:2], "--audio-features", "phones", "--out", f]) == 0
    assert main([*step, "motion", "--features", f, *given, "--out", m, "--precision", "parity"]) == 0
    report = tmp_path / "report.json"
    assert main([*step, "render", "--motion", m, *given, "--out", r, "--report", str(report)]) == 0
    assert main([*step, "compose", "--render", r, *given[2:], "--out", c]) == 0
    assert main([*step, "encode", "--frames", c, "--audio", str(sound), "--out", o]) == 0
    assert json.loads(report.read_text())["items"] == 15
    head = load(scene)
    whole = list(head.frames(head.prepare(scene.data), th.listen(sound)))
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    assert len(pictures) == len(whole) == 15
    for path, frame in zip(pictures, whole, strict=True):
        np.testing.assert_array_equal(read_picture(path), frame)
    assert len(open_frames(o)) == 15
    (tmp_path / "motion" / "00000003.npz").unlink()
    assert main([*step, "render", "--motion", m, *given, "--out", r]) == 1  # it is there
    assert main([*step, "render", "--motion", m, *given, "--out", r, "--force"]) == 2
    with pytest.raises(StaleStage):
        _count(tmp_path / "motion", "deformed Gaussians")


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_length(scene: SimpleNamespace) -> None:
    """700 frames after 100: the process's peak hardly rises. Kept, their pictures alone would take 150 MB."""
    head = load(scene)
    avatar = head.prepare(scene.data)

    def run(seconds: float) -> int:
        speech = th.listen(tone(seconds), phones=(Phone(0, seconds, "AA"),))
        return sum(1 for _ in head.frames(avatar, speech))

    run(4)
    before = peak_memory_bytes()
    assert run(28) == 700
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    assert after - before < 40_000_000


# The constructed head -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A coarse constructed head with a short recording."""
    root = tmp_path_factory.mktemp("example")
    config = ProceduralConfig(size=160, detail=0.3, num_frames=30)
    trained = build_head(config)
    count = write_scene(root / "data", config, read_phones(demo_phones_path()), 5.8)
    write_model(root / "model", trained)
    return SimpleNamespace(data=root / "data", model=root / "model", trained=trained, count=count)


def test_constructed_head_has_the_published_formats(example: SimpleNamespace) -> None:
    assert example.count == 30
    again = build_head(ProceduralConfig(size=160, detail=0.3))
    np.testing.assert_array_equal(again.face.xyz, example.trained.face.xyz)
    facts = head_facts(load(example).trained)
    assert facts["audio_extractor"] == "deepspeech"
    face, mouth = facts["clouds"]
    assert face["gaussians"] > 4000
    assert mouth["gaussians"] > 100
    assert face["not_finite"] == 0
    below = example.trained.face.xyz[:, 1] < -1.4 * UNIT  # the shoulders lie outside the grids, where nothing moves
    assert face["outside_grid"] <= below.sum()


def mouth_picture(example: SimpleNamespace, characters: dict[str, float], blink: float = 0.0) -> Frame:
    head = load(example)
    rows = np.zeros((8, 29, 16), np.float32)
    for character, strength in characters.items():
        rows[:, ALPHABET.index(character)] = PEAK * strength
    codes = head.renderer.codes(head.renderer.audio_rows(rows), np.array([4]), 16)
    moved = head.renderer.deform([codes[0]], np.array([[0, 0, 0, 0, 0, blink]], np.float32))[0]
    camera = read_poses(example.data / "transforms_train.json").camera(0, (160, 160))
    return head.renderer.compose(head.renderer.draw(moved, camera, BLACK), np.full((160, 160, 3), 120, np.uint8))


def test_the_mouth_opens_with_the_features(example: SimpleNamespace) -> None:
    head = load(example)
    lip = np.array([[0.0, rig.LIP_LINE_Y - 0.03, 0.73]])  # lower lip, mouth closed
    place = (rig.stored(lip, example.trained.face_motion) * UNIT).astype(np.float32)

    from talkinghead.families.talkinggaussian.phone_features import ALPHABET, PEAK

    weights = head.renderer._face._weights
    heights = {}
    for character in "amo":
        rows = torch.zeros(8, 29, 16)
        rows[:, ALPHABET.index(character)] = PEAK
        enc_a = published.attend(weights, published.audio_rows(weights, rows)[None])
        enc_x = published.encode_points(weights, published.FACE, place)
        moved = published.face_motion(weights, enc_x, enc_a, torch.zeros(6)).d_xyz.numpy()[0]
        heights[character] = float((place[0, 1] + moved[1]) / UNIT)
    assert heights["m"] == pytest.approx(lip[0, 1], abs=0.03)  # closed where it was sculpted
    assert heights["a"] < heights["o"] - 0.02 < heights["m"] - 0.1
    # and in the picture: the dark inside shows where the lips were
    closed, wide = (mouth_picture(example, {c: 1.0}) for c in "ma")
    dark = [(picture[88:104, 72:90].max(axis=2) < 75).sum() for picture in (closed, wide)]
    assert dark[1] > dark[0] + 25


@pytest.mark.parametrize("yaw", [0.0, 20.0, 45.0])
def test_nothing_is_seen_through_the_head_from_aside(example: SimpleNamespace, tmp_path: Path, yaw: float) -> None:
    """Before a green wall, the wide open mouth and the neck show no green, and the head stands on its shoulders."""
    import cv2

    write_png(tmp_path / "green.png", np.full((8, 8, 3), (0, 255, 0), np.uint8))
    rows = np.zeros((24, 16, 29), np.float32)
    rows[..., ALPHABET.index("a")] = PEAK
    np.save(tmp_path / "a.npy", rows)
    head = load(example, yaw=yaw, background=tmp_path / "green.png", features=tmp_path / "a.npy", audio_features="auto")
    frame = frames_of(head, example.data, 0.4)[5]
    green = (frame[..., 1].astype(int) - frame[..., [0, 2]].max(axis=2) > 60).astype(np.uint8)
    assert cv2.connectedComponents(green, connectivity=8)[0] <= 3  # what is drawn, and the wall left and right of it
    drawn = cv2.connectedComponentsWithStats(1 - green, connectivity=8)[2][1:]
    head_and_shoulders = drawn[drawn[:, cv2.CC_STAT_AREA].argmax()]
    assert head_and_shoulders[cv2.CC_STAT_TOP] < 40
    assert head_and_shoulders[cv2.CC_STAT_TOP] + head_and_shoulders[cv2.CC_STAT_HEIGHT] == 160


def test_the_eyes_close(example: SimpleNamespace) -> None:
    still, shut = (mouth_picture(example, {}, blink) for blink in (0.0, rig.BLINK_FULL))
    changed = np.abs(still.astype(int) - shut).sum(axis=2) > 60
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed.sum() > 20
    assert rows.max() < 100  # nothing below the eyes moves


@pytest.mark.thorough
def test_constructed_head_speaks_end_to_end(example: SimpleNamespace, tmp_path: Path) -> None:
    output = tmp_path / "speaks.mp4"
    status = main(
        ["generate", "--model", "talkinggaussian", "--scene", str(example.data), "--checkpoint", str(example.model),
         "--audio", str(demo_speech_path()), "--audio-features", "phones", "--duration", "2", "-o", str(output), "-q"]
    )  # fmt: skip
    assert status == 0
    frames = list(open_frames(output).read())
    assert len(frames) == 50
    mouth = np.stack([frame[85:115, 60:100] for frame in frames]).astype(int)
    assert np.abs(np.diff(mouth, axis=0)).mean() > 1


@pytest.mark.thorough
def test_bfloat16_keeps_the_constructed_head(example: SimpleNamespace) -> None:
    exact, fast = (frames_of(load(example, precision=name), example.data, 1.0) for name in ("parity", "bfloat16"))
    assert min(psnr(a, b) for a, b in zip(exact, fast, strict=True)) > 55


def test_dataset_own_features_speak_too(example: SimpleNamespace, tmp_path: Path) -> None:
    status = main(["synthesize-fuse", "-S", str(example.data), "-M", str(example.model), "--use_train", "--fast", "-q"])
    assert status == 0
    out = example.model / "train" / "ours_None" / "renders" / "out.mp4"
    assert len(open_frames(out)) == 27


def test_head_poses_are_smooth() -> None:
    poses = head_poses(100)
    assert np.abs(np.diff(poses, axis=0)).max() < 0.03
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.tile(np.eye(3), (100, 1, 1)), atol=1e-12
    )
    with pytest.raises(OptionError, match="detail is 9"):
        ProceduralConfig(detail=9)


# Looking and measuring ------------------------------------------------------------------------------------------------


def test_inspect_gaussians(example: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {name: tmp_path / name for name in ("h.png", "t.mp4", "one.png", "e.ply", "e.safetensors")}
    call = ["inspect-gaussians", str(example.model)]
    assert main([*call, "--picture", str(names["h.png"]), "--turntable", str(names["t.mp4"]), "--frames", "4",
                 "--size", "64", "--swing", "30", "--export", str(names["e.ply"]), "--json"]) == 0  # fmt: skip
    facts = json.loads(capsys.readouterr().out)
    assert facts["clouds"][0]["name"] == "face"
    assert len(open_frames(names["t.mp4"])) == 4
    assert (
        main([*call, "--export", str(names["e.safetensors"]), "--turntable", str(names["one.png"]), "--size", "48"])
        == 0
    )
    assert all(path.is_file() for path in names.values())
    assert "speech features: deepspeech" in capsys.readouterr().out
    assert main([*call, "--export", str(names["e.ply"])]) == 1  # it is there
    assert main([*call, "--export", str(tmp_path / "x.obj")]) == 2
    assert main([*call, "--export", str(names["e.ply"]), "--overwrite", "--raw", "--cloud", "mouth"]) == 0
    capsys.readouterr()
    assert main(["inspect-gaussians", str(names["e.safetensors"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clouds"] == facts["clouds"]


def test_facts_of_damaged_and_empty_clouds(scene: SimpleNamespace) -> None:
    cloud = scene.head.face
    xyz = cloud.xyz.copy()
    xyz[:3] = np.nan
    xyz[3] = 0.5
    facts = cloud_facts("face", replace(cloud, xyz=xyz))
    assert (facts.not_finite, facts.outside_grid) == (3, 1)
    nothing = replace(
        cloud, **{name: getattr(cloud, name)[:0] for name in ("xyz", "features", "scaling", "rotation", "opacity")}
    )
    assert cloud_facts("mouth", nothing).gaussians == 0
    head = replace(scene.head, face=nothing)
    assert histogram_picture(head).shape[2] == 3
    assert next(iter(turntable(head, num_frames=1, size=32))).shape == (32, 32, 3)


def test_bench_writes_what_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "FACE_COUNTS", (200, 400, 600))
    monkeypatch.setattr(bench, "SIZE", 64)
    monkeypatch.setattr(bench, "OTHER_SIZES", (48,))
    monkeypatch.setattr(bench, "available_cores", lambda: 2)
    monkeypatch.setattr(bench, "MEMORY_S", 0.3)
    monkeypatch.setattr(bench, "_memory_table", lambda *_: None)  # starts processes; memory_of_run is called below
    found = bench.cases(BenchSettings(seconds=1), tmp_path)
    assert len(found) == 5
    head = th.load("talkinggaussian", device="cpu", **found[0].load)
    avatar = head.prepare(found[0].source)
    frames = list(head.frames(avatar, th.listen(tone(0.3))))
    assert frames[0].shape == (64, 64, 3)
    assert len(frames) == 8
    [steps, _] = bench.tables(BenchSettings(seconds=1, load={"device": "cpu"}), tmp_path, lambda _: None)
    assert [row[:3] for row in steps.rows] == [
        (200, "64x64", 1), (400, "64x64", 1), (600, "64x64", 1), (400, "48x48", 1), (400, "64x64", 2)
    ]  # fmt: skip
    assert all(float(row[-1]) > 0 for row in steps.rows)
    before, peak = bench.memory_of_run(tmp_path, 200, 64, {"device": "cpu"})
    assert before is None or (peak is not None and peak >= before)
    assert not bench.tables(BenchSettings(load={"device": "cuda"}), tmp_path, lambda _: None)
