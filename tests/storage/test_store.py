"""The same laws for every place: a folder and a bucket in memory here, S3 in its own file.

Others, such as servers of Google's and Azure's storage on this machine, are named by addresses of their buckets:

    TALKINGHEAD_TEST_STORES="gs://test az://test" pytest tests/storage/test_store.py
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from talkinghead.errors import BadAddress, MissingDependency, NothingThere, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.store import PARTIAL, Stat, Store, open_store
from tests.conftest import ROOT


@pytest.fixture(params=["local", "memory", *os.environ.get("TALKINGHEAD_TEST_STORES", "").split()])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "out"))
    if request.param != "memory":
        return open_store(f"{request.param}/{secrets.token_hex(8)}/out")
    pytest.importorskip("fsspec")
    return open_store(f"memory://{secrets.token_hex(8)}/out")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "made.mp4"
    path.write_bytes(b"frames" * 1000)
    return path


def names(store: Store) -> list[str]:
    return sorted(address.relative_to(store.root) for address, _ in store.list(store.root, deep=True))


def test_what_is_published_comes_back(store: Store, video: Path, tmp_path: Path) -> None:
    there = store.root.join("part 1/x.mp4")
    assert store.stat(there) is None
    store.publish(video, there, mark="key-1-worker")
    assert names(store) == ["part 1/x.mp4"]
    stat = store.fetch(there, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == video.read_bytes()
    assert stat == store.stat(there)
    assert stat.size == 6000
    assert list(store.list(store.root.join("part 1"))) == [(there, stat)]
    assert list(store.list(store.root)) == []
    assert store.stat(there.parent) is None


def test_the_version_changes_with_the_content(store: Store) -> None:
    there = store.root.join("x")
    store.write_bytes(there, b"a")
    before, identity = store.stat(there), store.identity(there)
    store.write_bytes(there, b"b")
    assert store.stat(there) != before
    assert store.identity(there) != identity
    assert store.identity(store.root.join("y")) is None


def test_only_one_of_those_who_want_to_be_first_is(store: Store) -> None:
    there = store.root.join("owner")
    assert store.write_bytes(there, b"me", exclusive=True)
    assert not store.write_bytes(there, b"you", exclusive=True)
    assert not store.write_bytes(there, b"me too", exclusive=True)
    assert store.write_bytes(there, b"me", exclusive=True)
    assert store.read_bytes(there, 10) == b"me"
    assert store.write_bytes(there, b"anybody")
    assert store.read_bytes(there, 10) == b"anybody"
    assert names(store) == ["owner"]


def test_what_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="absent"):
        store.fetch(store.root.join("absent"), tmp_path / "x")
    with pytest.raises(NothingThere, match="absent"):
        store.read_bytes(store.root.join("absent"), 10)
    store.delete(store.root.join("absent"))
    assert list(store.list(store.root.join("absent"))) == []
    assert not (tmp_path / "x").exists()


def test_what_is_refused_is_not_moved(store: Store, video: Path, tmp_path: Path) -> None:
    there = store.root.join("x.mp4")
    store.publish(video, there, mark="m")
    target = tmp_path / "kept"
    target.write_bytes(b"old")

    def check(stat: Stat) -> None:
        raise StorageError(f"no: {stat.size}")

    with pytest.raises(StorageError, match="no: 6000"):
        store.fetch(there, target, check=check)
    with pytest.raises(StorageError, match="6000 bytes"):
        store.read_bytes(there, 5999)
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) in (["kept", "made.mp4"], ["kept", "made.mp4", "out"])


def test_what_is_published_again_replaces(store: Store, video: Path) -> None:
    there = store.root.join("x.mp4")
    store.publish(video, there, mark="m-1")
    video.write_bytes(b"new")
    store.publish(video, there, mark="m-2")
    assert store.read_bytes(there, 10) == b"new"
    assert names(store) == ["x.mp4"]


def test_a_check_right_before_the_commit(store: Store, video: Path) -> None:
    there = store.root.join("x.mp4")
    seen = []

    def refuse() -> None:
        raise StorageError("another was faster")

    with pytest.raises(StorageError, match="another was faster"):
        store.publish(video, there, mark="m-1", check=refuse)
    assert names(store) == []
    store.publish(video, there, mark="m-2", check=lambda: seen.extend(names(store)))
    assert seen == ([] if store.root.scheme == "az" else [f"{PARTIAL}/m-2"]), "Azure's uploads are seen when they end"
    assert names(store) == ["x.mp4"]


def test_where_copies_take_their_time_an_upload_is_the_commit(video: Path) -> None:
    pytest.importorskip("fsspec")
    from talkinghead.storage.objects import AzureStore

    store = AzureStore(Address.of(f"memory://{secrets.token_hex(8)}/out"))
    there = store.root.join("x.mp4")

    def refuse() -> None:
        raise StorageError("another was faster")

    with pytest.raises(StorageError, match="another was faster"):
        store.publish(video, there, mark="m-1", check=refuse)
    assert names(store) == []
    store.publish(video, there, mark="m-2", check=lambda: None)
    assert names(store) == ["x.mp4"]
    assert store.read_bytes(there, 6000) == video.read_bytes()


def test_what_is_left_of_unfinished_work_is_swept(store: Store) -> None:
    store.write_bytes(store.root.join(f"{PARTIAL}/k-1-w"), b"half")
    store.write_bytes(store.root.join("x.mp4"), b"whole")
    assert store.sweep() == 0
    assert store.sweep(older_than_s=0) == 1
    assert names(store) == ["x.mp4"]
    assert store.sweep(older_than_s=0) == 0


@pytest.mark.parametrize("mark", ["a/b", "..", ""])
def test_marks_are_single_names(store: Store, video: Path, mark: str) -> None:
    with pytest.raises((ValueError, BadAddress), match="name"):
        store.publish(video, store.root.join("x"), mark=mark)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")

    def absent(scheme: str) -> None:
        raise ImportError(scheme)

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    for address, package in (("gs://b/x", "gcsfs"), ("s3://b/x", "s3fs"), ("az://b/x", "adlfs")):
        with pytest.raises(MissingDependency, match=f"pip install {package}"):
            open_store(address)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependency, match="talkinghead\\[fleet\\]"):
        open_store("s3://b/x")


KILLED = """
import os, sys
from pathlib import Path
from talkinghead.storage.store import open_store

folder = Path(sys.argv[1])
WATCHED = ("storage/local.py", "storage/base.py", "talkinghead/files.py")
store = open_store(folder / "out")
there, source = store.root.join("x.mp4"), folder / "made.mp4"

def died(work, line):
    child = os.fork()
    if not child:
        left = [line]
        def trace(frame, event, arg):
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            if event == "line":
                left[0] -= 1
                if not left[0]:
                    os._exit(9)
            return trace
        sys.settrace(trace)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

for work, whole in (
    (lambda: store.publish(source, there, mark="m"), source.read_bytes()),
    (lambda: store.write_bytes(there, b"written"), b"written"),
    (lambda: store.write_bytes(store.root.join("first"), b"me", exclusive=True), b"old"),
):
    line = 1
    while True:
        (folder / "out").mkdir(exist_ok=True)
        there.path.write_bytes(b"old")
        (folder / "out" / "first").unlink(missing_ok=True)
        again = died(work, line)
        assert there.path.read_bytes() in (b"old", whole), line
        assert not (folder / "out" / "first").exists() or (folder / "out" / "first").read_bytes() == b"me"
        store.sweep(older_than_s=0)
        seen = {address.name for address, _ in store.list(store.root, deep=True)}
        assert seen <= {"x.mp4", "first"}, seen
        if not again:
            assert whole == b"old" or there.path.read_bytes() == whole
            break
        line += 1
    print(line)
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_dies_at_any_line_leaves_the_old_or_the_new(tmp_path: Path, video: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(int(lines) > 20 for lines in done.stdout.split())
    assert len(done.stdout.split()) == 3
