"""How far numbers may be from the published ones, and runtimes from each other: every tolerance with its reason.

Largest absolute differences, unless a reason says otherwise. They are not widened to make a test pass. What stands in
the tests themselves are laws of their own (a curve may overshoot by this much), not distances to recorded numbers.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

EXACT = 0.0
"""Decisions, counts and copies: nothing is rounded."""

_ORDER = "float32 sums in another order than the original's"
_DEEP = "float32 sums in another order, through many layers"

ROWS: tuple[tuple[str, float, str], ...] = (
    # (golden file:array, or golden file for all its arrays; the first row that fits decides)
    #
    # ARTalk
    ("artalk/style_encoder_?", 3e-5, _DEEP),
    ("artalk/vae_*:bits_*", EXACT, "signs"),
    ("artalk/vae_*:enc_out_single", 2e-5, _DEEP),
    ("artalk/vae_*:motion_*", 2e-5, _DEEP),
    ("artalk/vae_*", 1e-6, "sums of few constants: interpolated bits"),
    ("artalk/ar_block", 2e-4, "one float32 attention block is 2.3e-5 from float64; values of order 10"),
    ("artalk/ar_head_norm", 1e-5, _ORDER),
    ("artalk/wav2vec_*", 5e-5, _DEEP),
    ("artalk/mimi_small:codes", EXACT, "indices"),
    ("artalk/mimi_small", 1e-5, _ORDER),
    ("artalk/ar_*:*bits*", EXACT, "signs"),
    ("artalk/ar_*:audio_feat_*", 5e-5, "as wav2vec"),
    ("artalk/ar_small:motion_*", 2e-5, _DEEP),
    ("artalk/ar_small:last_logits_*", 3e-4, "logits of order 10 after all layers"),
    ("artalk/ar_full:motion", 5e-5, "the same at the published depth"),
    ("artalk/ar_full:last_logits", 3e-3, "logits of order 10 at the published depth"),
    ("artalk/smoothing", 1e-6, "float64 inside, one rounding to float32"),
    ("artalk/postprocess", 1e-6, "float64 inside, one rounding to float32"),
    ("artalk/resample", 1e-6, _ORDER),
    ("artalk/flame_case:verts_scale5", 5e-6, "five times as large"),
    ("artalk/flame_case", 1e-6, _ORDER),
    ("artalk/mesh_render:image*", 2e-3, "of 255 grey levels; see edge_pixels"),
    ("artalk/mesh_render:edge_pixels", 2, "pixels on the edge of a face, which falls on one side or the other"),
    ("artalk/mesh_render:vertex_normals", 1e-5, _ORDER),
    ("artalk/mesh_render:zbuf", 2e-5, "depths of order 2 interpolated in float32"),
    ("artalk/mesh_render:bary", 2e-4, "a quotient by the area of small faces"),
    #
    # GAGAvatar
    ("gagavatar/dino_small", 5e-5, _DEEP),
    ("gagavatar/dino_full", 2e-4, "the same at the published depth"),
    ("gagavatar/gs_*", 1e-5, _ORDER),
    ("gagavatar/geometry", 5e-6, "float32 matrices of order 10"),
    ("gagavatar/raster_?:radii", EXACT, "whole pixels"),
    ("gagavatar/raster_?:image", 2e-5, "float32 against a float64 model; measured 4e-6"),
    ("gagavatar/style_unet_small", 2e-5, _DEEP),
    ("gagavatar/style_unet_full", 2e-4, "the same at the published depth"),
    ("gagavatar/image_ops", 2e-6, _ORDER),
    ("gagavatar/forehead", 5e-6, "FLAME five times as large"),
    ("gagavatar/gagavatar:t_*", 5e-6, "FLAME five times as large"),
    ("gagavatar/gagavatar:gs_*", 2e-4, "after the image network at the published depth"),
    ("gagavatar/gagavatar:features_99", 1e-4, "of 99 % of the values; elsewhere a threshold of the rasteriser flips"),
    ("gagavatar/gagavatar:features", 2e-2, "where a threshold of the rasteriser flips"),
    ("gagavatar/gagavatar:rgb_99", 5e-4, "the same after the upsampler"),
    ("gagavatar/gagavatar:rgb", 5e-3, "the same after the upsampler"),
    #
    # Wav2Lip
    ("wav2lip/wav2lip*_generator:output*", 2e-5, "twenty times the noise of the original between thread counts"),
    ("wav2lip/wav2lip*_generator:*", 1e-4, "as a share of the largest value; statistics of a layer relative as well"),
    ("wav2lip/s3fd_network:map*", 1e-4, _DEEP),
    ("wav2lip/s3fd_network:boxes", 1e-3, "pixels: exponentials of map values; 1e-5 relative as well"),
    ("wav2lip/s3fd_network:scores", 1e-4, "softmax of map values"),
    ("wav2lip/sfd_decode:boxes", 1e-3, "pixels: exponentials of map values"),
    ("wav2lip/mel_basis", 1e-7, "float32 of weights below 1"),
    ("wav2lip/mel_*", 1e-5, "float32 Fourier transform against librosa's, values up to 4"),
    ("wav2lip/audio_load_*", 1e-6, "soxr's float32 resampling"),
    ("wav2lip/livetalking_stream", 1e-4, "mel windows of a stream, whose first frames pass through other sums"),
    #
    # SyncTalk_2D
    ("synctalk2d/u*:stage_samples", 1e-3, "values of order 10 inside the network"),
    ("synctalk2d/u*", 1e-4, "one thread against two differs by 1e-5 already"),
    ("synctalk2d/e2e_*:frames", 1, "grey level: rounding becomes one where results are truncated"),
    ("synctalk2d/e2e_328_ave:frames_share_other_resizer", 2e-4, "the same, and what OpenCV's other kernels round"),
    ("synctalk2d/e2e_*:frames_share*", 1e-4, "of the values may differ by that grey level"),
    ("synctalk2d/e2e_*:frames_jpeg", 3, "grey levels in the mean: the published script writes JPEG"),
    ("synctalk2d/ave_encoder", 1e-4, _DEEP),
    ("synctalk2d/mel:ave_features", 1e-4, _DEEP),
    ("synctalk2d/mel:ave_features_16bit", 2e-3, "the sound went through a file of 16 bits"),
    ("synctalk2d/mel", 1e-6, "the published spectrogram in the same order of operations"),
    ("synctalk2d/mel_resampled:wav16k", 1e-6, "soxr's float32 resampling"),
    ("synctalk2d/mel_resampled:mel", 1e-5, "float32 Fourier transform, values up to 4"),
    ("synctalk2d/hubert_tiny:input_values_first", 1e-6, _ORDER),
    ("synctalk2d/hubert_*", 1e-4, _DEEP),
    ("synctalk2d/wenet_fbank", 1e-3, "logarithms of power spectra near silence"),
    ("synctalk2d/pfld", 1e-4, _DEEP),
    ("synctalk2d/audio_window:smooth3", 1e-6, _ORDER),
    ("synctalk2d/scrfd_decode", 1e-3, "pixels: float32 rounding in another order of operations"),
    ("synctalk2d/scrfd_real:*_blob_*", 1e-6, _ORDER),
    ("synctalk2d/scrfd_real:*_raw*", 1e-4, "OpenCV's and ONNX Runtime's convolutions differ by up to 7e-5 in the maps"),
    ("synctalk2d/scrfd_real:*_scores", 1e-4, "as the maps"),
    ("synctalk2d/scrfd_real:*_best", 1e-4, "pixels: the same box from the detector and from its parts"),
    ("synctalk2d/scrfd_real", 1e-2, "pixels: the maps' differences times strides of up to 32"),
    #
    # TalkingGaussian
    ("talkinggaussian/dataset:*_full_proj", 4e-6, "a product of two float32 matrices"),
    ("talkinggaussian/dataset:nerf_radius_f64", 1e-6, "relative: from float32 camera centres"),
    ("talkinggaussian/dataset:*_f64", 1e-12, "float64"),
    ("talkinggaussian/dataset", 1e-6, "float32 of values of order 1"),
    ("talkinggaussian/sh_eval", 1e-5, _ORDER),
    ("talkinggaussian/raster_*:fragile", 2e-2, "where an alpha lies within 1e-5 of 1/255 or a transmittance near 1e-4"),
    ("talkinggaussian/raster_*:xy", 2e-4, "pixels"),
    ("talkinggaussian/raster_*:view_z", 1e-6, _ORDER),
    ("talkinggaussian/raster_*:conic", 1e-5, "of a matrix's largest entry; 5e-5 for single, nearly vanishing entries"),
    ("talkinggaussian/raster_*:conic_torch", 2e-5, "the same through torch's products"),
    ("talkinggaussian/raster_*:cov3d", 1e-6, "of the largest entry"),
    ("talkinggaussian/raster_*:rgb", 1e-5, "as sh_eval"),
    ("talkinggaussian/raster_*:gpu", 1e-4, "a GPU's exponentials"),
    ("talkinggaussian/raster_*", 2e-5, "float32 against the float64 model that made the files; measured 4e-6"),
    ("talkinggaussian/grid_encoder:*_f64", 1e-15, "relative: float64"),
    ("talkinggaussian/grid_encoder", 5e-5, "interpolated values of order 1 in steps of a fine grid"),
    ("talkinggaussian/*_motion_*:d_xyz", 1e-6, "scaled by 0.01"),
    ("talkinggaussian/*_motion_*", 1e-4, _DEEP),
    ("talkinggaussian/render_motion:*_render", 1e-4, "the motion's differences, seen through the rasteriser"),
    ("talkinggaussian/render_motion:*_alpha", 1e-4, "the motion's differences, seen through the rasteriser"),
    ("talkinggaussian/render_motion", 1e-5, "the motion network's outputs scaled by 0.01 or passed through a softplus"),
    ("talkinggaussian/deepspeech_features:input_vector*", 1e-4, "cepstra of order 10"),
    ("talkinggaussian/deepspeech_features", 1e-5, "interpolation in float32"),
    ("talkinggaussian/end_to_end:eval_gt_mean", 1e-3, "grey levels: a mean over a picture"),
    ("talkinggaussian/end_to_end", 1e-2, "grey levels in the mean of a picture after truncation"),
    #
    # Runtimes and twins
    ("runtimes:packed bfloat16", 0.1, "values of order 1 through two layers of 8-bit mantissas"),
    ("runtimes:again", 1e-6, "one runtime twice: threads may share the sums differently"),
    ("runtimes", 1e-4, "float32 runtimes on values of order 1; relative as well"),
    ("twins:split", 2e-5, "a network with its first layer split: other sums; relative (1e-5) as well"),
    ("twins:additions", 2e-6, "the same float32 numbers added in another order, once"),
    ("twins", 1e-5, "the same float32 numbers added in another order, few times"),
)


@cache
def tolerance(name: str) -> float:
    """The tolerance of "file:array", or of "runtimes".

    Raises:
        KeyError: the table has no row for it.
    """
    for pattern, value, _ in ROWS:
        if fnmatchcase(name, pattern) or (":" not in pattern and fnmatchcase(name, f"{pattern}:*")):
            return value
    raise KeyError(f"tests/tolerances.py has no row for {name!r}")
