"""The seven steps as programs: the same frames as `generate --compat`, and files that do not fit are noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from talkinghead import api
from talkinghead.cli.main import main
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import PrepareOptions
from talkinghead.engine.picture_steps import encode_video
from talkinghead.engine.steps import StageReport
from talkinghead.errors import InputError, OutputExists, StaleStage
from talkinghead.face import FaceOptions
from talkinghead.families.wav2lip import steps
from talkinghead.families.wav2lip.chain import ChainOptions, run_chain
from talkinghead.media import read_picture
from tests.synthetic_media import make_sound, make_video

BOX = (8, 56, 16, 60)
"""top, bottom, left, right"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, thin_checkpoint: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    make_video(folder / "face.mp4", num_frames=7, size=(80, 64))
    make_sound(folder / "speech.wav", seconds=0.5)
    return {"face": folder / "face.mp4", "audio": folder / "speech.wav", "checkpoint": thin_checkpoint}


@pytest.fixture(scope="module")
def finished(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all seven stages have run."""
    workdir = tmp_path_factory.mktemp("work") / "run"
    run_chain(options(inputs, workdir))
    return workdir


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "work"))


def options(inputs: dict[str, Path], workdir: Path, **more: Any) -> ChainOptions:
    choice = steps.FaceChoice(box=BOX)
    return ChainOptions(**inputs, workdir=workdir, faces=choice, network=steps.NetworkChoice(batch_size=4), **more)


def pictures(folder: Path) -> np.ndarray:
    return np.stack([read_picture(path) for path in sorted(folder.glob("*.png"))])


def test_seven_steps_give_the_frames_of_generate(inputs: dict[str, Path], finished: Path) -> None:
    head = api.load("wav2lip", checkpoint=inputs["checkpoint"], device="cpu", compat=True, batch_size=4)
    speech = api.listen(inputs["audio"])
    faces = FaceOptions(box=(BOX[2], BOX[0], BOX[3], BOX[1]))
    avatar = head.prepare(inputs["face"], PrepareOptions(faces=faces, cache=NullCache(), speech=speech))
    streamed = np.stack(list(head.frames(avatar, speech)))
    staged = pictures(finished / "merged_frames")
    np.testing.assert_array_equal(staged, streamed)
    assert len(staged) == len(np.load(finished / "mel_chunks.npy")) == len(list((finished / "patches").glob("*.png")))
    assert np.load(finished / "mel.npy").shape == (80, 41)
    assert np.load(finished / "coords.npy").tolist() == [list(BOX)] * 7
    assert read_picture(finished / "patches" / "00000000.png").shape == (96, 96, 3)
    assert (finished / "output.mp4").stat().st_size > 0


@pytest.mark.thorough
def test_a_run_resumes_and_repeats_only_what_changed(inputs: dict[str, Path], work: Path) -> None:
    assert all(step.skipped for step in run_chain(options(inputs, work)))
    (work / "patches" / "00000003.png").unlink()
    redone = [step.report.stage for step in run_chain(options(inputs, work)) if not step.skipped]
    assert redone == ["run-wav2lip"]  # the same faces again, so what follows is still right
    redone = [step.report.stage for step in run_chain(options(inputs, work, static=True)) if not step.skipped]
    assert redone == ["detect-faces", "run-wav2lip", "paste-patches", "encode-video"]


def test_a_run_stops_where_it_is_told(inputs: dict[str, Path], tmp_path: Path) -> None:
    done = run_chain(options({**inputs, "checkpoint": None}, tmp_path / "w"), "detect-faces")  # type: ignore[dict-item]
    assert [step.report.stage for step in done] == list(steps.NAMES[:4])
    assert sorted(path.name for path in (tmp_path / "w").iterdir() if not path.name.endswith(".stage.json")) == [
        "coords.npy",
        "frames",
        "mel.npy",
        "mel_chunks.npy",
    ]


def test_nothing_is_overwritten_without_force(inputs: dict[str, Path], work: Path) -> None:
    calls: list[Callable[..., Any]] = [
        lambda **force: steps.extract_mel(inputs["audio"], work / "mel.npy", **force),
        lambda **force: steps.chunk_mel(work / "mel.npy", work / "mel_chunks.npy", **force),
        lambda **force: steps.load_frames(inputs["face"], work / "frames", **force),
        lambda **force: steps.detect_faces(
            work / "frames", work / "coords.npy", choice=steps.FaceChoice(box=BOX), **force
        ),
        lambda **force: steps.run_wav2lip(
            inputs["checkpoint"],
            work / "frames",
            work / "mel_chunks.npy",
            work / "coords.npy",
            work / "patches",
            network=steps.NetworkChoice(batch_size=4),
            **force,
        ),
        lambda **force: steps.paste_patches(
            work / "frames", work / "patches", work / "coords.npy", work / "merged_frames", **force
        ),
        lambda **force: encode_video(work / "merged_frames", inputs["audio"], work / "output.mp4", **force),
    ]
    for call in calls:
        with pytest.raises(OutputExists):
            call()
        report = call(force=True)
        assert report.seconds > 0
        assert report.items > 0
    (work / "merged_frames" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"notes\.txt"):
        calls[5](force=True)


def spoil_boxes(work: Path) -> None:
    (work / "coords.npy.stage.json").unlink()
    np.save(work / "coords.npy", np.tile(BOX, (5, 1)))


def spoil_box(work: Path) -> None:
    np.save(work / "coords.npy", np.tile((0, 900, 0, 40), (7, 1)))


def spoil_frames(work: Path) -> None:
    shutil.copy(work / "frames" / "00000000.png", work / "frames" / "00000003.png")


def spoil_numbers(work: Path) -> None:
    (work / "frames" / "00000003.png").unlink()


def spoil_rate(work: Path) -> None:
    steps.chunk_mel(work / "mel.npy", work / "mel_chunks.npy", fps="30", force=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_boxes, "5 boxes"),
        (spoil_box, "leaves the frames"),
        (spoil_frames, "from other frames"),
        (spoil_numbers, "lacks number 3"),
        (spoil_rate, "30 frames per second"),
    ],
)
def test_files_of_another_run_are_noticed(
    inputs: dict[str, Path], work: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(work)
    before = sorted(path.name for path in work.iterdir())
    with pytest.raises(StaleStage, match=message):
        steps.run_wav2lip(
            inputs["checkpoint"], work / "frames", work / "mel_chunks.npy", work / "coords.npy", work / "new"
        )
    assert sorted(path.name for path in work.iterdir()) == before


def test_patches_of_other_boxes_and_a_wrong_rate_are_noticed(inputs: dict[str, Path], work: Path) -> None:
    steps.detect_faces(work / "frames", work / "coords.npy", choice=steps.FaceChoice(box=(0, 40, 0, 40)), force=True)
    with pytest.raises(StaleStage, match="from other coords"):
        steps.paste_patches(work / "frames", work / "patches", work / "coords.npy", work / "new")
    with pytest.raises(StaleStage, match="25 per second"):
        encode_video(work / "merged_frames", inputs["audio"], work / "new.mp4", fps="30")


def test_files_of_other_programs_are_taken(inputs: dict[str, Path], work: Path) -> None:
    """Without records only counts and shapes are compared."""
    for record in work.rglob("*.stage.json"):
        record.unlink()
    report = steps.run_wav2lip(
        inputs["checkpoint"],
        work / "frames",
        work / "mel_chunks.npy",
        work / "coords.npy",
        work / "new",
        network=steps.NetworkChoice(batch_size=4),
    )
    np.testing.assert_array_equal(pictures(work / "new"), pictures(work / "patches"))
    assert report.details["precision"] == "float32"


def test_command_line(inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mel, report = tmp_path / "mel.npy", tmp_path / "report.json"
    arguments = ["stage", "extract-mel", "--audio", str(inputs["audio"]), "--out", str(mel), "--report", str(report)]
    assert main(arguments) == 0
    assert "columns/s" in capsys.readouterr().out
    data = json.loads(report.read_text())
    assert data["stage"] == "extract-mel"
    assert data["items"] == 41
    assert data["seconds"] > 0
    assert main(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["stage", "chunk-mel", "--mel", str(mel), "--fps", "0", "--out", str(tmp_path / "c.npy")]) == 2
    workdir = tmp_path / "w"
    run = ["stage", "run", "--until", "detect-faces", "--workdir", str(workdir), "--face", str(inputs["face"])]
    run += ["--audio", str(inputs["audio"]), "--box", *map(str, BOX), "--report", str(report)]
    assert main(run) == 0
    assert main(run) == 0
    assert [step["skipped"] for step in json.loads(report.read_text())] == [True] * 4


def test_each_stage_is_a_module(inputs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mel.npy"
    command = [sys.executable, "-m", "talkinghead.stages.extract_mel", "--audio", str(inputs["audio"])]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.load(out).shape == (80, 41)


def test_a_file_that_is_no_array_is_refused_without_advice_to_load_it_unsafely(tmp_path: Path) -> None:
    path = tmp_path / "mel.npy"
    path.write_text("not an array")
    with pytest.raises(InputError, match="is not a") as caught:
        steps.chunk_mel(path, tmp_path / "chunks.npy")
    assert "pickle" not in str(caught.value)


def test_boxes_of_an_earlier_run_are_named_as_such() -> None:
    kept = StageReport("detect-faces", "coords.npy", 0.01, 20, "frames", {"from_cache": True})
    assert "found by an earlier run" in kept.text()
    assert "found" not in StageReport("detect-faces", "coords.npy", 0.01, 20, "frames").text()
