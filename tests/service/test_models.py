"""The model store with all families: pull, import, verify, remove, names for models, and its commands."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import talkinghead as th
from talkinghead.audio.encoders import model_files as speech_files
from talkinghead.enhance import model_files as enhance_files
from talkinghead.errors import (
    MissingWeights,
    OptionError,
    OutputExists,
    UnsafeCheckpoint,
    WrongCheckpoint,
)
from talkinghead.face import model_files as face_files
from talkinghead.registry import FAMILIES, named
from talkinghead.service import models
from talkinghead.service.models import catalogue, kinds, model_store
from talkinghead.weights import read_checkpoint, store, write_safetensors
from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.download import DownloadOptions

QUICK = DownloadOptions(timeout_s=2.0, attempts=2, pause_s=0.01)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGHEAD_HOME", str(tmp_path / "home"))
    for name in ("TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home" / "models"


@pytest.fixture
def serve() -> Iterator[Any]:
    """Files from a server on this machine: `serve(name, data)` gives the address, `serve.count` the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.count += 1
            data = shelf.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Shelf:
        files: dict[str, bytes]
        count = 0

        def __init__(self) -> None:
            self.files = {}

        def __call__(self, name: str, data: bytes) -> str:
            self.files[f"/{name}"] = data
            return f"http://127.0.0.1:{running.server_port}/{name}"

    shelf = Shelf()
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield shelf
    running.shutdown()
    running.server_close()
    thread.join(5)


def _style_file(folder: Path, seed: int = 0) -> Path:
    """A style of ARTalk: the smallest file that is recognised."""
    path = folder / f"style{seed}.safetensors"
    values = np.random.default_rng(seed).normal(size=(50, 106)).astype(np.float32)
    write_safetensors({"style": values}, path, overwrite=True)
    return path


def _wav2lip_file(folder: Path, name: str = "wav2lip_gan.pth") -> Path:
    """A generator with weights of zero, as `torch.save` writes it, with the prefixes and extras of training."""
    torch = pytest.importorskip("torch")
    from talkinghead.families.wav2lip.architecture import GENERATOR_96

    state = {f"module.{key}": torch.zeros(shape) for key, shape in dict(GENERATOR_96.expected()).items()}
    path = folder / name
    torch.save({"state_dict": state, "optimizer": {"x": torch.zeros(10)}, "global_step": 5}, path)
    return path


def _add(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> CatalogueEntry:
    """An entry for this test only."""
    values = {
        "name": "test-style",
        "purpose": "a test",
        "path": "styles/test.safetensors",
        "licence": Licence("Test licence", "For tests."),
        "found_in": "here",
        "kind": "artalk-style",
        **facts,
    }
    entry = CatalogueEntry(**values)
    known = models.catalogue
    monkeypatch.setattr(models, "catalogue", lambda: {**known(), entry.name: entry})
    return entry


# The catalogue ------------------------------------------------------------------------------------------------------


def test_rows_are_sound() -> None:
    paths = [entry.stored_path for entry in catalogue().values()]
    assert len(set(paths)) == len(paths)
    known = {kind.name for kind in kinds()}
    for name, entry in catalogue().items():
        assert entry.name == name
        assert not entry.sha256 or (len(entry.sha256) == 64 and entry.sha256 == entry.sha256.lower())
        assert not entry.member_sha1 or len(entry.member_sha1) == 40
        assert entry.urls or entry.obtain, name
        assert all(url.startswith("https://") for url in entry.urls)
        assert entry.found_in
        assert entry.licence.summary
        assert entry.kind in (*known, "")
        assert entry.kind or entry.sha256, "what keys do not tell needs a hash"
        assert entry.model is None or entry.model in FAMILIES
        store._check_name(name)
        store._check_relative(entry.path)
    assert not catalogue()["flame"].urls


def test_detectors_look_where_files_are_kept(home: Path) -> None:
    from talkinghead.face.detectors.catalogue import DETECTORS
    from talkinghead.weights.folder import find_model

    for name in ("yunet", "scrfd", "s3fd"):
        path = home / catalogue()[name].stored_path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        assert find_model(DETECTORS[name].model_patterns) == path


# Pull ---------------------------------------------------------------------------------------------------------------


def test_pull(serve: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _style_file(tmp_path).read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    entry = _add(monkeypatch, urls=(serve("a", data),), sha256=sha, size_bytes=len(data))
    with pytest.raises(OptionError, match=r"Test licence(.|\n)*--accept-license"):
        model_store().pull(entry.name, accept_licence=False)
    assert serve.count == 0
    record = model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert record.file.read_bytes() == data
    assert record.sha256 == record.source_sha256 == sha
    assert record.licence_accepted
    assert record.origin == entry.urls[0]
    assert model_store().installed() == {entry.name: record}
    assert model_store().verify(entry.name) == sha
    assert model_store().pull(entry.name, accept_licence=False) == record
    assert serve.count == 1
    assert all(path.suffix == ".lock" for path in (home / ".incoming").iterdir())


@pytest.mark.thorough
def test_pull_converts(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _wav2lip_file(tmp_path)
    data = source.read_bytes()
    entry = replace(catalogue()["wav2lip-gan"], urls=(serve("w", data),), size_bytes=len(data))
    row = replace(entry, sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(models, "catalogue", lambda: {**catalogue(), row.name: row})
    record = model_store().pull("wav2lip-gan", accept_licence=True, options=QUICK)
    assert record.path == "wav2lip/wav2lip_gan.safetensors"
    kept = read_checkpoint(record.file)
    assert kept.container == "safetensors"
    assert not any("optimizer" in name for name in kept.tensors)
    assert set(kept.tensors) == set(read_checkpoint(source).tensors)
    assert not list(record.file.parent.glob("*.pth"))
    assert model_store().checkpoint_for("wav2lip", None) == record.file
    assert model_store().checkpoint_for("wav2lip", "wav2lip-gan") == record.file
    assert model_store().checkpoint_for("wav2lip", "other.pth") == Path("other.pth")
    head = th.load("wav2lip", device="cpu")  # needs no path now
    assert head is not None


def test_an_unknown_hash_is_recorded_and_kept(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = _add(monkeypatch, urls=(serve("a", _style_file(tmp_path).read_bytes()),))
    first = model_store().pull(entry.name, accept_licence=True, options=QUICK)
    model_store().remove(entry.name)
    assert model_store().installed() == {}
    assert not first.file.exists()
    serve("a", _style_file(tmp_path, seed=2).read_bytes())  # it changed at its source
    with pytest.raises(WrongCheckpoint, match=first.source_sha256):
        model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert model_store().installed() == {}
    second = model_store().pull(entry.name, accept_licence=True, force=True, options=QUICK)
    assert second.sha256 != first.sha256


def test_other_content_is_refused(serve: Any, monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path) -> None:
    write_safetensors(
        {"v_template": np.zeros((3, 3), np.float32), "shapedirs": np.zeros(3)}, tmp_path / "f.safetensors"
    )
    entry = _add(monkeypatch, urls=(serve("a", (tmp_path / "f.safetensors").read_bytes()),))
    with pytest.raises(WrongCheckpoint, match="flame"):
        model_store().pull(entry.name, accept_licence=True, options=QUICK)
    serve("a", b"not a checkpoint at all, just text of some length")
    with pytest.raises(WrongCheckpoint):
        model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert model_store().installed() == {}
    assert not (home / ".incoming" / entry.name).exists()


def test_two_at_once(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _style_file(tmp_path).read_bytes()
    entry = _add(monkeypatch, urls=(serve("a", data),))
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(model_store().pull(entry.name, accept_licence=True, options=QUICK))
        except Exception as error:  # noqa: BLE001 (shown by the assertion below)
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [result.sha256 for result in results] == [hashlib.sha256(data).hexdigest()] * 4
    assert serve.count == 1


_WORKER = """
import sys
from talkinghead.service.models import kinds
from talkinghead.weights.catalogue import CatalogueEntry, Licence
from talkinghead.weights.store import ModelStore
row = CatalogueEntry(name="test-style", purpose="", path="styles/test.safetensors", licence=Licence("l", "s"),
    found_in="here", kind="artalk-style", urls=(sys.argv[1],))
print(ModelStore({row.name: row}, kinds()).pull("test-style", accept_licence=True).sha256)
"""


@pytest.mark.thorough
def test_two_processes_at_once(serve: Any, tmp_path: Path) -> None:
    data = _style_file(tmp_path).read_bytes()
    url = serve("a", data)
    root = Path(__file__).resolve().parents[2]
    running = [
        subprocess.Popen([sys.executable, "-c", _WORKER, url], stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in running]
    assert answers == [hashlib.sha256(data).hexdigest()] * 2
    assert serve.count == 1


def test_hashes_of_several_pulls_at_once_are_all_kept() -> None:
    threads = [threading.Thread(target=store._remember_hash, args=(f"n{i}", str(i))) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store._first_hashes() == {f"n{i}": str(i) for i in range(12)}


def test_a_pull_that_was_stopped_while_converting_does_not_fetch_again(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _style_file(tmp_path).read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    entry = _add(monkeypatch, path="styles/test.pt", urls=(serve("a", data),), sha256=sha, convert=True)

    def stop(*_: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "_converted", stop)
        with pytest.raises(KeyboardInterrupt):
            model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert model_store().installed() == {}
    record = model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert serve.count == 1
    assert record.path == "styles/test.safetensors"


def test_by_hand_only() -> None:
    with pytest.raises(MissingWeights, match=r"flame\.is\.tue\.mpg\.de"):
        model_store().pull("flame", accept_licence=True)
    with pytest.raises(OptionError, match="wav2lip-gan"):
        model_store().pull("wav2lip-gann", accept_licence=True)


# Archives -----------------------------------------------------------------------------------------------------------


def _zip(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path.read_bytes()


def test_pull_from_an_archive(serve: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _style_file(tmp_path).read_bytes()
    hostile = {
        "../../evil.py": b"x",
        "/etc/evil": b"x",
        "styles/../../evil2": b"x",
        "m.safetensors": wanted,
        "C:\\e": b"x",
    }
    data = _zip(tmp_path / "a.zip", hostile)
    sha1 = hashlib.sha1(wanted).hexdigest()
    entry = _add(monkeypatch, urls=(serve("a", data),), archive_member="m.safetensors", member_sha1=sha1)
    record = model_store().pull(entry.name, accept_licence=True, options=QUICK)
    assert record.file.read_bytes() == wanted
    files = [path.name for path in tmp_path.rglob("*") if "evil" in path.name]
    assert files == []
    assert sorted(path.name for path in record.file.parent.iterdir()) == ["test.safetensors"]


def test_hostile_archives(tmp_path: Path) -> None:
    target = tmp_path / "out"
    archive = tmp_path / "a.zip"
    _zip(archive, {"other": b"x"})
    with pytest.raises(WrongCheckpoint, match="exactly one"):
        store.unpack_member(archive, "m", target)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("m", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("m", b"2")
    with pytest.raises(WrongCheckpoint, match="holds m twice"):
        store.unpack_member(archive, "m", target)
    with zipfile.ZipFile(archive, "w") as opened:
        link = zipfile.ZipInfo("m")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(WrongCheckpoint, match="exactly one"):
        store.unpack_member(archive, "m", target)
    _zip(archive, {"m": b"0" * 1_000_000})
    with pytest.raises(WrongCheckpoint, match="would be"):
        store.unpack_member(archive, "m", target, limit=1000)
    with pytest.raises(WrongCheckpoint, match="SHA-1"):
        store.unpack_member(archive, "m", target, sha1="0" * 40)
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(WrongCheckpoint, match="damaged or cut short"):
        store.unpack_member(archive, "m", target)
    assert not target.exists()


# Import -------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_import_recognises_by_keys(tmp_path: Path) -> None:
    for file, name in (("wav2lip_gan.pth", "wav2lip-gan"), ("wav2lip.pth", "wav2lip-base")):
        record = model_store().import_file(_wav2lip_file(tmp_path, file))
        assert (record.name, record.kind, record.model) == (name, "wav2lip-96", "wav2lip")
        assert (tmp_path / file).exists()
    other = model_store().import_file(_wav2lip_file(tmp_path, "My Own Model.pth"))
    assert (other.name, other.model, other.path) == ("my-own-model", "wav2lip", "my-own-model/my-own-model.pth")
    # The order of the catalogue decides which is taken by itself.
    assert [record.name for record in model_store().for_model("wav2lip")] == [
        "wav2lip-gan",
        "wav2lip-base",
        "my-own-model",
    ]


def test_import_again_and_over(tmp_path: Path) -> None:
    first = model_store().import_file(_style_file(tmp_path), name="calm")
    assert model_store().import_file(_style_file(tmp_path), name="calm") == first
    with pytest.raises(OutputExists, match="calm"):
        model_store().import_file(_style_file(tmp_path, 1), name="calm")
    assert model_store().import_file(_style_file(tmp_path, 1), name="calm", force=True).sha256 != first.sha256
    for name in ("../x", "A", "", "a/b", ".hidden", "a..b", "x" * 70):
        with pytest.raises(OptionError):
            model_store().import_file(_style_file(tmp_path), name=name)


@pytest.mark.thorough
def test_several_people_are_not_mixed_up(tmp_path: Path) -> None:
    records = [model_store().import_file(_wav2lip_file(tmp_path, f"{name}.pth")) for name in ("ann", "ben")]
    with pytest.raises(OptionError, match="ann or ben"):
        model_store().checkpoint_for("wav2lip", None)
    assert model_store().checkpoint_for("wav2lip", "ben") == records[1].file
    model_store().remove("ann")
    assert model_store().checkpoint_for("wav2lip", None) == records[1].file


def test_import_onnx_detector(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "face_detection_yunet_2023mar.onnx"
    path.write_bytes(b"\x08\x07 Conv cls_8 obj_8 bbox_8 kps_8" + b"\0" * 100)
    record = model_store().import_file(path)
    assert (record.name, record.path) == ("yunet", "yunet/face_detection_yunet_2023mar.onnx")


def test_import_real_scrfd(shared_media: Path) -> None:
    path = shared_media / "scrfd_2.5g_kps.onnx"
    if not path.is_file():
        pytest.skip("no SCRFD model in the media folder")
    assert model_store().recognise(path) == "scrfd"
    assert model_store().import_file(path).name == "scrfd"


def test_import_what_is_not_a_model(tmp_path: Path) -> None:
    text = tmp_path / "a.pth"
    text.write_bytes(b"hello, this is only text")
    unknown = tmp_path / "b.safetensors"
    write_safetensors({"something.weight": np.zeros((2, 2), np.float32)}, unknown)
    evil = tmp_path / "c.pth"
    evil.write_bytes(b"\x80\x04cposix\nsystem\n(S'true'\ntR." + b"\0" * 16)
    for path in (text, unknown, tmp_path / "missing.pth", tmp_path):
        with pytest.raises(WrongCheckpoint):
            model_store().import_file(path)
    with pytest.raises((UnsafeCheckpoint, WrongCheckpoint)):
        model_store().import_file(evil)
    assert model_store().installed() == {}


# Verify, remove, damaged records ------------------------------------------------------------------------------------


def test_verify_and_remove(tmp_path: Path, home: Path) -> None:
    record = model_store().import_file(_style_file(tmp_path), name="calm")
    assert model_store().verify("calm") == record.sha256
    with record.file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(WrongCheckpoint, match="changed"):
        model_store().verify("calm")
    assert model_store().remove("calm") == record.size_bytes
    assert not record.file.parent.exists()
    with pytest.raises((OptionError, MissingWeights)):
        model_store().remove("calm")
    with pytest.raises(MissingWeights, match="talkinghead models pull s3fd"):
        model_store().verify("s3fd")


def test_damaged_records_are_left_out(tmp_path: Path, home: Path) -> None:
    record = model_store().import_file(_style_file(tmp_path), name="calm")
    folder = home / ".records"
    good = json.loads((folder / "calm.json").read_text())
    for index, bad in enumerate(["{", "[]", json.dumps({**good, "path": "../../x"}), json.dumps({"name": "x"})]):
        (folder / f"bad{index}.json").write_text(bad)
    assert model_store().installed() == {"calm": record}
    record.file.unlink()
    assert model_store().installed() == {}


# Commands -----------------------------------------------------------------------------------------------------------


def _run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    from talkinghead.cli.main import main

    capfd.readouterr()
    status = main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return status, out, err


def test_commands(
    serve: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _style_file(tmp_path).read_bytes()
    entry = _add(monkeypatch, urls=(serve("a", data),))
    status, _, err = _run(capfd, "models", "pull", entry.name)
    assert status == 2
    assert "--accept-license" in err
    status, out, _ = _run(capfd, "models", "pull", entry.name, "--accept-license")
    assert status == 0
    assert hashlib.sha256(data).hexdigest() in out
    status, out, _ = _run(capfd, "models", "pull", entry.name)
    assert status == 0
    assert "is installed" in out
    for command in (["list"], ["show", entry.name], ["verify"], ["licenses"], ["licenses", "--json"]):
        status, out, err = _run(capfd, "models", *command)
        assert status == 0, err
        assert entry.name in out
    status, out, _ = _run(capfd, "models", "show", entry.name, "--json")
    assert json.loads(out)["installed"]["sha256"] == hashlib.sha256(data).hexdigest()
    status, out, _ = _run(capfd, "models", "list", "--json")
    assert {row["name"] for row in json.loads(out)} == set(FAMILIES)
    assert _run(capfd, "models", "remove", entry.name)[0] == 0
    assert _run(capfd, "models", "verify", entry.name)[0] == 1
    assert "pull s3fd" in _run(capfd, "models", "show", "s3fd")[1]
    status, out, _ = _run(capfd, "models", "import", _style_file(tmp_path, 3), "--name", "mine")
    assert status == 0
    assert "artalk-style" in out
    assert "by hand" in _run(capfd, "models", "list")[1]
    assert _run(capfd, "models", "show", "nothing-like-it")[0] == 2


def test_generate_names_what_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound, face = tmp_path / "a.wav", tmp_path / "a.png"
    for path in (sound, face):
        path.write_bytes(b"x")
    common = ("generate", "--face", face, "-o", tmp_path / "o.mp4")
    status, _, err = _run(capfd, *common, "--audio", sound, "--model", "wav2lip")
    assert status == 2
    assert "talkinghead models pull wav2lip-gan" in err
    status, _, err = _run(capfd, *common, "--audio", sound)
    assert status != 0
    assert "viseme" not in err
    assert "The built-in viseme runs" in _run(capfd, *common, "--audio", sound, "--verbose")[2]
    assert err.count("talkinghead models pull face-mesh") == 1
    for silent in (("-q",), ("--detector", "haar")):
        _, _, err = _run(capfd, *common, "--audio", sound, *silent)
        assert "face-mesh" not in err
    for extra, message in (
        ((), "Neither --audio nor --text"),
        (("--audio", sound, "--text", "a"), "Both"),
        (("--audio", sound, "--lang", "de"), "no effect"),
        (("--text", "a", "--start", "1"), "no effect"),
    ):
        status, _, err = _run(capfd, *common, *extra)
        assert status == 2
        assert message in err


# Parts --------------------------------------------------------------------------------------------------------------


def test_text_files_are_recognised(tmp_path: Path) -> None:
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    assert model_store().recognise(put("mean_face.txt", "0.5 " * 220)) == "pfld-mean-face"
    assert model_store().recognise(put("a.json", '{"model_type": "hubert", "hidden_size": 1024}')) == "hubert-config"
    assert model_store().recognise(put("a.json", '{"model_type": "wav2vec2", "vocab_size": 44}')) == "esperanto-config"
    for name, text in (("a.json", "{}"), ("a.json", "[1]"), ("a.json", "no"), ("a.txt", "1 2 3"), ("a.txt", "words")):
        with pytest.raises(WrongCheckpoint, match="not a text file"):
            model_store().recognise(put(name, text))
    wenet = tmp_path / "encoder.onnx"
    wenet.write_bytes(b"\x08\x07 Conv chunk offset att_cache cnn_cache" + b"\0" * 100)
    assert model_store().import_file(wenet).path == "wenet/encoder.onnx"


def test_speech_encoders_are_found_in_the_store(tmp_path: Path) -> None:
    from talkinghead.audio.encoders.wav2vec2 import ENCODERS, encoder_source

    names = ("hubert.masked_spec_embed", "hubert.encoder.layers.23.attention.q_proj.weight")
    write_safetensors({name: np.zeros(4, np.float32) for name in names}, tmp_path / "model.safetensors")
    record = model_store().import_file(tmp_path / "model.safetensors")
    assert (record.name, record.path) == ("hubert", "hubert/model.safetensors")
    assert any("not that of the catalogue" in note for note in record.notes)
    assert encoder_source("hubert", None) == (
        ENCODERS["hubert"].model,
        False,
    )  # without its configuration it is of no use
    (tmp_path / "config.json").write_text('{"model_type": "hubert", "hidden_size": 1024}')
    assert model_store().import_file(tmp_path / "config.json").name == "hubert-config"
    assert encoder_source("hubert", None) == (str(record.file.parent), False)
    assert encoder_source("hubert", "me/model") == ("me/model", True)


def test_artalk_finds_its_parts_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.families.artalk.assets import asset_folder

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARTALK_ASSET_DIR", raising=False)
    assert asset_folder(None).find("flame_with_eye") is None
    flame = {"v_template": np.zeros((4, 3), np.float32), "shapedirs": np.zeros((4, 3, 2), np.float32)}
    write_safetensors(flame, tmp_path / "my_flame.safetensors")
    record = model_store().import_file(tmp_path / "my_flame.safetensors")
    assert record.name == "flame"
    style = model_store().import_file(_style_file(tmp_path), name="calm")
    assert asset_folder(None).find("flame_with_eye") == record.file
    assert asset_folder(None).styles == {"calm": style.file}
    (tmp_path / "given").mkdir()
    assert asset_folder(tmp_path / "given").find("flame_with_eye") is None  # a folder that is named is all there is


def test_pull_brings_what_is_needed(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from talkinghead.cli.main import main

    _add(monkeypatch, name="part", path="s/part.safetensors", urls=(serve("p", _style_file(tmp_path).read_bytes()),))
    _add(monkeypatch, name="by-hand", path="s/hand.safetensors", obtain="Ask.")
    data = _style_file(tmp_path, 1).read_bytes()
    _add(monkeypatch, name="whole", path="s/w.safetensors", urls=(serve("w", data),), brings=("part", "by-hand"))
    assert main(["models", "pull", "whole", "--accept-license"]) == 0
    assert set(model_store().installed()) == {"whole", "part"}
    assert main(["models", "show", "whole"]) == 0
    assert "needs:      part, by-hand" in capfd.readouterr().out


def test_names_are_given_once() -> None:
    rows = [row for facts in FAMILIES.values() if facts.catalogue is not None for row in named(facts.catalogue)]
    rows += [*face_files.CATALOGUE, *speech_files.CATALOGUE, *enhance_files.CATALOGUE]
    assert len(rows) == len(catalogue())
    assert len({kind.name for kind in kinds()}) == len(kinds())
    for facts in FAMILIES.values():
        for kind in named(facts.kinds) if facts.kinds is not None else ():
            assert kind.model in (None, facts.name)


def test_rows_that_bring_others_name_them() -> None:
    for entry in catalogue().values():
        for name in entry.brings:
            assert name in catalogue()
            assert Path(catalogue()[name].path).parent in (Path(entry.path).parent, *Path(entry.path).parents)
