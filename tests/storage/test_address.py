"""Names of files here and elsewhere."""

from __future__ import annotations

import ntpath
import os
import string
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from talkinghead import system
from talkinghead.errors import BadAddress
from talkinghead.storage import address
from talkinghead.storage.address import Address
from talkinghead.storage.masking import masked

SIGNS = st.characters(exclude_characters="/\\", exclude_categories=["Cs", "Cc"])
STEP = st.text(SIGNS, min_size=1, max_size=12).filter(lambda step: step not in (".", ".."))
STEPS = st.lists(STEP, min_size=1, max_size=4).map("/".join)
HOST = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10)
FOLDERS = st.one_of(
    st.just("/data/out"),
    st.builds("{}://{}/{}".format, st.sampled_from(["s3", "gs", "gcs", "az", "abfs", "memory"]), HOST, STEPS),
    st.builds("{}://{}".format, st.sampled_from(["s3", "https"]), HOST),
    st.builds("{}://{}/a%20b/c".format, st.sampled_from(["http", "https", "HTTPS"]), HOST),
)


@given(FOLDERS, STEPS)
def test_addresses_round_trip(folder: str, name: str) -> None:
    one = Address.of(folder)
    assert Address.of(str(one)) == one
    below = one.join(name)
    assert Address.of(str(below)) == below


@given(FOLDERS, STEPS)
def test_what_is_joined_is_in_the_folder(folder: str, name: str) -> None:
    one = Address.of(folder)
    below = one.join(name)
    assert below.is_inside(one)
    assert below.relative_to(one) == name
    assert below.name == name.split("/")[-1]
    assert below.stem + below.suffix == below.name
    above = below
    for _ in name.split("/"):
        above = above.parent
    assert above == one


@given(FOLDERS, st.text(st.sampled_from("./\\:~%2e\0\n ab"), max_size=12))
def test_nothing_that_is_joined_leaves_the_folder(folder: str, name: str) -> None:
    one = Address.of(folder)
    try:
        below = one.join(name)
    except BadAddress:
        return
    assert str(below).startswith(f"{str(one).rstrip('/')}/")
    assert not {"..", "."} & set(str(below).split("/"))
    assert Address.of(str(below)) == below
    if one.is_local:
        assert Path(os.path.normpath(below.path)).is_relative_to(one.path)


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/../../b", "/a", "a//b", "a/", "s3://b/c", "a\\b", "a\x00b", "a\nb", ".", "./a"]
)
@pytest.mark.parametrize("folder", ["/data", "s3://b/c", "https://h/c"])
def test_names_that_lead_elsewhere_are_refused(folder: str, name: str) -> None:
    with pytest.raises(BadAddress, match="below"):
        Address.of(folder).join(name)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/data/x.mp4", "/data/x.mp4"),
        ("/data//./x.mp4", "/data/x.mp4"),
        ("file:///data/a%20b.mp4", "/data/a b.mp4"),
        ("file://localhost/data/x", "/data/x"),
        ("gcs://b/x", "gs://b/x"),
        ("S3://Bucket/Key/", "s3://Bucket/Key"),
        ("s3://b", "s3://b"),
        ("s3://b/", "s3://b"),
        ("s3://b/a b?c#d.mp4", "s3://b/a b?c#d.mp4"),
        ("s3://b/me@here.mp4", "s3://b/me@here.mp4"),
        ("HTTPS://Host.example/A?b=C#d", "https://host.example/A?b=C"),
        ("abfss://box@account.dfs.core.windows.net/a", "abfss://box@account.dfs.core.windows.net/a"),
    ],
)
def test_addresses_have_one_spelling(given: str, meant: str) -> None:
    assert str(Address.of(given)) == meant


def test_relative_paths_belong_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.of("a/b.mp4").path == tmp_path / "a" / "b.mp4"
    assert Address.of(Path("b.mp4")).path == tmp_path / "b.mp4"


def test_what_leads_upwards_is_followed_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "far" / "off").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "off")
    assert Address.of(f"{tmp_path}/link/../x").path == tmp_path.resolve() / "far" / "x"


@pytest.mark.parametrize(
    "text",
    ["", "ftp://h/x", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://b/a/./x", "simplecache::s3://b/x",
     "https://", "https://h/../x", "https://h/%2e%2e/x", "https://h/a/..%2fx", "https://h/..%5Cx",
     "https://h/a b", "https://h:port/x", "https://h/ü",
     "file://elsewhere/x", "file:x", "s3:/bucket/x", "https:h/x", "a\x00b", "s3://b/a\nb", "filecache::https://h/x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        Address.of(text)


@pytest.mark.parametrize(
    "text", ["https://me:hunter22@h/x", "https://hunter22@h/x", "s3://AKIAABCDEFGHIJKLMNOP:hunter22@b/x", "az://c:hunter22@b/x"]
)  # fmt: skip
def test_passwords_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadAddress, match="password") as caught:
        Address.of(text)
    assert "hunter22" not in str(caught.value)


@given(HOST, st.text(string.ascii_letters + string.digits + "%+", min_size=1))
def test_signatures_do_not_show(host: str, secret: str) -> None:
    assume(secret not in f"https://{host}/x.mp4?X-Amz-Signature=***&sig=***Address('')")
    one = Address.of(f"https://{host}/x.mp4?X-Amz-Signature={secret}&sig={secret}")
    assert secret in str(one)
    assert secret not in one.shown
    assert secret not in repr(one)
    assert one.name == "x.mp4"
    assert str(one.parent) == f"https://{host}"


def test_secrets_do_not_show_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    text = masked(
        "403 for http://me:pw1234@h/x?sig=abcd1234 and x%3Fa%3Dabcd5678%26b%3Dabcd9012 with {'secret': 'zzzz9999'}, "
        "token=yyyy8888; wJalrXUtnFEMI/K7MDENG, Authorization: Bearer xxxx7777 AKIAABCDEFGHIJKLMNOP"
    )
    secrets = ["pw1234", "abcd1234", "abcd5678", "abcd9012", "zzzz9999", "yyyy8888", "wJalr", "xxxx7777", "AKIAABC"]
    assert [secret for secret in secrets if secret in text] == []
    assert masked("there is no file 's3://b/lesson 1/x.mp4'") == "there is no file 's3://b/lesson 1/x.mp4'"


# Windows --------------------------------------------------------------------------------------------------------------


class WindowsPath(PureWindowsPath):
    """A path of Windows, in a process that runs in C:\\here."""

    def absolute(self) -> WindowsPath:
        return self if self.is_absolute() else WindowsPath("C:\\here") / self

    def resolve(self) -> WindowsPath:
        return WindowsPath(ntpath.normpath(self.absolute()))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "Path", WindowsPath)
    monkeypatch.setattr(system, "WINDOWS", True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("C:\\data\\x.mp4", "C:\\data\\x.mp4"),
        ("C:/data/x.mp4", "C:\\data\\x.mp4"),
        ("c://data/x.mp4", "c:\\data\\x.mp4"),
        ("x.mp4", "C:\\here\\x.mp4"),
        ("..\\x.mp4", "C:\\x.mp4"),
        ("\\\\server\\share\\x.mp4", "\\\\server\\share\\x.mp4"),
        ("\\\\?\\C:\\data\\x.mp4", "\\\\?\\C:\\data\\x.mp4"),
        ("file:///C:/data/a%20b.mp4", "C:\\data\\a b.mp4"),
        ("s3://b/x.mp4", "s3://b/x.mp4"),
    ],
)
def test_drives_and_shares_are_paths(windows: None, given: str, meant: str) -> None:
    found = Address.of(given)
    assert str(found) == meant
    assert found.is_local == (not given.startswith("s3"))
    assert found.name == found.text.replace("\\", "/").rpartition("/")[2]


def test_what_lies_below_a_folder_of_windows(windows: None) -> None:
    folder = Address.of("C:\\videos")
    below = folder.join("lesson 1/intro.mp4")
    assert str(below) == "C:\\videos\\lesson 1\\intro.mp4"
    assert below.is_inside(folder)
    assert below.is_inside(Address.of("c:\\Videos"))
    assert not folder.is_inside(folder)
    assert not Address.of("C:\\videos2\\x").is_inside(folder)
    assert below.relative_to(folder) == "lesson 1/intro.mp4"
    assert folder.join(below.relative_to(folder)) == below
    assert Address.of("\\\\server\\share\\a\\b").relative_to(Address.of("\\\\server\\share")) == "a/b"


@pytest.mark.parametrize("name", ["C:/x", "D:x", "a:b.mp4", "con", "lesson/NUL.mp4", "x.mp4.", "a\\b", "x?.mp4"])
def test_names_that_windows_takes_for_something_else_are_refused(windows: None, name: str) -> None:
    with pytest.raises(BadAddress, match="below"):
        Address.of("C:\\videos").join(name)


def test_elsewhere_a_letter_is_no_drive() -> None:
    assert Address.of("C:\\data").path.name == "C:\\data"
    with pytest.raises(BadAddress, match="scheme"):
        Address.of("c://data/x.mp4")
