"""The drawn person and the constructed networks: a real video whose mouth follows the speech."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.audio.encoders.ave import read_ave_encoder
from talkinghead.contracts import AudioClip, MouthMotion, Phone
from talkinghead.engine.head import RenderOptions
from talkinghead.face.landmarks.layout import BRIDGE_Y
from talkinghead.families.synctalk2d.build import check_template
from talkinghead.families.synctalk2d.network import load_unet
from talkinghead.families.synctalk2d.procedural import mouth, weights, write_models, write_template
from talkinghead.families.synctalk2d.procedural.person import FIRST_BLINK_S, Layer, Person, gaze
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, BORDER_PX, SIZES, Variant

ROOT = Path(__file__).resolve().parents[3]


def bursts() -> AudioClip:
    """Silence and noise in turns of 0.4 s."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 16_000 * 2).astype(np.float32)
    on = (np.arange(len(noise)) // 6400) % 2 == 1
    return AudioClip(np.clip(noise * on, -1, 1), 16_000)


def dark_share(frame, landmarks) -> float:
    """How much of the mouth's box is darker than the line between closed lips."""
    (x1, y1), (x2, y2) = landmarks[90:102].min(axis=0), landmarks[90:102].max(axis=0)
    red = np.asarray(frame)[y1:y2, x1:x2, 0].astype(float)
    return float(np.mean(red < 255 * 0.36))


def opened(head, template, speech):
    avatar = head.prepare(template)
    plan = head.plan(avatar, speech, RenderOptions())
    return np.array(
        [
            dark_share(frame, avatar.template.read_landmarks(int(key)))
            for frame, key in zip(head.frames(avatar, speech), plan.indices, strict=True)
        ]
    )


@pytest.mark.thorough
@pytest.mark.parametrize("size", ["328", "160"])
def test_mouth_follows_the_sound_that_the_encoder_hears(tmp_path: Path, size: str) -> None:
    template = write_template(tmp_path / "template", num_frames=4, width=320, height=240)
    assert check_template(template).usable
    checkpoint = write_models(tmp_path / "model", size)
    head = th.load(
        "synctalk2d", checkpoint=checkpoint, ave_encoder=checkpoint.parent / "audio_visual_encoder.safetensors"
    )
    found = opened(head, template, th.listen(bursts()))
    loud = np.array([bool((i // 10) % 2) for i in range(len(found))])
    inside = np.array([3 <= i % 10 <= 6 for i in range(len(found))])
    assert found[~loud & inside].max() == 0
    assert found[loud & inside].min() > 0.1


@pytest.mark.thorough
def test_lips_are_shut_at_p_b_m_and_in_silence(tmp_path: Path) -> None:
    """On finished frames."""
    template = write_template(tmp_path / "template", num_frames=2, width=320, height=240)
    head = th.load("synctalk2d", checkpoint=write_models(tmp_path / "model", "160"))
    labels = ("SIL", "M", "AA", "P", "AE", "B", "AO", "M", "SIL")
    phones = tuple(Phone(0.13 * k, 0.13 * (k + 1), label) for k, label in enumerate(labels))
    tone = 0.2 * np.sin(np.arange(round(0.13 * 9 * 16_000)) * 0.06).astype(np.float32)
    found = opened(head, template, th.listen(AudioClip(tone, 16_000), phones=phones))
    for phone in phones:
        middle = found[int((phone.start_s + phone.end_s) / 2 * 25)]
        if phone.label in ("SIL", "M", "P", "B"):
            assert middle == 0, f"{phone.label} at {phone.start_s:.2f} s"
        else:
            assert middle > 0.01, f"{phone.label} at {phone.start_s:.2f} s"


def motion(lips: float, width: float = 0.0, tuck: float = 0.0) -> MouthMotion:
    gap, wide, tucked, none = (np.array([value], np.float32) for value in (lips, width, tuck, 0.0))
    return MouthMotion(Fraction(25), gap, gap, wide, tucked, none, none)


@pytest.mark.parametrize("size", [pytest.param("328", marks=pytest.mark.thorough), "160"])
def test_the_network_draws_the_mouth_of_its_specification(size: str) -> None:
    import torch

    variant = SIZES[size]
    network = load_unet(weights.constructed_generator(size), Variant(variant, AUDIO_VARIANTS["ave"]))
    scale = weights.CROP_WIDTH / variant.crop_px
    rows, columns = np.mgrid[: variant.inner_px, : variant.inner_px] + BORDER_PX + 0.5
    x, y = columns * scale - weights.CROP_WIDTH / 2, rows * scale + BRIDGE_Y
    skin = np.array([0.90, 0.70, 0.60]) - 0.08 * np.abs(x)[..., None]
    reference = skin + mouth.painted(x, y, mouth.resting())
    planes = reference[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    picture = torch.from_numpy(np.concatenate([planes, np.zeros_like(planes)], axis=1))
    for pose in (motion(0.0), motion(0.9, 0.4), motion(0.5, -0.8)):
        shape = mouth.shapes(pose)
        window = np.zeros((16, 512), np.float32)
        window[weights.ON_TIME_ROW] = weights.encoded(shape)[0]
        with torch.inference_mode():
            made = network(picture, torch.from_numpy(window.reshape(1, 32, 16, 16)))[0].numpy()
        wanted = reference + mouth.delta_rgb(x, y, shape[0].astype(np.float64))
        error = np.abs(made.transpose(1, 2, 0)[..., ::-1] - wanted)
        assert error.mean() < 0.006  # the drawn sigmoid is in straight pieces
        assert np.mean(error.max(axis=2) > 0.1) < 0.006  # thin edges between the points of coarser maps


def test_no_opening_is_drawn_where_lips_touch() -> None:
    x, y = np.meshgrid(np.linspace(-0.6, 0.6, 121), np.linspace(0.8, 1.6, 161))
    for width in (-1.0, 0.0, 1.0):
        shape = mouth.shapes(motion(0.0, width))[0].astype(np.float64)
        assert mouth.fields(x, y, shape)["mouth"].max() <= 0
    heights = [
        int((mouth.fields(x, y, mouth.plain(np.array([gap]))[0])["mouth"] > 0.5).sum()) for gap in (0.12, 0.3, 0.6, 1.0)
    ]
    assert heights == sorted(heights)
    assert heights[0] > 0


def test_edges_are_smooth() -> None:
    """A round shape covers each pixel as much as 256 points in the pixel say."""
    layer = Layer.empty(40, 40, 10.0, np.array([19.3, 20.1]))
    turn = np.linspace(0, 2 * np.pi, 200)
    drawn = layer.mask(np.stack([np.cos(turn), np.sin(turn)], axis=1))
    at = (np.arange(40 * 16) + 0.5) / 16 - 0.5
    inside = np.hypot(at[None] - layer.centre[0], at[:, None] - layer.centre[1]) < 10.0
    covered = inside.reshape(40, 16, 40, 16).mean(axis=(1, 3))
    assert np.abs(drawn - covered).max() < 0.25  # 0.5 and more without smoothing


def test_lids_close_and_the_eyes_wander() -> None:
    person = Person(256, 192, 60)
    frame, points = person.frame(0)
    (x1, y1), (x2, y2) = points[66:90].min(axis=0), points[66:90].max(axis=0)
    shut = round(FIRST_BLINK_S * 25)
    white = [np.mean(picture[y1:y2, x1:x2].min(axis=2) > 215) for picture in (frame, person.frame(shut)[0])]
    assert white[0] > 0.04
    assert white[1] == 0
    moved = np.linalg.norm(np.diff(gaze(500, np.random.default_rng(0)), axis=0), axis=1)
    assert 0 < np.count_nonzero(moved) < 80  # rests, then jumps within two frames


def test_encoder_hears_loudness(tmp_path: Path) -> None:
    write_models(tmp_path, "160")
    encoder = read_ave_encoder(tmp_path / "audio_visual_encoder.safetensors")
    rows = encoder.features(bursts().samples)
    closed, wide = weights.encoded(mouth.plain(np.array([0.0, 1.0])))
    np.testing.assert_allclose(rows[5], closed, atol=1e-6)
    assert np.abs(rows[15] - closed).max() > 0.4 * np.abs(wide - closed).max()
    assert (np.abs(rows - closed).max(axis=0) <= np.abs(wide - closed) + 1e-5).all()


def test_script(tmp_path: Path) -> None:
    arguments = ["--frames", "2", "--width", "160", "--height", "120", "--size", "160"]
    script = ROOT / "scripts" / "make_synctalk2d_template.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), *arguments], capture_output=True, text=True, check=True
    )
    assert "1.safetensors" in done.stdout
    assert len(list((tmp_path / "out" / "template" / "full_body_img").iterdir())) == 2
