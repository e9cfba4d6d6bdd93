"""Checkpoints: layouts, wrappers, recognition, folders, refusals."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import MissingWeights, OptionError, UnsafeCheckpoint, WrongCheckpoint
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, VARIANTS
from talkinghead.families.synctalk2d.weights import (
    expected_shapes,
    find_checkpoint,
    generator_weights,
    read_generator,
    to_published_layout,
)
from talkinghead.weights import write_safetensors

from .conftest import golden_weights, write_checkpoint
from .test_networks import CASES


@pytest.mark.parametrize("name", VARIANTS)
def test_expected_shapes_are_those_of_the_network(name: str) -> None:
    import torch

    from talkinghead.families.synctalk2d.network import UNet

    variant = VARIANTS[name]
    with torch.device("meta"):
        state = UNet(variant).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == dict(expected_shapes(variant.size.name, variant.audio.name))


def test_published_parameter_counts() -> None:
    def parameters(name: str) -> int:
        variant = VARIANTS[name]
        shapes = expected_shapes(variant.size.name, variant.audio.name)
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        return sum(int(np.prod(shape)) for key, shape in shapes.items() if not key.endswith(buffers))

    assert parameters("unet328.ave") == parameters("unet328.hubert") == 12_186_935
    assert parameters("unet328.wenet") == 12_986_871
    assert parameters("unet160.ave") == 12_163_591
    assert parameters("unet160.wenet") == 12_963_527
    assert len(expected_shapes("328", "ave")) == 556
    assert len(expected_shapes("160", "ave")) == 484


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_size_and_mode_from_the_shapes(case: str) -> None:
    found = generator_weights(golden_weights(case), case)
    variant = VARIANTS[CASES[case]]
    assert found.size == variant.size.name
    assert variant.audio.name in found.audio_variants
    layout = "C" if "netlayout" in case else "B" if "flat" in case else "A"
    assert found.layout == layout
    if variant.audio.mode == "wenet" or variant.audio.name == "udh-hubert" or layout == "C":
        assert found.variant() == variant
    else:
        with pytest.raises(OptionError, match="ave or hubert"):
            found.variant()
        assert found.variant(variant.audio.mode) == variant


def test_layouts_hold_the_same_tensors() -> None:
    for case in ("udh160_hubert_flat", "unet328_ave_netlayout"):
        state = golden_weights(case)
        renamed, _ = to_published_layout(state)
        variant = VARIANTS[CASES[case]]
        assert set(renamed) == set(expected_shapes(variant.size.name, variant.audio.name))
        assert to_published_layout(renamed) == (renamed, "A")


def test_a_mode_that_the_shapes_exclude_is_refused(unet160: Any) -> None:
    with pytest.raises(OptionError, match="not for wenet"):
        generator_weights(unet160, "x").variant("wenet")
    with pytest.raises(OptionError, match="no mode"):
        generator_weights(unet160, "x").variant("mfcc")


@pytest.mark.parametrize("wrapper", [None, "model", "model_state_dict", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers(tmp_path: Path, unet160: Any, wrapper: str | None, prefix: str) -> None:
    state = {prefix + name: value for name, value in unet160.items()}
    extra: dict[str, Any] = {} if wrapper is None else {"epoch": 4, "optimizer": {"state": {}, "param_groups": []}}
    found = read_generator(write_checkpoint(tmp_path / "4.pth", state, wrapper, **extra))
    assert found.size == "160"
    np.testing.assert_array_equal(found.tensors["outc.conv.weight"], unet160["outc.conv.weight"])


def test_safetensors_keep_the_mode(tmp_path: Path, unet160: Any) -> None:
    path = tmp_path / "may.safetensors"
    write_safetensors(unet160, path, metadata={"mode": "hubert"})
    assert read_generator(path).variant() == VARIANTS["unet160.hubert"]


def test_half_precision_is_read(tmp_path: Path, unet160: Any) -> None:
    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in unet160.items()}
    found = read_generator(write_checkpoint(tmp_path / "1.pth", half))
    assert found.tensors["outc.conv.weight"].dtype == np.float32


def test_a_folder_gives_the_highest_number(tmp_path: Path, unet160: Any) -> None:
    for name in ("4.pth", "9.pth", "99.pth", "last.pth", "events.out", "100.txt"):
        (tmp_path / name).write_bytes(b"")
    write_checkpoint(tmp_path / "99.pth", unet160)
    assert find_checkpoint(tmp_path).name == "99.pth"
    assert read_generator(tmp_path).path.name == "99.pth"


def test_a_folder_without_numbers_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "last.pth").write_bytes(b"")
    with pytest.raises(MissingWeights, match="no numbered checkpoint"):
        find_checkpoint(tmp_path)
    with pytest.raises(MissingWeights, match="no checkpoint"):
        find_checkpoint(tmp_path / "nowhere")


def test_missing_unexpected_and_misshapen_tensors_are_named(unet160: Any) -> None:
    fewer = {k: v for k, v in unet160.items() if not k.startswith("up2.")}
    with pytest.raises(WrongCheckpoint, match=r"lacks up2\.conv"):
        generator_weights(fewer, "x")
    with pytest.raises(WrongCheckpoint, match="has besides discriminator"):
        generator_weights({**unet160, "discriminator.weight": np.zeros(3, np.float32)}, "x")
    with pytest.raises(WrongCheckpoint, match=r"outc\.conv\.bias is \[4\]"):
        generator_weights({**unet160, "outc.conv.bias": np.zeros(4, np.float32)}, "x")
    with pytest.raises(WrongCheckpoint, match="not a generator"):
        generator_weights({"a": np.zeros(3, np.float32)}, "x")
    wide = {**unet160, "audio_model.conv1.conv.0.weight": np.zeros((96, 48, 1, 1), np.float32)}
    with pytest.raises(WrongCheckpoint, match="48 input channels"):
        generator_weights(wide, "x")
    assert [v for v in AUDIO_VARIANTS.values() if v.input_shape[0] == 48] == []


def test_batch_counters_are_not_looked_at(unet160: Any) -> None:
    counters = [name for name in unet160 if name.endswith("num_batches_tracked")]
    assert counters
    for others in ({name: np.zeros(1, np.int64) for name in counters}, {}):
        state = {name: value for name, value in unet160.items() if name not in counters} | others
        assert generator_weights(state, "x").size == "160"


def test_a_truncated_file_is_refused(tmp_path: Path, unet160: Any) -> None:
    path = write_checkpoint(tmp_path / "1.pth", unet160)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WrongCheckpoint):
        read_generator(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "1.pth"
    path.write_bytes(pickle.dumps({"inc.inconv.0.conv.0.weight": Bomb()}))
    with pytest.raises(UnsafeCheckpoint):
        read_generator(path)
    assert not (tmp_path / "ran").exists()
