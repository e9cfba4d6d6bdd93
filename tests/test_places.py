"""Names that fit, outputs that are no inputs, folders of the user."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead import system
from talkinghead.errors import MediaNotFound, OptionError, UnwritableOutput
from talkinghead.files import (
    PendingOutput,
    check_target,
    existing_file,
    folder_for,
    make_folder,
    unwritable,
    write_bytes,
)
from talkinghead.places import (
    MAX_NAME_BYTES,
    NOWHERE,
    STAGE_RECORD,
    check_apart,
    fitted_name,
    given_folder,
    name_fault,
    partial_name,
    portable_name,
    temporary_folder,
    user_folder,
)

NAMES = {
    "ideographs": "名" * 83 + ".mp4",
    "emoji": "🎬" * 62 + ".mp4",
    "joined emoji": "👩‍👩‍👧‍👦" * 10 + ".mp4",
    "combining": "e\u0301\u0323" * 50 + ".mp4",
    "right to left": "שלום" * 31 + ".mp4",
    "many suffixes": ".".join("ab" for _ in range(84)) + ".mp4",
    "no letters": "-" * 251 + ".mp4",
    "not utf-8": os.fsdecode(b"caf\xe9" * 62) + ".mp4",
    "bytes that only go on": os.fsdecode(b"\x80" * 251) + ".mp4",
    "one byte less": "名" * 83 + "a.mp4",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_every_legal_name_is_written_to_the_end(tmp_path: Path, name: str) -> None:
    assert 200 < len(os.fsencode(name)) <= MAX_NAME_BYTES
    write_bytes(tmp_path / name, b"whole")
    with PendingOutput(tmp_path / name) as pending:
        temporary = os.fsencode(pending.temporary.name)
    assert len(temporary) <= MAX_NAME_BYTES
    if not any(0xDC80 <= ord(character) <= 0xDCFF for character in name):
        temporary.decode("utf-8")
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")


@given(st.text(LETTERS, min_size=1, max_size=300))
def test_temporary_names_fit_and_end_between_characters(name: str) -> None:
    made = [partial_name(name) for _ in range(2)]
    assert made[0] != made[1]
    for one in made:
        assert len(one.encode()) <= 100
        assert name.startswith(one[1:-18])


@given(st.text(LETTERS, max_size=300), st.text("ab.", max_size=9))
def test_shortened_names_fit_and_differ(stem: str, suffix: str) -> None:
    one, other = fitted_name(stem, suffix), fitted_name(stem + "x", suffix)
    assert len(one.encode()) <= MAX_NAME_BYTES
    assert one.endswith(suffix)
    assert one != other
    if len((stem + suffix).encode()) <= MAX_NAME_BYTES:
        assert one == stem + suffix


@pytest.mark.parametrize(
    "name", ["名" * 85 + ".mp4", "a" * 256, "a\0b", "\ud800"], ids=["long", "longer", "zero", "half"]
)
def test_a_name_that_no_file_can_have_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnwritableOutput):
        check_target(tmp_path / name, overwrite=True)
    assert list(tmp_path.iterdir()) == []


# Outputs and inputs ---------------------------------------------------------------------------------------------------


def spelled(tmp_path: Path, kind: str) -> tuple[Path, Path]:
    """A file that is there, and a path that leads to it or could on some file system."""
    file = tmp_path / "folder" / "Café.wav"
    file.parent.mkdir()
    file.write_bytes(b"sound")
    if kind == "itself":
        return file, file
    if kind == "dots":
        return file, tmp_path / "folder" / ".." / "folder" / "." / "Café.wav"
    if kind == "relative":
        return file, Path("folder") / "Café.wav"
    if kind == "link":
        (tmp_path / "link.mp4").symlink_to(file)
        return file, tmp_path / "link.mp4"
    if kind == "link of a link":
        (tmp_path / "one").symlink_to(file)
        (tmp_path / "two").symlink_to("one")
        return file, tmp_path / "two"
    if kind == "linked folder":
        (tmp_path / "other").symlink_to("folder")
        return file, tmp_path / "other" / "Café.wav"
    if kind == "hard link":
        os.link(file, tmp_path / "hard.wav")
        return file, tmp_path / "hard.wav"
    if kind == "case":
        return file, tmp_path / "folder" / "CAFÉ.WAV"
    assert kind == "form"
    return file, tmp_path / "folder" / unicodedata.normalize("NFD", "Café.wav")


KINDS = ("itself", "dots", "relative", "link", "link of a link", "linked folder", "hard link", "case", "form")


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_an_input_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    file, other = spelled(tmp_path, kind)
    monkeypatch.chdir(tmp_path)
    for output, read in ((other, file), (file, other)):
        with pytest.raises(OptionError, match="one of the inputs"):
            check_apart([tmp_path / "new.mp4", output], [tmp_path / "face.png", read])
    with pytest.raises(OptionError, match="one file"):
        check_apart([file, None, other], [])
    check_apart([tmp_path / "new.mp4"], [file, other])


@pytest.mark.parametrize("kind", ["itself", "dots", "relative", "linked folder", "case", "form"])
def test_outputs_that_are_not_there_yet_are_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file, other = spelled(tmp_path, kind)
    file.unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="one file"):
        check_apart([file, other])
    deep = [path.with_name("new") / "deeper" / path.name for path in (file, other)]
    with pytest.raises(OptionError, match="one file"):
        check_apart(deep)
    check_apart([file, file.with_name("other.json"), deep[0]])


def test_a_link_to_nothing_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new.mp4")
    with pytest.raises(OptionError, match="one file"):
        check_apart([tmp_path / "link", tmp_path / "new.mp4"])


def test_a_folder_that_is_replaced_holds_no_input_and_no_output(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "000000.png").write_bytes(b"x")
    with pytest.raises(OptionError, match="holds one of the inputs"):
        check_apart([frames], [frames / "000000.png"])
    for inner in (frames / "report.json", tmp_path / "new" / "deep" / "report.json"):
        for outputs in ([inner, inner.parent], [inner.parent, inner]):
            with pytest.raises(OptionError, match="lies in"):
                check_apart(outputs)
    with pytest.raises(OptionError, match="one of the inputs"):
        check_apart([frames], [frames])


def test_what_lies_in_a_folder_that_is_read_is_kept(tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    (scene / "parts").mkdir(parents=True)
    for name in ("au.csv", "out.mp4", "made.npy", f"made.npy{STAGE_RECORD}", "parts/1.png"):
        (scene / name).write_bytes(b"x")
    for name in ("au.csv", "parts/1.png", "parts"):
        with pytest.raises(OptionError, match="there already"):
            check_apart([scene / name], [scene])
    check_apart([scene / "new.json", scene / "out.mp4", scene / "made.npy"], [scene])


def test_many_are_compared_quickly(tmp_path: Path) -> None:
    inputs = [tmp_path / f"{number}.wav" for number in range(1500)]
    check_apart([tmp_path / f"{number}.mp4" for number in range(1500)], inputs)
    with pytest.raises(OptionError):
        check_apart([tmp_path / "1499.WAV"], inputs)


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", "x" * 5000, "/proc/1/fd/9999/x"])
def test_paths_that_are_none_are_left_to_whoever_opens_them(path: str) -> None:
    check_apart(["o.mp4"], [path])


def fails_in(final: Path) -> None:
    with folder_for(final):
        assert final.parent.is_dir()
        raise KeyboardInterrupt


def test_folders_are_made_for_what_is_written_and_go_when_it_fails(tmp_path: Path) -> None:
    final = tmp_path / "a" / "b" / "c.mp4"
    with pytest.raises(KeyboardInterrupt):
        fails_in(final)
    assert list(tmp_path.iterdir()) == []
    with folder_for(final):
        final.write_bytes(b"x")
    with pytest.raises(KeyboardInterrupt):
        fails_in(final)
    assert final.read_bytes() == b"x"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnwritableOutput, match="in the way"):
        fails_in(tmp_path / "file" / "d" / "c.mp4")


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cache", "data"])
@pytest.mark.parametrize(
    ("home", "xdg", "expected"),
    [
        ("/people/me", "/x", "/x"),
        ("/people/me", "", "/people/me"),
        ("/people/me", "relative", "/people/me"),
        ("/people/me", None, "/people/me"),
        ("relative", None, "/account"),
        ("", None, "/account"),
        (None, None, "/account"),
        (None, "~/x", "/account"),
    ],
)
def test_folders_of_the_user_are_whole_paths(
    monkeypatch: pytest.MonkeyPatch, kind: str, home: str | None, xdg: str | None, expected: str
) -> None:
    import pwd
    from types import SimpleNamespace

    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir="/account"))
    for name, value in (("HOME", home), ("XDG_CACHE_HOME", xdg), ("XDG_DATA_HOME", xdg)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    usual = {"cache": "/.cache", "data": "/.local/share"}[kind]
    assert user_folder(kind) == Path(expected + ("" if expected == "/x" else usual)) / "talkinghead"  # type: ignore[arg-type]


def test_without_any_home_nothing_is_found_and_nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    import numpy as np

    from talkinghead.engine.cache import Cache, CacheWarning
    from talkinghead.weights.store import records

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TALKINGHEAD_CACHE", "TALKINGHEAD_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert NOWHERE in user_folder("cache").parents
    assert NOWHERE in given_folder("~/mine").parents
    assert records() == {}
    cache = Cache()
    assert cache.get("0" * 64) is None
    with pytest.warns(CacheWarning, match="no home folder"):
        cache.put("0" * 64, {"x": np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_given_folder_may_begin_with_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    assert given_folder("~/x") == Path("/people/me/x")
    assert given_folder("~") == Path("/people/me")
    assert given_folder("~x/y") == Path("~x/y")


def test_no_place_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UnwritableOutput, match="temporary files") as caught, temporary_folder():
        pass
    assert "TMPDIR" in str(caught.value)


# Names and paths of Windows -------------------------------------------------------------------------------------------

DEVICES = ["CON", "con.mp4", "nul.tar.gz", "Aux.txt", "PRN", "COM1", "com¹.wav", "lpt9.csv", "CONIN$", "con .mp4"]


@pytest.mark.parametrize(
    "name", [*DEVICES, "a.", "a ", "out.mp4. ", "a:b.mp4", "a?.png", 'a"b', "a|b", "a<b>", "a*", "a\tb"]
)
def test_names_that_windows_does_not_take_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name_fault(name)
    assert name_fault(portable_name(name)) is None
    assert check_target(tmp_path / name, overwrite=True).name == name
    monkeypatch.setattr(system, "WINDOWS", True)
    for target in (tmp_path / name, tmp_path / name / "out.mp4"):
        with pytest.raises(UnwritableOutput, match="Windows"):
            check_target(target, overwrite=True)
    with pytest.raises(UnwritableOutput, match="Windows"):
        make_folder(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["console.mp4", "com10.mp4", "lpt.wav", "a.con", ".mp4", "ä b.mp4", "a.b.c", "名.mp4"])
def test_names_like_those_are_names(name: str) -> None:
    assert name_fault(name) is None
    assert portable_name(name) == name


@given(st.text(max_size=40))
def test_a_portable_name_is_one_everywhere_and_stays_as_it_is(name: str) -> None:
    made = portable_name(name)
    assert made
    assert name_fault(made) is None
    assert not set(made) & set("/\\\0")
    assert portable_name(made) == made


def test_a_path_may_be_too_long_for_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path.joinpath(*["folder" * 8] * 6) / "speech.wav"
    with pytest.raises(MediaNotFound) as there:
        existing_file(path)
    monkeypatch.setattr(system, "WINDOWS", True)
    with pytest.raises(MediaNotFound, match="long paths") as here:
        existing_file(path)
    assert "long paths" not in str(there.value)
    assert str(here.value).count("259") == 1
    assert "long paths" in str(unwritable(path, FileNotFoundError(2, "No such file or directory")))


def test_a_home_is_found_behind_both_slashes_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_folder("~\\models") == Path("~\\models")
    monkeypatch.setattr(system, "WINDOWS", True)
    assert given_folder("~\\models") == tmp_path / "models"
    assert given_folder("~/models") == tmp_path / "models"
