"""Several runs on one head: each reports what it did, and none is changed by what came before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.contracts import AudioClip, Speech  # noqa: E402
from talkinghead.engine.cache import Cache, NullCache  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions  # noqa: E402
from talkinghead.errors import OptionError  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip.config import Wav2LipConfig  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.preprocess import network_faces  # noqa: E402
from tests.synthetic_media import make_video  # noqa: E402

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (72, 80, 3), dtype=np.uint8) for _ in range(2)]
BOX = FaceOptions(box=(10, 8, 66, 64))
CLIP = AudioClip(RNG.uniform(-0.5, 0.5, 16_000).astype(np.float32), 16_000)
SPEECH = Speech(CLIP, CLIP)


@pytest.fixture(scope="module")
def checkpoint(thin_checkpoint: Path) -> Path:
    return thin_checkpoint


def load(checkpoint: Path, backend: str = "torch", precision: str = "parity", **family: Any) -> Wav2LipHead:
    options = LoadOptions(checkpoint=checkpoint, device="cpu", backend=backend, precision=precision, family=family)
    return Wav2LipHead(options)


def prepare(head: Wav2LipHead, source: Any, cache: Cache) -> Any:
    return head.prepare(source, PrepareOptions(faces=BOX, cache=cache))


def test_each_run_reports_what_it_did(checkpoint: Path, tmp_path: Path) -> None:
    head = load(checkpoint, silence_gate=False)
    video = make_video(tmp_path / "face.mp4", num_frames=25, size=(80, 72))
    avatar = prepare(head, video, NullCache())
    reports = [head.render(avatar, SPEECH, tmp_path / f"{name}.mp4").report for name in ("one", "two")]
    assert [report.num_frames for report in reports] == [25, 25]
    assert [report.model_details["faces_generated"] for report in reports] == [25, 25]
    assert [report.model_details["windows_encoded"] for report in reports] == [25, 25]
    assert reports[0].model_details["network_open_s"] > 0
    assert reports[1].model_details["network_open_s"] == 0
    assert [stage.name for stage in reports[0].stages] == ["listen", "read", "crop", "generate", "compose", "write"]
    assert [network.name for network in reports[0].networks] == ["generator", "audio encoder"]
    assert reports[0].backend == "torch"
    assert reports[0].precision == "float32"


def test_another_face_between_changes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """Neither the pixels, nor where what was computed of the face is kept."""
    caches = [Cache(tmp_path / name) for name in "ab"]
    clip = AudioClip(CLIP.samples[:4000], 16_000)
    said = Speech(clip, clip)
    alone = load(checkpoint, silence_gate=False)
    expected = list(alone.frames(prepare(alone, PICTURES[0], NullCache()), said))
    head = load(checkpoint, silence_gate=False)
    first = prepare(head, PICTURES[0], caches[0])
    prepare(head, PICTURES[1], NullCache())
    second = prepare(head, PICTURES[1], caches[1])
    kept = len(caches[1])
    frames = list(head.frames(first, said))
    assert len(caches[0]) > 0
    assert len(caches[1]) == kept
    np.testing.assert_array_equal(frames, expected)
    other = list(head.frames(second, said))
    assert len(caches[1]) == kept + 1  # the features of its face
    assert (np.stack(other) != np.stack(expected)).any()
    np.testing.assert_array_equal(list(head.frames(first, said)), expected)


def test_compiled_networks_are_kept_in_the_cache_of_the_avatar(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from talkinghead.backends import artefacts

    head = load(checkpoint, backend="openvino", silence_gate=False)
    avatar = prepare(head, PICTURES[0], Cache(tmp_path / "a"))
    prepare(head, PICTURES[1], NullCache())
    short = AudioClip(CLIP.samples[:3200], 16_000)
    list(head.frames(avatar, Speech(short, short)))
    artefacts.wait()
    assert artefacts.any_in(artefacts.compiled_folder(tmp_path / "a"))


class GreySession:
    """Takes the place of every network: hears nothing, makes grey faces."""

    facts = SimpleNamespace(from_cache=False)

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        if "mel" in inputs:
            return {"audio": np.zeros((len(inputs["mel"]), 512, 1, 1), np.float32)}
        return {"output": np.full((len(inputs["face"]), 3, 96, 96), 0.5, np.float32)}

    def run_many(self, batches: Iterable[Any]) -> Iterator[dict[str, np.ndarray]]:
        return map(self.run, batches)

    def close(self) -> None:
        pass


def test_eight_bits_are_calibrated_on_the_faces_of_each_run(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the sound begins silent."""
    calibrated: list[Any] = []

    def opened(net: Any, placement: Any, *, int8_samples: Any = None, **_: Any) -> GreySession:
        if placement.precision == "int8":
            calibrated.append(int8_samples)
        return GreySession()

    monkeypatch.setattr("talkinghead.families.wav2lip.engine.open_session", opened)
    clip = AudioClip(np.concatenate([np.zeros(16_000, np.float32), CLIP.samples[:4000]]), 16_000)
    head = load(checkpoint, backend="onnx", precision="int8")
    for picture in PICTURES:
        avatar = prepare(head, picture, NullCache())
        list(head.frames(avatar, Speech(clip, clip)))
        face = network_faces(head.engine.crop(picture, np.array(BOX.box))[None])
        for sample in calibrated[-1]:
            np.testing.assert_array_equal(sample["face"], face)
    assert len(calibrated) == 2


def test_published_names_become_face_options_in_one_place() -> None:
    given = FaceOptions()
    assert Wav2LipConfig().face_options(given).padding == (0, 10, 0, 0)
    assert Wav2LipConfig(pads=(1, 2, 3, 4)).face_options(given).padding == (1, 2, 3, 4)
    assert Wav2LipConfig().face_options(FaceOptions(padding=(5, 5, 5, 5))).padding == (5, 5, 5, 5)
    assert Wav2LipConfig().face_options(BOX).padding == (0, 0, 0, 0)
    assert Wav2LipConfig(face_index=2).face_options(given).select == "index:2"
    assert Wav2LipConfig(face_index=2).face_options(FaceOptions(select="index:2")).select == "index:2"
    assert Wav2LipConfig().face_options(FaceOptions(select="only")).select == "only"
    with pytest.raises(OptionError, match="padding"):
        Wav2LipConfig(pads=(1, 2, 3, 4)).face_options(FaceOptions(padding=(5, 5, 5, 5)))
    with pytest.raises(OptionError, match="index:1"):
        Wav2LipConfig(face_index=2).face_options(FaceOptions(select="index:1"))
