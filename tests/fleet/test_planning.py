"""From a table to jobs: what columns mean, what is wrong with rows, what a job is known by."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import InputError, StorageError
from talkinghead.files import file_sha256
from talkinghead.fleet.columns import Columns
from talkinghead.fleet.contents import Contents, Memory, forget_all, memory_size, sound_seconds
from talkinghead.fleet.job import Job
from talkinghead.fleet.planning import FAULTS_SHOWN, Plan, TableError, make_plan, text_seconds
from talkinghead.fleet.table import open_table
from talkinghead.service.groups import request_flags
from talkinghead.service.request import Request
from talkinghead.storage.address import Address
from talkinghead.storage.store import Stat, open_store
from tests.synthetic_media import make_picture, make_sound

Make = Callable[..., Plan]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with two faces and two sounds."""
    for index, name in enumerate(("ann.png", "bob.png")):
        make_picture(tmp_path / name, index=index)
    make_sound(tmp_path / "long.wav", 3.0)
    make_sound(tmp_path / "short.wav", 1.0)
    return tmp_path


@pytest.fixture
def plan_of(desk: Path) -> Make:
    """The plan of a table that stands on the desk."""

    def make(*rows: Mapping[str, Any], out: Path | str = "out", memory: Memory | None = None, **options: Any) -> Plan:
        table = desk / "jobs.jsonl"
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
        columns = Columns(Address.of(desk), **options)
        return make_plan(open_table(table), "jobs", columns, Contents(open_store, memory), Address.of(desk / out))

    return make


ANN = {"face": "ann.png", "audio": "short.wav"}


def faults(make: Make, *rows: Mapping[str, Any], **options: Any) -> tuple[str, ...]:
    with pytest.raises(TableError) as caught:
        make(*rows, **options)
    return caught.value.faults


def one(plan: Plan) -> Job:
    (job,) = plan
    return job


# What columns mean ----------------------------------------------------------------------------------------------------


def test_a_row_is_what_generate_would_be_given(plan_of: Make, desk: Path) -> None:
    row = {
        "face": "ann.png", "audio": "long.wav", "start": 0.5, "duration": "2", "fps": "30000/1001", "crf": 30,
        "idle-motion": False, "cache": False, "face_start": 1, "output": "lessons/one",
    }  # fmt: skip
    job = one(plan_of(row))
    request = Request.from_dict(json.loads(json.dumps(dict(job.request))))
    assert request.source == str(desk / "ann.png")
    assert request.to_dict()["speech"] == {"path": str(desk / "long.wav"), "start_s": 0.5, "duration_s": 2.0}
    assert (request.render.fps, request.render.encode.crf) == (pytest.approx(30000 / 1001), 30)
    assert request.load.family == {"idle_motion": False}
    assert request.prepare.frames.start_s == 1
    assert request.to_dict()["prepare"]["cache"] is False
    assert job.output == str(desk / "out" / "lessons" / "one.mp4")
    assert request.output == Path("one.mp4")
    assert (job.row, job.seconds) == (1, 2.0)
    assert job.bytes_read == sum((desk / name).stat().st_size for name in ("ann.png", "long.wav"))
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))).key == job.key


def test_every_option_of_generate_is_a_column(desk: Path) -> None:
    columns = Columns(Address.of(desk))
    refused = {flag.flag for flag in request_flags() if columns.problem(flag.flag[2:].replace("-", "_"))}
    assert refused == {"--overwrite", "--profile", "--save-frames"}  # of the whole table; what lies beside a video


def test_defaults_leave_room_for_what_a_row_has_itself(plan_of: Make, desk: Path, monkeypatch: Any) -> None:
    elsewhere = desk / "here"
    elsewhere.mkdir()
    shutil.copy(desk / "bob.png", elsewhere / "bob.png")
    monkeypatch.chdir(elsewhere)
    defaults = {"face": "bob.png", "text": "Hello.", "lang": "en", "fps": "30", "mode": "ave"}
    first, second, third = plan_of(ANN, {"audio": "long.wav", "fps": 12}, {}, defaults=defaults)
    assert [job.request["source"] for job in (first, second)] == [str(desk / "ann.png"), str(elsewhere / "bob.png")]
    assert [job.request["render"]["fps"] for job in (first, second)] == ["30", "12"]
    assert "path" in first.request["speech"]
    assert third.request["speech"] == {"text": "Hello.", "options": {"lang": "en"}}
    with pytest.raises(InputError, match=r"--set fase: .* Did you mean 'face'"):
        plan_of(ANN, defaults={"fase": "bob.png"})


def test_videos_are_named_by_a_pattern(plan_of: Make) -> None:
    rows = [
        {**ANN, "course": "a/b: intro", "output": ""},
        {"face": "bob.png", "text": "Hello.", "course": "x", "codec": "vp9"},
        {**ANN, "course": "x", "output": "own.webm"},
    ]
    made = plan_of(*rows, pattern="{course}/{row}-{audio.stem}-{source.stem}")
    assert [job.output.partition("/out/")[2] for job in made] == [
        "a_b_ intro/000001-short-ann.mp4", "x/000002-text-bob.webm", "own.webm",
    ]  # fmt: skip
    assert [job.output.partition("/out/")[2] for job in plan_of(ANN)] == ["000001-short.mp4"]
    assert faults(plan_of, ANN, pattern="{course}") == ("row 1: The name of its video needs course, and it has none.",)
    (table := Path(plan_of(ANN).out.path.parent / "jobs.csv")).write_text("face,audio\nann.png,short.wav\n")
    columns = Columns(Address.of(table.parent), pattern="{course}")
    with pytest.raises(InputError, match="no such column"):
        make_plan(open_table(table), "jobs", columns, Contents(open_store), Address.of(table.parent / "out"))
    with pytest.raises(InputError, match="stem, name or suffix"):
        Columns(Address.of(table.parent), pattern="{audio.__class__}")


# What is wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"fase": "ann.png"}, "no option 'fase'. Did you mean 'face'? A column that is for others is left out by"),
        ({"overwrite": "true"}, "overwrite cannot be a column"),
        ({"profile": "trace.json"}, "profile cannot be a column"),
        ({"face": "an.png"}, "There is no file"),
        ({"audio": "shirt.wav"}, "There is no file"),
        ({"audio": "ann.png"}, "no sound"),
        ({"phones": "none.json"}, "There is no file"),
        ({"detector_model": "models/none.onnx"}, "detector_model: there is no file"),
        ({"audio": ""}, "neither audio nor text"),
        ({"text": "Hello."}, "both audio and text"),
        ({"audio": "", "text": "Hello.", "start": 1}, "start has no effect with text"),
        ({"voice": "f2"}, "voice has no effect with audio"),
        ({"template": "ann.png"}, "both face and template"),
        ({"face": ""}, "needs face, and it is missing"),
        ({"face": "", "scene": "ann.png"}, "does not take scene"),
        ({"model": "wav2li"}, "no model 'wav2li'"),
        ({"mode": "ave"}, "mode is an option of synctalk2d, not of viseme"),
        ({"fps": "fast"}, "fps is 'fast'. Accepted: 25 or 30000/1001"),
        ({"duration": -1}, "duration is '-1'. Accepted: more than 0"),
        ({"idle_motion": "perhaps"}, "idle_motion is 'perhaps'. Accepted: true or false"),
        ({"loop": "round"}, "loop is 'round'"),
        ({"output": "../x.mp4"}, "output is '../x.mp4'. Accepted: a relative name"),
        ({"output": "/x.mp4"}, "output is '/x.mp4'"),
        ({"output": ".talkinghead/x.mp4"}, "that folder is for records"),
        ({"output": "x.xyz"}, "not written as '.xyz'"),
        ({"output": "x" * 300}, "too long"),
        ({"codec": "png"}, "folder of pictures"),
        ({"face": "ftp://there/x.png"}, "scheme 'ftp'"),
    ],
)
def test_what_is_wrong_with_a_row(plan_of: Make, row: Mapping[str, Any], says: str) -> None:
    (fault,) = faults(plan_of, {**ANN, "output": "good"}, {**ANN, **row})
    assert fault.startswith("row 2: ")
    assert says in fault
    assert "--" not in fault.replace("by: --ignore", "").replace("by --overwrite", "")


def test_two_rows_with_one_video(plan_of: Make) -> None:
    rows = [{**ANN, "output": name} for name in ("a.mp4", "b.mp4", "A.mp4", "a")]
    assert faults(plan_of, *rows) == (
        "row 3: its video is 'A.mp4', and so is that of row 1.",
        "row 4: its video is 'a.mp4', and so is that of row 1.",
    )


def test_a_video_in_the_place_of_what_is_read(plan_of: Make, desk: Path) -> None:
    (desk / "link").symlink_to(desk)
    make_sound(desk / "said.mp4", 1.0)
    row = {"face": "ann.png", "audio": "said.mp4", "output": "said.mp4"}
    (fault,) = faults(plan_of, row, out="link")
    assert "would replace what is read" in fault


def test_all_faults_are_told_at_once(plan_of: Make) -> None:
    rows = [{"face": "none.png", "audio": "short.wav"} if i % 2 else {**ANN, "fps": "x"} for i in range(60)]
    with pytest.raises(TableError) as caught:
        plan_of(*rows)
    assert caught.value.count == 60
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [f"row {i + 1}" for i in range(FAULTS_SHOWN)]
    assert "60 faults in 60 rows" in str(caught.value)
    assert str(caught.value).endswith("and 40 more")


def test_a_table_without_rows(plan_of: Make) -> None:
    with pytest.raises(InputError, match="no rows"):
        plan_of()


# What a job is known by -----------------------------------------------------------------------------------------------


def test_a_job_is_its_request_and_what_it_reads(plan_of: Make, desk: Path) -> None:
    before = one(plan_of(ANN))
    assert one(plan_of(ANN)) == before
    others = [{**ANN, "fps": 30}, {**ANN, "output": "x"}, {**ANN, "face": "bob.png"}, {**ANN, "duration": 0.5}]
    keys = {before.key, *(one(plan_of(row)).key for row in others)}
    assert len(keys) == 5
    shutil.copy(desk / "short.wav", desk / "copy.wav")
    assert one(plan_of({**ANN, "audio": "copy.wav"}, pattern="{row}-short")).key == before.key  # the same sound
    shutil.copy(desk / "long.wav", desk / "short.wav")
    assert one(plan_of(ANN)).key not in keys


def test_what_can_be_kept_warm_together(plan_of: Make) -> None:
    rows = [ANN, {**ANN, "audio": "long.wav"}, {**ANN, "face": "bob.png"}, {**ANN, "idle_motion": False}]
    first, same, other_face, other_head = plan_of(*rows)
    assert (first.head, first.face) == (same.head, same.face)
    assert first.head == other_face.head != other_head.head
    assert len({job.face for job in (first, other_face, other_head)}) == 3


def test_another_checkpoint_is_another_job(plan_of: Make, desk: Path) -> None:
    row = {**ANN, "model": "wav2lip", "checkpoint": "w.pth"}
    (desk / "w.pth").write_bytes(b"one")
    before = one(plan_of(row))
    assert before.request["load"]["checkpoint"] == str(desk / "w.pth")
    (desk / "w.pth").write_bytes(b"two")
    after = one(plan_of(row))
    assert (before.key != after.key, before.head != after.head) == (True, True)


def test_folders_are_known_by_all_that_is_in_them(plan_of: Make, desk: Path) -> None:
    folder = desk / "person"
    (folder / "full_body_img").mkdir(parents=True)
    (folder / "landmarks").mkdir()
    make_picture(folder / "full_body_img" / "0.jpg")
    (desk / "c.pth").write_bytes(b"x")
    row = {"model": "synctalk2d", "template": "person", "audio": "short.wav", "checkpoint": "c.pth"}
    before = one(plan_of(row))
    assert before.bytes_read > (folder / "full_body_img" / "0.jpg").stat().st_size
    (folder / "landmarks" / "0.lms").write_text("1 2")
    assert one(plan_of(row)).key != before.key


def test_files_elsewhere_are_known_by_what_their_place_says(plan_of: Make, desk: Path) -> None:
    pytest.importorskip("fsspec")
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("face.png", "sound.wav"):
        memory.pipe(f"/table/{name}", (desk / {"face.png": "ann.png", "sound.wav": "short.wav"}[name]).read_bytes())
    row = {"face": "memory://table/face.png", "audio": "memory://table/sound.wav"}
    job = one(plan_of(row))
    assert job.request["source"] == "memory://table/face.png"
    assert job.request["speech"] == {"path": "memory://table/sound.wav"}
    assert job.seconds > 0
    assert one(plan_of(row)).key == job.key
    memory.pipe("/table/sound.wav", b"something else")
    assert one(plan_of(row)).key != job.key
    assert "no file" in faults(plan_of, {**row, "audio": "memory://table/none.wav"})[0]


def test_options_may_lie_elsewhere_too(plan_of: Make, desk: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/weights/w.pth", b"weights")
    row = {**ANN, "model": "wav2lip", "checkpoint": "memory://weights/w.pth"}
    assert one(plan_of(row)).request["load"]["checkpoint"] == "memory://weights/w.pth"


def test_a_plan_can_be_read_in_any_order(plan_of: Make) -> None:
    plan = plan_of(*({**ANN, "duration": 0.1 + i / 2000} for i in range(1200)))
    jobs = list(plan)
    assert [job.row for job in jobs] == list(range(1, 1201))
    assert [plan[i] for i in (0, 1100, -1)] == [jobs[0], jobs[1100], jobs[-1]]
    assert len({job.key for job in jobs}) == 1200
    mixed = [plan[700] for job, _ in zip(plan, range(3), strict=False)]  # read in between
    assert mixed == [jobs[700]] * 3


# Files ----------------------------------------------------------------------------------------------------------------


def test_what_was_read_once_is_remembered(plan_of: Make, desk: Path, monkeypatch: Any) -> None:
    import os

    for path in desk.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    with Memory(desk / "memory") as memory:
        before = one(plan_of(ANN, memory=memory))
    monkeypatch.setattr("talkinghead.fleet.contents.sound_seconds", lambda path: 99.0)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("it is read again"))
    with Memory(desk / "memory") as memory:
        assert one(plan_of(ANN, memory=memory)) == before
        os.utime(desk / "short.wav", (1_100_000_000, 1_100_000_000))
        with pytest.raises(BaseException, match="read again"):
            plan_of(ANN, memory=memory)


def test_what_was_remembered_goes_with_the_cache(desk: Path, monkeypatch: Any, capfd: Any) -> None:
    from talkinghead.cli.main import main

    folder = desk / "cache"
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(folder))
    with Memory(folder) as memory:
        memory.put("a", "b", "c", 1.0)
    size = memory_size(folder)
    assert main(["cache", "size", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["bytes"] == size > 0
    assert main(["cache", "clear", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["freed_bytes"] == size
    assert (memory_size(folder), forget_all(folder)) == (0, 0)


def test_a_memory_that_cannot_be_written_costs_time_alone(plan_of: Make, desk: Path) -> None:
    (desk / "file").write_text("in the way")
    with Memory(desk / "file") as memory:
        assert one(plan_of(ANN, memory=memory)).seconds == 1.0


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.webm"])
def test_length_of_a_sound_by_its_header(tmp_path: Path, name: str) -> None:
    assert sound_seconds(make_sound(tmp_path / name, 2.0)) == pytest.approx(2.0, abs=0.1)


def test_length_of_a_text() -> None:
    assert text_seconds("Hello, and welcome to the course.") == pytest.approx(2.4, abs=1)
    assert text_seconds("你好，欢迎来到课程。") == pytest.approx(2.2, abs=1)
    assert text_seconds("Hello.", 2.0) == text_seconds("Hello.") / 2


def test_a_server_that_does_not_answer_is_a_fault_of_its_rows(desk: Path) -> None:
    """Asked once, however many files of it are named; a bucket that does not answer ends it all."""
    asked: list[str] = []

    class Away:
        def stat(self, address: Address) -> Stat:
            asked.append(address.text)
            raise StorageError("nobody there", retryable=True)

    contents = Contents(lambda _: Away())  # type: ignore[arg-type, return-value]
    numbers = [contents.number(Address.of(f"https://away.example/{name}.png")) for name in "ab"]
    assert isinstance(contents._look(numbers[0]), str)
    assert "away.example does not answer" in str(contents._look(numbers[1]))
    assert asked == ["https://away.example/a.png"]
    with pytest.raises(StorageError):
        contents._look(contents.number(Address.of("s3://bucket/c.png")))


@pytest.mark.skipif(os.sep != "/", reason="these are its folders")
def test_a_name_of_windows_is_told_as_it_is_here(desk: Path) -> None:
    (desk / "faces").mkdir()
    (desk / "faces" / "ann.png").write_bytes(b"a picture")
    contents = Contents(open_store)
    contents.number(Address.of(f"{desk}/faces\\ann.png"))
    contents.look(deep=False)
    assert f"Try: '{desk}/faces/ann.png', with slashes" in contents.faults[0]


def test_marks_are_hashes(desk: Path) -> None:
    contents = Contents(open_store)
    number = contents.number(Address.of(desk / "ann.png"))
    contents.look()
    assert contents.mark(number) == f"file .png {file_sha256(desk / 'ann.png')}"
