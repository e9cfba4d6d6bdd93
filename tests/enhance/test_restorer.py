"""Networks of the real architectures with weights made here, and files that are something else."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.contracts import ArrayStore  # noqa: E402
from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.enhance import restorer as module  # noqa: E402
from talkinghead.enhance.model_files import CATALOGUE, KINDS  # noqa: E402
from talkinghead.enhance.restorer import Restorer, find_restorer, read_restorer  # noqa: E402
from talkinghead.enhance.spandrel_import import import_spandrel, normalize  # noqa: E402
from talkinghead.errors import MissingDependency, MissingWeights, OutOfMemory, WrongCheckpoint  # noqa: E402
from talkinghead.service.models import model_store  # noqa: E402
from talkinghead.weights import write_safetensors  # noqa: E402
from talkinghead.weights.kinds import recognise  # noqa: E402
from tests.enhance.networks import (  # noqa: E402
    compact_weights,
    esrgan,
    gfpgan_module,
    needs_spandrel,
    restoreformer,
    save,
    sharpened,
)
from tests.thin import thin_weights  # noqa: E402

pytestmark = needs_spandrel

CROP = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)


def test_a_compact_network_computes_what_its_weights_say(sharp: Path) -> None:
    found = read_restorer(sharp)
    assert (found.name, found.purpose, found.scale, found.input_px) == ("RealESRGAN Compact", "Restoration", 1, 512)
    (made,) = Restorer(found, "cpu", "parity").restore([CROP])
    assert np.abs(made - sharpened(CROP)).max() <= 1  # a rounding at a half


def test_a_batch_equals_its_crops(sharp: Path) -> None:
    restorer, crops = Restorer(read_restorer(sharp), "cpu", "parity"), [CROP, CROP[::-1].copy(), 255 - CROP]
    alone = [restorer.restore([crop])[0] for crop in crops]
    restorer.batch = 2
    assert np.array_equal(restorer.restore(crops), alone)
    assert restorer.restore([]) == []


def test_an_upscaler_sees_a_smaller_crop(tmp_path: Path) -> None:
    found = read_restorer(esrgan(tmp_path / "x2.pth"))
    assert (found.name, found.scale, found.input_px) == ("ESRGAN", 2, 256)
    (made,) = Restorer(found, "cpu", "auto").restore([CROP])
    assert made.shape == CROP.shape
    assert made.dtype == np.uint8


def test_gfpgan_speaks_minus_one_to_one_and_draws_no_noise() -> None:
    """Twice the same is the same to the bit; the published way adds new noise to each frame."""
    torch.manual_seed(0)
    network = gfpgan_module(32, 0.25)
    for name, weight in network.named_parameters():
        if name.startswith("stylegan_decoder") and weight.shape == (1,):  # how strong the noise of a layer is
            torch.nn.init.ones_(weight)
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        made = module._gfpgan(network, picture)
        again = module._gfpgan(network, picture)
        published, _ = network(2 * picture - 1, return_rgb=False, randomize_noise=False)
        noisy, _ = network(2 * picture - 1, return_rgb=False)
    assert torch.equal(made, again)
    assert torch.equal(made, ((published + 1) / 2).clamp(0, 1))
    assert not torch.equal(published, noisy)


def test_restoreformer_is_taken_without_torchvision(tmp_path: Path) -> None:
    found = read_restorer(restoreformer(tmp_path / "RestoreFormer.pth"))
    assert (found.name, found.purpose, found.input_px) == ("RestoreFormer", "FaceSR", 512)
    assert "torchvision" not in sys.modules
    picture = torch.rand(2, 3, 4, 5)
    wanted = 2 * picture - 1
    assert torch.allclose(normalize(picture, [0.5] * 3, [0.5] * 3), wanted)


@pytest.mark.thorough
def test_the_published_sizes_run(tmp_path: Path) -> None:
    """GFPGAN with random weights from the file of its size to a crop."""
    torch.manual_seed(0)
    path = save(tmp_path / "GFPGANv1.4.pth", gfpgan_module(512, 1))
    assert recognise(path, KINDS) == "gfpgan"
    found = read_restorer(path)
    assert (found.name, found.purpose, found.input_px) == ("GFPGAN", "FaceSR", 512)
    (made,) = Restorer(found, "cpu", "parity").restore([CROP])
    assert made.std() > 1


# Half precision -------------------------------------------------------------------------------------------------------


class Half(Restorer):
    """As on a processor that multiplies bfloat16."""

    def __init__(self, path: Path, precision: str = "auto") -> None:
        super().__init__(read_restorer(path), "cpu", precision)
        exact = self._places[-1]
        reduced = module.Placement("cpu", "torch", "bfloat16", "for the test")
        self._places = (reduced, exact) if precision == "auto" else (exact,)


def settled(restorer: Restorer, store: ArrayStore | None = None) -> str:
    made, seconds = restorer.first(CROP, store or NullCache())
    assert np.array_equal(made, restorer.restore([CROP])[0])
    assert seconds > 0
    return restorer.verdict.placement.precision


def test_half_precision_is_taken_where_it_holds(tmp_path: Path, sharp: Path) -> None:
    """bfloat16 has eight bits: enough for a sharpener, too few for large values that cancel in the end."""
    assert settled(Half(sharp)) == "bfloat16"
    middle = np.zeros((3, 3), np.float32)
    middle[1, 1] = 0.5
    weights = compact_weights(middle)
    weights["body.0.bias"] += 50
    weights["body.4.bias"] -= 50
    write_safetensors(weights, tmp_path / "cancels.safetensors")
    restorer = Half(tmp_path / "cancels.safetensors")
    assert settled(restorer) == "float32"
    assert "bfloat16" in restorer.verdict.refused[0]
    assert settled(Half(sharp, "parity")) == "float32"


def test_a_batch_that_does_not_fit_is_halved(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(read_restorer(sharp), "cpu", "auto")
    restorer.batch = 4
    run, asked = restorer._run, []

    def little_memory(crops: list[np.ndarray], place: object) -> list[np.ndarray]:
        asked.append(len(crops))
        if len(crops) > room:
            raise torch.OutOfMemoryError
        return run(crops, place)

    monkeypatch.setattr(restorer, "_run", little_memory)
    room = 1
    assert len(restorer.restore([CROP] * 3)) == 3
    assert asked == [3, 2, 1, 1, 1]
    room = 0
    with pytest.raises(OutOfMemory, match="Not even one crop"):
        restorer.restore([CROP])


# Other files ----------------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(WrongCheckpoint) as error:
        read_restorer(path)
    assert "GFPGAN 1.2 to 1.4" in str(error.value)
    return error.value.what


def tensors(path: Path, *names: str) -> Path:
    write_safetensors({name: np.zeros((2, 2), np.float32) for name in names}, path)
    return path


def test_other_networks_are_named_and_refused(tmp_path: Path) -> None:
    write_safetensors(thin_weights(), tmp_path / "generator.safetensors")
    assert "is a Wav2Lip generator" in refused(tmp_path / "generator.safetensors")
    text = tensors(tmp_path / "text.safetensors", "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight")
    assert "is a language model" in refused(text)
    other = tensors(tmp_path / "other.safetensors", "left.weight", "right.weight")
    assert "holds no network that sharpens faces: 2 tensors (left.weight, right.weight)" in refused(other)
    codeformer = ("quantize.embedding.weight", "position_emb", "idx_pred_layer.0.weight")
    assert "S-Lab" in refused(tensors(tmp_path / "codeformer.safetensors", *codeformer))
    gpen = tensors(tmp_path / "gpen.safetensors", "ecd0.0.weight", "generator.style.1.weight")
    assert "GPEN" in refused(gpen)
    half = tensors(tmp_path / "half.safetensors", "toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight")
    assert "begins like a GFPGAN network and is not one" in refused(half)


def test_a_small_file_cannot_ask_for_an_enormous_network(tmp_path: Path) -> None:
    """Its first layer claims 30 000 channels, between which each further one would take 32 gigabytes."""
    weights = compact_weights(np.zeros((3, 3), np.float32))
    weights["body.0.weight"] = np.zeros((30_000, 3, 3, 3), np.float32)
    write_safetensors(weights, tmp_path / "wide.safetensors")
    assert "begins like a compact upscaler and is not one" in refused(tmp_path / "wide.safetensors")


def test_grey_pictures_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    grey = compact_weights(np.zeros((3, 3), np.float32))
    grey["body.0.weight"] = grey["body.0.weight"][:, :1]
    grey["body.4.weight"], grey["body.4.bias"] = grey["body.4.weight"][:1], grey["body.4.bias"][:1]
    write_safetensors(grey, tmp_path / "grey.safetensors")
    assert "1 to 1 channels" in refused(tmp_path / "grey.safetensors")
    bad = compact_weights(np.full((3, 3), np.nan, np.float32))
    write_safetensors(bad, tmp_path / "bad.safetensors")
    with pytest.raises(WrongCheckpoint, match=r"body\.0\.weight holds values that are not numbers"):
        read_restorer(tmp_path / "bad.safetensors")


def test_names_of_the_store_are_taken(tmp_path: Path, sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"talkinghead models pull gfpgan-1\.4"):
        find_restorer(Path("gfpgan-1.4"))
    with pytest.raises(MissingWeights, match=r"nothing\.pth.*\n.*gfpgan-1\.4"):
        find_restorer(Path("nothing.pth"))
    record = model_store().import_file(sharp, name="mine")
    assert find_restorer(Path("mine")) == record.file
    assert record.file.parent == tmp_path / "models" / "enhance"
    assert find_restorer(sharp) == sharp


def test_rows_say_of_each_file_what_is_known() -> None:
    kinds = {kind.name for kind in KINDS}
    for row in CATALOGUE:
        assert row.kind in kinds
        assert row.urls
        assert row.licence.url
        assert bool(row.sha256) == bool(row.size_bytes)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = module.import_spandrel.__globals__["importlib"].util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "spandrel" else find(name, *more)
    )
    with pytest.raises(MissingDependency, match="talkinghead\\[enhance\\]"):
        import_spandrel()
