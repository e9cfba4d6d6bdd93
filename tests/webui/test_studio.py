"""What stands behind the handlers: sessions apart from each other, limits, checks by content. No browser, no gradio."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import Cancelled, InputError, MediaError, MissingWeights, OptionError, TalkingHeadError
from talkinghead.hosting.workshop import Order, said
from talkinghead.registry import FAMILIES
from talkinghead.webui.options import AppOptions
from talkinghead.webui.studio import Studio
from tests.stripes import FACTS
from tests.synthetic_media import make_sound, make_video


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio with the model for tests in it."""
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
    made = Studio(tmp_path / "server", AppOptions(max_upload_mb=1, max_minutes=0.1))
    yield made
    made.close()


def sent(studio: Studio, path: Path) -> Path:
    """A file as if a visitor had uploaded it."""
    with studio.uploads.room("127.0.0.1", path.stat().st_size) as folder:
        return studio.uploads.keep("127.0.0.1", Path(shutil.copyfile(path, folder / path.name)))


@pytest.fixture
def order(studio: Studio, tmp_path: Path) -> Order:
    sound, face = make_sound(tmp_path / "hello.wav", 1.0), make_video(tmp_path / "me.mp4", 30)
    return Order("stripes", sent(studio, sound), sent(studio, face))


def test_a_video_with_everything_that_belongs_to_it(studio: Studio, order: Order) -> None:
    finished = studio.start("anna", order).result()
    assert finished.report.num_frames == 25
    assert [stage.name for stage in finished.report.stages][:2] == ["load", "read-sound"]
    for path in (finished.video, finished.poster, finished.report_file, finished.cues, finished.source):
        assert path is not None
        assert path.is_file()
        assert studio.session("anna").folder in path.parents
    assert finished.motion is None
    assert "stripes" in finished.report_file.read_text().lower()
    studio.keep("anna", finished)
    studio.keep("anna", finished)
    assert studio.history("anna") == (finished,)
    assert studio.history("berta") == ()


def test_videos_have_names_of_their_own_and_go_when_they_are_deleted(studio: Studio, order: Order) -> None:
    first = studio.start("anna", order).result()
    second = studio.start("anna", order).result()
    assert (first.video.name, second.video.name) == ("me-hello.mp4", "me-hello-2.mp4")
    assert first.poster.read_bytes()[8:12] == b"WEBP"
    assert first.poster.stat().st_size < 20_000
    for made in (first, second):
        studio.keep("anna", made)
    for visitor, number in (("berta", 1), ("anna", 7), (None, 1)):
        with pytest.raises(OptionError, match="not here any more"):
            studio.delete(visitor, number)
    studio.delete("anna", 1)
    assert studio.history("anna") == (second,)
    assert not first.video.parent.exists()
    assert not studio.may_be_named(str(first.video))
    assert second.video.is_file()


def test_sessions_have_folders_that_cannot_be_guessed_and_leave_nothing(studio: Studio, order: Order) -> None:
    finished = studio.start("anna", order).result()
    folders = [studio.session(name).folder for name in ("anna", "berta")]
    assert len({folder.name for folder in folders}) == 2
    assert all(len(folder.name) > 32 for folder in folders)
    assert folders[0].stat().st_mode & 0o077 == 0
    studio.end_session("anna")
    assert not finished.video.exists()
    assert folders[1].exists()
    studio.close()
    assert not studio.folder.exists()


def test_old_sessions_end_but_not_those_at_work(studio: Studio, order: Order) -> None:
    folder = studio.session("anna").folder
    studio.session("anna").last_used_s -= 1e6
    slow = Order("stripes", order.sound, order.source, options={"model": {"delay_s": 0.2}})
    job = studio.start("berta", slow)
    studio.session("berta").last_used_s -= 1e6
    assert studio.end_old_sessions() == 1
    assert not folder.exists()
    assert studio.cancel("berta") == 1
    with pytest.raises(Cancelled):
        job.result()
    assert list(studio.session("berta").folder.glob("result-*")) == []


def test_only_ones_own_jobs_are_cancelled(studio: Studio, order: Order) -> None:
    job = studio.start("anna", order)
    assert studio.cancel("berta") == 0
    assert job.result().report.num_frames == 25


def test_at_most_a_few_jobs_of_one_visitor(studio: Studio, order: Order) -> None:
    slow = Order("stripes", order.sound, order.source, options={"model": {"delay_s": 0.5}})
    for _ in range(4):
        studio.start("anna", slow)
    with pytest.raises(InputError, match="4 of your videos"):
        studio.start("anna", slow)
    with pytest.raises(InputError, match="4 of your videos"):
        studio.start_preview("anna", order)
    assert studio.cancel("anna") == 4


@pytest.mark.thorough
def test_previews_that_were_seen_are_let_go(studio: Studio, order: Order) -> None:
    for shape in "XABCD":
        assert studio.preview("anna", order, shape=shape).shape == shape
    assert len(studio.session("anna").jobs) == 1
    assert studio.start("anna", order).result().number == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nobody"}, "no model 'nobody'"),
        ({"model": "wav2lip"}, "needs a model file"),
        ({"source": ""}, "No face"),
        ({"checkpoint": "/etc/passwd"}, "no checkpoint"),
        ({"options": {"model": {"fail_at": "x"}}}, "fail_at is 'x'"),
        ({"options": {"model": {"nose": 1}}}, "no option 'nose'"),
        ({"options": {"nose": {}}}, "no options 'nose'"),
        ({"options": {"encoding": {"crf": 90}}}, "crf is 90"),
        ({"options": {"reading": {"cache_bytes": 1}}}, "no option 'cache_bytes'"),
        ({"options": {"machine": {"device": "tpu"}}}, "device is 'tpu'"),
    ],
)
def test_orders_that_cannot_be_done_are_refused_in_sentences(
    studio: Studio, order: Order, change: dict[str, object], message: str
) -> None:
    from dataclasses import replace

    with pytest.raises(TalkingHeadError, match=message):
        studio.start("anna", replace(order, **change))  # type: ignore[arg-type]


def test_files_are_judged_by_content_size_and_length(studio: Studio, order: Order, tmp_path: Path) -> None:
    text = tmp_path / "face.png"
    text.write_text("I am no picture.")
    with pytest.raises(MediaError):
        studio.workshop.check_face(text)
    with pytest.raises(MediaError, match="sound"):
        studio.workshop.check_sound(make_video(tmp_path / "mute.mp4", 5))
    large = tmp_path / "large.wav"
    large.write_bytes(b"\0" * 1_100_000)
    with pytest.raises(MediaError, match="at most 1 MB"):
        studio.workshop.check_sound(large)
    with pytest.raises(InputError, match="minutes"):
        studio.workshop.check_sound(make_sound(tmp_path / "long.wav", 8.0))
    with pytest.raises(InputError, match="minutes"):
        studio.start_speech("anna", said("word " * 3000))


@pytest.mark.parametrize("voice", ["/etc/passwd.onnx", "file:///etc/passwd", "../voice.onnx", "x" * 900])
def test_a_voice_cannot_name_a_file(studio: Studio, voice: str) -> None:
    with pytest.raises(OptionError, match="no voice") as caught:
        studio.start_speech("anna", said("Hello.", voice=voice))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("  ",), "no text"),
        (("Hi", "en", None, "gramophone"), "gramophone"),
        (("Hi", "en", None, "auto", 9.0), "speed"),
    ],
)
def test_texts_that_cannot_be_spoken(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TalkingHeadError, match=message):
        said(*values)


def test_sentences_name_no_folders_of_the_server(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    path = studio.session("anna").folder / "deep" / "me.png"
    with pytest.raises(MediaError) as caught:
        studio.workshop.check_face(path)
    assert "me.png" in studio.sentence(caught.value)
    assert str(studio.folder) not in studio.sentence(caught.value)
    told = studio.sentence(RuntimeError("secret"))
    assert "secret" not in told
    number = re.search(r"number ([0-9a-f]{8})", told)
    assert number is not None
    assert number[1] in caplog.text
    assert "secret" in caplog.text
    named = TalkingHeadError(
        "/home/anna/faces/me.png and ~/x/y.npz: 25 frames/s, 30000/1001", remedy="see https://a.org/b/c"
    )
    assert studio.sentence(named) == "me.png and y.npz: 25 frames/s, 30000/1001\nTry: see https://a.org/b/c"


def test_a_gallery_offers_faces_and_folders(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    make_video(gallery / "anna.mp4", 5)
    (gallery / "notes.mp4").write_text("no video")
    for part in ("full_body_img", "landmarks"):
        (gallery / "May" / part).mkdir(parents=True)
    studio = Studio(tmp_path / "server", folders=[gallery])
    try:
        assert [face.title for face in studio.workshop.faces][-1] == "anna"
        assert studio.workshop.sources(studio.workshop.availability("synctalk2d")) in ((), ("May",))
        assert studio.workshop._source(studio.workshop.availability("viseme"), "anna") == gallery / "anna.mp4"
        with pytest.raises(OptionError, match="template"):
            studio.workshop._source(studio.workshop.availability("synctalk2d"), "../May")
    finally:
        studio.close()
    with pytest.raises(MediaError):
        Studio(tmp_path / "other", folders=[tmp_path / "missing"])


def test_options_of_the_server() -> None:
    assert AppOptions().is_local
    assert not AppOptions(host="0.0.0.0").is_local
    assert not AppOptions(share=True).is_local
    assert AppOptions(auth="a:b:c,d:e").logins == [("a", "b:c"), ("d", "e")]
    for wrong in ({"port": 70000}, {"auth": "secretpassword"}, {"at_once": 0}, {"max_minutes": 0.0}, {"host": " "}):
        with pytest.raises(OptionError) as caught:
            AppOptions(**wrong)  # type: ignore[arg-type]
        assert "secretpassword" not in str(caught.value)


def test_no_field_that_names_a_file_is_offered() -> None:
    from talkinghead.hosting.fields import model_group
    from talkinghead.service.availability import all_models

    for found in all_models():
        names = {offered.field.name for offered in model_group(found.facts, {}).offered}
        assert not names & {
            "assets", "background", "checkpoint", "features", "flame", "map", "poses", "profile", "save_frames",
            "shape",
            "style", "audio_model", "expression", "texture",
        }  # fmt: skip


def test_missing_models_are_refused_with_the_command_that_gets_them(studio: Studio, order: Order) -> None:
    with pytest.raises(MissingWeights) as caught:
        studio.start("anna", Order("wav2lip", order.sound, order.source))
    assert "talkinghead models pull wav2lip-gan" in str(caught.value)


PLACES = ["/etc/passwd", "file:///etc/passwd", "../../etc/passwd", "http://127.0.0.1:1/a.png", "C:\\x.png", "\0", "."]


@pytest.mark.parametrize("text", PLACES)
@pytest.mark.parametrize("field", ["source", "checkpoint", "model"])
def test_texts_name_what_is_offered_and_never_a_file(studio: Studio, order: Order, field: str, text: str) -> None:
    from dataclasses import replace

    with pytest.raises(TalkingHeadError) as caught:
        studio.start("anna", replace(order, **{field: text}))
    assert "no such file" not in str(caught.value).lower()


def test_a_picture_of_the_server_is_not_given_away(studio: Studio, order: Order, face: Path) -> None:
    from dataclasses import replace

    told = []
    for source in (
        face,
        str(face),
        face.with_name("absent.png"),
        str(face.with_name("absent.png")),
        Path("/etc/passwd"),
    ):
        for action in (studio.start, studio.start_preview):
            with pytest.raises(OptionError) as caught:
                action("anna", replace(order, source=source))
            told.append(re.sub(r"'.*?'", "", studio.sentence(caught.value)))
    for sound in (order.source, Path("/etc/passwd"), studio.folder / "absent.wav"):
        with pytest.raises((OptionError, MediaError)):
            studio.start("anna", replace(order, sound=sound))
    assert len(set(told)) == 2  # what is there and what is not sound alike; a name and a file do not


def test_files_belong_to_the_session_that_used_them_first(studio: Studio, order: Order) -> None:
    studio.start("anna", order).result()
    with pytest.raises(OptionError, match="no file that you have sent"):
        studio.start("berta", order)
    assert isinstance(order.source, Path)
    assert order.source.is_file()
    studio.end_session("anna")
    assert not order.source.exists()
    assert list(studio.uploads.folder.glob("*")) == []


def test_nobody_shares_a_session_by_having_none(studio: Studio) -> None:
    assert studio.session(None) is not studio.session(None)
    assert studio.session("") is not studio.session("")


def test_visitors_are_bounded_and_resting_ones_make_room(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    import talkinghead.webui.studio as module
    from talkinghead.service.jobs import QueueFull

    monkeypatch.setattr(module, "MAX_SESSIONS", 3)
    forgotten: list[str] = []
    studio.forget = forgotten.append
    for name in ("anna", "berta", "clara"):
        studio.session(name)
    with pytest.raises(QueueFull, match="too many visitors"):
        studio.session("dora")
    studio.page_opened("anna")
    for name in ("anna", "berta"):
        studio.session(name).last_used_s -= 100
    studio.session("dora")
    assert forgotten == ["berta"]
    with pytest.raises(QueueFull, match="too many visitors"):
        studio.session("emma")
    studio.page_closed("anna")
    assert forgotten == ["berta", "anna"]
    assert studio.session("emma").folder.is_dir()


def test_results_of_single_calls_go_after_minutes_and_open_pages_stay(studio: Studio) -> None:
    for name in ("anna", "berta"):
        studio.session(name).last_used_s -= 700
    studio.page_opened("anna")
    assert studio.end_old_sessions() == 1
    assert "anna" in studio._sessions
    assert "berta" not in studio._sessions


@pytest.mark.thorough
def test_old_results_of_a_session_make_room_for_new_ones(
    studio: Studio, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    import talkinghead.webui.studio as module

    monkeypatch.setattr(module, "RESULTS_KEPT", 2)
    made = [studio.start("anna", order).result() for _ in range(3)]
    for finished in made:
        studio.keep("anna", finished)
    assert [finished.number for finished in studio.history("anna")] == [3, 2]
    assert [finished.video.exists() for finished in made] == [False, True, True]


@pytest.mark.parametrize("at_s", [float("nan"), float("inf"), -1.0, 1e9, "1", None])
def test_the_moment_of_a_preview_has_bounds(studio: Studio, order: Order, at_s: Any) -> None:
    with pytest.raises(OptionError, match="moment"):
        studio.start_preview("anna", order, at_s=at_s)


def test_texts_are_spoken_in_turn_and_can_be_stopped(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    import talkinghead.webui.studio as module

    def slow(*_: Any, cancel: Any, **__: Any) -> Any:
        while True:
            cancel.check()
            time.sleep(0.01)

    monkeypatch.setattr(module, "hear", slow)
    jobs = [studio.start_speech("anna", said("Hello.")) for _ in range(4)]
    with pytest.raises(InputError, match="under way"):
        studio.start_speech("anna", said("Hello."))
    assert studio.cancel("anna") == 4
    for job in jobs:
        with pytest.raises(Cancelled):
            job.result()


OPTIONS = [
    (group, field)
    for group, fields in {
        "model": ("style", "shape", "background", "avatar", "audio_model", "flame", "texture", "assets", "map",
                  "profile", "save_frames", "poses", "expression", "strength", "checkpoint"),
        "machine": ("checkpoint", "device", "precision", "backend"),
        "finding": ("detector", "detector_model", "select", "no_face", "box"),
        "reading": ("crop", "rotate", "cache_bytes", "max_pixels"),
        "video": ("motion", "cues", "encode", "fps", "loop"),
        "encoding": ("codec", "preset", "pixel_format", "audio_codec", "crf"),
        "/etc": ("passwd",),
    }.items()
    for field in fields
]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize(("group", "field"), OPTIONS)
def test_no_option_takes_a_path(studio: Studio, order: Order, group: str, field: str) -> None:
    from dataclasses import replace

    for text in PLACES:
        asked = replace(order, model="viseme", options={group: {field: text}})
        with pytest.raises(OptionError) as caught:
            studio.start("anna", asked)
        assert "no such file" not in str(caught.value).lower()


NUMBERS = [
    ("video", "fps", "1e999999999"), ("video", "fps", "1/" + "9" * 4000), ("video", "fps", 1e300),
    ("video", "fps", "121"), ("finding", "smoothing", 2**63), ("finding", "max_side", 10**9), ("finding", "every", -1),
    ("finding", "padding", [10**12] * 4), ("finding", "box", "0,0,1e9,1e9"), ("finding", "select", "index:99999999"),
    ("finding", "min_score", 2), ("reading", "start_s", 1e300), ("reading", "duration_s", 0),
    ("reading", "resize_factor", 10**18), ("encoding", "gop_s", 1e300), ("encoding", "audio_bitrate", 10**15),
    ("encoding", "crf", -1), ("model", "strength", 1e308), ("model", "strength", float("nan")),
    ("model", "blinks_per_minute", -1), ("model", "seed", 10**400),
]  # fmt: skip


@pytest.mark.parametrize(("group", "field", "value"), NUMBERS)
def test_every_number_of_the_page_has_bounds(studio: Studio, order: Order, group: str, field: str, value: Any) -> None:
    from dataclasses import replace

    with pytest.raises(OptionError) as caught:
        studio.start("anna", replace(order, model="viseme", options={group: {field: value}}))
    assert len(str(caught.value)) < 300


def picture_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_large_pictures_are_refused_before_they_are_decoded(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    path = tmp_path / "large.png"
    path.write_bytes(picture_that_claims(7990, 7990))
    with pytest.raises(MediaError, match="megapixels"):
        studio.workshop.check_face(path)
    with pytest.raises(MediaError, match="no sound"):
        studio.workshop.check_sound(path)


def test_a_look_at_a_file_lasts_seconds(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import talkinghead.hosting.workshop as module

    monkeypatch.setattr(module, "CHECK_S", -1.0)
    for check, path in (
        (studio.workshop.check_face, make_video(tmp_path / "a.mp4", 30)),
        (studio.workshop.check_sound, make_sound(tmp_path / "a.wav", 1.0)),
    ):
        with pytest.raises(MediaError, match="takes too long"):
            check(path)


def test_an_example_is_offered_where_it_gives_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    import talkinghead.service.doctor as doctor
    from talkinghead.hosting.workshop import Workshop
    from talkinghead.webui.page import _Page

    def names() -> list[str]:
        return [row.name for _, row in _Page(Studio(tmp_path / "server"), "viseme").offered_examples()]

    everything = names()
    monkeypatch.setattr(doctor, "missing_packages", lambda extra: ("torch",) if extra == "models" else ())
    assert [name for name in everything if name not in names()] == ["head"]  # the 3D head needs PyTorch
    monkeypatch.setattr(Workshop, "engines", lambda _: [])
    assert names() == ["portrait"]
