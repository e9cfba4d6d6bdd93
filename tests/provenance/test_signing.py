"""Signed videos: verified by C2PA's own reader, found out when changed, and no half of one when something fails."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.errors import MissingDependency, OptionError, OutputError, UnwritableOutput
from talkinghead.media import EncodeOptions, write_png, write_video
from talkinghead.media.joining import join_videos
from talkinghead.provenance import signing
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.signing import Signer, configured, make_test_certificate, signing_with
from talkinghead.provenance.verify import read_signature
from tests.synthetic_media import make_sound

c2pa = pytest.importorskip("c2pa", reason="the extra provenance is not installed")
FRAMES = [np.full((48, 64, 3), 30 * i, np.uint8) for i in range(6)]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers") / "new"
    make_test_certificate(folder)
    return folder


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (signing.CERTIFICATE, signing.KEY, signing.TIMESTAMP_URL):
        monkeypatch.delenv(name, raising=False)
    yield
    assert not signing.signing_environment()


def signer(papers: Path) -> Signer:
    return Signer(papers / "certificate.pem", papers / "key.pem")


def origin(folder: Path) -> Origin:
    """Made of a picture and of a sound that C2PA cannot look into."""
    write_png(folder / "me.png", FRAMES[1])
    (folder / "hello.ogg").write_bytes(b"OggS")
    return Origin("compositeWithTrainedAlgorithmicMedia", "wav2lip", folder / "me.png", folder / "hello.ogg")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.gif"])
def test_a_signed_video_says_what_was_done_and_c2pa_agrees(tmp_path: Path, papers: Path, name: str) -> None:
    path = tmp_path / name
    write_video(path, FRAMES, fps=Fraction(25), origin=origin(tmp_path), signer=signer(papers))
    kind = {".mp4": "video/mp4", ".mov": "video/quicktime", ".gif": "image/gif"}[path.suffix]
    with path.open("rb") as file, c2pa.Reader(kind, file) as reader:
        assert reader.get_validation_state() == "Valid"
        assert b"c2pa.thumbnail" not in reader.json().encode()  # no copy of the face
    found = read_signature(path)
    assert found is not None
    assert found.state == "unknown signer"
    assert found.signer == "talkinghead test signer"
    assert found.actions == ("c2pa.opened", "c2pa.edited (compositeWithTrainedAlgorithmicMedia)", "c2pa.placed")
    assert set(found.ingredients) == {"me.png", "hello.ogg"}
    trusted = read_signature(path, trust=papers / "authority.pem")
    assert trusted is not None
    assert trusted.state == "valid"


def test_a_changed_frame_is_found(tmp_path: Path, papers: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, fps=Fraction(25), signer=signer(papers))
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 40] ^= 1
    path.write_bytes(data)
    found = read_signature(path, trust=papers / "authority.pem")
    assert found is not None
    assert found.state == "changed"
    assert "assertion.bmffHash.mismatch" in found.problems


def test_what_the_file_says_in_xmp_is_signed_too(tmp_path: Path, papers: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, fps=Fraction(25), signer=signer(papers))
    path.write_bytes(path.read_bytes().replace(b"digitalsourcetype/composite<", b"digitalsourcetype/composita<"))
    found = read_signature(path)
    assert found is not None
    assert found.state == "changed"


def test_whole_heads_are_created_and_joined_videos_are_signed(tmp_path: Path, papers: Path) -> None:
    parts = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for part in parts:
        write_video(part, FRAMES, fps=Fraction(25), options=EncodeOptions(audio_codec="none"))
    made = Origin("trainedAlgorithmicMedia", "artalk", sound=make_sound(tmp_path / "a.wav", 0.1))
    join_videos(tmp_path / "a.mp4", parts, fps=Fraction(25), origin=made, signer=signer(papers))
    found = read_signature(tmp_path / "a.mp4")
    assert found is not None
    assert found.state == "unknown signer"
    assert found.actions == ("c2pa.created (trainedAlgorithmicMedia)", "c2pa.placed")


def test_a_failure_leaves_what_was_there(tmp_path: Path, papers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    who = signer(papers)
    secret = (papers / "key.pem").read_text().splitlines()[1]

    def fail(*_: object) -> None:
        raise c2pa.C2paError(f"Signature: bad key {secret} of -----BEGIN PRIVATE KEY-----")

    monkeypatch.setattr(c2pa.Builder, "sign", fail)
    with pytest.raises(OutputError, match="cannot be signed: Signature: bad key") as caught:
        write_video(path, FRAMES, fps=Fraction(25), signer=who)
    assert secret not in str(caught.value)
    assert path.read_bytes() == b"precious"
    assert [item.name for item in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a"])
def test_what_cannot_be_signed_is_refused_before_the_work(tmp_path: Path, papers: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"cannot be signed \(C2PA\)"):
        write_video(tmp_path / name, FRAMES, fps=Fraction(25), signer=signer(papers))
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_the_command_signs_and_says_nothing_of_the_key(
    tmp_path: Path, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from talkinghead.assets.portrait import portrait_path

    out, sound = tmp_path / "out.mp4", make_sound(tmp_path / "hello.wav", 0.2)
    words = ["generate", "--face", str(portrait_path("iris")), "--audio", str(sound), "-q", "-o", str(out)]
    words += ["--sign", str(papers / "certificate.pem"), "--key", str(papers / "key.pem")]
    assert main([*words, "--report", str(tmp_path / "report.json")]) == 0
    assert not signing.signing_environment()
    secret = (papers / "key.pem").read_text().splitlines()[1]
    assert secret not in (tmp_path / "report.json").read_text() + "".join(capfd.readouterr())
    found = read_signature(out)
    assert found is not None
    assert found.ingredients == ("portrait-iris.webp", "hello.wav")
    assert found.actions == ("c2pa.opened", "c2pa.edited (composite)", "c2pa.placed")


def test_the_command_refuses_before_the_work(tmp_path: Path, papers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from talkinghead.assets.portrait import portrait_path

    sound = make_sound(tmp_path / "hello.wav", 0.2)
    words = ["generate", "--face", str(portrait_path("iris")), "--audio", str(sound), "-q"]
    words += ["--sign", str(papers / "certificate.pem")]
    assert main([*words, "-o", str(tmp_path / "a.webm"), "--key", str(papers / "key.pem")]) == 2
    assert "A .webm file cannot be signed" in capfd.readouterr().err
    assert main([*words, "-o", str(tmp_path / "a.mp4")]) == 2
    assert "a certificate is given, and a key is not" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]


def test_inspect_verifies(tmp_path: Path, papers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, fps=Fraction(25), origin=origin(tmp_path), signer=signer(papers))
    assert main(["inspect", str(path), "--no-faces", "--json", "--trust", str(papers / "authority.pem")]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["signature"]["state"] == "valid"
    assert shown["media"]["said"]["source_type"] == "compositeWithTrainedAlgorithmicMedia"
    assert main(["inspect", str(path), "--no-faces"]) == 0
    assert "a certificate that nobody vouches for here" in capfd.readouterr().out


def test_the_environment_configures_every_command(papers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured() is None
    with signing_with(papers / "certificate.pem", papers / "key.pem"):
        found = configured()
        assert found is not None
        assert found.timestamp_url is None
        assert set(signing.signing_environment()) == {signing.CERTIFICATE, signing.KEY}
    with pytest.raises(OptionError, match="nothing is signed"), signing_with(None, None, "https://tsa.example"):
        pass
    with pytest.raises(OptionError, match="time stamp authority"):
        Signer(papers / "certificate.pem", papers / "key.pem", "ftp://tsa.example")


def test_keys_that_cannot_be_used_are_refused_and_not_shown(tmp_path: Path, papers: Path) -> None:
    make_test_certificate(tmp_path / "other")
    other = tmp_path / "other" / "key.pem"
    with pytest.raises(OptionError, match="does not belong to"):
        Signer(papers / "certificate.pem", other)
    other.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(OptionError, match="no private key") as caught:
        Signer(papers / "certificate.pem", other)
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(OptionError, match="holds no certificate"):
        Signer(other, papers / "key.pem")
    with pytest.raises(OptionError, match="cannot be read"):
        Signer(tmp_path / "none.pem", papers / "key.pem")


def test_a_test_certificate_replaces_nothing_and_hides_its_key(papers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if os.name == "posix":
        assert stat.S_IMODE((papers / "key.pem").stat().st_mode) == 0o600
    before = (papers / "key.pem").read_bytes()
    with pytest.raises(UnwritableOutput, match="is there already"):
        make_test_certificate(papers)
    assert main(["provenance", "make-test-certificate", str(papers)]) == 1
    assert "is there already" in capfd.readouterr().err
    assert (papers / "key.pem").read_bytes() == before


def test_without_the_package_a_signature_is_named_and_signing_asks_for_it(
    tmp_path: Path, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, fps=Fraction(25), signer=signer(papers))
    who = signer(papers)
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    found = read_signature(path)
    assert found is not None
    assert found.state == "not checked"
    with pytest.raises(MissingDependency, match="provenance"):
        who.sign(path, "a.mp4", Origin())
    with pytest.raises(MissingDependency):
        read_signature(path, trust=papers / "authority.pem")


def test_files_without_a_signature_and_damaged_ones(tmp_path: Path, papers: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, fps=Fraction(25))
    assert read_signature(path) is None
    write_video(path, FRAMES, fps=Fraction(25), signer=signer(papers))
    data = path.read_bytes()
    at = data.index(b"jumb")
    path.write_bytes(data[:at] + bytes(64) + data[at + 64 :])
    found = read_signature(path)
    assert found is not None
    assert found.state == "damaged"
    for content in (b"", b"\0\0\0\x08ftyp", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"text"):
        path.write_bytes(content)
        assert read_signature(path) is None


def test_a_table_with_rows_that_cannot_be_signed_is_refused_before_the_first(
    tmp_path: Path, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from talkinghead.assets.portrait import portrait_path

    sound = make_sound(tmp_path / "a.wav", 0.2)
    table = tmp_path / "jobs.csv"
    table.write_text(
        f"face,audio,output\n{portrait_path('iris')},{sound},a.mp4\n{portrait_path('iris')},{sound},b.webm\n"
    )
    words = ["batch", str(table), "-o", str(tmp_path / "out"), "--sign", str(papers / "certificate.pem")]
    for more in ([], ["--dry-run"]):
        assert main([*words, "--key", str(papers / "key.pem"), *more]) == 2
        assert "Row 2: A .webm file cannot be signed" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
