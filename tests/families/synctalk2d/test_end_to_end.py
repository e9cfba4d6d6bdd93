"""The whole family through the public functions: frame by frame against the original script, and by its promises."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import talkinghead as th
from talkinghead.audio.encoders import ave
from talkinghead.contracts import AudioClip
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import PrepareOptions, RenderOptions
from talkinghead.errors import InputError, MissingWeights, OptionError, UnreadableMedia
from talkinghead.families.synctalk2d.template import landmark_text
from talkinghead.media import EncodeOptions, open_frames, probe, write_wav
from tests.tolerances import tolerance

from .conftest import golden, golden_weights, other_resizer, write_checkpoint, write_template

Make = Callable[[], Path]


def clip_of(case: str) -> AudioClip:
    data = golden(case)
    return AudioClip((data["wav_int16"] / 32768).astype(np.float32), int(data["sample_rate"]), source=case)


def check_golden_frames(case: str, frames: list[np.ndarray]) -> None:
    """At most one grey level, on fewer than 0.01 % of the values: truncation of float32 results.

    Where OpenCV resizes with other kernels, on 0.02 %: what it rounds otherwise comes on top (see `other_resizer`).
    """
    data = golden(case)
    assert len(frames) == int(data["n_frames"])
    difference = np.stack(
        [np.abs(frames[i][:, :, ::-1].astype(int) - data["frames"][k]) for k, i in enumerate(data["frame_indices"])]
    )
    assert difference.max() <= tolerance(f"synctalk2d/{case}:frames")
    share = tolerance(f"synctalk2d/{case}:frames_share{'_other_resizer' if other_resizer() else ''}")
    assert np.count_nonzero(difference) < share * difference.size


@pytest.mark.parametrize(
    ("case", "backend"),
    [
        ("e2e_328_ave", "onnx"),
        ("e2e_328_ave", "openvino"),
        ("e2e_160_ave", "onnx"),
        ("e2e_160_ave", "openvino"),
        ("e2e_160_ave", "torch"),
    ],
)
def test_golden_frames(tmp_path: Path, models: Path, case: str, backend: str) -> None:
    """Sound to frames as the original script makes them, through load, prepare, listen, frames."""
    pytest.importorskip("openvino" if backend == "openvino" else "onnxruntime")
    folder = write_template(tmp_path / "May", case)
    head = th.load(
        "synctalk2d", checkpoint=models / f"{case[4:7]}.pth", mode="ave", compat=True, backend=backend, threads=2
    )
    speech = th.listen(clip_of(case))
    avatar = head.prepare(folder)
    plan = head.plan(avatar, speech, RenderOptions())
    assert plan.indices.tolist() == golden(case)["template_order"].tolist()
    check_golden_frames(case, list(head.frames(avatar, speech)))


@pytest.fixture(scope="module")
def head160(models: Path) -> Any:
    """One for all tests: a head keeps nothing of its last job."""
    return th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", precision="parity")


def tone(seconds: float) -> AudioClip:
    t = np.arange(round(16_000 * seconds)) / 16_000
    return AudioClip((0.3 * np.sin(2 * np.pi * 220 * t) * np.sin(3 * t)).astype(np.float32), 16_000)


@pytest.mark.thorough
def test_video_is_as_long_as_the_sound(tmp_path: Path, head160: Any, template160: Path) -> None:
    sound = tmp_path / "my voice.v1.wav"
    write_wav(sound, tone(0.9))
    output = tmp_path / "out dir" / "a.mp4"
    output.parent.mkdir()
    result = head160.render(
        head160.prepare(template160), th.listen(sound), output, RenderOptions(encode=EncodeOptions(crf=30))
    )
    info = probe(output)
    assert len(open_frames(output)) == 23  # ceil(0.9 * 25)
    video, sound_track = info.video[0], info.audio[0]
    assert (video.width, video.height) == (170, 150)
    assert video.fps == 25
    assert sound_track is not None
    report = result.report
    assert report.num_frames == 23
    assert report.precision == "float32"
    assert report.model_details["network"] == "unet160.ave"
    assert report.model_details["mode"] == "ave"
    assert len(report.weights_sha256) == 64
    assert report.fallbacks == ()
    names = [stage.name for stage in report.stages]
    assert names == ["listen", "read", "generate", "compose", "write"]


@pytest.mark.thorough
def test_overlap_changes_nothing(head160: Any, template160: Path) -> None:
    avatar, speech = head160.prepare(template160), th.listen(tone(0.4))
    together = list(head160.frames(avatar, speech, RenderOptions(overlap=True)))
    alone = list(head160.frames(avatar, speech, RenderOptions(overlap=False)))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pixels_outside_the_square_are_the_templates(head160: Any, template160: Path) -> None:
    avatar = head160.prepare(template160)
    speech = th.listen(tone(0.3))
    plan = head160.plan(avatar, speech, RenderOptions())
    for i, frame in enumerate(head160.frames(avatar, speech)):
        template = avatar.reader.get(int(plan.indices[i]))
        outside = np.ones(frame.shape[:2], bool)
        box = template.box
        outside[box.y1 : box.y2, box.x1 : box.x2] = False
        np.testing.assert_array_equal(frame[outside], template.frame[outside])


@pytest.mark.thorough
def test_fast_precision_is_checked_and_reported(tmp_path: Path, models: Path, template160: Path) -> None:
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave")
    exact = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", precision="parity")
    speech = th.listen(tone(0.3))
    avatar = head.prepare(template160)
    fast = list(head.frames(avatar, speech))
    slow = list(exact.frames(exact.prepare(template160), speech))
    error = np.mean((np.stack(fast).astype(float) - np.stack(slow)) ** 2)
    assert error == 0 or 10 * np.log10(255**2 / error) >= 45
    found = head.render(avatar, speech, tmp_path / "fast.mp4").report
    (generator,) = found.networks
    assert generator.why
    assert (generator.psnr_db is None) == (generator.precision == "float32")
    assert generator.psnr_db is None or generator.psnr_db >= 45


@pytest.mark.thorough
def test_a_precision_that_loses_too_much_is_left(
    tmp_path: Path, models: Path, template160: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the processor has no fast format, OpenVINO computes in float32, and what is measured is made up."""
    pytest.importorskip("openvino")
    from talkinghead.backends import processor
    from talkinghead.families.synctalk2d import pipeline

    monkeypatch.setattr(processor, "_openvino_formats", lambda: frozenset({"float32", "bfloat16", "float16"}))
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave")
    assert head._places[0].precision == "float16"
    monkeypatch.setattr(pipeline, "psnr_db", lambda a, b, peak: 30.0)
    cache = Cache(tmp_path / "cache")
    avatar, speech = head.prepare(template160, PrepareOptions(cache=cache)), th.listen(tone(0.1))
    found = head.render(avatar, speech, tmp_path / "out.mp4").report
    (generator,) = found.networks
    assert (generator.backend, generator.precision, generator.psnr_db) == ("onnx", "float32", None)
    assert "30.0 dB" in found.fallbacks[0]
    assert len(cache) == len(found.fallbacks) == 2

    monkeypatch.setattr(pipeline, "psnr_db", lambda a, b, peak: pytest.fail("the verdict is remembered"))
    again = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave")
    list(again.frames(again.prepare(template160, PrepareOptions(cache=cache)), speech))


def test_one_template_works(models: Path, head160: Any, fresh_template: Make) -> None:
    folder = fresh_template()
    for k in (1, 2):
        (folder / "full_body_img" / f"{k}.jpg").unlink()
    avatar = head160.prepare(folder)
    assert len(list(head160.frames(avatar, th.listen(tone(0.2))))) == 5


@pytest.mark.thorough
def test_short_sounds_are_padded(head160: Any, template160: Path, models: Path) -> None:
    """The published script needs 0.35 s."""
    avatar = head160.prepare(template160)
    assert len(list(head160.frames(avatar, th.listen(tone(0.01))))) == 1
    published = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", compat=True)
    speech = th.listen(tone(0.01))
    assert len(list(published.frames(published.prepare(template160), speech))) == ave.num_rows(160) == 4


def test_start_frame_and_loop_policies(models: Path, template160: Path) -> None:
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", start_frame=1)
    avatar, speech = head.prepare(template160), th.listen(tone(0.2))
    assert head.plan(avatar, speech, RenderOptions()).indices.tolist() == [2, 1, 2, 1, 2]
    assert head.plan(avatar, speech, RenderOptions(loop="loop")).indices.tolist() == [1, 2, 1, 2, 1]
    assert head.plan(avatar, speech, RenderOptions(loop="hold")).indices.tolist() == [1, 2, 2, 2, 2]
    assert head.plan(avatar, speech, RenderOptions(loop="trim")).indices.tolist() == [1, 2]
    late = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", start_frame=3)
    with pytest.raises(OptionError, match="start_frame 3"):
        late.prepare(template160)


@pytest.mark.thorough
def test_another_frame_rate_keeps_the_sound(head160: Any, template160: Path) -> None:
    """Frames are repeated or left out; each output frame shows what the network says at its own time."""
    avatar, speech = head160.prepare(template160), th.listen(tone(0.4))
    own = list(head160.frames(avatar, speech))
    assert len(own) == 10
    for fps in (Fraction(50), Fraction(30000, 1001), Fraction(10)):
        plan = head160.plan(avatar, speech, RenderOptions(fps=fps))
        frames = list(head160.frames(avatar, speech, RenderOptions(fps=fps)))
        assert len(frames) == len(plan) == -(-10 * fps // 25)
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(frame, own[min(int(i * 25 / fps), 9)])


@pytest.mark.thorough
def test_given_features_replace_the_encoder(tmp_path: Path, models: Path, template160: Path) -> None:
    speech = th.listen(clip_of("e2e_160_ave"))
    rows = ave.read_ave_encoder(models / "audio_visual_encoder.pth").features(speech.clip.samples)
    np.save(tmp_path / "f.npy", rows)
    checkpoint = tmp_path / "alone" / "1.pth"  # no encoder beside it
    checkpoint.parent.mkdir()
    shutil.copy(models / "160.pth", checkpoint)
    head = th.load("synctalk2d", checkpoint=checkpoint, mode="ave", compat=True, features=tmp_path / "f.npy")
    check_golden_frames("e2e_160_ave", list(head.frames(head.prepare(template160), speech)))
    longer = th.load("synctalk2d", checkpoint=checkpoint, mode="ave", features=tmp_path / "f.npy")
    avatar = longer.prepare(template160)
    with pytest.raises(InputError, match="11 rows, and the sound lasts 50"):
        list(longer.frames(avatar, th.listen(tone(2.0))))


def test_a_missing_encoder_says_what_to_do(tmp_path: Path, models: Path, template160: Path) -> None:
    shutil.copy(models / "160.pth", tmp_path / "1.pth")
    head = th.load("synctalk2d", checkpoint=tmp_path / "1.pth", mode="ave")
    with pytest.raises(MissingWeights, match="audio encoder") as error:
        list(head.frames(head.prepare(template160), th.listen(tone(0.1))))
    assert "--features" in str(error.value)


@pytest.mark.parametrize(("name", "mode"), [("aud_ave.npy", "ave"), ("aud_hu.npy", "hubert")])
def test_the_template_tells_the_mode(models: Path, fresh_template: Make, name: str, mode: str) -> None:
    folder = fresh_template()
    head = th.load("synctalk2d", checkpoint=models / "160.pth")
    with pytest.raises(OptionError, match="ave or hubert"):
        head.prepare(folder)
    np.save(folder / name, np.zeros((3, 512), np.float32))
    assert head.prepare(folder).variant.audio.mode == mode


def test_modes_that_contradict_the_weights_are_refused(models: Path) -> None:
    with pytest.raises(OptionError, match="not for wenet"):
        th.load("synctalk2d", checkpoint=models / "160.pth", mode="wenet")
    with pytest.raises(OptionError):
        th.load("synctalk2d", checkpoint=models / "160.pth", modes="ave")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("case", "shape"), [("unet160_hubert", (30, 2, 1024)), ("udh160_wenet_classic", (30, 16, 512))]
)
def test_other_modes_render_from_features(tmp_path: Path, template160: Path, case: str, shape: tuple[int, ...]) -> None:
    """Left on purpose: the published script reads only AVE features at inference, whatever --asr says."""
    mode = "hubert" if "hubert" in case else "wenet"
    checkpoint = write_checkpoint(tmp_path / "1.pth", golden_weights(case))
    np.save(tmp_path / "f.npy", np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    head = th.load("synctalk2d", checkpoint=checkpoint, mode=mode, features=tmp_path / "f.npy", compat=True)
    avatar = head.prepare(template160)
    fps = head.output_fps(avatar, RenderOptions())
    assert fps == (20 if mode == "wenet" else 25)
    frames = list(head.frames(avatar, th.listen(tone(1.0))))
    assert len(frames) == 30
    assert np.std([frame.mean() for frame in frames]) > 0


@pytest.mark.thorough
def test_parsing_keeps_the_template(models: Path, fresh_template: Make) -> None:
    import cv2

    folder = fresh_template()
    (folder / "parsing").mkdir()
    red = np.zeros((150, 170, 3), np.uint8)
    red[:, :, 2] = 255  # BGR
    cv2.imwrite(str(folder / "parsing" / "1.png"), red)
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", parsing=True)
    avatar, speech = head.prepare(folder), th.listen(tone(0.08))
    frames = list(head.frames(avatar, speech))
    np.testing.assert_array_equal(frames[0], avatar.reader.get(1).frame)  # all red: nothing is pasted
    assert (frames[1] != avatar.reader.get(2).frame).any()  # no parsing picture: pasted
    plain = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave")
    assert (next(iter(plain.frames(plain.prepare(folder), speech))) != frames[0]).any()


def test_frames_can_be_saved(tmp_path: Path, models: Path, template160: Path) -> None:
    folder = tmp_path / "frames"
    head = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", save_frames=folder)
    frames = list(head.frames(head.prepare(template160), th.listen(tone(0.1))))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["frame_00000.png", "frame_00001.png", "frame_00002.png"]
    np.testing.assert_array_equal(open_frames(folder / names[1]).read().__next__(), frames[1])


def test_a_frame_of_another_size_is_refused(models: Path, head160: Any, fresh_template: Make) -> None:
    import cv2

    folder = fresh_template()
    cv2.imwrite(str(folder / "full_body_img" / "2.jpg"), np.zeros((80, 90, 3), np.uint8))
    avatar = head160.prepare(folder)
    with pytest.raises(UnreadableMedia, match="90x80"):
        list(head160.frames(avatar, th.listen(tone(0.2))))


def test_squares_that_leave_the_frame_are_clamped_and_reported(head160: Any, fresh_template: Make) -> None:
    """Left on purpose: the published script stops at negative corners."""
    folder = fresh_template()
    points = np.zeros((110, 2), np.int32)
    points[1, 0], points[31, 0], points[52, 1] = -10, 80, -5
    for k in range(3):
        (folder / "landmarks" / f"{k}.lms").write_text(landmark_text(points))
    avatar, speech = head160.prepare(folder), th.listen(tone(0.1))
    frames = list(head160.frames(avatar, speech))
    assert frames[0].shape == (150, 170, 3)
    run = RunContext()
    head160.describe(avatar, head160.hear(avatar, speech, run=run), run)
    assert any("leaves the frame" in warning for warning in run.warnings)


@pytest.mark.thorough
def test_memory_for_templates_is_bounded(models: Path, template160: Path) -> None:
    """No room at all: every template is read and encoded again, and the frames are the same."""
    speech = th.listen(tone(0.3))
    roomy = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", precision="parity")
    tight = th.load("synctalk2d", checkpoint=models / "160.pth", mode="ave", precision="parity", cache_mb=0)
    for a, b in zip(
        roomy.frames(roomy.prepare(template160), speech),
        tight.frames(tight.prepare(template160), speech),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.thorough
def test_command_line(tmp_path: Path, models: Path, template160: Path) -> None:
    import json

    from talkinghead.cli.main import main

    sound, output, report = tmp_path / "a.wav", tmp_path / "o.mp4", tmp_path / "r.json"
    write_wav(sound, tone(0.5))
    paths = ["--checkpoint", str(models / "160.pth"), "--template", str(template160), "--audio", str(sound)]
    options = ["--mode", "ave", "--start-frame", "1", "--crf", "28", "--no-parsing", "--quiet"]
    outputs = ["-o", str(output), "--report", str(report), "--save-frames", str(tmp_path / "frames")]
    assert main(["generate", "--model", "synctalk2d", *paths, *options, *outputs]) == 0
    assert len(open_frames(output)) == 13
    assert len(list((tmp_path / "frames").iterdir())) == 13
    assert json.loads(report.read_text())["model"] == "synctalk2d"
