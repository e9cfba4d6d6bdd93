"""Everything that a port in another language needs: ONNX files, and the arrays at every seam of a real run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.audio.encoders import ave
from talkinghead.audio.mel import mel_spectrogram
from talkinghead.backends.onnx_export import to_onnx
from talkinghead.contracts import AudioClip
from talkinghead.errors import OptionError
from talkinghead.families.synctalk2d.crop import (
    CONTOUR_LEFT,
    CONTOUR_RIGHT,
    NOSE_BRIDGE,
    crop_box,
    filled_canvas,
    inner_picture,
    network_input,
    paste_crop,
    picture_from_output,
    resize_crop,
    resize_filters,
)
from talkinghead.families.synctalk2d.export import DEFAULT_OPSET, generator_metadata, generator_model, published_output
from talkinghead.families.synctalk2d.features import Features, features_of, load_array
from talkinghead.families.synctalk2d.folded import fold
from talkinghead.families.synctalk2d.speech import AVE_NAMES, find_beside
from talkinghead.families.synctalk2d.template import open_template, template_order
from talkinghead.families.synctalk2d.variants import Variant
from talkinghead.families.synctalk2d.weights import GeneratorWeights
from talkinghead.measure.seams import GraphFile, Seam, write_reference_folder
from talkinghead.places import check_apart
from talkinghead.version import __version__


def write_port_folder(
    output: str | Path,
    weights: GeneratorWeights,
    variant: Variant,
    template_dir: str | Path,
    *,
    clip: AudioClip | None = None,
    features_path: Path | None = None,
    ave_encoder: Path | None = None,
    num_sample_frames: int = 5,
    opset: int = DEFAULT_OPSET,
    overwrite: bool = False,
) -> Path:
    """Run the published pipeline on a template folder and keep what passes between its steps.

    Args:
        clip: 16 kHz mono; the steps from sound to features are recorded for the mode ave.
        features_path: features instead of a sound.
        num_sample_frames: output frames that are recorded, evenly spread.
    Raises:
        OptionError: neither sound nor features. MissingWeights: the encoder is not found.
    """
    if num_sample_frames < 1:
        raise OptionError(f"num_sample_frames is {num_sample_frames}.", accepted="1 or more")
    check_apart([output], [template_dir, features_path, ave_encoder, weights.path])
    template = open_template(template_dir)
    seams: list[Seam] = []
    graphs: list[GraphFile] = []
    if features_path is not None:
        features = features_of(load_array(features_path), variant.audio, str(features_path))
    elif clip is not None and variant.audio.mode == "ave":
        features = _hear(clip, variant, weights, ave_encoder, opset, seams, graphs)
    else:
        raise OptionError(f"The mode {variant.audio.mode} needs its features.", accepted="--features FILE.npy")
    if features.rows is not None:
        seams.append(
            Seam("features", f"[N, {variant.audio.row_size}] feature rows, one per output frame", features.rows, 1e-4)
        )
    _see(features, template.num_frames, weights, variant, template, num_sample_frames, seams)
    model = generator_model(
        fold(weights.tensors, variant), opset=opset, metadata=generator_metadata(variant, weights.sha256)
    )
    graphs.append(
        GraphFile(
            "generator.onnx",
            model,
            {"image": "network_image", "audio": "network_audio"},
            {"output": "network_output"},
        )
    )
    details = {
        "model": f"synctalk2d.{variant.name}",
        "producer": f"talkinghead {__version__}",
        "weights_sha256": weights.sha256,
        "num_frames": len(features),
        "num_templates": template.num_frames,
        "opset": opset,
        "conventions": generator_metadata(variant, weights.sha256),
    }
    return write_reference_folder(output, seams, graphs, details, overwrite=overwrite)


def _hear(
    clip: AudioClip,
    variant: Variant,
    weights: GeneratorWeights,
    given: Path | None,
    opset: int,
    seams: list[Seam],
    graphs: list[GraphFile],
) -> Features:
    """The steps from sound to AVE features."""
    from talkinghead.errors import MissingWeights
    from talkinghead.weights import read_checkpoint

    path = given or find_beside(weights.path, AVE_NAMES)
    if path is None:
        raise MissingWeights("The AVE audio encoder is not found.", accepted="--ave-encoder FILE")
    tensors = ave.encoder_tensors(read_checkpoint(path).tensors, path)
    samples = clip.samples
    if len(samples) < ave.MIN_SAMPLES:
        samples = np.pad(samples, (0, ave.MIN_SAMPLES - len(samples)))
    mel = mel_spectrogram(samples)
    windows = ave.encoder_windows(samples)
    rows = ave.AveEncoder(tensors, source=path).encode(windows)
    seams += [
        Seam("sound", "[n] float32 in [-1, 1], 16 kHz mono", samples, 1e-6),
        Seam("mel", "[80, T] float32 in [-4, 4], 80 columns per second, rows from low to high frequency", mel, 1e-5),
        Seam("window_starts", "[n] first mel column of each window", ave.window_starts(mel.shape[1]), 0),
        Seam("mel_windows", "[n, 1, 80, 16] float32, what the audio encoder sees", windows, 1e-5),
        Seam("encoder_rows", "[n, 512] float32; features = first row, all rows, last row", rows, 1e-4),
    ]
    model = to_onnx(ave.encoder_graph(ave.fold_encoder(tensors)), opset=opset)
    graphs.append(GraphFile("ave_encoder.onnx", model, {"mel": "mel_windows"}, {"features": "encoder_rows"}))
    return features_of(ave.with_repeated_ends(rows), variant.audio, str(path))


def _see(
    features: Features,
    num_templates: int,
    weights: GeneratorWeights,
    variant: Variant,
    template: Any,
    num_sample_frames: int,
    seams: list[Seam],
) -> None:
    """The steps from template and features to frames, for some output frames."""
    size = variant.size
    filters = resize_filters(size)
    order = template_order(num_templates, len(features))
    indices = np.unique(np.linspace(0, len(features) - 1, num_sample_frames).astype(np.int64))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("points", "box", "canvas", "image", "output", "picture", "filled", "frame", "source")
    }
    windows = features.windows(indices)
    for i, window in zip(indices.tolist(), windows, strict=True):
        key = int(order[i])
        frame = template.read_frame(key)[:, :, ::-1]  # BGR, as every picture of the folder
        points = template.read_landmarks(key)
        box = crop_box(points, frame.shape[1], frame.shape[0], source=str(template.landmarks[key]))
        canvas = resize_crop(frame, box, size, filters)
        image = network_input(inner_picture(canvas), size)
        output = published_output(weights, variant, image[None], window[None])[0]
        picture = picture_from_output(output)
        filled = filled_canvas(canvas, picture)
        values = (
            points[[CONTOUR_LEFT, CONTOUR_RIGHT, NOSE_BRIDGE]],
            box,
            canvas,
            image,
            output,
            picture,
            filled,
            paste_crop(frame, box, filled, filters),
            frame,
        )
        for name, value in zip(columns, values, strict=True):
            columns[name].append(np.asarray(value))
    stack = {name: np.stack(values) for name, values in columns.items()}
    side, crop = size.inner_px, size.crop_px
    seams += [
        Seam("template_order", "[N] template number of every output frame", order, 0),
        Seam("sample_indices", "[K] output frames that follow", indices, 0),
        Seam("template_frames", "[K, H, W, 3] uint8 BGR, decoded JPEG", stack["source"], 2),
        Seam("points", "[K, 3, 2] landmarks 1, 31, 52: x, y", stack["points"], 0),
        Seam("boxes", "[K, 4] x1, y1, x2, y2 of the square inside the frame, half open", stack["box"], 0),
        Seam("canvases", f"[K, {crop}, {crop}, 3] uint8 BGR, resized crops", stack["canvas"], 1),
        Seam(
            "network_image", f"[K, 6, {side}, {side}] float32: crop and blacked copy, B, G, R", stack["image"], 1 / 254
        ),
        Seam("network_audio", "[K, C, H, W] float32: windows, reshaped", windows, 1e-4),
        Seam("network_output", f"[K, 3, {side}, {side}] float32 in (0, 1), B, G, R", stack["output"], 1e-4),
        Seam("pictures", f"[K, {side}, {side}, 3] uint8 BGR, 255 times the output, truncated", stack["picture"], 1),
        Seam("filled_canvases", "canvases with the pictures inside; the ring of 4 pixels stays", stack["filled"], 1),
        Seam("frames", "[K, H, W, 3] uint8 BGR, finished frames", stack["frame"], 1),
    ]
