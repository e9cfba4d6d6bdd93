"""Checkpoints: read without running anything, refused where they do not fit, written back exactly."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from talkinghead.errors import MissingWeights, OptionError, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.families.talkinggaussian.checkpoint import (
    TrainedHead,
    capture_tuple,
    extractor_named,
    parse_cfg_args,
    read_trained_head,
    write_head_safetensors,
    write_published,
)
from talkinghead.families.talkinggaussian.export import ply_bytes, softplus, write_ply


def same(a: TrainedHead, b: TrainedHead) -> None:
    for name in ("face", "mouth"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.sh_degree == other.sh_degree
        for field in ("xyz", "features", "scaling", "rotation", "opacity"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for name in ("face_motion", "mouth_motion"):
        one, other = getattr(a, name), getattr(b, name)
        assert list(one) == list(other)
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key])


def test_published_checkpoint_is_read_exactly(scene: SimpleNamespace) -> None:
    head = read_trained_head(scene.model)
    same(head, scene.head)
    assert head.extractor == "deepspeech"
    assert head.sha256 is not None
    assert not head.warnings


def test_parameters_on_a_gpu_with_an_optimiser_are_read(scene: SimpleNamespace, tmp_path: Path) -> None:
    """As training writes it: nn.Parameters, an Adam state with NumPy scalars, extra tensors."""
    head = scene.head

    def trained(cloud: Any) -> tuple[Any, ...]:
        fields = list(capture_tuple(cloud))
        fields[1:8] = [torch.nn.Parameter(value) for value in fields[1:8]]
        state = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4), "exp_avg_sq": torch.ones(4)}
        fields[11] = {"state": {0: state}, "param_groups": [{"lr": np.float64(1e-4), "name": "xyz", "params": [0]}]}
        fields[12] = np.float64(0.25)
        return tuple(fields)

    networks = [
        {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        for weights in (head.face_motion, head.mouth_motion)
    ]
    path = tmp_path / "chkpnt_fuse_latest.pth"
    torch.save((trained(head.face), networks[0], trained(head.mouth), networks[1]), path)
    same(read_trained_head(path), head)
    torch.save(
        (trained(head.face), networks[0], trained(head.mouth), networks[1]), path, _use_new_zipfile_serialization=False
    )
    same(read_trained_head(path), head)


class Evil:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self._path,))


@pytest.mark.parametrize("place", [0, 1, 12])
def test_a_pickle_that_would_run_code_is_refused(scene: SimpleNamespace, tmp_path: Path, place: int) -> None:
    head, mark = scene.head, tmp_path / "ran"
    capture: list[Any] = list(capture_tuple(head.face))
    networks = [dict(head.face_motion), dict(head.mouth_motion)]
    if place == 1:
        networks[0]["audio_net.encoder_conv.0.bias"] = Evil(mark)
    else:
        capture[place] = Evil(mark)
    path = tmp_path / "chkpnt_fuse_latest.pth"
    torch.save((tuple(capture), networks[0], capture_tuple(head.mouth), networks[1]), path)
    with pytest.raises(UnsafeCheckpoint):
        read_trained_head(path)
    assert not mark.exists()


def test_safetensors_read_back_bit_for_bit(scene: SimpleNamespace, tmp_path: Path) -> None:
    head = read_trained_head(scene.model)
    path = tmp_path / "head.safetensors"
    write_head_safetensors(head, path)
    again = read_trained_head(path)
    same(again, head)
    assert again.extractor == head.extractor
    # and back to the published form
    write_published(again, tmp_path / "again.pth")
    same(read_trained_head(tmp_path / "again.pth"), head)
    # a folder with only the converted file
    (tmp_path / "only").mkdir()
    shutil.copy(path, tmp_path / "only")
    same(read_trained_head(tmp_path / "only"), head)


def damaged(head: TrainedHead, change: Callable[[list[Any]], None]) -> tuple[Any, ...]:
    networks = [
        {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        for weights in (head.face_motion, head.mouth_motion)
    ]
    whole: list[Any] = [list(capture_tuple(head.face)), networks[0], list(capture_tuple(head.mouth)), networks[1]]
    change(whole)
    return tuple(tuple(item) if isinstance(item, list) else item for item in whole)


def _drop(key: str) -> Callable[[list[Any]], None]:
    return lambda whole: whole[1].pop(key)


def _set(item: int, field: Any, value: Any) -> Callable[[list[Any]], None]:
    return lambda whole: whole[item].__setitem__(field, value)


CASES: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "missing weight": (_drop("sigma_net.net.1.weight"), "lacks sigma_net"),
    "unknown weight": (_set(1, "align_net.net.0.weight", torch.zeros(2)), "unknown align_net"),
    "wrong shape": (_set(3, "sigma_net.net.2.weight", torch.zeros(4, 32)), r"\[4, 32\], not \[3, 32\]"),
    "other grid": (_set(1, "encoder_xy.offsets", torch.zeros(13, dtype=torch.int32)), "lays its grid out"),
    "short rotation": (_set(0, 6, torch.zeros(3, 4)), "do not fit|does not fit"),
    "no degree": (_set(0, 0, "two"), "degree"),
    "degree too high": (_set(0, 0, 3), "do not hold"),
    "text for points": (_set(0, 1, "xyz"), "not a float array"),
    "InsTaG": (lambda whole: whole[0].extend([{}, {}]), "InsTaG"),
    "width": (_set(1, "audio_net.encoder_conv.0.weight", torch.zeros(32, 30, 3)), "width 30"),
    "two only": (lambda whole: whole.__delitem__(slice(2, 4)), "not a TalkingGaussian"),
}


@pytest.mark.parametrize("case", CASES)
def test_checkpoints_that_do_not_fit_are_refused(scene: SimpleNamespace, tmp_path: Path, case: str) -> None:
    change, words = CASES[case]
    path = tmp_path / "chkpnt_fuse_latest.pth"
    torch.save(damaged(scene.head, change), path)
    with pytest.raises(WrongCheckpoint, match=words):
        read_trained_head(path)


def test_training_stages_and_other_files_are_told_apart(scene: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "chkpnt_face_latest.pth"
    torch.save((capture_tuple(scene.head.face), {}, {"state": {}}, 7), path)
    with pytest.raises(WrongCheckpoint, match="one training stage"):
        read_trained_head(path)
    with pytest.raises(MissingWeights, match=r"chkpnt_face_latest\.pth"):
        read_trained_head(tmp_path)
    with pytest.raises(MissingWeights, match="no checkpoint at all"):
        read_trained_head(scene.data)
    with pytest.raises(MissingWeights, match="There is no"):
        read_trained_head(tmp_path / "nothing")
    with pytest.raises(MissingWeights, match="chkpnt_fuse_5"):
        read_trained_head(scene.model, iteration=5)
    torch.save({"state_dict": {"a": torch.zeros(2)}}, path)
    with pytest.raises(WrongCheckpoint, match="not a TalkingGaussian"):
        read_trained_head(path)
    whole = (scene.model / "chkpnt_fuse_latest.pth").read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"PK\x03\x04", pickle.dumps([1, 2])):
        path.write_bytes(data)
        with pytest.raises(WrongCheckpoint):
            read_trained_head(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(WrongCheckpoint):
        read_trained_head(path)


def test_cfg_args_is_parsed_and_never_run(scene: SimpleNamespace, tmp_path: Path) -> None:
    assert parse_cfg_args("Namespace(sh_degree=2, audio_extractor='hubert', x=[1], y=None)") == {
        "sh_degree": 2, "audio_extractor": "hubert", "y": None
    }  # fmt: skip
    for text in ("", "1 +", "print('x')", "Namespace(**{})", "Namespace(a=__import__('os').system('x'))", "(" * 5000):
        assert "a" not in parse_cfg_args(text)
    assert [extractor_named(text) for text in ("my_esperanto_deepspeech", "hubert", "ave")] == [
        "esperanto",
        "hubert",
        None,
    ]
    model = tmp_path / "model"
    shutil.copytree(scene.model, model)
    (model / "cfg_args").write_text("Namespace(audio_extractor='hubert')")
    assert "hubert" in read_trained_head(model).warnings[0]
    (model / "cfg_args").unlink()
    assert not read_trained_head(model).warnings
    with pytest.raises(OptionError, match="not of esperanto"):
        read_trained_head(model, extractor="esperanto")


# PLY ------------------------------------------------------------------------------------------------------------------


def read_ply(data: bytes) -> dict[str, np.ndarray]:
    head, _, body = data.partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[-1] for line in lines if line.startswith("property float")]
    count = int(next(line for line in lines if line.startswith("element vertex")).split()[-1])
    table = np.frombuffer(body, "<f4").reshape(count, len(names))
    return {name: table[:, index] for index, name in enumerate(names)}


def test_ply_for_viewers_and_as_published(scene: SimpleNamespace, tmp_path: Path) -> None:
    face, mouth = scene.head.face, scene.head.mouth
    both = read_ply(ply_bytes([face, mouth]))
    assert len(both["x"]) == len(face) + len(mouth)
    one = read_ply(ply_bytes([face]))
    # what a viewer does with the values
    np.testing.assert_allclose(np.exp(one["scale_1"]), np.log1p(np.exp(face.scaling[:, 1])), rtol=1e-5)
    turned = np.stack([one[f"rot_{k}"] for k in range(4)], axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(one["opacity"], face.opacity[:, 0])
    np.testing.assert_array_equal(one["f_rest_0"], face.features[:, 1, 0])  # red first, channel-major
    np.testing.assert_array_equal(one["f_rest_8"], face.features[:, 1, 1])
    raw = read_ply(ply_bytes([face], "published"))
    assert list(raw)[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert len(raw) == 6 + 3 + 24 + 1 + 3 + 4
    np.testing.assert_array_equal(raw["scale_2"], face.scaling[:, 2])
    np.testing.assert_array_equal(raw["rot_3"], face.rotation[:, 3])
    write_ply([face], tmp_path / "face.ply")
    assert read_ply((tmp_path / "face.ply").read_bytes()).keys() == one.keys()


def test_softplus_agrees_with_torch() -> None:
    raw = np.linspace(-60, 60, 500, dtype=np.float32)
    np.testing.assert_allclose(softplus(raw), torch.nn.functional.softplus(torch.from_numpy(raw)).numpy(), rtol=1e-6)


def test_clouds_check_themselves(scene: SimpleNamespace) -> None:
    cloud = scene.head.face
    with pytest.raises(ValueError, match="rotation must be"):
        replace(cloud, rotation=cloud.rotation[:-1])
    with pytest.raises(ValueError, match="features must be"):
        replace(cloud, features=cloud.features[:, :, :2])
    with pytest.raises(ValueError, match="do not hold"):
        replace(cloud, features=cloud.features[:, :4])


def test_half_floats_in_a_file_become_float32(scene: SimpleNamespace, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(damaged(scene.head, _set(0, 1, torch.from_numpy(scene.head.face.xyz).half())), buffer)
    path = tmp_path / "a.pth"
    path.write_bytes(buffer.getvalue())
    assert read_trained_head(path).face.xyz.dtype == np.float32
    assert struct.calcsize("<e") == 2
