"""How much a visitor may send, and how long it stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import OptionError, TalkingHeadError, UnreadableMedia
from talkinghead.hosting import uploads as module
from talkinghead.hosting.uploads import TooMuch, Uploads, receive_files, safe_name
from talkinghead.webui.options import AppOptions
from tests.hosting.conftest import Clock

pytest.importorskip("python_multipart")


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Uploads:
    return Uploads(tmp_path / "uploads", AppOptions(max_upload_mb=1, max_uploads_mb=3), clock)


def send(uploads: Uploads, num_bytes: int = 10, place: str = "1.2.3.4", name: str = "a.png") -> Path:
    with uploads.room(place, num_bytes) as folder:
        path = folder / name
        with path.open("wb") as file:
            file.truncate(num_bytes)
        return uploads.keep(place, path)


def test_names_cannot_be_guessed_and_differ(uploads: Uploads) -> None:
    first, second = send(uploads), send(uploads)
    assert first.parent != second.parent
    assert len(first.parent.name) == 32
    assert uploads.knows(str(first))
    assert not uploads.knows(str(first.parent / "other.png"))


def test_the_first_session_has_a_file_and_takes_it_along(uploads: Uploads) -> None:
    path = send(uploads)
    assert uploads.claim(str(path), "anna") == path
    assert uploads.claim(str(path), "anna") == path
    for name, owner in ((str(path), "berta"), (str(path) + "x", "anna"), ("/etc/passwd", "anna"), ("", "anna")):
        with pytest.raises(OptionError, match="no file that you have sent"):
            uploads.claim(name, owner)
    uploads.end("berta")
    assert path.exists()
    uploads.end("anna")
    assert not path.exists()
    assert list(uploads.folder.iterdir()) == []


def test_what_nobody_used_goes_after_a_while(uploads: Uploads, clock: Clock) -> None:
    used, unused = send(uploads), send(uploads)
    uploads.claim(str(used), "anna")
    clock.now += 599
    uploads.sweep()
    assert unused.exists()
    clock.now += 2
    uploads.sweep()
    assert not unused.exists()
    assert used.exists()


def test_all_files_of_a_visitor_together_have_a_limit(uploads: Uploads) -> None:
    for _ in range(3):
        send(uploads, 1_000_000)
    with pytest.raises(TooMuch, match="3 files") as caught:
        send(uploads, 1_000_000)
    assert "3 MB in all" in str(caught.value)
    send(uploads, 1_000_000, place="5.6.7.8")
    for path in list(uploads._known):
        uploads.claim(path, "anna")
    uploads.end("anna")
    send(uploads, 1_000_000)


def test_uploads_that_are_still_coming_count(uploads: Uploads) -> None:
    with uploads.room("1.2.3.4", 2_000_000), pytest.raises(TooMuch):
        send(uploads, 2_000_000)
    send(uploads, 2_000_000)


def test_the_number_of_files_has_a_limit(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 5)
    for _ in range(5):
        send(uploads)
    with pytest.raises(TooMuch, match="5 files"):
        send(uploads)


def test_all_visitors_together_have_a_limit(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VISITORS", 2)
    for number in range(6):
        send(uploads, 1_000_000, place=str(number))
    with pytest.raises(TooMuch, match="no room"):
        send(uploads, 1_000_000, place="new")


def test_a_full_disk_is_left_some_room(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", 10**18)
    with pytest.raises(TooMuch, match="no room"):
        send(uploads)


def test_an_upload_that_fails_leaves_nothing(uploads: Uploads) -> None:
    def fail() -> None:
        with uploads.room("1.2.3.4", 10) as folder:
            (folder / "part").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(uploads.folder.iterdir()) == []


BOUNDARY = "abcdefghij"


def part(content: bytes, name: str = 'name="files"; filename="a.png"') -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + content + b"\r\n"


def received(folder: Path, body: bytes, kind: str = f"multipart/form-data; boundary={BOUNDARY}") -> list[Path]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async def run() -> list[Path]:
        return await receive_files(kind, chunks(), folder, 1_000)

    return asyncio.run(run())


END = f"--{BOUNDARY}--\r\n".encode()


def test_files_of_a_form_are_written(tmp_path: Path) -> None:
    found = received(tmp_path, part(b"one\r\ntwo") + part(b"three") + END)
    assert [path.read_bytes() for path in found] == [b"one\r\ntwo", b"three"]
    assert found[0].name == "a.png"
    assert all(path.parent == tmp_path for path in found)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (part(b"x" * 1_001) + END, None),
        (part(b"x") * 11 + END, None),
        (part(b"x", 'name="text"') + END, None),
        (part(b"x", 'name="other"; filename="a.png"') + END, None),
        (part(b"x", f'name="files"; filename="{"x" * 5_000}"') + END, None),
        (part(b"x"), None),
        (b"nothing", None),
        (part(b"x") + END, "text/plain"),
        (part(b"x") + END, "multipart/form-data"),
        (part(b"x") + END, f"multipart/form-data; boundary={'x' * 300}"),
        (part(b"x") + END, ""),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, body: bytes, kind: str | None) -> None:
    with pytest.raises((UnreadableMedia, OptionError, TooMuch)):
        received(tmp_path, body, *([kind] if kind is not None else []))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("me.png", "me.png"), ("../../etc/passwd", "passwd"), ("C:\\x\\me.png", "me.png"), ("", "file"), ("..", "file"),
        (".png", "png"), ("a\0b\n.wav", "a_b_.wav"), ("caf\udce9.wav", None), ("你" * 100 + ".mp4", "你" * 32 + ".mp4"),
        ("a." + "x" * 50, "a"), ('a:b?*|"<>.wav', "a_b______.wav"),
    ],
)  # fmt: skip
def test_names_of_files_are_made_safe(given: str, name: str | None) -> None:
    if name is None:
        given = given.encode("utf-8", "replace").decode()
    else:
        assert safe_name(given) == name
    assert "/" not in safe_name(given)


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_a_system_takes(tmp_path_factory: pytest.TempPathFactory, given_name: str) -> None:
    name = safe_name(given_name)
    assert 0 < len(name.encode()) <= 112
    assert Path(name).name == name
    assert name not in (".", "..")


def test_errors_are_the_packages_own() -> None:
    assert issubclass(TooMuch, TalkingHeadError)
