"""`synthesize-fuse`: the complete program against the original's frames, and its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.contracts import Frame
from talkinghead.errors import InputError, MediaNotFound, OptionError, UnreadableMedia
from talkinghead.families.talkinggaussian import published
from talkinghead.families.talkinggaussian.published import FuseOptions, plan_frames, synthesize_fuse
from talkinghead.families.talkinggaussian.scene import read_poses
from talkinghead.media import open_frames, probe
from tests.tolerances import tolerance


class Collector:
    """In place of the video writers: keeps the frames."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Frame]] = {}

    def open(self, stack: Any, path: Path, *_: Any) -> Any:
        kept = self.frames.setdefault(f"{path.parent.name}/{path.name}", [])
        return SimpleNamespace(write=lambda frame: kept.append(frame.copy()))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[FuseOptions], dict[str, np.ndarray]]:
    def call(options: FuseOptions) -> dict[str, np.ndarray]:
        collector = Collector()
        monkeypatch.setattr(published, "_writer", collector.open)
        synthesize_fuse(options)
        return {name: np.stack(frames) for name, frames in collector.frames.items()}

    return call


def close_bytes(ours: np.ndarray, golden: np.ndarray, sure: np.ndarray | None = None) -> None:
    difference = np.abs(ours.astype(int) - golden)
    if sure is not None:
        difference = difference[sure]
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def close_statistics(frames: np.ndarray, golden: np.ndarray) -> None:
    values = frames.astype(np.float64)
    measured = [values.mean(), values.std(), values.min(), values.max()]
    np.testing.assert_allclose(measured, golden, atol=tolerance("talkinggaussian/end_to_end:stats"))


def test_eval_run_matches_the_original(kit: SimpleNamespace, scene: SimpleNamespace, run: Any) -> None:
    golden = kit.golden("end_to_end")
    videos = run(FuseOptions(scene.data, scene.model, eval=True))
    assert list(videos) == ["renders/out.mp4", "renders/out_face.mp4", "renders/out_mouth.mp4", "gt/out.mp4"]
    close_bytes(videos["renders/out.mp4"], golden["eval_out"], ~golden["eval_fragile"])
    close_bytes(videos["renders/out_face.mp4"][:2], golden["eval_face"])
    close_bytes(videos["renders/out_mouth.mp4"][:2], golden["eval_mouth"])
    close_statistics(videos["renders/out_face.mp4"], golden["eval_face_stats_f64"])
    close_statistics(videos["renders/out_mouth.mp4"], golden["eval_mouth_stats_f64"])
    golden.check("eval_gt_mean", videos["gt/out.mp4"].mean(axis=(1, 2, 3)))


def test_dilated_run_matches_the_original(kit: SimpleNamespace, scene: SimpleNamespace, run: Any) -> None:
    golden = kit.golden("end_to_end")
    videos = run(FuseOptions(scene.data, scene.model, eval=True, dilate=True, fast=True))
    assert list(videos) == ["renders/out.mp4"]
    close_bytes(videos["renders/out.mp4"][:2], golden["dilate_out"], ~golden["eval_fragile"][:2])
    close_statistics(videos["renders/out.mp4"], golden["dilate_stats_f64"])


def test_run_on_other_audio_matches_the_original(kit: SimpleNamespace, scene: SimpleNamespace, run: Any) -> None:
    golden = kit.golden("end_to_end")
    options = FuseOptions(scene.data, scene.model, use_train=True, audio=scene.data / "custom.npy", fast=True)
    frames = run(options)["renders/out.mp4"]
    assert len(frames) == int(golden["custom_n"])
    close_bytes(frames[golden["custom_index"]], golden["custom_out"])
    close_statistics(frames, golden["custom_stats_f64"])


def test_where_a_video_stops(scene: SimpleNamespace) -> None:
    train, val = (read_poses(scene.data / f"transforms_{name}.json") for name in ("train", "val"))
    assert plan_frames(train, 5, custom_audio=False).codes == (0, 1, 2, 3, 4, 5)  # img_id equal to the rows is rendered
    assert plan_frames(train, 5, custom_audio=True).codes == (0, 1, 2, 3, 4)
    assert plan_frames(val, 14, custom_audio=False).codes == (12, 13, 14)
    assert plan_frames(val, 14, custom_audio=True).codes == (0, 1, 2, 3)


def test_command_writes_the_published_files(
    scene: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "my model.v1"
    shutil.copytree(scene.model, model)
    before = {path.name for path in scene.data.iterdir()}
    status = main(
        ["synthesize-fuse", "-S", str(scene.data), "-M", str(model), "--eval", "--audio_extractor", "deepspeech",
         "--sh_degree", "2", "--init_num", "7", "-r", "1", "--json", "-q"]
    )  # fmt: skip
    assert status == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_frames"] == 4
    folder = model / "test" / "ours_None"
    names = ["renders/out.mp4", "renders/out_face.mp4", "renders/out_mouth.mp4", "gt/out.mp4"]
    assert report["videos"] == [str(folder / name) for name in names]
    assert {path.name for path in scene.data.iterdir()} == before  # nothing is written into the dataset
    for name in names:
        found = probe(folder / name)
        assert found.video is not None
        source = open_frames(folder / name)
        assert (len(source), source.size, source.fps) == (4, (96, 72), Fraction(25))
        assert not found.audio
    assert not list(folder.rglob("*.part*"))
    # --fast --use_train goes elsewhere and writes one file
    assert main(["synthesize-fuse", "-s", str(scene.data), "-m", str(model), "--use_train", "--fast", "-q"]) == 0
    assert [p.name for p in (model / "train" / "ours_None").rglob("*.mp4")] == ["out.mp4"]


def test_only_what_rendering_needs_is_needed(fresh_data: Callable[[], Path], scene: SimpleNamespace, run: Any) -> None:
    data = fresh_data()
    for name in ("ori_imgs", "gt_imgs", "parsing", "teeth_mask"):
        shutil.rmtree(data / name)
    (data / "transforms_train.json").unlink()
    videos = run(FuseOptions(data, scene.model, eval=True))
    assert list(videos) == ["renders/out.mp4", "renders/out_face.mp4", "renders/out_mouth.mp4"]
    with pytest.raises(MediaNotFound, match="transforms_train"):
        synthesize_fuse(FuseOptions(data, scene.model, use_train=True))


def test_white_background_leaves_the_composite_right(scene: SimpleNamespace, run: Any) -> None:
    plain, white = (run(FuseOptions(scene.data, scene.model, eval=True, white_background=on)) for on in (False, True))
    close_bytes(white["renders/out.mp4"], plain["renders/out.mp4"])
    black_behind, white_behind = plain["renders/out_mouth.mp4"], white["renders/out_mouth.mp4"]
    assert (white_behind >= black_behind).all()
    assert (white_behind == 255).mean() > (black_behind == 255).mean() + 0.5


def test_iteration_is_honoured(scene: SimpleNamespace, tmp_path: Path, run: Any) -> None:
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(scene.model / "chkpnt_fuse_latest.pth", model / "chkpnt_fuse_10000.pth")
    assert len(run(FuseOptions(scene.data, model, eval=True, fast=True, iteration=10000))["renders/out.mp4"]) == 4


def test_wrong_inputs_are_said_clearly(
    fresh_data: Callable[[], Path], scene: SimpleNamespace, tmp_path: Path, run: Any
) -> None:
    data = fresh_data()
    with pytest.raises(OptionError, match="trained with the features of deepspeech, not of hubert"):
        synthesize_fuse(FuseOptions(data, scene.model, audio_extractor="hubert"))
    np.save(tmp_path / "hu.npy", np.zeros((9, 2, 1024), np.float32))
    with pytest.raises(UnreadableMedia, match="features of hubert"):
        synthesize_fuse(FuseOptions(data, scene.model, audio=tmp_path / "hu.npy"))
    (data / "aud_ds.npy").rename(data / "aud.npy")
    with pytest.raises(MediaNotFound, match=r"rename aud\.npy"):
        synthesize_fuse(FuseOptions(data, scene.model, eval=True))
    np.save(data / "aud_ds.npy", np.zeros((4, 16, 29)))
    with pytest.raises(InputError, match="nothing to render"):
        synthesize_fuse(FuseOptions(data, scene.model, eval=True))
