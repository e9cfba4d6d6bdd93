"""Rows of `talkinghead reference`: the generators and the face detector, each alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.engine.networks import Arrays, ReferenceNetwork, ReferenceOptions
from talkinghead.errors import InputError, WrongCheckpoint

Outputs = dict[str, NDArray[Any]]


def _generator(size: int) -> Any:
    def run(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
        from talkinghead.families.wav2lip.architecture import recognise
        from talkinghead.families.wav2lip.weights import published_names
        from talkinghead.weights.checkpoint import strip_prefixes

        _no_config(config)
        tensors = published_names({strip_prefixes(name): np.asarray(value) for name, value in weights.items()})
        architecture = recognise(tensors, "the weights")
        if architecture.size != size:
            raise WrongCheckpoint(
                f"The weights are those of the {architecture.size}-pixel generator.",
                remedy=f"reference run wav2lip.generator{architecture.size}",
            )
        mel, face = _array(inputs, "mel", (None, 1, 80, 16)), _array(inputs, "face", (None, 6, size, size))
        if len(mel) != len(face):
            raise InputError(f"mel holds {len(mel)} items and face {len(face)}.", accepted="as many of each")
        if (options.backend, options.device, options.precision) == ("torch", "cpu", "float32"):
            return _run_published(architecture, tensors, mel, face)
        return _run_folded(architecture, tensors, mel, face, options)

    return run


def _run_published(architecture: Any, tensors: Arrays, mel: NDArray[Any], face: NDArray[Any]) -> Outputs:
    """The readable network, as published."""
    import torch

    from talkinghead.families.wav2lip.network import build_generator

    generator = build_generator(architecture, tensors)
    with torch.inference_mode():
        audio = generator.encode_audio(torch.from_numpy(mel))
        features = generator.encode_face(torch.from_numpy(face))
        output = generator.decode(audio, features)
    return _outputs(output.numpy(), audio.numpy(), [feature.numpy() for feature in features])


def _run_folded(
    architecture: Any, tensors: Arrays, mel: NDArray[Any], face: NDArray[Any], options: ReferenceOptions
) -> Outputs:
    """The form that runs in production, on any backend."""
    from talkinghead.backends import Placement, open_session
    from talkinghead.families.wav2lip.graphs import feature_names, fold_batch_norm, network

    place = Placement.choose(options.device, options.backend, options.precision)
    folded = fold_batch_norm(architecture, tensors)
    parts = {
        part: open_session(network(part, architecture, folded, "reference"), place)
        for part in ("audio", "face", "decoder")
    }
    audio = parts["audio"].run({"mel": mel})["audio"]
    features = parts["face"].run({"face": face})
    output = parts["decoder"].run({"audio": audio, **features})["output"]
    return _outputs(output, audio, [features[name] for name in feature_names(architecture)])


def _outputs(output: NDArray[Any], audio: NDArray[Any], features: list[NDArray[Any]]) -> Outputs:
    found: Outputs = {
        "output": output,
        "audio_embedding": audio.reshape(len(audio), -1),
        "face_feat_last": features[-1].reshape(len(audio), -1),
    }
    found.update({f"face_feat{index}": feature for index, feature in enumerate(features)})
    return found


def _s3fd(weights: Arrays, inputs: Arrays, config: Mapping[str, Any], options: ReferenceOptions) -> Outputs:
    from talkinghead.backends import Placement, open_session
    from talkinghead.face.detectors.s3fd import (
        check_weights,
        find_faces,
        network_input,
        published_rect,
        s3fd_network,
    )

    _no_config(config)
    tensors = {name: np.asarray(value) for name, value in weights.items()}
    check_weights(tensors, "the weights")
    images = np.asarray(inputs["images"])
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(f"images is {list(images.shape)} {images.dtype}.", accepted="[B, H, W, 3] uint8, BGR")
    place = Placement.choose(options.device, options.backend, options.precision)
    session = open_session(s3fd_network(tensors, "reference", *images.shape[1:3]), place, batch=len(images))
    maps = list(session.run({"image": network_input(list(images[..., ::-1]))}).values())
    found: Outputs = {f"map{index:02d}": value for index, value in enumerate(maps)}
    rects, faces_found = np.zeros((len(images), 4), np.int64), np.zeros(len(images), bool)
    for index in range(len(images)):
        faces = find_faces(maps, index)
        found[f"det{index}"] = np.column_stack([faces.boxes_xyxy, faces.scores]).astype(np.float32)
        if len(faces.scores):
            rects[index], faces_found[index] = published_rect(faces.boxes_xyxy[0]), True
    found.update(rects=rects, found=faces_found)
    return found


def _array(inputs: Arrays, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    value = np.ascontiguousarray(inputs[name], np.float32)
    fits = value.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{name} is {list(value.shape)}.", accepted=str(["B" if n is None else n for n in shape]))
    return value


def _no_config(config: Mapping[str, Any]) -> None:
    if config:
        raise InputError(f"This network takes no configuration, and {', '.join(config)} was given.")


def _generator_row(size: int, stages: int) -> ReferenceNetwork:
    return ReferenceNetwork(
        name=f"wav2lip.generator{size}",
        summary=f"Lip generator of {size} pixels: mel window and masked face to face.",
        inputs={
            "mel": "[B, 1, 80, 16] float32 in [-4, 4]",
            "face": f"[B, 6, {size}, {size}] float32 in [0, 1]: B, G, R with the lower half 0, then B, G, R",
        },
        outputs={
            "output": f"[B, 3, {size}, {size}] float32 in (0, 1): B, G, R",
            "audio_embedding": "[B, 512] float32",
            "face_feat_last": "[B, 512] float32: what the last encoder stage gives",
            **{f"face_feat{index}": "[B, C, H, W] float32: an encoder stage" for index in range(stages)},
        },
        run=_generator(size),
    )


NETWORKS = (
    _generator_row(96, 7),
    _generator_row(256, 8),
    ReferenceNetwork(
        name="wav2lip.s3fd",
        summary="S3FD face detector: raw maps, boxes after suppression, and the published answer.",
        inputs={"images": "[B, H, W, 3] uint8, BGR"},
        outputs={
            **{
                f"map{2 * level + kind:02d}": f"[B, {'2' if not kind else '4'}, h, w] float32: "
                + ("class scores" if not kind else "offsets")
                + f" of level {level + 1}"
                for level in range(6)
                for kind in range(2)
            },
            "detN": "[n, 5] float32: x1, y1, x2, y2, score of image N, best first, score above 0.5",
            "rects": "[B, 4] int64: the published answer, x1, y1, x2, y2",
            "found": "[B] bool: whether there is one",
        },
        run=_s3fd,
    ),
)
