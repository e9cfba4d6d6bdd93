"""GAGAvatar: every network and step gives the published numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import talkinghead as th
from talkinghead.backends import placement
from talkinghead.backends.gate import Verdict
from talkinghead.backends.placement import Placement
from talkinghead.backends.processor import Processor
from talkinghead.contracts import AudioClip
from talkinghead.engine.cache import Cache
from talkinghead.engine.head import PrepareOptions
from talkinghead.errors import InputError, OptionError, WrongCheckpoint
from talkinghead.families.artalk import gaussian_avatar, reference
from talkinghead.families.artalk.avatar import HeadAvatar
from talkinghead.families.artalk.flame import flame_from_arrays
from talkinghead.families.artalk.gagavatar import avatar, features, generators, geometry
from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer, Shot
from talkinghead.families.artalk.gagavatar.upsampler import StyleUNet, UpsamplerConfig
from talkinghead.families.artalk.gaussian_avatar import GaussianDrawer
from talkinghead.families.artalk.weights import gagavatar_model
from talkinghead.reference.networks import ReferenceOptions, run_network
from tests.golden import synthetic
from tests.golden_files import Golden
from tests.tolerances import tolerance

CPU = ReferenceOptions()


def check_dino(name):
    golden = Golden(name)
    out = reference.run_dino(golden.weights(), golden.inputs(), golden.overrides.get("config") or {}, CPU)
    for key in ("layer0", "layer3", "out", "global"):
        golden.check(key, out[key])


@pytest.mark.thorough
def test_image_features_small():
    check_dino("gagavatar/dino_small")


@pytest.mark.large
def test_image_features_published_size():
    check_dino("gagavatar/dino_full")


@pytest.mark.parametrize("name", ["gs_linear", "gs_conv"])
def test_gaussian_generators(name):
    golden = Golden(f"gagavatar/{name}")
    out = reference.run_gaussians(golden.weights(), golden.inputs(), {}, CPU)
    assert ("positions" in out) == (name == "gs_conv")
    for key, value in out.items():
        golden.check(key, value)


@pytest.mark.parametrize(("name", "more"), [("gs_linear", (9, 1024)), ("gs_conv", (256, 3, 5))])
def test_a_batch_of_gaussians_equals_its_items(name, more):
    weights = Golden(f"gagavatar/{name}").weights()
    rng = np.random.default_rng(0)
    x, codes = (rng.uniform(-1, 1, (3, *shape)).astype(np.float32) for shape in (more, (27,)))
    batch = reference.run_gaussians(weights, {"x": x, "dir": codes}, {}, CPU)
    for item in range(3):
        alone = reference.run_gaussians(weights, {"x": x[item, None], "dir": codes[item, None]}, {}, CPU)
        assert set(alone) == set(batch)
        for key, value in alone.items():
            np.testing.assert_array_equal(batch[key][item], value[0], err_msg=key)
    with pytest.raises(InputError, match="dir"):
        reference.run_gaussians(weights, {"x": x, "dir": codes[:2]}, {}, CPU)


def test_geometry():
    golden = Golden("gagavatar/geometry")
    given = {name: torch.from_numpy(value) for name, value in golden.inputs().items()}
    golden.check("harmonic", generators.direction_code(given["dirs"]))
    translation = np.array([0.0, 0.0, 5000.0 / 512.0], np.float32)
    vectors = golden["rotvec_in"]
    before = vectors.copy()
    cameras = np.stack([geometry.head_transform(vector, translation) for vector in vectors])
    golden.check("emoca_to_p3d", cameras)
    assert np.array_equal(vectors, before), "the caller's motion is not changed"
    matrix = torch.from_numpy(golden["transform"])
    points, direction = generators.image_plane(matrix, 8)
    golden.check("plane_points_8", points)
    golden.check("plane_dirs_8", direction)
    golden.check("plane_points_296", generators.image_plane(matrix, 296)[0])
    camera = geometry.avatar_camera(golden["transform"], (512, 512))
    golden.check("view", camera.world_view[None])
    golden.check("proj", camera.full_projection[None])
    assert np.array_equal(geometry.FOREHEAD, golden["forehead"])


@pytest.mark.parametrize("camera", [("cam_matrix",), ("view", "proj"), ("view", "proj", "focal")])
@pytest.mark.parametrize("name", ["raster_a", "raster_b"])
def test_rasterizer_of_32_channels(name, camera):
    golden = Golden(f"gagavatar/{name}")
    given = golden.inputs()
    inputs = {**given, **{key: golden[key] for key in ("xyz", "opac", "quat", "bg", "size", *camera)}}
    out = reference.run_rasterize({}, inputs, {}, CPU)
    golden.check("image", out["image"])
    golden.check("radii", out["radii"])


def one_gaussian(depth=2.0, scale=0.05):
    """On the axis of a camera at the origin that looks along z."""
    return {
        "xyz": np.array([[0.0, 0.0, depth]], np.float32),
        "colors": np.ones((1, 2), np.float32),
        "opac": np.ones((1, 1), np.float32),
        "scales": np.full((1, 3), scale, np.float32),
        "quat": np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
        "size": np.array([64, 96]),
    }


def pinhole(focal_x, focal_y):
    """View and projection matrices of that camera: rows are multiplied from the left, w is z."""
    k = np.zeros((4, 4), np.float32)
    k[0, 0], k[1, 1], k[2, 2], k[2, 3], k[3, 2] = focal_x, focal_y, 1.0001, 1.0, -0.010001
    return {"view": np.eye(4, dtype=np.float32), "proj": k}


@pytest.mark.parametrize("focal", [3.0, 6.0, 12.0, 20.0])
def test_the_focal_length_sets_the_size_of_a_gaussian(focal):
    """The radius is three standard deviations on the picture (and a little: gagavatar.md, section 6, step 4)."""
    for sides in ((focal * 2 / 3, focal), (focal, focal)):
        deviation = [f * side / 2 * 0.05 / 2.0 for f, side in zip(sides, (96, 64), strict=True)]
        largest = max(deviation) ** 2 + 0.3
        expected = np.ceil(3 * np.sqrt(largest + (0.1**0.5 if len(set(deviation)) == 1 else 0.0)))
        out = reference.run_rasterize({}, {**one_gaussian(), **pinhole(*sides)}, {}, CPU)
        assert out["radii"].tolist() == [expected]
        same = reference.run_rasterize({}, {**one_gaussian(), **pinhole(*sides), "focal": np.array(sides)}, {}, CPU)
        np.testing.assert_array_equal(same["image"], out["image"])
    turned = {"cam_matrix": np.diag([-1.0, -1.0, 1.0, 0.0])[:3].astype(np.float32)}
    out = reference.run_rasterize({}, {**one_gaussian(), **pinhole(focal, focal)}, {}, CPU)
    same = reference.run_rasterize({}, {**one_gaussian(), **turned}, {"focal": focal}, CPU)
    np.testing.assert_allclose(same["image"], out["image"], atol=tolerance("gagavatar/raster_a:image"))


def test_optional_inputs_may_be_left_out():
    """Through the front door, which checks what is there before a network runs."""
    turned = {"cam_matrix": np.diag([-1.0, -1.0, 1.0, 0.0])[:3].astype(np.float32)}
    out = run_network("gagavatar.rasterize", {}, {**one_gaussian(), **turned})
    np.testing.assert_array_equal(
        out["image"], run_network("gagavatar.rasterize", {}, {**one_gaussian(), **turned, "focal": 12.0})["image"]
    )
    with pytest.raises(InputError, match="lack xyz"):
        run_network("gagavatar.rasterize", {}, {key: value for key, value in one_gaussian().items() if key != "xyz"})


def test_a_camera_that_does_not_fit_is_refused():
    wrong_focal = {**pinhole(6, 6), "focal": np.array(12.0)}
    aside, flat, mirrored = pinhole(6, 6), pinhole(6, 6), pinhole(-6, 6)
    aside["proj"][2, 0] = 0.2  # the camera's axis meets the picture beside its middle
    flat["view"][0, 0] = 0.0
    cases = {
        r"12\.0.*have \[6\.0, 6\.0\]": wrong_focal,
        "not view @ K": aside,
        r"not view @ K .*": mirrored,
        "no inverse": flat,
        "needs a camera": {"view": aside["view"]},
        r"focal length is \[-1\.0\]": {**pinhole(6, 6), "focal": np.array(-1.0)},
    }
    for message, camera in cases.items():
        with pytest.raises(InputError, match=message):
            reference.run_rasterize({}, {**one_gaussian(), **camera}, {}, CPU)


@pytest.mark.thorough
def test_upsampler_small():
    golden = Golden("gagavatar/style_unet_small")
    out = reference.run_style_unet(golden.weights(), golden.inputs(), {}, CPU)
    for key in ("out", "pre_sigmoid", "style_code"):
        golden.check(key, out[key])


def twice_as_large(x, axis):
    """Bilinear, with the centres of the pixels where they lie in both pictures."""
    count = x.shape[axis]
    places = (np.arange(2 * count) + 0.5) / 2 - 0.5
    return np.apply_along_axis(lambda line: np.interp(places, np.arange(count), line), axis, x)


@pytest.mark.thorough
def test_the_upsampler_enlarges_small_pictures_first():
    golden = Golden("gagavatar/style_unet_small")
    weights, config = golden.weights(), dict(golden.overrides["config"], in_size=16)
    x = golden.inputs()["x"][..., :16, :16]
    found = reference.run_style_unet(weights, {"x": x}, config, CPU)
    large = twice_as_large(twice_as_large(x, 2), 3).astype(np.float32)
    expected = reference.run_style_unet(weights, {"x": large}, {}, CPU)
    assert found["out"].shape == (1, 3, 32, 32)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=tolerance(f"gagavatar/style_unet_small:{key}"), err_msg=key)


def test_the_upsampler_halves_large_pictures():
    """Weights of the published layout for an input of twice the output's size."""
    torch.manual_seed(0)
    config = UpsamplerConfig(size=8, halves=True, in_channels=5)
    weights = {name: 0.05 * torch.randn(value.shape) for name, value in StyleUNet(config).state_dict().items()}
    first = [name for name in weights if name.startswith("conv_body_first.")]
    assert {name.split(".")[1] for name in first} == {"0", "1"}
    x = torch.randn(2, 5, 16, 16)
    given = {name: value.numpy() for name, value in weights.items()}
    found = reference.run_style_unet(given, {"x": x.numpy()}, {"in_size": 16, "out_size": 8}, CPU)
    # By hand up to the halved picture; what follows is the network without the first part.
    wide = F.leaky_relu(F.conv2d(x, weights["conv_body_first.0.weight"], weights["conv_body_first.0.bias"]), 0.2)
    part = {name.removeprefix("conv_body_first.1."): weights[name] for name in first}
    inner = F.leaky_relu(F.conv2d(wide, part["conv1.weight"], part["conv1.bias"], padding=1), 0.2)
    inner = F.leaky_relu(F.conv2d(F.avg_pool2d(inner, 2), part["conv2.weight"], part["conv2.bias"], padding=1), 0.2)
    halved = inner + F.conv2d(F.avg_pool2d(wide, 2), part["skip.weight"])
    assert found["out"].shape == (2, 3, 8, 8)
    network = StyleUNet(config)
    network.load_state_dict(weights)
    with torch.inference_mode():
        np.testing.assert_allclose(network._first(x), halved, atol=tolerance("twins"))
        np.testing.assert_allclose(found["out"], network(x), atol=tolerance("twins"))


def test_sizes_that_the_upsampler_does_not_have_are_refused():
    golden = Golden("gagavatar/style_unet_small")
    weights, x = golden.weights(), golden.inputs()["x"]
    for config in ({"out_size": 64}, {"in_size": 64}, {"in_dim": 16}, {"config": {"out_dim": 4}}):
        with pytest.raises(OptionError, match="The config says"):
            reference.run_style_unet(weights, {"x": x}, config, CPU)
    for wrong in (np.repeat(x, 2, axis=3), x[:, :16], x[..., :20, :]):
        with pytest.raises(InputError, match="The input x is"):
            reference.run_style_unet(weights, {"x": wrong}, {}, CPU)
    with pytest.raises(WrongCheckpoint, match="upsampler"):
        reference.run_style_unet({"a": x}, {"x": x}, {}, CPU)


@pytest.mark.large
def test_upsampler_published_size():
    golden = Golden("gagavatar/style_unet_full")
    out = reference.run_style_unet(golden.weights(), golden.inputs(), {}, CPU)
    for key in ("out", "pre_sigmoid", "style_code"):
        golden.check(key, out[key])


def test_picture_operations():
    golden = Golden("gagavatar/image_ops")
    given = {name: torch.from_numpy(value) for name, value in golden.inputs().items()}
    logo = avatar.resize_logo(np.floor(given["logo"].numpy()).astype(np.uint8))
    golden.check("resized_logo", logo)
    golden.check("out", avatar.add_watermark(given["image"], logo))
    golden.check("resize518", features.resize_image(given["src"][None], (518, 518))[0])
    small = features.normalise_image(given["src"][None, :, :70, :70])
    for size in (20, 10, 5, 3):
        golden.check(f"resize_antialias_{size}", features.resize_image(small, (size, size)))


def synthetic_flame(seed):
    def u(name, shape, low, high):
        return synthetic.uniform(f"flame5023/{name}", shape, low, high, seed)

    regressor = u("J_regressor", (5, 5023), 0, 1) ** 4
    weights = u("weights", (5023, 5), 0, 1) ** 3
    parents = np.array([[-1, 0, 1, 1, 1], range(5)])
    return flame_from_arrays(
        {
            "f": np.zeros((9976, 3), np.int64),
            "v_template": u("v_template", (5023, 3), -0.1, 0.1),
            "shapedirs": u("shapedirs", (5023, 3, 400), -0.002, 0.002),
            "posedirs": u("posedirs", (5023, 3, 36), -0.003, 0.003),
            "J_regressor": (regressor / regressor.sum(axis=1, keepdims=True)).astype(np.float32),
            "weights": (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
            "kintree_table": parents,
        },
        "synthetic",
    )


def test_forehead_follows_slowly():
    golden = Golden("gagavatar/forehead")
    motions = golden.inputs()["motions"]
    shape = synthetic.uniform("gaga/shapecode", (300,), -1, 1, golden.seed)
    tracked = Golden("gagavatar/gagavatar")["transform_matrix"]
    points = geometry.HeadPoints(synthetic_flame(golden.seed), shape)
    found = np.stack([points.step(motion)[geometry.FOREHEAD] for motion in motions])
    golden.check("points", found)
    cameras = np.stack([geometry.head_transform(motion[100:103], tracked[:, 3]) for motion in motions])
    golden.check("transforms", cameras)


def check_most(difference, what):
    """A threshold of the rasteriser may flip: 99 % of the values are near, and none is far."""
    assert np.quantile(difference, 0.99) <= tolerance(f"gagavatar/gagavatar:{what}_99")
    assert difference.max() <= tolerance(f"gagavatar/gagavatar:{what}")


@pytest.mark.large
def test_whole_avatar():
    golden = Golden("gagavatar/gagavatar")
    seed = golden.seed
    weights = {**golden.weights(), "percep_loss.features.0.weight": np.zeros((2, 2), np.float32)}
    model = gagavatar_model(weights)
    head = avatar.TrackedHead(
        image=synthetic.uniform("gaga/image", (3, 512, 512), 0, 1, seed),
        transform=golden["transform_matrix"],
        shape=synthetic.uniform("gaga/shapecode", (300,), -1, 1, seed),
    )
    gaussians = model.build(head)
    logo = avatar.resize_logo(np.floor(synthetic.uniform("gaga/logo", (4, 100, 300), 0, 256, seed)).astype(np.uint8))
    points = geometry.HeadPoints(synthetic_flame(seed), head.shape)
    from talkinghead.rendering.rasterize_cpu import rasterize_cpu

    for number, motion in enumerate(golden.inputs()["motions"]):
        vertices = points.step(motion)
        golden.check(f"t_points_{number}", vertices[None])
        camera = geometry.head_transform(motion[100:103], head.transform[:, 3])
        golden.check(f"t_transform_{number}", camera[None])
        channels = model.draw(gaussians, vertices, camera, rasterize_cpu)
        difference = golden.difference(f"features_{number}", channels[None])
        check_most(difference, "features")
        rgb = avatar.add_watermark(model.upsample(channels[None]), logo)
        difference = golden.difference(f"rgb_{number}", rgb)
        check_most(difference, "rgb")
    golden.check("gs_colors", gaussians.colors[None])
    golden.check("gs_opacities", gaussians.opacities[None, :, None])
    golden.check("gs_scales", gaussians.scales[None])
    golden.check("gs_rotations", gaussians.rotations[None])
    golden.check("gs_xyz", gaussians.cloud(vertices).means[None])


class Upsampler:
    """A network of no size: the first channels are the picture; in half precision `off` is added."""

    stylegan_decoder = SimpleNamespace(noises=SimpleNamespace(stored=lambda: [torch.zeros(1, 1, 512, 512)]))

    def __init__(self, off=0.0):
        self.off = off

    def __call__(self, channels, given):
        pictures = channels[:, :3].clamp(0, 1) + self.off * torch.is_autocast_enabled("cpu")
        return pictures if given is None else (pictures + 0.01 * given[0]).clamp(0, 1)


def stand_in(count, off=0.0):
    """An avatar model around `Upsampler`, and Gaussians for a head of so many vertices."""
    rng = np.random.default_rng(0)

    def values(*shape):
        return rng.uniform(0.0, 1.0, shape).astype(np.float32)

    gaussians = avatar.AvatarGaussians(
        colors=values(count + 50, 32),
        opacities=values(count + 50),
        scales=0.01 * values(count + 50, 3),
        rotations=values(count + 50, 4),
        plane_points=values(50, 3) - 0.5,
    )
    model = SimpleNamespace(head_base=torch.zeros(count, 256), upsampler=Upsampler(off), to=lambda _: model)
    return model, gaussians


def test_a_gaussian_avatar_through_the_pipeline():
    """The stages from motion to pictures, with small stand-ins for the networks."""
    head = th.load("artalk", driver="viseme")
    model, gaussians = stand_in(head.flame.num_vertices)
    renderer = GaussianRenderer(model, gaussians, logo=torch.ones(4, 82, 256))
    translation = np.array([0, 0, 9.77], np.float32)
    drawer = GaussianDrawer(
        head.flame, renderer, np.zeros((1, 300), np.float32), translation,
        Verdict(Placement("cpu", "torch", "bfloat16"), 63.2),
    )  # fmt: skip
    made = HeadAvatar(None, None, (512, 512), None, 1, name="11", drawer=drawer)
    speech = th.listen(AudioClip(np.zeros(16_000 * 3 // 25, np.float32), 16_000))
    pictures = list(head.frames(made, speech))
    assert len(pictures) == 3
    assert pictures[0].shape == (512, 512, 3)
    assert pictures[0].dtype == np.uint8
    assert pictures[0].max() > 0
    assert pictures[0][-1, -1].tolist() == [204, 204, 204], "the watermark at 0.8"
    assert [stage.name for stage in drawer.stages([])] == ["pose", "draw", "upsample"]
    assert [(run.name, run.backend, run.precision, run.psnr_db) for run in drawer.networks] == [
        ("upsampler", "torch", "bfloat16", 63.2), ("rasteriser", "numba", "float32", None),
    ]  # fmt: skip
    shot = Shot(head.flame.vertices(scale=5.0)[0], geometry.head_transform(np.zeros(3, np.float32), translation))
    random = GaussianRenderer(model, gaussians, seed=3)
    first, second, again = (next(random.pictures(random.splat(shot)[None], number)) for number in (0, 1, 0))
    assert np.array_equal(first, again), "noise follows from the seed and the frame's number"
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("off", "precision"), [(0.001, "bfloat16"), (0.1, "float32")])
def test_opening_a_gaussian_avatar(tmp_path, monkeypatch, off, precision):
    """What it tells, and that half precision is taken only where it keeps the picture."""
    head = th.load("artalk", driver="viseme", watermark=False, seed=3, noise="random")
    model, gaussians = stand_in(head.flame.num_vertices, off)
    tracked = avatar.TrackedHead(
        np.zeros((3, 512, 512), np.float32),
        np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.0], [0.0], [9.77]]], axis=1).astype(np.float32),
        np.zeros(300, np.float32),
    )
    for name in ("weights", "tracked"):
        (tmp_path / name).write_bytes(b"none")
    files = {"gagavatar_model": tmp_path / "weights", "tracked_avatars": tmp_path / "tracked"}
    monkeypatch.setattr(gaussian_avatar, "load_gagavatar", lambda _: model)
    monkeypatch.setattr(gaussian_avatar, "read_tracked", lambda _: {"11.jpg": tracked})
    monkeypatch.setattr(gaussian_avatar, "build_gaussians", lambda *_: gaussians)
    monkeypatch.setattr(placement, "this_processor", lambda: Processor(frozenset({"amx_bf16"})))
    monkeypatch.setattr(head, "assets", SimpleNamespace(need=lambda name, _: files[name]))
    monkeypatch.setattr(head, "is_procedural", False)
    told = []
    made = head.prepare(
        "11",
        PrepareOptions(cache=Cache(tmp_path / "cache")),
        progress=lambda event: told.append((event.stage, event.done)),
    )
    assert told == [("open-face", 0), ("open-face", 1), ("try-frame", 0), ("try-frame", 1)]
    assert [stage.name for stage in made.times] == ["open-face", "try-frame"]
    assert len(made.warnings) == 1
    assert "takes about" in made.warnings[0]
    upsampler, rasteriser = made.drawer.networks
    assert upsampler.precision == precision
    assert rasteriser.backend == "numba"
    assert made.drawer.renderer.autocast == (torch.bfloat16 if precision == "bfloat16" else None)
    assert len(made.fallbacks) == (precision == "float32")
    assert all("only 20.0 dB of 45" in text for text in made.fallbacks)
