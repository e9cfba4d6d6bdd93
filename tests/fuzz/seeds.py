"""Makes the seeds: small files of every kind, all constructed. `python -m tests.fuzz seeds` writes them anew."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.face.mesh.files import BUNDLED
from tests.audio.encoders.test_deepspeech import graph_file
from tests.picture_files import P3, SRGB_CURVE, heic_grid, hevc, matrix_profile, smooth, table_profile, tiff
from tests.synthetic_media import coded_frame, make_picture, make_sound, make_video, speech_like
from tests.tflite_files import tflite_file

RNG = np.random.default_rng(0)
LARGEST = 60_000
"""Bytes of one seed."""


CHECKPOINTS = (
    "checkpoint", "body-checkpoint", "recognised", "generators", "landmark-networks",
)  # fmt: skip
"""Readers of whole checkpoints."""


def rows(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def make_seeds(folder: Path) -> None:
    """Write `folder`/READER/FILE for every reader.

    Raises:
        ValueError: a seed is too large to be kept.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for make in (_checkpoints, _tables, _artalk, _gaussians, _texts, _networks, _pictures, _sounds, _videos, _steps):
        make(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} has {path.stat().st_size} bytes, more than {LARGEST}")


def place(folder: Path, reader: str, name: str) -> Path:
    path = folder / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _checkpoints(folder: Path) -> None:
    import torch

    from talkinghead.weights import write_safetensors

    tensors = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "conv.bias": torch.zeros(2, dtype=torch.float16)}
    state: dict[str, Any] = {"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "step": 7, "name": "seed"}
    base = torch.arange(40.0)
    shared = {
        "model": {"a": base[4:12], "b": base.view(5, 8).t(), "c": torch.tensor([True, False])},
        "list": [1, (2.5, "x")],
    }
    for reader in CHECKPOINTS:
        torch.save(state, place(folder, reader, "zip.pth"))
        torch.save(shared, place(folder, reader, "shared.pt"))
        torch.save(state, place(folder, reader, "legacy.pth"), _use_new_zipfile_serialization=False)
        write_safetensors({"a": rows(3, 4), "b": rows(2)}, place(folder, reader, "plain.safetensors"))
        for protocol in (2, 4):
            made = {"a": rows(3, 2), "list": [1, 2.5, None, "x", {"y": (1, 2)}]}
            place(folder, reader, f"plain{protocol}.pkl").write_bytes(pickle.dumps(made, protocol))
    place(folder, "body-checkpoint", "body.pkl").write_bytes(pickle.dumps(_body(), 2))


def _body() -> dict[str, Any]:
    """A body model of the published kind, with a sparse matrix, but with few points."""
    import scipy.sparse

    points, joints = 8, 5
    return {
        "v_template": rows(points, 3).astype(np.float64), "f": np.array([[0, 1, 2], [2, 3, 4]], np.uint32),
        "shapedirs": rows(points, 3, 4), "posedirs": rows(points, 3, 36), "weights": rows(points, joints),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "J_regressor": scipy.sparse.csc_matrix(np.abs(rows(joints, points))), "bs_type": "lrotmin",
    }  # fmt: skip


def _tables(folder: Path) -> None:
    for reader in ("arrays", "motion", "styles", "speech-features", "head-shapes"):
        shape = {"motion": (4, 106), "styles": (50, 106), "speech-features": (20, 16, 29)}.get(reader, (6, 3))
        np.save(place(folder, reader, "array.npy"), rows(*shape))
    np.save(place(folder, "arrays", "columns.npy"), np.asfortranarray(rows(5, 3)))
    np.save(place(folder, "arrays", "whole.npy"), np.arange(12, dtype=np.int64).reshape(4, 3))
    np.savez(place(folder, "reference", "arrays.npz"), mel=rows(2, 1, 8, 4), face=rows(2, 3), count=np.int64(3))
    np.savez_compressed(place(folder, "reference", "packed.npz"), a=np.zeros((40, 50), np.float32), b=rows(3))
    place(folder, "reference", "config.json").write_text(
        json.dumps({"in_size": 32, "list": [1, 2], "deep": {"x": None}})
    )
    np.savez(place(folder, "head-shapes", "shape.npz"), shape=rows(1, 100))
    place(folder, "head-shapes", "shape.json").write_text(json.dumps({"shape": [0.5, -1, 2e-3]}))


def _steps(folder: Path) -> None:
    np.savez(place(folder, "step-features", "features.npz"), features=rows(2, 8, 16), num_samples=np.int64(900))
    faces = np.array([[0, 1, 2]], np.int32)
    np.savez(place(folder, "vertices", "vertices.npz"), verts=rows(2, 5, 3), faces=faces)
    shutil.copy(folder / "picture" / "alpha.png", place(folder, "logo", "logo.png"))
    shutil.copy(folder / "action-units" / "au.csv", place(folder, "table-column", "au.csv"))
    with zipfile.ZipFile(place(folder, "archive-member", "archive.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arrays/mel.npy", rows(20, 4).tobytes())
        archive.writestr("other.txt", "x" * 300)
    config = {"model_type": "hubert", "hidden_size": 16, "num_hidden_layers": 2, "conv_dim": [8] * 7}
    place(folder, "model-folder", "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "checkpoint" / "plain.safetensors", place(folder, "model-folder", "model.safetensors"))
    record = {"version": 1, "stage": "mel", "output": "x", "inputs": {"a.wav": "y"}, "options": {"fps": "25"}}
    place(folder, "stage-record", "record.json").write_text(json.dumps(record))


def _artalk(folder: Path) -> None:
    import torch

    storage = torch.zeros(120, 106)
    torch.save(storage[20:70], place(folder, "styles", "view.pt"))
    torch.save(torch.zeros(4, 106), place(folder, "motion", "motion.pt"))
    config = {"AR_CONFIG": {"T_DEPTH": 2, "T_NUM_HEADS": 12, "PREV_RATIO": 1}, "VAE_CONFIG": {"V_CODE_DIM": 32}}
    place(folder, "motion-config", "config.json").write_text(json.dumps(config))
    from talkinghead.families.artalk.weights import TRACKED_SHAPES

    head = {name: torch.zeros(shape) for name, shape in TRACKED_SHAPES.items() if np.prod(shape) < 5000}
    torch.save({"11.jpg": head}, place(folder, "tracked-heads", "tracked.pt"))
    body = _body()
    place(folder, "flame", "flame.pkl").write_bytes(pickle.dumps(body, 2))
    arrays = {
        name: torch.from_numpy(np.array(value, np.float32))
        for name, value in body.items()
        if hasattr(value, "ndim") and name != "J_regressor"
    }
    torch.save(arrays, place(folder, "flame", "flame.pt"))


def _gaussians(folder: Path) -> None:
    import torch

    count = 5
    cloud = [
        2, rows(count, 3), rows(count, 1, 3), rows(count, 8, 3), rows(count, 3), rows(count, 4), rows(count, 1),
        np.zeros(count, np.float32), np.zeros((count, 1), np.float32), np.zeros((count, 1), np.float32),
        {"state": {}}, 1.0,
    ]  # fmt: skip
    tensors = [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in cloud]
    motion = {"encoder_xy.embeddings": torch.zeros(16, 2), "audio_net.encoder_conv.0.weight": torch.zeros(4, 29, 3)}
    torch.save((tuple(tensors), motion, {}, {}, 50_000), place(folder, "gaussian-head", "chkpnt_face_latest.pth"))
    frames = [{"img_id": i, "aud_id": i, "transform_matrix": np.eye(4).tolist()} for i in range(3)]
    text = {"focal_len": 800.0, "cx": 64.0, "cy": 64.0, "frames": frames}
    place(folder, "poses", "transforms_train.json").write_text(json.dumps(text))
    header = "frame, timestamp, confidence, AU01_r, AU04_r, AU05_r, AU06_r, AU07_r, AU45_r, AU25_r\n"
    lines = "".join(f"{i}, {i / 25}, 0.98, 0.1, 0.2, 0.3, 0.4, 0.5, {i}, 1.0\n" for i in range(4))
    place(folder, "action-units", "au.csv").write_text(header + lines)
    np.savetxt(place(folder, "scene-landmarks", "0.lms"), np.abs(rows(68, 2)) * 20, fmt="%f")


def _texts(folder: Path) -> None:
    from talkinghead.audio.cues import FORMATS, write_cues
    from talkinghead.contracts import MouthCue

    said = [MouthCue(0.0, 0.4, "X"), MouthCue(0.4, 0.7, "B"), MouthCue(0.7, 1.2, "D")]
    for name in FORMATS:
        write_cues(place(folder, "cues", f"cues.{name}"), said, sound_file="a.wav")
    place(folder, "phones", "phones.json").write_text(json.dumps({"phones": [[0, 0.2, "AA"], [0.2, 0.5, "M"]]}))
    points = RNG.integers(10, 150, (110, 2))
    place(folder, "landmarks", "0.lms").write_text("".join(f"{x} {y}\n" for x, y in points))
    place(folder, "mean-face", "mean_face.txt").write_text(" ".join(f"{value:.4f}" for value in np.abs(rows(220))))
    asked = {
        "source": "face.png", "speech": {"audio": "a.wav"}, "output": "out.mp4", "model": "viseme",
        "render": {"fps": "25"}, "prepare": {"face": {"select": "largest"}},
    }  # fmt: skip
    place(folder, "request", "request.json").write_text(json.dumps(asked))
    place(folder, "request", "short.json").write_text(json.dumps({k: asked[k] for k in ("source", "speech", "output")}))
    place(folder, "seam-manifest", "manifest.json").write_text(
        json.dumps(
            {
                "format": 1,
                "model": "x",
                "seams": [{"name": "mel", "file": "mel.npy", "shape": [1, 2], "dtype": "float32"}],
            }
        )
    )
    for reader in ("recognised",):
        place(folder, reader, "config.json").write_text(json.dumps({"AR_CONFIG": {}, "VAE_CONFIG": {}}))
        place(folder, reader, "mean_face.txt").write_text(" ".join(["0.5"] * 220))


def _networks(folder: Path) -> None:
    """ONNX graphs as detectors have them, networks as a face mesh has them, and a frozen TensorFlow graph: only the
    structure counts."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(rows(16, 3, 3, 3), "weight")
    node = helper.make_node("Conv", ["input", "weight"], ["cls_8"], kernel_shape=[3, 3])
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])
    found = helper.make_tensor_value_info("cls_8", TensorProto.FLOAT, [1, 16, 638, 638])
    model = helper.make_model(
        helper.make_graph([node], "detector", [given], [found], [weight]), opset_imports=[helper.make_opsetid("", 11)]
    )
    for reader in ("yunet-model", "scrfd-model", "onnx-file", "recognised"):
        onnx.save(model, place(folder, reader, "detector.onnx"))
    network = tflite_file(1, 128, 128, 3)
    place(folder, "face-mesh", "one.tflite").write_bytes(network)
    with zipfile.ZipFile(place(folder, "face-mesh", "both.task"), "w") as archive:
        for name in BUNDLED:
            archive.writestr(zipfile.ZipInfo(name), network)
    graph_file(place(folder, "deepspeech", "graph.pb"), {"h1": rows(8, 4), "b1": rows(4)})


def _pictures(folder: Path) -> None:
    from PIL import Image

    still = Image.fromarray(coded_frame(3))
    more = [Image.fromarray(coded_frame(index)) for index in range(4)]
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = still.convert("RGBA")
    clear.putalpha(120)
    for name, picture, options in (
        ("rgb.png", still, {}), ("alpha.png", clear, {}), ("palette.png", still.quantize(16), {}),
        ("turned.jpg", still, {"exif": exif}),
        ("cmyk.jpg", still.convert("CMYK"), {}), ("plain.webp", clear, {"lossless": True}), ("rgb.bmp", still, {}),
        ("gray.tiff", still.convert("L"), {}),
        ("packed.tiff", still, {"compression": "tiff_deflate"}), ("still.avif", still, {}), ("small.ppm", still, {}),
        ("one.gif", still, {}),
    ):  # fmt: skip
        picture.save(place(folder, "picture", name), **options)
    deep = Image.fromarray(coded_frame(3).astype(np.uint16).mean(axis=2).astype(np.uint16) * 257)
    deep.save(place(folder, "picture", "deep.png"))
    for kind in ("mft1", "mft2", "mAB"):
        still.save(place(folder, "picture", f"{kind}.tiff"), icc_profile=table_profile(kind, 3))
    still.save(place(folder, "picture", "p3.png"), icc_profile=matrix_profile(P3, SRGB_CURVE))
    place(folder, "picture", "big.tiff").write_bytes(tiff(coded_frame(3).astype(np.float32) / 255, big=True))
    tiles = [hevc(np.ascontiguousarray(smooth(64, 64, seed))) for seed in (1, 2)]
    place(folder, "picture", "phone.heic").write_bytes(heic_grid(tiles, (120, 60), exif.tobytes()))
    for name in ("moving.gif", "moving.png", "moving.webp", "moving.avif"):
        more[0].save(place(folder, "moving-picture", name), save_all=True, append_images=more[1:], duration=80, loop=0)
    make_picture(place(folder, "moving-picture", "still.png"))


def _sounds(folder: Path) -> None:
    samples = speech_like(0.5)
    for name in ("a.wav", "a.mp3", "a.flac", "a.ogg", "a.m4a", "a.mka", "a.aac"):
        make_sound(place(folder, "sound", name), samples=samples)
    make_sound(place(folder, "sound", "float.wav"), 0.2, channels=2, bits="float")


def _videos(folder: Path) -> None:
    for name, codec in (
        ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mov", "mpeg4"), ("a.avi", "mpeg4"), ("a.flv", "libx264"),
        ("a.webm", "libvpx"), ("a.ts", "libx264"), ("a.mpg", "mpeg2video"),
    ):  # fmt: skip
        rate = 48_000 if name in ("a.webm", "a.mpg") else 44_100
        sound = None if name == "a.mpg" else (rate, 1)
        make_video(place(folder, "video", name), 6, codec=codec, sound=sound)
    ticks, base = [0, 30, 95, 140], Fraction(1, 1000)
    make_video(place(folder, "video", "turned.mp4"), 4, rotation=90, ticks=ticks, time_base=base)
