"""The head of our own making: FLAME's format, and a mouth and eyes that do what a face does."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from talkinghead.contracts import MouthMotion
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.flame import load_flame
from talkinghead.families.artalk.look import region_labels
from talkinghead.families.artalk.mesh_avatar import mesh_drawer
from talkinghead.families.artalk.procedural.head import EXPRESSIONS, GAZE, JAW_OPEN, SHAPES, procedural_head
from talkinghead.families.artalk.procedural.surface import EYE_CENTRE, EYE_RADIUS, build_skin
from talkinghead.families.artalk.viseme_driver import Liveliness, motion_from_mouth, procedural_shapes
from tests.golden_files import Golden


@pytest.fixture(scope="module")
def head():
    return procedural_head()


@pytest.fixture(scope="module")
def skin():
    return build_skin()


def pose(head, jaw=0.0, **expressions):
    values = np.zeros((1, 100), np.float32)
    for name, value in expressions.items():
        values[0, EXPRESSIONS.index(name.replace("_", " "))] = value
    return head.flame.vertices(None, values, np.array([[0, 0, 0, jaw, 0, 0]], np.float32))[0]


def lip_gap(vertices, skin):
    middle = len(skin.mouth_upper) // 2
    return vertices[skin.mouth_upper[middle], 1] - vertices[skin.mouth_lower[middle], 1]


def lid_gap(vertices, skin, eye):
    upper, lower = skin.lids_upper[eye], skin.lids_lower[eye]
    middle = len(upper) // 2
    return vertices[upper[middle], 1] - vertices[lower[middle], 1]


def test_it_is_a_flame_file(head, tmp_path):
    arrays = head.arrays
    count = len(arrays["flame_model/v_template"])
    assert 8000 <= count <= 11000
    assert arrays["flame_model/shapedirs"].shape == (count, 3, 400)
    assert arrays["flame_model/posedirs"].shape == (count, 3, 36)
    assert arrays["lmk_embeddings/full_lmk_faces_idx_with_eye"].shape == (1, 70)
    assert arrays["lmk_embeddings_mediapipe/lmk_face_idx"].shape == (105,)
    assert len(set(arrays["lmk_embeddings_mediapipe/landmark_indices"].tolist())) == 105
    np.testing.assert_allclose(head.flame.skinning_weights.sum(axis=1), 1, atol=1e-5)
    tree = {}
    for name, value in arrays.items():
        group, _, key = name.partition("/")
        tree.setdefault(group, {})[key] = torch.from_numpy(np.ascontiguousarray(value))
    torch.save(tree, tmp_path / "FLAME_with_eye.pt")
    loaded = load_flame(tmp_path / "FLAME_with_eye.pt")
    np.testing.assert_array_equal(loaded.vertices(), head.flame.vertices())


def test_at_rest_the_lips_touch_and_the_eyes_are_open(head, skin):
    rest = pose(head)
    assert abs(lip_gap(rest, skin)) < 1e-5
    for eye in (0, 1):
        assert 0.008 < lid_gap(rest, skin, eye) < 0.014


def test_the_jaw_opens_the_mouth(head, skin):
    assert 0.014 < lip_gap(pose(head, jaw=0.2), skin) < 0.030
    assert lip_gap(pose(head, jaw=0.1), skin) < lip_gap(pose(head, jaw=0.2), skin)


def test_lips_close_over_an_open_jaw(head, skin):
    opened, sealed = pose(head, jaw=JAW_OPEN), pose(head, jaw=JAW_OPEN, press=1.0)
    gaps = sealed[skin.mouth_upper, 1] - sealed[skin.mouth_lower, 1]
    assert lip_gap(opened, skin) > 0.006
    assert np.abs(gaps).max() < 0.0012


def test_the_eyes_close(head, skin):
    shut = pose(head, blink=1.0)
    assert abs(lid_gap(shut, skin, 0)) < 0.0005
    assert abs(lid_gap(shut, skin, 1)) < 0.0005
    one = pose(head, blink_left=1.0)
    assert abs(lid_gap(one, skin, 1)) < 0.0005
    assert lid_gap(one, skin, 0) > 0.008


def test_lids_stay_in_front_of_the_eyeballs(head, skin):
    for closed in (0.0, 0.5, 1.0):
        vertices = pose(head, blink=closed)[: len(skin.points)]
        for eye, side in ((0, -1), (1, 1)):
            edge = vertices[skin.lids_upper[eye][2:-2]]
            distance = np.linalg.norm(edge - EYE_CENTRE * [side, 1, 1], axis=1)
            assert distance.min() > EYE_RADIUS - 0.0006


def test_expressions_and_shapes_move_something(head):
    flame = head.flame
    for number, name in enumerate(EXPRESSIONS):
        assert np.abs(flame.shape_directions[:, :, 300 + number]).max() > 5e-4, name
    for number, name in enumerate(SHAPES):
        assert np.abs(flame.shape_directions[:, :, number]).max() > 5e-4, name
    assert not flame.shape_directions[:, :, 300 + len(EXPRESSIONS) :].any()


def test_the_upper_face_does_not_move_with_the_jaw(head, skin):
    moved = np.abs(pose(head, jaw=0.2) - pose(head))[: len(skin.points)]
    assert moved[skin.points[:, 1] > 0.0].max() < 1e-4


def test_it_is_nearly_symmetric(head):
    points = head.flame.template
    mirrored = points * np.array([-1, 1, 1], np.float32)
    sample = points[::37]
    nearest = np.sqrt(((sample[:, None] - mirrored[None]) ** 2).sum(axis=-1).min(axis=1))
    assert np.quantile(nearest, 0.95) < 0.002


def test_region_labels_as_published():
    golden = Golden("artalk/region_labels")
    labels = region_labels(
        golden["faces"].astype(np.int32),
        len(golden["labels"]),
        golden["seed_lips"],
        golden["seed_eye"],
        golden["seed_mouth"],
    )
    assert np.array_equal(labels, golden["labels"])


def test_lips_stay_together_however_far_the_jaw_hangs(head, skin):
    for jaw in (0.05, 0.12, 0.20):
        sealed = pose(head, jaw=jaw, press=jaw / JAW_OPEN)
        gaps = sealed[skin.mouth_upper, 1] - sealed[skin.mouth_lower, 1]
        assert np.abs(gaps).max() < 0.0006


def test_no_pixel_of_the_mouth_is_seen_at_p(head):
    """Drawn as the command draws it: lips that touch over an open jaw hide teeth and dark; parted, they do not."""
    drawer = mesh_drawer(ARTalkConfig(image_size=256), head.flame, procedural=True, compat=False)
    motions = motion_from_mouth(
        MouthMotion(
            Fraction(25), *(np.array(values, np.float32) for values in ((0.6, 0.6), (0.0, 0.6), *[(0.0, 0.0)] * 4))
        ),
        procedural_shapes(EXPRESSIONS),
        Liveliness(head_motion=0.0, blinks_per_minute=0.0),
    )
    mouths = [drawer.renderer.frame(vertices)[135:165, 105:151] for vertices in drawer.vertices(motions)]
    dark = [np.count_nonzero(mouth.max(axis=2) < 45) for mouth in mouths]
    assert dark[0] == 0
    assert dark[1] > 20


def test_the_eyes_turn_where_they_look(head):
    rest, turned = pose(head), pose(head, look_aside=1.0)
    pupil = np.argmax(rest[:, 2] * (np.linalg.norm(rest[:, :2] - EYE_CENTRE[:2], axis=1) < 0.002))
    gaze = np.arctan2(turned[pupil, 0] - EYE_CENTRE[0], turned[pupil, 2] - EYE_CENTRE[2])
    assert gaze == pytest.approx(GAZE, rel=0.05)
    assert pose(head, look_up=1.0)[pupil, 1] > rest[pupil, 1] + 0.001


def test_hair_lies_on_the_head_and_edges_are_smooth(head):
    drawer = mesh_drawer(ARTalkConfig(image_size=256, background="white"), head.flame, procedural=True, compat=False)
    frame = drawer.renderer.frame(head.flame.template)
    dark = frame.astype(int).sum(axis=2) < 3 * 110
    top = int(np.flatnonzero(dark[:, 128])[0])
    assert 5 < top < 30  # hair under the upper edge of the picture
    grey = (frame.min(axis=2) > 150) & (frame.min(axis=2) < 250)
    outline = np.flatnonzero(np.abs(np.diff(frame[..., 0].astype(int), axis=1)).max(axis=1) > 60)
    assert grey[outline].sum() > 0.5 * len(outline)  # pixels between head and wall take part of both
