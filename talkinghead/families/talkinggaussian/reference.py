"""The family's networks and steps for `talkinghead reference`: golden names in, golden names out, float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.engine.networks import ReferenceNetwork, ReferenceOptions
from talkinghead.errors import InputError, OptionError, choices

if TYPE_CHECKING:
    import torch

    from talkinghead.families.talkinggaussian.network import NetworkKind

Array = NDArray[Any]
Arrays = Mapping[str, Array]

GRID_CONFIGS = ("face", "mouth")


def _float32(inputs: Arrays, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    value = np.asarray(inputs[name], np.float32)
    if value.ndim != len(shape) or any(
        want is not None and want != has for want, has in zip(shape, value.shape, strict=True)
    ):
        wanted = [size if size is not None else "n" for size in shape]
        raise InputError(f"The input {name} is {list(value.shape)}.", accepted=str(wanted))
    return np.ascontiguousarray(value)


def _network(
    weights: Arrays, kind: NetworkKind, config: Mapping[str, Any], options: ReferenceOptions
) -> tuple[dict[str, torch.Tensor], int]:
    """Checked weights on the device, and the width of the speech features."""
    from talkinghead.backends.placement import choose_device
    from talkinghead.families.talkinggaussian.checkpoint import check_network
    from talkinghead.families.talkinggaussian.extractors import EXTRACTORS, extractor_of_width
    from talkinghead.families.talkinggaussian.motion import torch_weights

    if options.backend != "torch" or options.precision != "float32":
        raise OptionError(
            f"The motion networks run on torch in float32, not on {options.backend} in {options.precision}."
        )
    _known(config, ("audio_extractor",))
    given = {name.removeprefix(f"{kind.name}_motion."): value for name, value in weights.items()}
    first = given.get("audio_net.encoder_conv.0.weight")
    found = extractor_of_width(first.shape[1]) if first is not None and first.ndim == 3 else None
    name = config.get("audio_extractor", found.name if found else "deepspeech")
    if name not in EXTRACTORS:
        raise OptionError(f"There is no audio_extractor {name!r}.", accepted=choices(list(EXTRACTORS)))
    width = EXTRACTORS[name].width
    for plane in ("xy", "yz", "xz"):  # structure, not weights: files may leave it out
        given.setdefault(f"encoder_{plane}.offsets", kind.grid.offsets)
    import torch

    checked = check_network("The weights", given, kind, width)
    return torch_weights(checked, torch.device(choose_device(options.device))), width


def _known(config: Mapping[str, Any], names: tuple[str, ...]) -> None:
    unknown = set(config) - set(names)
    if unknown:
        raise OptionError(f"The config has no {', '.join(sorted(unknown))}.", accepted=choices(names))


def _numpy(values: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: value.detach().cpu().numpy() for name, value in values.items()}


def _audio(weights: Mapping[str, torch.Tensor], inputs: Arrays, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    from talkinghead.families.talkinggaussian import network

    device = weights["sigma_net.net.0.weight"].device
    auds = torch.from_numpy(_float32(inputs, "auds", (network.WINDOW_ROWS, width, None))).to(device)
    rows = network.audio_rows(weights, auds)
    return rows, network.attend(weights, rows[None])


def run_face_motion(
    weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions
) -> dict[str, Array]:
    """The face's motion network for one frame."""
    import torch

    from talkinghead.families.talkinggaussian import network

    tensors, width = _network(weights, network.FACE, config, options)
    with torch.inference_mode():
        rows, enc_a = _audio(tensors, inputs, width)
        enc_x = network.encode_points(tensors, network.FACE, _float32(inputs, "xyz", (None, 3)))
        au_exp = torch.from_numpy(_float32(inputs, "au_exp", (network.ACTION_UNITS,))).to(enc_a.device)
        moved = network.face_motion(tensors, enc_x, enc_a, au_exp)
    return _numpy({"audio_net": rows, "enc_a": enc_a, "enc_x": enc_x, **vars(moved)})


def run_mouth_motion(
    weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions
) -> dict[str, Array]:
    """The mouth's motion network for one frame."""
    import torch

    from talkinghead.families.talkinggaussian import network

    tensors, width = _network(weights, network.MOUTH, config, options)
    with torch.inference_mode():
        rows, enc_a = _audio(tensors, inputs, width)
        enc_x = network.encode_points(tensors, network.MOUTH, _float32(inputs, "xyz", (None, 3)))
        moved = network.mouth_motion(tensors, enc_x, enc_a)
    return _numpy({"audio_net": rows, "enc_a": enc_a, "enc_x": enc_x, "d_xyz": moved})


def run_grid_encoder(
    weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions
) -> dict[str, Array]:
    """One grid encoder; the config is that of `grid.GridConfig`, or {"grid": "face"}."""
    from dataclasses import fields

    from talkinghead.families.talkinggaussian.grid import FACE_GRID, MOUTH_GRID, GridConfig, encode
    from talkinghead.families.talkinggaussian.network import BOUND

    _check_numpy(options)
    table = np.asarray(inputs.get("embeddings", weights.get("embeddings")), np.float32)
    if table.ndim != 2:
        raise InputError("The grid encoder needs embeddings [rows, level_dim], in the weights or the inputs.")
    settings = dict(config)
    bound = float(settings.pop("bound", BOUND))
    settings["log2_table_size"] = settings.pop("log2_hashmap_size", 17)
    named = settings.pop("grid", None)
    try:
        if named is not None:
            grid = {"face": FACE_GRID, "mouth": MOUTH_GRID}[named]
        elif "base_resolution" in settings:
            grid = GridConfig(**settings)
        else:
            grid = next(g for g in (FACE_GRID, MOUTH_GRID) if g.offsets[-1] == len(table))
    except (TypeError, KeyError, StopIteration) as error:
        names = [item.name for item in fields(GridConfig)]
        raise OptionError(
            f"These settings of a grid do not fit: {dict(config)}.",
            accepted=f"grid ({choices(GRID_CONFIGS)}), or {', '.join(names)}, log2_hashmap_size, bound",
        ) from error
    points = _float32(inputs, "x", (None, grid.input_dim))
    return {
        "out": encode(points, table, grid, bound),
        "offsets": grid.offsets,
        "per_level_scale_f64": np.array(grid.per_level_scale),
    }


def run_rasterize(
    weights: Arrays,  # noqa: ARG001 (the rasteriser has none)
    inputs: Arrays,
    config: Mapping[str, Any],
    options: ReferenceOptions,
) -> dict[str, Array]:
    """The readable rasteriser, with everything on the way to the picture."""
    from talkinghead.rendering.cameras import Camera
    from talkinghead.rendering.gaussians import GaussianCloud
    from talkinghead.rendering.rasterize_reference import rasterize_reference
    from talkinghead.rendering.spherical_harmonics import colors

    _check_numpy(options)
    _known(config, ())
    inputs = {name.removeprefix("in_"): value for name, value in inputs.items()}
    width, height = (int(value) for value in np.asarray(inputs["size"]).reshape(2))
    tangents = inputs.get("tanfov_f64", inputs.get("tanfov"))
    if tangents is None:
        raise InputError("The input tanfov_f64 is missing.", accepted="[2] tangents of half the field of view")
    tan_x, tan_y = (float(value) for value in np.asarray(tangents).reshape(2))
    means = _float32(inputs, "means", (None, 3))
    camera = Camera(
        _float32(inputs, "viewmatrix", (4, 4)),
        _float32(inputs, "projmatrix", (4, 4)),
        _float32(inputs, "campos", (3,)),
        (tan_x, tan_y),
        (width, height),
    )
    degree = int(np.asarray(inputs.get("sh_degree", 2)))
    scale = np.float32(np.asarray(inputs.get("scale_modifier", 1.0)))
    shades = colors(degree, _float32(inputs, "shs", (len(means), None, 3)), means, camera.position)
    cloud = GaussianCloud(
        means,
        _float32(inputs, "scales", (len(means), 3)) * scale,
        _float32(inputs, "rotations", (len(means), 4)),
        np.asarray(inputs["opacities"], np.float32).reshape(len(means)),
        shades,
    )
    drawn = rasterize_reference(cloud, camera, _float32(inputs, "bg", (3,)))
    flat = drawn.projection
    assert drawn.depth is not None
    return {
        "render": drawn.color,
        "depth": drawn.depth[None],
        "alpha": drawn.alpha[None],
        "transmittance": drawn.transmittance,
        "radii": drawn.radii,
        "tiles_touched": flat.tiles_touched,
        "visible": flat.visible,
        "xy": flat.xy,
        "view_z": flat.view_z,
        "cov3d": flat.cov3d,
        "cov2d": flat.cov2d,
        "conic": flat.conic,
        "rgb": np.where(flat.visible[:, None], shades, np.float32(0)),
        "n_contrib": drawn.num_contributing,
    }


def run_sh(
    weights: Arrays,  # noqa: ARG001 (spherical harmonics have none)
    inputs: Arrays,
    config: Mapping[str, Any],
    options: ReferenceOptions,
) -> dict[str, Array]:
    """Spherical harmonics of every degree that the coefficients allow."""
    from talkinghead.rendering.spherical_harmonics import MAX_DEGREE, directions_from, evaluate, num_coefficients

    _check_numpy(options)
    _known(config, ())
    means = _float32(inputs, "means", (None, 3))
    coefficients = _float32(inputs, "coeffs", (len(means), None, 3))
    directions = directions_from(_float32(inputs, "campos", (3,)), means)
    outputs: dict[str, Array] = {}
    for degree in range(MAX_DEGREE + 1):
        if coefficients.shape[1] >= num_coefficients(degree):
            raw = evaluate(degree, coefficients, directions)
            outputs[f"raw_deg{degree}"] = raw
            outputs[f"color_deg{degree}"] = np.maximum(raw + np.float32(0.5), np.float32(0))
    return outputs


def _check_numpy(options: ReferenceOptions) -> None:
    if options.device != "cpu" or options.precision != "float32":
        raise OptionError("This step runs on the processor in float32.", remedy="--device cpu --precision float32")


_AUDIO_CONFIG = '{"audio_extractor": "deepspeech" | "hubert" | "esperanto"}; default: by the weights'
_WINDOW = "[8, C, win] float32; C 29, 44 or 1024"

NETWORKS = (
    ReferenceNetwork(
        "talkinggaussian.face_motion",
        "Moves the Gaussians of the face for one frame.",
        {"xyz": "[N, 3] float32", "auds": _WINDOW, "au_exp": "[6] float32"},
        {
            "audio_net": "[8, 32]",
            "enc_a": "[1, 32]",
            "enc_x": "[N, 36]",
            "d_xyz": "[N, 3]",
            "d_rot": "[N, 4]",
            "d_opa": "[N, 1]",
            "d_scale": "[N, 3]",
            "ambient_aud": "[N, 1]",
            "ambient_eye": "[N, 1]",
        },
        run_face_motion,
        config=_AUDIO_CONFIG,
    ),
    ReferenceNetwork(
        "talkinggaussian.mouth_motion",
        "Moves the Gaussians inside the mouth for one frame.",
        {"xyz": "[N, 3] float32", "auds": _WINDOW},
        {"audio_net": "[8, 32]", "enc_a": "[1, 32]", "enc_x": "[N, 36]", "d_xyz": "[N, 3]"},
        run_mouth_motion,
        config=_AUDIO_CONFIG,
    ),
    ReferenceNetwork(
        "talkinggaussian.grid_encoder",
        "Interpolates the feature grids of all levels.",
        {"x": "[N, D] float32", "embeddings": "[rows, level_dim] float32, else in the weights (optional)"},
        {"out": "[N, levels * level_dim]", "offsets": "[levels + 1] int32", "per_level_scale_f64": "float64"},
        run_grid_encoder,
        needs_weights=False,
        config='{"grid": "face" | "mouth"} or base_resolution, desired_resolution, input_dim, num_levels, level_dim, '
        "log2_hashmap_size, bound",
    ),
    ReferenceNetwork(
        "talkinggaussian.rasterize",
        "Draws Gaussians, with everything on the way to the picture.",
        {
            "means": "[N, 3] float32",
            "shs": "[N, K, 3] float32",
            "opacities": "[N, 1] float32",
            "scales": "[N, 3] float32",
            "rotations": "[N, 4] float32",
            "viewmatrix": "[4, 4] float32, row-vector",
            "projmatrix": "[4, 4] float32, row-vector",
            "campos": "[3] float32",
            "size": "[2] width, height",
            "bg": "[3] float32",
            "tanfov_f64": "[2] (optional)",
            "tanfov": "[2], in place of tanfov_f64 (optional)",
            "sh_degree": "integer, default 2 (optional)",
            "scale_modifier": "number, default 1 (optional)",
        },
        {
            "render": "[3, H, W]",
            "depth": "[1, H, W]",
            "alpha": "[1, H, W]",
            "transmittance": "[H, W]",
            "radii": "[N] int32",
            "tiles_touched": "[N] int32",
            "visible": "[N] bool",
            "xy": "[N, 2]",
            "view_z": "[N]",
            "cov3d": "[N, 6]",
            "cov2d": "[N, 3]",
            "conic": "[N, 3]",
            "rgb": "[N, 3]",
            "n_contrib": "[H, W] int32",
        },
        run_rasterize,
        needs_weights=False,
    ),
    ReferenceNetwork(
        "talkinggaussian.sh",
        "Colours from spherical harmonics of degree 0 to 3.",
        {"coeffs": "[N, K, 3] float32", "means": "[N, 3] float32", "campos": "[3] float32"},
        {"raw_deg0": "[N, 3]", "color_deg0": "[N, 3]", "...": "and so on for every degree that K holds"},
        run_sh,
        needs_weights=False,
    ),
)
