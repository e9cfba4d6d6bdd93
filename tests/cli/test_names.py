"""Names of files that are legal and rare: for what is read and for what is written, to the end."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkinghead.audio.cues import FORMATS, format_cues, parse_cues
from talkinghead.contracts import MouthCue
from talkinghead.media import probe
from tests.cli.conftest import Ran
from tests.synthetic_media import make_picture, make_sound

pytestmark = pytest.mark.usefixtures("stripes")

STRIPES = ("generate", "--model", "stripes", "-q")
Run = Callable[..., Ran]

LONG = {
    "ideographs": "名" * 83,
    "emoji": "🎬" * 62,
    "joined emoji": "👩‍👩‍👧‍👦" * 10,
    "combining": "e\u0301\u0323" * 50,
    "right to left": "שלום" * 31,
    "many suffixes": ".".join(["ab"] * 83),
}
"""Stems of 240 to 250 bytes."""

ODD = {
    "not utf-8": os.fsdecode(b"caf\xe9"),
    "bytes": os.fsdecode(b"\x80\xff\xfe"),
    "newline": "two\nlines",
    "return": "a\rb",
    "tab": "a\tb",
    "escape": "\x1b[31mred\x07",
    "quotes": 'it\'s "quoted" `here`',
    "percent": "100%d%s%(name)s%%03d",
    "braces": "{} {0} {name} {{",
    "brackets": "[red]bold[!red]",
    "markup": "<b>&amp;<b>]]>",
    "dollar": "$HOME $(true) *?",
    "colon": "http://x".replace("/", ":"),
    "protocol": "concat:a|b",
    "dash": "-o",
    "two dashes": "--report",
    "spaces": "  a  ",
    "backslash": "a\\b\\",
    "dots": "..a..",
    "tilde": "~",
    "hash": "#a;b",
    "no character": "\ufffe\uffff\u2028",
    "override": "a\u202egnp.b",
}


@pytest.mark.parametrize("stem", [*LONG.values(), *ODD.values()], ids=[*LONG, *ODD])
def test_a_name_for_everything(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str) -> None:
    """Face, sound, video and report of one name, in a folder of that name."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / stem[: 60 if stem in LONG.values() else None]
    folder.mkdir()
    face = make_picture(tmp_path / "a.png").rename(folder / f"{stem}.png")
    sound = make_sound(tmp_path / "a.wav", 0.2).rename(folder / f"{stem}.wav")
    video, report = (folder / f"{stem}{suffix}" for suffix in (".mp4", ".txt"))
    ran = run(*STRIPES, "--face", face, "--audio", sound, "-o", video, "--report", report)
    assert ran.status == 0, ran.err
    assert probe(video).main_video is not None
    assert json.loads(report.read_text(encoding="utf-8"))["output"] == str(video)
    assert "\x1b" not in ran.out + ran.err
    assert set(os.listdir(folder)) == {face.name, sound.name, video.name, report.name}
    assert os.listdir(tmp_path) == [folder.name]


@pytest.mark.thorough
def test_cue_files_name_their_sound(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sound = make_sound(Path("a.wav"), 0.3).rename(os.fsdecode(b"-caf\xe9.wav"))
    for format in ("json", "xml", "tsv"):
        ran = run("cues", "-o", f"cues.{format}", "--", sound)
        assert ran.status == 0, ran.err
    assert json.loads(Path("cues.json").read_text(encoding="utf-8"))["metadata"]["soundFile"] == str(sound)
    assert ET.parse("cues.xml").findtext("metadata/soundFile") == "-caf\\udce9.wav"
    ran = run("cues", "--format", "json", "--", sound)
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["metadata"]["soundFile"] == str(sound)


@pytest.mark.parametrize("stem", ODD.values(), ids=list(ODD))
def test_every_name_in_a_cue_file(stem: str) -> None:
    cues = (MouthCue(0.0, 0.5, "X"), MouthCue(0.5, 1.0, "D"))
    for format in FORMATS:
        text = format_cues(cues, format, sound_file=stem)
        assert parse_cues(text.encode("utf-8").decode("utf-8"), format)
    assert json.loads(format_cues(cues, "json", sound_file=stem))["metadata"]["soundFile"] == stem
    named = ET.fromstring(format_cues(cues, "xml", sound_file=stem).encode()).findtext("metadata/soundFile")
    lost = any((ord(c) < 32 and c not in "\t\n\r") or 0xD800 <= ord(c) <= 0xDFFF or c in "\ufffe\uffff" for c in stem)
    assert named is not None
    assert named == stem or (lost and "\\" in named and not any(ord(character) < 32 for character in named))


@pytest.mark.parametrize("stem", ODD.values(), ids=list(ODD))
def test_checkpoints_and_looks(run: Run, tmp_path: Path, stem: str) -> None:
    np.savez(tmp_path / "w.npz", x=np.zeros(3, np.float32))
    weights = (tmp_path / "w.npz").rename(tmp_path / f"{stem}.npz")
    out = tmp_path / f"{stem}.safetensors"
    assert run("models", "convert", weights, out).status == 0
    picture = make_picture(tmp_path / "a.png").rename(tmp_path / f"{stem}.png")
    ran = run("inspect", "--no-faces", "--json", picture)
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["media"]["path"] == str(picture)
    assert set(os.listdir(tmp_path)) == {weights.name, out.name, picture.name}


@pytest.mark.parametrize("stem", [*LONG.values(), *ODD.values()], ids=[*LONG, *ODD])
def test_names_of_steps_and_their_records(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str) -> None:
    monkeypatch.chdir(tmp_path)
    sound = make_sound(Path("a.wav"), 0.5).rename(f"{stem}.wav")
    mel, windows = Path(f"{stem}.npy"), Path("windows.npy")
    ran = run("stage", "extract-mel", f"--audio={sound}", f"--out={mel}", f"--report={stem}.txt")
    assert ran.status == 0, ran.err
    ran = run("stage", "chunk-mel", f"--mel={mel}", f"--out={windows}")
    assert ran.status == 0, ran.err
    assert len(os.listdir()) == 6


def test_several_videos_of_long_names(run: Run, tmp_path: Path) -> None:
    """The names of face and sound together are more than a file system takes."""
    faces = [make_picture(tmp_path / "a.png").rename(tmp_path / f"{'脸' * 80}{k}.png") for k in range(2)]
    sounds = [make_sound(tmp_path / "a.wav", 0.1).rename(tmp_path / f"{'声' * 80}{k}.wav") for k in range(2)]
    out = tmp_path / "out"
    ran = run(*STRIPES, "--face", *faces, "--audio", *sounds, "-o", f"{out}/")
    assert ran.status == 0, ran.err
    assert len(os.listdir(out)) == 4


def test_several_videos_of_names_that_differ_in_case(run: Run, tmp_path: Path) -> None:
    face = make_picture(tmp_path / "a.png")
    for name in ("x", "X", "y"):
        (tmp_path / name).mkdir()
    sounds = [make_sound(tmp_path / name, 0.1) for name in ("x/One.wav", "X/one.wav", "y/ONE.wav")]
    ran = run(*STRIPES, "--face", face, "--audio", *sounds, "-o", tmp_path / "out")
    assert ran.status == 0, ran.err
    assert sorted(os.listdir(tmp_path / "out")) == ["ONE-3.mp4", "One.mp4", "one-2.mp4"]


@pytest.mark.parametrize(
    ("name", "status"),
    [("名" * 84 + ".mp4", 1), ("a" * 252 + ".mp4", 1), ("x/" * 2100 + "o.mp4", 2)],
    ids=["256 bytes", "ascii", "deep"],
)
def test_a_name_that_is_too_long_is_refused_at_once(run: Run, tmp_path: Path, name: str, status: int) -> None:
    face, sound = make_picture(tmp_path / "a.png"), make_sound(tmp_path / "a.wav", 0.1)
    for arguments in (
        (*STRIPES, "--face", face, "--audio", sound, "-o", tmp_path / name),
        (*STRIPES, "--face", face, "--audio", sound, "-o", tmp_path / "o.mp4", "--report", tmp_path / name),
        ("cues", sound, "--format", "json", "-o", tmp_path / name),
        ("stage", "extract-mel", "--audio", sound, "--out", tmp_path / name),
    ):
        ran = run(*arguments)
        assert ran.status == status, ran
        assert "fault" not in ran.err
        assert sorted(os.listdir(tmp_path)) == ["a.png", "a.wav"]


@pytest.mark.parametrize("depth", [10, 300])
def test_folders_in_folders(run: Run, tmp_path: Path, depth: int) -> None:
    deep = tmp_path.joinpath(*["名"] * depth)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep)) < 3800
    face, sound = make_picture(tmp_path / "a.png"), make_sound(tmp_path / "a.wav", 0.1)
    ran = run(*STRIPES, "--face", face, "--audio", sound, "-o", deep / "o.mp4", "--report", deep / "r.json")
    assert ran.status == 0, ran.err
    assert sorted(os.listdir(deep)) == ["o.mp4", "r.json"]


# Folders after -o -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("named", ["new/", "new/deeper/", "there/", "there", "./new/../new/"])
def test_a_folder_is_made_for_one_video_as_for_two(run: Run, tmp_path: Path, named: str, count: int) -> None:
    (tmp_path / "there").mkdir()
    face = make_picture(tmp_path / "a.png")
    sounds = [make_sound(tmp_path / f"{k}.wav", 0.1) for k in range(count)]
    ran = run(*STRIPES, "--face", face, "--audio", *sounds, "-o", f"{tmp_path}/{named}",
              "--report", f"{tmp_path}/{named}/r.json")  # fmt: skip
    assert ran.status == 0, ran.err
    assert sorted(os.listdir(tmp_path / named)) == [*(f"{k}.mp4" for k in range(count)), "r.json"]


def test_a_folder_for_pictures(run: Run, tmp_path: Path) -> None:
    face, sound = make_picture(tmp_path / "a.png"), make_sound(tmp_path / "a.wav", 0.1)
    ran = run(*STRIPES, "--face", face, "--audio", sound, "-o", f"{tmp_path}/new/", "--codec", "png")
    assert ran.status == 0, ran.err
    assert sorted(os.listdir(tmp_path / "new" / "a"))[0] == "000000.png"


@pytest.mark.parametrize("named", ["none/o.mp4", "a.wav/o.mp4", "a.wav/", "a.wav/new/"])
def test_a_folder_that_is_missing_or_none(run: Run, tmp_path: Path, named: str) -> None:
    """A file in a folder that is not there is more often a slip than a wish."""
    face, sound = make_picture(tmp_path / "a.png"), make_sound(tmp_path / "a.wav", 0.1)
    ran = run(*STRIPES, "--face", face, "--audio", sound, "-o", f"{tmp_path}/{named}")
    assert ran.status == 1, ran
    assert "folder" in ran.err
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.wav"]


def test_a_folder_that_was_made_for_a_video_that_fails_is_gone(run: Run, tmp_path: Path) -> None:
    face, sound = make_picture(tmp_path / "a.png"), make_sound(tmp_path / "a.wav", 0.4)
    ran = run(*STRIPES, "--face", face, "--audio", sound, "-o", f"{tmp_path}/new/x/", "--fail-at", "3")
    assert ran.status == 1
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.wav"]


# What is read is never written ----------------------------------------------------------------------------------------


def test_the_cases_that_were_lost(run: Run, tmp_path: Path) -> None:
    face, sound = make_picture(tmp_path / "face.png"), make_sound(tmp_path / "a.wav", 0.2)
    words = tmp_path / "words.srt"
    words.write_text("Hello.")
    os.link(face, tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to("a.wav")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    base = [*STRIPES, "--face", face, "--audio", sound, "-o", tmp_path / "o.mp4"]
    for more in (
        ["--report", face],
        ["--report", tmp_path / "o.mp4"],
        ["--report", tmp_path / "O.MP4"],
        ["--report", tmp_path / "hard.json"],
        ["--report", tmp_path / "soft.json"],
        ["--audio", sound, face, "--report", face],
    ):
        ran = run(*base, *more)
        assert ran.status == 2, (more, ran)
    for arguments in (
        ["cues", sound, "-o", sound, "--format", "json"],
        ["cues", sound, "-o", tmp_path / "soft.json"],
        [*STRIPES, "--face", face, "--text-file", words, "-o", tmp_path / "o.mp4", "--report", words],
    ):
        ran = run(*arguments)
        assert ran.status == 2, (arguments, ran)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_video_is_not_the_face_of_another(run: Run, tmp_path: Path) -> None:
    face = make_picture(tmp_path / "b.png")
    sounds = [make_sound(tmp_path / f"{name}.wav", 0.1) for name in "ab"]
    made = tmp_path / "out"
    made.mkdir()
    (made / "a.mp4").symlink_to(sounds[1])
    before = sounds[1].read_bytes()
    ran = run(*STRIPES, "--face", face, "--audio", *sounds, "-o", made)
    assert ran.status == 2
    assert sounds[1].read_bytes() == before
