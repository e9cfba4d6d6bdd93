"""The command that measures mouths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.errors import MediaNotFound
from talkinghead.measure.mouth_bench import read_corpus
from talkinghead.service import mouth_bench
from talkinghead.service.mouth_bench import faces_in, made_faces, main, score_faces

CORPUS = Path(__file__).resolve().parent.parent / "data" / "mouth_corpus"


@pytest.mark.thorough
def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CORPUS), "--phones", "exact", "--every", "5"]) == 0
    table = capsys.readouterr().out
    assert "closed at p b m" in table
    assert table.splitlines()[-1].startswith("all")
    assert main([str(CORPUS), "--phones", "exact", "--every", "5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["all"]["closed_at_bilabials"] == 1.0


def test_sound_that_arrives_is_measured_by_the_same_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CORPUS), "--live", "--every", "10", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["all"]
    assert scores["methods"] == {"live": 2}
    assert scores["closed_at_bilabials"] > 0.8
    with pytest.raises(SystemExit):
        main([str(CORPUS), "--live", "--phones", "exact"])
    assert "leave out" in capsys.readouterr().err


def test_what_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nowhere/at/all"]) == 2
    assert main([str(CORPUS), "--pixels", "--every", "20"]) == 1
    assert "face-mesh" in capsys.readouterr().err
    (tmp_path / "README.md").touch()
    with pytest.raises(MediaNotFound, match="no face"):
        faces_in([tmp_path])
    with pytest.raises(MediaNotFound, match="no face"):
        faces_in([tmp_path / "me.jpg"])
    (tmp_path / "me.jpg").touch()
    assert faces_in([tmp_path]) == {"me.jpg": tmp_path / "me.jpg"}


def test_made_faces_are_pictures_of_one_face() -> None:
    pytest.importorskip("skimage")
    made = made_faces()
    assert len(made) >= 6
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in made.values())
    assert len({picture.tobytes() for picture in made.values()}) == len(made)


def test_every_face_says_every_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = read_corpus(CORPUS)[:2]
    said: list[tuple[str, object]] = []

    class Echo:
        """A head whose mouth does what the phones say: the gap is the value of all pixels."""

        def prepare(self, face: str, options: object) -> str:
            return face

        def frames(self, avatar: str, speech: SimpleNamespace, options: SimpleNamespace) -> Iterator[Frame]:
            said.append((avatar, speech.phones))
            closed = [each for each in speech.phones if each.label in ("P", "B", "M", "SIL")]
            for index in range(speech.clip.num_frames(options.fps)):
                t = (index + 0.5) / float(options.fps)
                shut = avatar == "never opens" or any(each.start_s - 0.04 <= t < each.end_s + 0.04 for each in closed)
                yield np.full((2, 2, 3), 0 if shut else 20, np.uint8)

    monkeypatch.setattr(mouth_bench, "inner_lip_gaps", lambda frames, _: np.array([f[0, 0, 0] / 100 for f in frames]))
    faces = {"a": "speaks", "b": "never opens"}
    scores = score_faces(Echo(), faces, utterances, None, recognised=False)  # type: ignore[arg-type]
    assert list(scores) == ["a", "b", "all"]
    assert [name for name, _ in said] == ["speaks", "speaks", "never opens", "never opens"]
    assert said[0][1] == utterances[0].phones
    assert (scores["a"].closed_share, scores["a"].false_closed_share) == (1.0, 0.0)
    assert scores["b"].false_closed_share == 1.0
    assert scores["all"].bilabials == 2 * scores["a"].bilabials
