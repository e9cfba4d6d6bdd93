"""Every network gives the published numbers; through `talkinghead.reference.networks`, as ports are compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from talkinghead.families.artalk import reference
from talkinghead.families.artalk.motion import autoregressive
from talkinghead.families.artalk.motion.audio_encoder import MimiEncoder
from talkinghead.families.artalk.motion.counts import kept_audio_samples, num_motion_frames, num_padded_frames
from talkinghead.families.artalk.motion.engine import postprocess_motion
from talkinghead.families.artalk.motion.smoothing import MotionSmoother, smooth_motion
from talkinghead.families.artalk.weights import load_audio_encoder, load_strictly, motion_model, to_tensors
from talkinghead.reference.networks import ReferenceOptions
from tests.golden_files import Golden
from tests.tolerances import tolerance

CPU = ReferenceOptions()


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", ["a", "b"])
def test_style_encoder(case):
    golden = Golden(f"artalk/style_encoder_{case}", "artalk/style_encoder")
    out = reference.run_style_encoder(golden.weights(), golden.inputs(), {}, CPU)
    golden.check("feat", out["feat"])


def test_style_ignores_the_order_of_frames():
    golden = Golden("artalk/style_encoder_a", "artalk/style_encoder")
    motion = golden.inputs()["motion"]
    weights = golden.weights()
    first = reference.run_style_encoder(weights, {"motion": motion}, {}, CPU)["feat"]
    other = reference.run_style_encoder(weights, {"motion": motion[:, ::-1].copy()}, {}, CPU)["feat"]
    np.testing.assert_allclose(first, other, atol=tolerance("twins"))


def check_vae(name):
    golden = Golden(name)
    out = reference.run_vae(golden.weights(), golden.inputs(), golden.overrides["config"], CPU)
    assert {"enc_out_single", "motion_prev", "motion_this", "bits_single", "ms_vqfeat", "quantized_sum"} <= set(out)
    for key, value in out.items():
        golden.check(key, value)


def test_vae_small():
    check_vae("artalk/vae_small")


@pytest.mark.thorough
def test_vae_published_size():
    check_vae("artalk/vae_full")


def test_attention_block():
    golden = Golden("artalk/ar_block")
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs().items()}
    block = autoregressive.AttentionBlock(768, 1024, 12)
    load_strictly(block, to_tensors(golden.weights()), "golden")
    mask = torch.cat((torch.zeros(1, 1, 31, 40), autoregressive.block_causal_mask((1, 5, 25), 0)), dim=-1)
    with torch.inference_mode():
        out, _ = block.step(inputs["feat"], block.modulation(inputs["cond"]), block.history(inputs["prev"]), mask)
    golden.check("out", out)


def test_modulated_norm():
    golden = Golden("artalk/ar_head_norm")
    norm = autoregressive._ModulatedNorm(768, 1024)
    load_strictly(norm, to_tensors(golden.weights()), "golden")
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs().items()}
    with torch.inference_mode():
        golden.check("out", norm(inputs["feat"], inputs["cond"]))


def check_wav2vec(name):
    golden = Golden(name)
    out = reference.run_wav2vec(golden.weights(), golden.inputs(), golden.overrides.get("config") or {}, CPU)
    for key in ("normalized", "conv_feat", "projected", "out"):
        golden.check(key, out[key])


def test_wav2vec_small():
    check_wav2vec("artalk/wav2vec_small")


@pytest.mark.large
def test_wav2vec_published_size():
    check_wav2vec("artalk/wav2vec_full")


def test_wav2vec_accepts_the_older_names():
    golden = Golden("artalk/wav2vec_small")
    config = golden.overrides["config"]
    base = "encoder.pos_conv_embed.conv."
    older = {
        name.replace(f"{base}parametrizations.weight.original0", f"{base}weight_g").replace(
            f"{base}parametrizations.weight.original1", f"{base}weight_v"
        ): value
        for name, value in golden.weights().items()
    }
    assert f"{base}weight_g" in older
    out = reference.run_wav2vec({f"audio_encoder.{k}": v for k, v in older.items()}, golden.inputs(), config, CPU)
    golden.check("out", out["out"])


def test_mimi():
    golden = Golden("artalk/mimi_small")
    encoder = MimiEncoder(golden.overrides["config"])
    load_audio_encoder(encoder, to_tensors(golden.weights()), "golden")
    audio = torch.from_numpy(golden.inputs()["audio"])
    with torch.inference_mode():
        from talkinghead.audio.sinc_resample import sinc_resample

        golden.check("resampled", sinc_resample(audio, 16000, 24000, phase_dtype=torch.float32))
        golden.check("codes", encoder.codes(audio))
        golden.check("out", encoder(audio))


def ar_small_config():
    extra = Golden("artalk/ar_small").overrides
    return {"config": extra["config"], "wav2vec2_config": extra["wav2vec2_config"]}


@pytest.mark.thorough
def test_whole_inference_small():
    golden = Golden("artalk/ar_small")
    inputs = golden.inputs()
    weights = golden.weights()
    with_style = reference.run_ar(
        weights, {"audio": inputs["audio23"], "style": inputs["style23"]}, ar_small_config(), CPU
    )
    golden.check("bits_style", with_style["bits"])
    golden.check("prev_bits_style", with_style["prev_bits"])
    golden.check("motion_style", with_style["motion"])
    golden.check("last_logits_style", with_style["last_logits"])
    without = reference.run_ar(weights, {"audio": inputs["audio23"]}, ar_small_config(), CPU)
    golden.check("bits_default", without["bits"])
    golden.check("motion_default", without["motion"])


@pytest.mark.thorough
def test_audio_features_do_not_depend_on_the_batch():
    golden = Golden("artalk/ar_small")
    from talkinghead.families.artalk.motion.config import read_config

    extra = golden.overrides
    model = motion_model(golden.weights(), read_config(extra["config"], extra["wav2vec2_config"]))
    audio = golden.inputs()["audio23"][0]
    with torch.inference_mode():
        together = model.audio_features(model.chunks(audio))
    golden.check("audio_feat_chunk0", together[:1])
    golden.check("audio_feat_chunk1", together[1:])
    alone = torch.cat(list(model.features(model.chunks(audio))))
    golden.check("audio_feat_chunk0", alone[:1])
    golden.check("audio_feat_chunk1", alone[1:])


@pytest.mark.large
def test_generator_published_size():
    golden = Golden("artalk/ar_full")
    inputs = {**golden.inputs(), "audio_samples": golden["audio_samples"]}
    out = reference.run_ar(golden.weights(), inputs, {"config": golden.overrides["config"]}, CPU)
    golden.check("bits", out["bits"])
    golden.check("prev_bits", out["prev_bits"])
    golden.check("motion", out["motion"])
    golden.check("last_logits", out["last_logits"])


@pytest.mark.parametrize("length", [9, 23, 60])
def test_smoothing_whole_and_streamed(length):
    golden = Golden("artalk/smoothing")
    motion = golden.inputs()[f"motion_{length}"]
    motion = motion.reshape(-1, 106)
    whole = smooth_motion(motion)
    golden.check(f"smoothed_{length}", whole)
    smoother = MotionSmoother()
    step = int(golden["feed_frames"])
    parts = [smoother.feed(motion[start : start + step]) for start in range(0, length, step)]
    parts.append(smoother.finish())
    assert [len(part) for part in parts] == list(golden[f"emitted_{length}"])
    assert np.array_equal(np.concatenate(parts), whole)


def test_postprocess():
    golden = Golden("artalk/postprocess")
    motion = golden.inputs()["motion"].reshape(-1, 106)
    golden.check("default", postprocess_motion(motion))
    golden.check("fix_pose_clip12", postprocess_motion(motion, clip_length=12, fix_pose=True))
    golden.check("arg31", postprocess_motion(motion, clip_length=31))
    assert not postprocess_motion(motion)[:, 104:].any(), "the jaw's yaw and roll are cleared, not a translation"


def test_frame_counts_round_as_published():
    golden = Golden("artalk/frame_count")
    frames = [num_motion_frames(int(n)) for n in golden["samples"]]
    assert frames == list(golden["frames"])
    assert [num_padded_frames(n, 100) for n in frames] == list(golden["padded_frames"])
    assert [kept_audio_samples(n) for n in frames] == list(golden["audio_cut"])
    assert num_motion_frames(4480) == 8, "one more than 4480 / 640"


def test_resampling_as_published():
    from talkinghead.audio.sinc_resample import sinc_resample

    golden = Golden("artalk/resample")
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs().items()}
    for rate in (44100, 48000, 22050, 8000, 24000):
        golden.check(f"y_{rate}", sinc_resample(inputs[str(rate)], rate, 16000).mean(0))
    up = sinc_resample(inputs["16k_to_24k"], 16000, 24000, phase_dtype=torch.float32)
    golden.check("y_16k_to_24k", up)


def test_reference_lists_every_network():
    names = {row.name for row in reference.NETWORKS}
    assert {"artalk.wav2vec", "artalk.style_encoder", "artalk.vae", "artalk.ar", "artalk.flame"} <= names
    assert {"artalk.mesh_render", "gagavatar.dino", "gagavatar.gaussians"} <= names
    assert {"gagavatar.rasterize", "gagavatar.style_unet"} <= names
    assert json.dumps(sorted(names))
