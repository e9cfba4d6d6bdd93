"""The family's networks and steps for `talkinghead reference`: golden names in, golden names out, float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from talkinghead.engine.networks import ReferenceNetwork, ReferenceOptions
from talkinghead.errors import InputError, OptionError, WrongCheckpoint, choices

if TYPE_CHECKING:
    import torch

    from talkinghead.families.artalk.gagavatar.upsampler import UpsamplerConfig
    from talkinghead.families.artalk.motion.config import MotionConfig, VAEConfig
    from talkinghead.rendering.cameras import Camera

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Outputs = dict[str, Array]


def _float32(inputs: Arrays, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    value = np.asarray(inputs[name], np.float32)
    fits = value.ndim == len(shape) and all(
        want is None or want == has for want, has in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"The input {name} is {list(value.shape)}.",
            accepted=str([size if size is not None else "n" for size in shape]),
        )
    return np.ascontiguousarray(value)


def _plain(inputs: Arrays) -> dict[str, Array]:
    """Inputs by their names without a trailing number (`prev_motion32` is `prev_motion`)."""
    return {name.rstrip("0123456789"): value for name, value in inputs.items()}


def _known(config: Mapping[str, Any], names: tuple[str, ...]) -> None:
    unknown = set(config) - set(names)
    if unknown:
        raise OptionError(
            f"The config has no {', '.join(sorted(unknown))}.", accepted=choices(names) if names else "{}"
        )


def _device(options: ReferenceOptions) -> str:
    from talkinghead.backends.placement import choose_device

    if options.backend != "torch" or options.precision != "float32":
        raise OptionError(
            f"This network runs on torch in float32, not on {options.backend} in {options.precision}.",
            remedy="--backend torch --precision float32",
        )
    return choose_device(options.device)


def _numpy_only(options: ReferenceOptions) -> None:
    if options.device != "cpu" or options.precision != "float32":
        raise OptionError("This step runs on the processor in float32.", remedy="--device cpu --precision float32")


@contextmanager
def _exact() -> Iterator[None]:
    """Inference in true float32: no TF32 on GPUs."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _tensor(value: Array, device: str) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(value)).to(device)


def _numpy(**values: torch.Tensor) -> Outputs:
    return {name: value.detach().cpu().numpy() for name, value in values.items()}


# Motion -------------------------------------------------------------------------------------------------------------


def _settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings themselves, which may stand under "config"."""
    if "config" not in config:
        return config
    _known(config, ("config", *GOLDEN_KEYS))
    return cast("Mapping[str, Any]", config["config"])


def run_wav2vec(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """The audio encoder; the config is that of the transformers model, default XLS-R 300M."""
    from talkinghead.audio.encoders.model_folder import check_sizes
    from talkinghead.families.artalk.motion.audio_encoder import normalise_wave, wav2vec_encoder
    from talkinghead.families.artalk.motion.config import XLS_R_300M
    from talkinghead.families.artalk.weights import AUDIO_PREFIX, load_audio_encoder, to_tensors

    device = _device(options)
    settings = dict(_settings(config)) or XLS_R_300M
    check_sizes(settings, Path("the config"))
    network: Any = wav2vec_encoder(settings)
    below = {name: value for name, value in weights.items() if name.startswith(AUDIO_PREFIX)}
    named = {name.removeprefix(AUDIO_PREFIX): value for name, value in (below or weights).items()}
    load_audio_encoder(network, to_tensors(named), "the weights")
    network.to(device)
    with _exact():
        wave = normalise_wave(_tensor(_float32(inputs, "audio", (None, None)), device))
        conv = network.feature_extractor(wave).transpose(1, 2)
        projected, _ = network.feature_projection(conv)
        out = network.encoder(projected).last_hidden_state
    return _numpy(normalized=wave, conv_feat=conv, projected=projected, out=out)


def run_style_encoder(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """The style encoder; a whole checkpoint is accepted."""
    from talkinghead.families.artalk.motion.style import StyleEncoder, sinusoids
    from talkinghead.families.artalk.weights import load_strictly, to_tensors

    _known(config, ())
    device = _device(options)
    tensors = to_tensors(_below(weights, "style_encoder."))
    tensors["PE.pe"] = sinusoids()
    network = StyleEncoder()
    load_strictly(network, tensors, "the weights")
    network.to(device)
    with _exact():
        return _numpy(feat=network(_tensor(_float32(inputs, "motion", (None, None, 106)), device)))


MAX_PICTURE, MAX_LAYERS = 8192, 64


def _picture_size(value: Any) -> int:
    """A side of a picture, in pixels."""
    size = int(value)
    if not 1 <= size <= MAX_PICTURE:
        raise InputError(f"A picture of {size} pixels.", accepted=f"1 to {MAX_PICTURE}")
    return size


def _count(numbers: Iterable[str]) -> int:
    """How many layers there are whose names hold these numbers from 0."""
    count = 1 + max(int(number) for number in numbers)
    if not 1 <= count <= MAX_LAYERS:
        raise ValueError(f"{count} layers")
    return count


def _below(weights: Arrays, prefix: str) -> Arrays:
    """What stands below a prefix, or everything where nothing does."""
    below = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return below or weights


def _vae_config(config: Mapping[str, Any]) -> VAEConfig:
    from talkinghead.families.artalk.motion.config import read_config

    settings = _settings(config)
    section = settings.get("VAE_CONFIG", settings)
    return read_config({"AR_CONFIG": {}, "VAE_CONFIG": section}).vae


def run_vae(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """The motion autoencoder: motions to bits, bits to features and motion."""
    import torch

    from talkinghead.families.artalk.motion.quantise import multiscale_features, residual_bits, running_sums
    from talkinghead.families.artalk.motion.vae import MotionVAE
    from talkinghead.families.artalk.weights import load_strictly, to_tensors

    device = _device(options)
    settings = _vae_config(config)
    tensors = to_tensors(_below(weights, "basic_vae."))
    tensors["attn_mask"] = MotionVAE.history_mask(settings.chunk_frames)
    network = MotionVAE(settings)
    load_strictly(network, tensors, "the weights")
    network.to(device)
    given = _plain(inputs)
    frames, patches = settings.chunk_frames, settings.patch_nums
    wanted = (None, settings.num_codes, settings.code_dim)
    with _exact():
        motions = [_tensor(_float32(given, f"{name}_motion", (None, frames, 106)), device) for name in ("prev", "this")]
        prev, this = (_tensor(_float32(given, f"{name}_bits_u", wanted), device) > 0 for name in ("prev", "this"))
        single = network.features(motions[0])
        pair = network.features(torch.cat(motions, dim=1))
        bits = residual_bits(single, patches)
        decoded = network.decode_pair(prev, this)
        outputs = {
            "enc_out_single": single,
            "quantized_sum": running_sums(bits, patches)[-1],
            "bits_single": bits,
            "bits_pair_prev": residual_bits(pair[:, :frames], patches),
            "bits_pair_this": residual_bits(pair[:, frames:], patches),
            "ms_vqfeat": multiscale_features(prev, patches),
            "sum_feat": running_sums(this, patches)[-1],
            "motion_prev": decoded[:, :frames],
            "motion_this": decoded[:, frames:],
        }
        for scale in range(len(patches) - 1):
            part = this[:, : sum(patches[: scale + 1])]
            outputs[f"ar_vqfeat_{scale}"] = multiscale_features(part, patches)
    return _numpy(**outputs)


def _motion_config(config: Mapping[str, Any]) -> MotionConfig:
    from talkinghead.families.artalk.motion.config import MotionConfig, read_config

    settings = {key: value for key, value in config.items() if key != "wav2vec2_config"}
    _known(settings, ("config", "AR_CONFIG", "VAE_CONFIG", "mimi_config", *GOLDEN_KEYS))
    if "config" in settings:
        settings = settings["config"]
    if "AR_CONFIG" not in settings:
        return MotionConfig()
    return read_config(settings, config.get("wav2vec2_config"))


GOLDEN_KEYS = ("constructed", "uniform", "scale", "note")
"""Other entries of a golden overrides file; they say how the weights were made and are not needed here."""


def run_ar(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """Sound (or features of it) to motion, before smoothing."""
    from talkinghead.families.artalk.weights import motion_model

    device = _device(options)
    given = _plain(inputs)
    features = sorted(name for name in inputs if name.startswith("feat"))
    if "audio" not in given and not features:
        raise InputError("artalk.ar needs audio [1, n].", accepted=", ".join(given) or "nothing was given")
    model = motion_model(weights, _motion_config(config), audio_encoder=not features).to(device)
    style = _float32(given, "style", (1, None, 106))[0] if "style" in given else None
    with _exact():
        if features:
            chunks = [_tensor(_float32(inputs, name, (1, None, None)), device) for name in features]
            default = len(chunks) * model.chunk_samples
            samples = int(np.asarray(given.get("audio_samples", default)))
            result = model.generate_from(iter(chunks), samples, style)
        else:
            result = model.generate(_float32(given, "audio", (1, None))[0], style)
    return {
        "motion": result.motion[None],
        "bits": result.bits[:, None],
        "prev_bits": result.prev_bits[:, None],
        "last_logits": result.logits[-1:],
    }


# Head and mesh ------------------------------------------------------------------------------------------------------


def run_flame(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """FLAME vertices; landmarks where the weights hold their embedding."""
    from talkinghead.families.artalk.flame import flame_from_arrays

    _numpy_only(options)
    _known(config, ("scale",))
    model = flame_from_arrays(weights, "the weights")
    parts = {name: np.asarray(inputs[name], np.float32) for name in ("shape", "exp", "pose", "eye") if name in inputs}
    verts = model.vertices(
        parts.get("shape"), parts.get("exp"), parts.get("pose"), parts.get("eye"), scale=float(config.get("scale", 1.0))
    )
    outputs: Outputs = {"verts": verts}
    if "lmk_embeddings_mediapipe/lmk_face_idx" in model.landmarks:
        outputs["lmk_dense105"] = model.mediapipe_landmarks(verts)
    return outputs


def run_mesh_render(
    weights: Arrays,  # noqa: ARG001 (a renderer has none)
    inputs: Arrays,
    config: Mapping[str, Any],
    options: ReferenceOptions,
) -> Outputs:
    """The published mesh renderer; images in [0, 255]."""
    from talkinghead.rendering.mesh import MeshCamera, render_mesh, vertex_normals

    _numpy_only(options)
    _known(config, ("image_size", "focal", "transform"))
    size = _picture_size(config.get("image_size", 512))
    verts = np.asarray(inputs["verts"], np.float32)
    faces = np.asarray(inputs["faces"], np.int32)
    transform = inputs.get("transform", config.get("transform"))
    camera = MeshCamera()
    if transform is not None:
        matrix = np.asarray(transform, np.float32).reshape(3, 4)
        focal = float(np.asarray(inputs.get("focal", config.get("focal", camera.focal))))
        camera = MeshCamera(np.ascontiguousarray(matrix[:, :3]), matrix[:, 3].copy(), focal)
    drawn = [render_mesh(one, faces, size, camera=camera) for one in verts.reshape(-1, *verts.shape[-2:])]
    return {
        "images": np.stack([image.transpose(2, 0, 1) * np.float32(255) for image, _ in drawn]),
        "alpha": np.stack([alpha[None] for _, alpha in drawn]),
        "vertex_normals": vertex_normals(verts.reshape(-1, *verts.shape[-2:])[0], faces),
    }


# GAGAvatar ----------------------------------------------------------------------------------------------------------


def run_dino(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """Image features of an avatar; sizes are read from the weights."""
    from talkinghead.families.artalk.gagavatar.features import FeatureConfig, FeatureNetwork, normalise_image
    from talkinghead.families.artalk.weights import load_strictly, to_tensors

    device = _device(options)
    ignored = ("img_size", "mlp_ratio", "init_values", "block_chunks", "output_dim")
    _known(config, (*(item.name for item in fields(FeatureConfig)), *ignored, "config", *GOLDEN_KEYS))
    given = _below(weights, "base_model.")
    settings = config.get("config", config)
    image = _float32(inputs, "image", (None, 3, None, None))
    try:
        dim, heads = given["dino_model.patch_embed.proj.weight"].shape[0], int(settings.get("num_heads", 12))
        depth = _count(name.split(".")[2] for name in given if name.startswith("dino_model.blocks."))
        network = FeatureNetwork(
            FeatureConfig(
                image_size=image.shape[-1],
                patch_size=given["dino_model.patch_embed.proj.weight"].shape[-1],
                embed_dim=dim,
                depth=depth,
                num_heads=heads,
                width=given["output_conv.weight"].shape[1],
                out_dim=given["output_conv.weight"].shape[0],
                project_dims=tuple(given[f"projects.{index}.weight"].shape[0] for index in range(4)),
            )
        )
    except (KeyError, ValueError) as error:
        raise WrongCheckpoint(f"These are not the weights of GAGAvatar's image features: {error}.") from error
    load_strictly(network, to_tensors(given), "the weights")
    network.to(device)
    with _exact():
        picture = _tensor(image, device)
        layers = network.dino_model(normalise_image(picture))
        out, vector = network(picture)
    return _numpy(layer0=layers[0], layer3=layers[3], out=out, **{"global": vector})


def run_gaussians(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """A Gaussian generator: on the head's points or on the picture plane, as the weights say."""
    import torch

    from talkinghead.families.artalk.gagavatar.generators import (
        DIRECTION_DIM,
        GaussianValues,
        PlaneGenerator,
        PointGenerator,
    )
    from talkinghead.families.artalk.weights import load_strictly, to_tensors

    _known(config, ())
    device = _device(options)
    tensors = to_tensors(weights)
    network: Any
    if "gaussian_conv.0.weight" in tensors:
        network = PlaneGenerator(tensors["gaussian_conv.0.weight"].shape[1] - DIRECTION_DIM)
        x = _float32(inputs, "x", (None, None, None, None))
    elif "feature_layers.0.weight" in tensors:
        network = PointGenerator(tensors["feature_layers.0.weight"].shape[1])
        x = _float32(inputs, "x", (None, None, None))
    else:
        raise WrongCheckpoint(
            "These are not the weights of a Gaussian generator.", accepted="gs_generator_g, _l0 or _l1"
        )
    load_strictly(network, tensors, "the weights")
    network.to(device)
    codes = _tensor(_float32(inputs, "dir", (len(x), DIRECTION_DIM)), device)
    with _exact():
        found = [network(item, code) for item, code in zip(_tensor(x, device), codes, strict=True)]
    names = [item.name for item in fields(GaussianValues) if getattr(found[0], item.name) is not None]
    return _numpy(**{name: torch.stack([getattr(item, name) for item in found]) for name in names})


def _camera(inputs: Arrays, size: tuple[int, int], focal: Any) -> Camera:
    """The camera of [R | T], or of a view and a projection matrix; a focal length that is given must fit those."""
    from talkinghead.families.artalk.gagavatar.generators import FOCAL
    from talkinghead.families.artalk.gagavatar.geometry import avatar_camera
    from talkinghead.rendering.cameras import Camera

    given = None if focal is None else np.asarray(focal, np.float64).reshape(-1)
    if given is not None and (given.size not in (1, 2) or not (np.isfinite(given) & (given > 0)).all()):
        raise InputError(
            f"The focal length is {given.tolist()}.",
            accepted="one positive number, or two (x, y), in half picture sizes",
        )
    if "cam_matrix" in inputs:
        focal_x, focal_y = np.broadcast_to(FOCAL if given is None else given, 2).tolist()
        return avatar_camera(_float32(inputs, "cam_matrix", (3, 4)), size, (focal_x, focal_y))
    if "view" not in inputs or "proj" not in inputs:
        raise InputError("The rasteriser needs a camera.", accepted="cam_matrix [3, 4], or view and proj [4, 4]")
    view, proj = (np.asarray(inputs[name], np.float32).reshape(4, 4) for name in ("view", "proj"))
    found = _focal_of(view, proj)
    if given is not None:
        if not np.allclose(found, given, rtol=FOCAL_MATCH, atol=0):
            raise InputError(
                f"The focal length is {given.tolist()}, but view and proj have {found.round(4).tolist()}.",
                accepted="proj = view @ K, K with the focal lengths (x, y) in half picture sizes",
                remedy="leave focal out: it is read from the matrices",
            )
        found = np.broadcast_to(given, 2)
    return Camera(view, proj, np.zeros(3, np.float32), (1.0 / float(found[0]), 1.0 / float(found[1])), size)


FOCAL_MATCH = 1e-4
"""How far focal lengths and the zeros of a projection may be off, relative: float32 matrices give 1e-6."""


def _focal_of(view: NDArray[np.float32], proj: NDArray[np.float32]) -> NDArray[np.float64]:
    """Focal lengths (x, y) in half picture sizes of a view and the full projection view @ K.

    The published rasteriser takes them beside the matrices, for the shape of the Gaussians on the picture; they are
    K's first two diagonal elements where the camera's axis meets the middle of the picture.

    Raises:
        InputError: K is not the projection of such a camera.
    """
    try:
        k = np.linalg.solve(view.astype(np.float64), proj.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise InputError("view has no inverse.", accepted="a row-vector world-to-camera matrix [4, 4]") from error
    focal: NDArray[np.float64] = np.array([k[0, 0], k[1, 1]])
    expected = np.zeros((4, 4))
    expected[[0, 1], [0, 1]], expected[2, 3], expected[2:, 2] = focal, 1.0, k[2:, 2]
    slack = FOCAL_MATCH * max(1.0, float(np.abs(focal).max()))
    if not (focal > 0).all() or not np.allclose(k, expected, rtol=0, atol=slack):
        raise InputError(
            f"proj is not view @ K for the K of a pinhole camera: K would be {k.round(4).tolist()}.",
            accepted="row-vector matrices; K has the focal lengths (x, y) in half picture sizes on its diagonal, "
            "w = z, and zeros elsewhere in its columns x, y and w (the camera looks at the middle of the picture)",
        )
    return focal


def run_rasterize(
    weights: Arrays,  # noqa: ARG001 (the rasteriser has none)
    inputs: Arrays,
    config: Mapping[str, Any],
    options: ReferenceOptions,
) -> Outputs:
    """Gaussians of many channels to a picture."""
    from talkinghead.rendering.gaussians import GaussianCloud
    from talkinghead.rendering.rasterize_cpu import rasterize_cpu

    _numpy_only(options)
    _known(config, ("size", "focal"))
    size = np.asarray(inputs.get("size", config.get("size", (512, 512)))).reshape(2)
    camera = _camera(inputs, (_picture_size(size[1]), _picture_size(size[0])), inputs.get("focal", config.get("focal")))
    means = _float32(inputs, "xyz", (None, 3))
    colors = _float32(inputs, "colors", (len(means), None))
    cloud = GaussianCloud(
        means,
        _float32(inputs, "scales", (len(means), 3)),
        _float32(inputs, "quat", (len(means), 4)),
        np.ascontiguousarray(np.asarray(inputs["opac"], np.float32).reshape(len(means))),
        colors,
    )
    background = np.asarray(inputs.get("bg", np.zeros(colors.shape[1])), np.float32)
    drawn = rasterize_cpu(cloud, camera, background)
    return {"image": drawn.color, "radii": drawn.radii, "alpha": drawn.alpha}


def _upsampler_config(weights: Arrays) -> UpsamplerConfig:
    """Sizes as the weights have them."""
    from talkinghead.families.artalk.gagavatar.upsampler import UpsamplerConfig

    halves = "conv_body_first.0.weight" in weights
    try:
        levels = _count(name.split(".")[1] for name in weights if name.startswith("conv_body_down."))
        return UpsamplerConfig(
            size=4 * 2**levels,
            halves=halves,
            in_channels=weights["conv_body_first.0.weight" if halves else "conv_body_first.weight"].shape[1],
            out_channels=weights["stylegan_decoder.to_rgb1.bias"].shape[1],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WrongCheckpoint(f"These are not the weights of GAGAvatar's upsampler: {error}.") from error


def _check_upsampler_sizes(config: Mapping[str, Any], found: UpsamplerConfig) -> None:
    """Refuse a config that says other sizes than the weights have."""
    _known(config, ("in_size", "in_dim", "out_dim", "out_size"))
    has: dict[str, Any] = {"in_dim": found.in_channels, "out_dim": found.out_channels, "out_size": found.size}
    wrong = [name for name, size in has.items() if config.get(name, size) != size]
    in_size = config.get("in_size", 2 * found.size if found.halves else found.size)
    if (in_size > found.size) != found.halves or in_size > 2 * found.size:
        wrong.append("in_size")
        has["in_size"] = 2 * found.size if found.halves else f"{found.size} or less"
    if wrong:
        raise OptionError(
            f"The config says {', '.join(f'{name} {config[name]}' for name in wrong)}.",
            accepted=f"what the weights have: {', '.join(f'{name} {has[name]}' for name in wrong)}",
            remedy="leave it out: sizes are read from the weights",
        )


def run_style_unet(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    """The upsampler with its stored noise."""
    from talkinghead.families.artalk.gagavatar.upsampler import StyleUNet
    from talkinghead.families.artalk.weights import load_strictly, to_tensors

    given = _below(weights, "upsampler.")
    settings = _upsampler_config(given)
    _check_upsampler_sizes(_settings(config), settings)
    device = _device(options)
    x = _float32(inputs, "x", (None, settings.in_channels, None, None))
    if settings.halves:
        fits, side = x.shape[-2:] == (2 * settings.size,) * 2, f"{2 * settings.size}"
    else:
        fits = x.shape[-1] < settings.size or x.shape[-2:] == (settings.size, settings.size)
        side = f"{settings.size} or less"
    if not fits:
        raise InputError(
            f"The input x is {list(x.shape)}.", accepted=f"pictures of {settings.in_channels} channels, side {side}"
        )
    network = StyleUNet(settings)
    load_strictly(network, to_tensors(given), "the weights")
    network.to(device)
    with _exact():
        tensor = _tensor(x, device)
        raw = network.pre_sigmoid(tensor)
        code, _, _ = network.encode(tensor)
    return _numpy(out=raw.sigmoid(), pre_sigmoid=raw, style_code=code)


_MOTION_CONFIG = "the `config` and `wav2vec2_config` objects of the model; default: the published ones"

NETWORKS = (
    ReferenceNetwork(
        "artalk.wav2vec",
        "Speech features of ARTalk (wav2vec 2.0).",
        {"audio": "[B, n] float32, 16 kHz"},
        {"normalized": "[B, n]", "conv_feat": "[B, T, C]", "projected": "[B, T, D]", "out": "[B, T, D]"},
        run_wav2vec,
        config="settings of the transformers model; default: XLS-R 300M",
    ),
    ReferenceNetwork(
        "artalk.style_encoder",
        "Style of a stretch of motion.",
        {"motion": "[B, L, 106] float32"},
        {"feat": "[B, 128]"},
        run_style_encoder,
    ),
    ReferenceNetwork(
        "artalk.vae",
        "Motion to bits on five time scales, and back.",
        {
            "prev_motion": "[B, T, 106] float32; a number after any name is dropped (optional)",
            "this_motion": "[B, T, 106] float32 (optional)",
            "prev_bits_u": "[B, S, C] float32, the bits are u > 0",
            "this_bits_u": "[B, S, C] float32, the bits are u > 0",
        },
        {
            "enc_out_single": "[B, T, C]",
            "quantized_sum": "[B, T, C]",
            "bits_single": "[B, S, C] bool",
            "bits_pair_prev": "[B, S, C] bool",
            "bits_pair_this": "[B, S, C] bool",
            "ms_vqfeat": "[B, S - 1, C]",
            "ar_vqfeat_k": "[B, ., C] for each scale k but the last",
            "sum_feat": "[B, T, C]",
            "motion_prev": "[B, T, 106]",
            "motion_this": "[B, T, 106]",
        },
        run_vae,
        config="VAE_CONFIG; default: the published one",
    ),
    ReferenceNetwork(
        "artalk.ar",
        "Speech to motion at 25 frames a second, before smoothing.",
        {
            "audio": "[1, n] float32, 16 kHz; or feat0, feat1, ... [1, 199, 1024] and audio_samples (optional)",
            "style": "[1, 50, 106] float32 (optional)",
        },
        {
            "motion": "[1, T, 106]",
            "bits": "[chunks, 1, 181, 32] bool",
            "prev_bits": "[chunks, 1, 181, 32] bool, the history of each chunk",
            "last_logits": "[1, 181, 64]",
        },
        run_ar,
        config=_MOTION_CONFIG,
    ),
    ReferenceNetwork(
        "artalk.flame",
        "Vertices of a FLAME head; the weights are the model file's arrays.",
        {
            "shape": "[B or 1, 300] float32 (optional)",
            "exp": "[B, 100] float32 (optional)",
            "pose": "[B, 6] or [B, 3] float32, radians (optional)",
            "eye": "[B, 6] float32, radians (optional)",
        },
        {"verts": "[B, V, 3]", "lmk_dense105": "[B, 105, 3] where the file has MediaPipe landmarks"},
        run_flame,
        config='{"scale": 1.0}',
    ),
    ReferenceNetwork(
        "artalk.mesh_render",
        "Pictures of a mesh as the published renderer draws them.",
        {"verts": "[B, V, 3] float32", "faces": "[F, 3] int", "transform": "[3, 4] float32 (optional)"},
        {"images": "[B, 3, S, S] in [0, 255]", "alpha": "[B, 1, S, S]", "vertex_normals": "[V, 3] of the first"},
        run_mesh_render,
        needs_weights=False,
        config='{"image_size": 512, "transform": [[...]], "focal": 12.0}',
    ),
    ReferenceNetwork(
        "gagavatar.dino",
        "Image features of an avatar (DINOv2 and a DPT head).",
        {"image": "[B, 3, S, S] float32 in [0, 1], S = 518"},
        {"layer0": "[B, N, D]", "layer3": "[B, N, D]", "out": "[B, C, H, W]", "global": "[B, D]"},
        run_dino,
        config='{"num_heads": 12}; other sizes are read from the weights',
    ),
    ReferenceNetwork(
        "gagavatar.gaussians",
        "Gaussians from features: on the head's points or on the picture plane.",
        {"x": "[B, N, 1024] or [B, 256, H, W] float32", "dir": "[B, 27] float32"},
        {
            "colors": "[B, N, 32]",
            "opacities": "[B, N, 1]",
            "scales": "[B, N, 3]",
            "rotations": "[B, N, 4]",
            "positions": "[B, N, 1] on the picture plane",
        },
        run_gaussians,
    ),
    ReferenceNetwork(
        "gagavatar.rasterize",
        "Gaussians of 32 channels to a picture.",
        {
            "xyz": "[N, 3] float32",
            "colors": "[N, C] float32",
            "opac": "[N, 1] float32",
            "scales": "[N, 3] float32",
            "quat": "[N, 4] float32 (w, x, y, z)",
            "cam_matrix": "[3, 4] float32; or view and proj [4, 4] (optional)",
            "bg": "[C] float32 (optional)",
            "size": "[2] height, width (optional)",
            "focal": "[] or [2] (x, y) in half picture sizes (optional; default: that of view and proj, or 12)",
        },
        {"image": "[C, H, W]", "radii": "[N] int32", "alpha": "[H, W]"},
        run_rasterize,
        needs_weights=False,
        config='{"size": [512, 512], "focal": 12.0}',
    ),
    ReferenceNetwork(
        "gagavatar.style_unet",
        "Rendered channels to RGB.",
        {"x": "[B, 32, S, S] float32; smaller than the output: it is enlarged first"},
        {"out": "[B, 3, S, S] in [0, 1]", "pre_sigmoid": "[B, 3, S, S]", "style_code": "[B, 512]"},
        run_style_unet,
        config='{"in_size": 512, "in_dim": 32, "out_dim": 3, "out_size": 512}; sizes are read from the weights, and '
        "those that are given are checked",
    ),
)
