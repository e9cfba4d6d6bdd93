"""ARTalk as a user meets it: videos, the published engine, steps, exports, files that are wrong."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.cli.main import main
from talkinghead.contracts import AudioClip, Picture
from talkinghead.errors import MissingWeights, OptionError, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.families.artalk import ARTAvatarInferEngine, export
from talkinghead.families.artalk.motion.config import read_config
from talkinghead.families.artalk.motion.engine import postprocess_motion
from talkinghead.families.artalk.procedural.head import procedural_head
from talkinghead.families.artalk.weights import load_style, motion_model, read_tracked
from talkinghead.media import probe
from tests.golden_files import Golden
from tests.tolerances import tolerance


def speech(seconds=1.2, rate=16_000):
    from talkinghead.media import read_audio

    clip = read_audio(demo_speech_path(), rate, duration_s=seconds)
    return th.listen(clip)


def test_a_mesh_speaks_without_any_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.mp4"
    status = main([
        "generate", "--model", "artalk", "--driver", "viseme", "--audio", str(demo_speech_path()), "-o", str(out),
        "--duration", "1", "--image-size", "128", "-q",
    ])  # fmt: skip
    assert status == 0, capsys.readouterr().err
    info = probe(out)
    assert (info.video[0].width, info.video[0].height) == (128, 128)


def test_the_mouth_follows_the_speech():
    head = th.load("artalk", driver="viseme", image_size=96, antialias=1, head_motion=0.0, blinks_per_minute=0.0)
    avatar = head.prepare("mesh")
    frames = list(head.frames(avatar, speech(1.6)))
    assert len(frames) == 40
    still = [np.abs(frame.astype(int) - frames[0].astype(int)).max() for frame in frames]
    assert max(still) > 40


def test_any_frame_rate(tmp_path):
    head = th.load("artalk", driver="viseme", image_size=64, antialias=1)
    avatar = head.prepare("mesh")
    for rate in (Fraction(30), Fraction(30000, 1001)):
        clip = speech(1.0)
        frames = list(head.frames(avatar, clip, th.RenderOptions(fps=rate)))
        assert len(frames) == clip.clip.num_frames(rate)


def test_long_sound_is_not_cut_unless_asked():
    silence = th.listen(AudioClip(np.zeros(16_000 * 31, np.float32), 16_000))
    assert th.load("artalk", driver="viseme").num_output_frames(silence, Fraction(25)) == 775
    assert th.load("artalk", driver="viseme", compat=True).num_output_frames(silence, Fraction(25)) == 750
    assert th.load("artalk", driver="viseme", clip_length=12).num_output_frames(silence, Fraction(25)) == 12


def test_backgrounds(tmp_path):
    from talkinghead.media import write_png

    head = th.load("artalk", driver="viseme", image_size=64, background="#102030")
    frame = next(iter(head.frames(head.prepare("mesh"), speech(0.3))))
    assert frame[0, 0].tolist() == [16, 32, 48]
    picture = np.full((80, 120, 3), (10, 200, 30), np.uint8)
    write_png(tmp_path / "back.png", picture)
    head = th.load("artalk", driver="viseme", image_size=64, background=str(tmp_path / "back.png"))
    frame = next(iter(head.frames(head.prepare("mesh"), speech(0.3))))
    assert np.abs(frame[0, 0].astype(int) - [10, 200, 30]).max() <= 1
    with pytest.raises(OptionError, match="neither a colour nor a file"):
        th.load("artalk", driver="viseme", background="nothing.png").prepare("mesh")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(MissingWeights, match=r"ARTalk_wav2vec\.pt"):
        th.load("artalk", driver="artalk", assets=tmp_path)
    with pytest.raises(MissingWeights, match=r"GAGAvatar\.pt"):
        th.load("artalk", assets=tmp_path).prepare("11.jpg")
    with pytest.raises(OptionError, match="style"):
        th.load("artalk", driver="viseme", style="natural_0")
    with pytest.raises(OptionError, match="tracked avatar"):
        th.load("artalk", driver="viseme").prepare(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_the_artalk_driver(assets):
    head = th.load("artalk", assets=assets, style="natural_0", image_size=64, antialias=1)
    assert head.driver.name == "artalk"
    golden = Golden("artalk/ar_small")
    clip = AudioClip(golden.inputs()["audio23"][0], 16_000)
    expected = postprocess_motion(golden["motion_style"][0].astype(np.float32))
    np.testing.assert_allclose(
        head.driver.motion(clip, head.driver.style), expected, atol=tolerance("artalk/ar_small:motion_style")
    )
    heard = head.hear(head.prepare("mesh"), th.listen(clip))
    motion = head.motion_arrays(heard)["motion"]
    assert motion.shape == expected.shape
    assert not motion[:, :100].any()
    np.testing.assert_allclose(motion[:, 100:], expected[:, 100:], atol=tolerance("artalk/ar_small:motion_style"))
    assert heard.method == "artalk"
    assert any("FLAME" in note for note in heard.notes)


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_the_report_names_every_network(assets, tmp_path):
    head = th.load("artalk", assets=assets, image_size=32, antialias=1)
    progress = []
    avatar = head.prepare("mesh", progress=lambda event: progress.append(event.stage))
    clip = AudioClip(Golden("artalk/ar_small").inputs()["audio23"][0][:70_000], 16_000)
    report = head.render(
        avatar, th.listen(clip), tmp_path / "out.mp4", progress=lambda event: progress.append(event.stage)
    ).report
    assert [(run.name, run.backend, run.precision) for run in report.networks] == [
        ("motion network", "torch", "float32"), ("rasteriser", "numba", "float32"),
    ]  # fmt: skip
    assert [stage.name for stage in report.stages] == ["listen", "pose", "draw", "write"]
    assert set(progress) == {"open-face", "listen", "render"}
    assert report.weights_sha256 is not None


@pytest.mark.thorough
def test_checkpoints_of_another_network_are_refused():
    golden = Golden("artalk/ar_small")
    config = read_config(golden.overrides["config"], golden.overrides["wav2vec2_config"])
    weights = golden.weights()
    name = "logits_head.weight"
    with pytest.raises(WrongCheckpoint, match="missing"):
        motion_model({key: value for key, value in weights.items() if key != name}, config)
    with pytest.raises(WrongCheckpoint, match="unknown"):
        motion_model({**weights, "surplus": np.zeros(3, np.float32)}, config)
    with pytest.raises(WrongCheckpoint, match="shape"):
        motion_model({**weights, name: np.zeros((3, 3), np.float32)}, config)
    with pytest.raises(WrongCheckpoint, match="lvl_idx"):
        motion_model({**weights, "lvl_idx": np.zeros((1, 181), np.int64)}, config)


def test_styles_are_views_of_larger_storages(assets, tmp_path):
    style = load_style(assets / "style_motion" / "natural_0.pt")
    np.testing.assert_array_equal(style, Golden("artalk/ar_small").inputs()["style23"][0])
    torch.save(torch.zeros(49, 106), tmp_path / "short.pt")
    with pytest.raises(WrongCheckpoint, match="49"):
        load_style(tmp_path / "short.pt")


def test_tracked_heads_hold_arrays_only(tmp_path):
    entry = {
        "image": np.zeros((3, 512, 512), np.float32),
        "transform_matrix": np.eye(4, dtype=np.float32)[:3],
        "shapecode": np.arange(300, dtype=np.float32),
        "bbox": np.zeros(4, np.float32),
    }
    path = tmp_path / "tracked.pt"
    torch.save({"11.jpg": entry, "12.jpg": entry}, path)
    heads = read_tracked(path)
    assert sorted(heads) == ["11.jpg", "12.jpg"]
    np.testing.assert_array_equal(heads["11.jpg"].shape, entry["shapecode"])

    class Evil:
        def __reduce__(self):
            return (print, ("this must not run",))

    torch.save({"11.jpg": {**entry, "image": Evil()}}, path)
    with pytest.raises(UnsafeCheckpoint):
        read_tracked(path)
    torch.save({"11.jpg": {"image": entry["image"]}}, path)
    with pytest.raises(WrongCheckpoint, match="transform_matrix"):
        read_tracked(path)


@pytest.mark.thorough
@pytest.mark.usefixtures("small_sizes")
def test_the_published_engine(assets, tmp_path):
    engine = ARTAvatarInferEngine(device="cpu", assets=assets, clip_length=30, output_folder=tmp_path, image_size=64)
    assert engine.style_motion is None
    engine.set_style_motion("natural_0")
    audio = torch.from_numpy(Golden("artalk/ar_small").inputs()["audio23"][0][:48_000])
    with pytest.warns(UserWarning, match="cut to 30 of 75"):
        motion = engine.inference(audio)
    assert motion.shape == (30, 106)
    before = motion.clone()
    path = engine.rendering(audio, motion, shape_id="mesh", save_name="hello.mp4")
    assert path == tmp_path / "hello.mp4"
    assert probe(path).video[0].width == 64
    assert torch.equal(motion, before), "rendering leaves the motion alone"
    assert engine.smooth_motion_savgol(motion).shape == motion.shape
    engine.set_style_motion("default")
    assert engine.style_motion is None
    with pytest.raises(OptionError, match="angry"):
        engine.set_style_motion("angry")


def test_the_published_command(tmp_path, capsys):
    from talkinghead.media import write_wav

    write_wav(tmp_path / "demo.wav", speech(1.0).clip)
    status = main(["artalk", "-a", str(tmp_path / "demo.wav"), "-i", "mesh", "-l", "20", "-o", str(tmp_path / "out"),
                   "--driver", "viseme", "-q", "--json"])  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    found = json.loads(captured.out)
    assert found["num_frames"] == 20
    assert found["video"].endswith("demo_default_mesh.mp4")
    assert any("cut to 20 of 25" in text for text in found["warnings"])
    assert torch.load(found["motions"], weights_only=True).shape == (20, 106)


def test_steps_give_the_same_frames(tmp_path):
    from talkinghead.media import read_picture, write_wav

    write_wav(tmp_path / "demo.wav", speech(0.4).clip)
    run = lambda *arguments: main(["artalk-step", *map(str, arguments)])  # noqa: E731
    assert run("motion", tmp_path / "demo.wav", "--driver", "viseme", "-o", tmp_path / "motion.npy") == 0
    assert run("vertices", tmp_path / "motion.npy", "-o", tmp_path / "vertices.npz") == 0
    assert run("render", tmp_path / "vertices.npz", "-o", tmp_path / "frames", "--image-size", 64) == 0
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    head = th.load("artalk", driver="viseme", image_size=64)
    direct = list(head.frames(head.prepare("mesh"), th.listen(tmp_path / "demo.wav")))
    assert len(pictures) == len(direct)
    assert np.array_equal(read_picture(pictures[-1]), direct[-1])
    assert run("smooth", tmp_path / "motion.npy", "-o", tmp_path / "smooth.pt") == 0
    assert run("smooth", tmp_path / "vertices.npz", "-o", tmp_path / "no.npy") == 2


def some_motion(count=24):
    motion = np.zeros((count, 106), np.float32)
    phase = np.arange(count) / 4
    motion[:, 103] = 0.1 + 0.1 * np.sin(phase)
    motion[:, 101] = 0.1 * np.sin(phase / 2)
    motion[:, 3] = np.abs(np.sin(phase))
    return motion


def test_gltf_plays_the_motion():
    head = procedural_head()
    motion = some_motion()
    document, arrays = export.read_glb(export.glb_bytes(motion, head.flame, colours=head.colours))
    assert document["asset"]["version"] == "2.0"
    primitive = document["meshes"][0]["primitives"][0]
    base = arrays[primitive["attributes"]["POSITION"]]
    targets = np.stack([arrays[target["POSITION"]] for target in primitive["targets"]])
    sampler = document["animations"][0]["samplers"][1]
    weights = arrays[sampler["output"]].reshape(len(motion), -1)
    shown = base + np.einsum("tk,kvc->tvc", weights, targets)
    pivot = np.array(document["nodes"][0]["translation"], np.float32)
    shown = export.rotation_about(shown.astype(np.float32), motion[:, 100:103], pivot)
    np.testing.assert_allclose(shown, head.flame.motion_vertices(motion), atol=3e-4)
    assert len(targets) < 24


@pytest.mark.parametrize("suffix", ["obj", "ply", "npz", "json", "glb"])
def test_exports(tmp_path, suffix):
    head = procedural_head()
    written = export.export_motion(tmp_path / f"head.{suffix}", some_motion(3), head.flame, colours=head.colours)
    assert len(written) == (3 if suffix in ("obj", "ply") else 1)
    assert all(path.stat().st_size > 500 for path in written)
    with pytest.raises(OptionError, match="suffix"):
        export.export_motion(tmp_path / "head.fbx", some_motion(3), head.flame)


@pytest.mark.parametrize("name", ["out.webm", "out.mov", "folder"])
def test_transparent_videos(tmp_path, name):
    import cv2

    out = tmp_path / name
    head = th.load("artalk", driver="viseme", image_size=64, background="transparent")
    avatar = head.prepare("mesh")
    head.render(avatar, speech(0.4), out)
    if out.is_dir():
        stored = cv2.imread(str(sorted(out.glob("*.png"))[0]), cv2.IMREAD_UNCHANGED)
        assert stored.shape == (64, 64, 4)
        assert stored[0, 0, 3] == 0
        assert stored[32, 32, 3] == 255
        picture = next(head.pictures(avatar, speech(0.4)))
        assert isinstance(picture, Picture)
        assert np.array_equal(stored, np.dstack((picture.frame[..., ::-1], picture.alpha)))
    else:
        assert probe(out).video[0].num_frames in (None, 10)


def test_transparency_needs_a_file_that_holds_it(tmp_path):
    from talkinghead.errors import EncoderUnavailable

    head = th.load("artalk", driver="viseme", image_size=64, background="transparent")
    with pytest.raises(EncoderUnavailable, match="no transparency"):
        head.render(head.prepare("mesh"), speech(0.3), tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_a_texture_is_laid_on_heads_that_say_how(tmp_path):
    from talkinghead.families.artalk.procedural.head import procedural_head
    from talkinghead.media import write_png

    write_png(tmp_path / "blue.png", np.full((32, 32, 3), (20, 40, 250), np.uint8))
    head = th.load("artalk", driver="viseme", image_size=64, texture=tmp_path / "blue.png")
    frame = next(iter(head.frames(head.prepare("mesh"), speech(0.3))))
    assert frame[30, 32, 2] > 120 > 60 > frame[30, 32, 0]
    np.savez(tmp_path / "head.npz", **procedural_head().arrays)
    with pytest.raises(OptionError, match="no texture coordinates"):
        th.load("artalk", driver="viseme", flame=tmp_path / "head.npz", texture=tmp_path / "blue.png").prepare("mesh")
    faces = procedural_head().flame.faces
    points = procedural_head().flame.template[:, :2] * 2 + 0.5
    np.savez(tmp_path / "FLAME_texture.npz", vt=points, ft=faces, mean=np.full((8, 8, 3), (250.0, 40.0, 20.0)))
    head = th.load("artalk", driver="viseme", flame=tmp_path / "head.npz", texture=tmp_path / "FLAME_texture.npz",
                   image_size=64)  # fmt: skip
    frame = next(iter(head.frames(head.prepare("mesh"), speech(0.3))))
    assert frame[30, 32, 2] > 120 > 60 > frame[30, 32, 0]


def test_an_unknown_avatar_of_the_published_command_becomes_the_mesh(tmp_path, assets, small_sizes, monkeypatch):
    from talkinghead.families.artalk import gaussian_avatar
    from talkinghead.families.artalk.gagavatar.avatar import TrackedHead
    from talkinghead.families.artalk.published import ARTAvatarInferEngine, run
    from talkinghead.families.artalk.weights import pick_tracked
    from talkinghead.media import write_wav

    heads = {"11.jpg": TrackedHead(np.zeros((3, 512, 512), np.float32), np.zeros((3, 4)), np.zeros(300))}
    engine = ARTAvatarInferEngine(device="cpu", assets=assets, output_folder=tmp_path, image_size=32)
    monkeypatch.setattr(
        gaussian_avatar,
        "open_gaussian_avatar",
        lambda name, *_, **__: pick_tracked(heads, name, tmp_path / "tracked.pt"),
    )
    write_wav(tmp_path / "say.wav", AudioClip(np.zeros(9_000, np.float32), 16_000))
    result = run(engine, tmp_path / "say.wav", shape_id="nobody.jpg", style_id="natural_0")
    assert result.video.name == "say_natural_0_mesh.mp4"
    assert any("nobody.jpg" in note and "mesh" in note for note in result.notes)
