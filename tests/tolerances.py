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
_DEEP = "the same through many layers"

ROWS: tuple[tuple[str, float, str], ...] = (
    # (golden file:array, or golden file for all its arrays; the first row that fits decides)
    #
    # ARTalk
    ("artalk/style_encoder_?", 3e-5, _DEEP),
    ("artalk/vae_*:bits_*", EXACT, "signs"),
    ("artalk/vae_*:enc_out_single", 2e-5, _DEEP),
    ("artalk/vae_*:motion_*", 2e-5, _DEEP),
    ("artalk/vae_*", 1e-6, "sums of few constants: interpolated bits"),
    ("artalk/ar_block", 2e-4, "attention with values of order 100"),
    ("artalk/ar_head_norm", 1e-5, _ORDER),
    ("artalk/wav2vec_*", 5e-5, _DEEP),
    ("artalk/mimi_small:codes", EXACT, "indices"),
    ("artalk/mimi_small", 1e-5, _ORDER),
    ("artalk/ar_*:*bits*", EXACT, "signs"),
    ("artalk/ar_*:audio_feat_*", 5e-5, "as wav2vec"),
    ("artalk/ar_small:motion_*", 2e-5, _DEEP),
    ("artalk/ar_small:last_logits_*", 3e-4, "logits of order 10 after all layers"),
    ("artalk/ar_full:motion", 5e-5, "the same at the published depth"),
    ("artalk/ar_full:last_logits", 3e-3, "logits of order 100 after all layers"),
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
    # Runtimes and twins
    ("runtimes:packed bfloat16", 0.1, "values of order 1 through two layers of 8-bit mantissas"),
    ("runtimes:one operator", 1e-5, "float32 against NumPy, one operator"),
    ("runtimes:again", 1e-6, "one runtime twice: threads may share the sums differently"),
    ("runtimes", 1e-4, "between float32 runtimes, on values of order 1; relative as well"),
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
