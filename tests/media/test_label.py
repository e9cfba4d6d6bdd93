"""Videos say in their metadata that they are synthetic, what made them and when; other programs read it."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from talkinghead.cli.main import main
from talkinghead.errors import OptionError
from talkinghead.media import EncodeOptions, probe, write_video
from talkinghead.media.joining import join_videos
from talkinghead.provenance.carriers import find_packet
from talkinghead.provenance.origin import SYNTHETIC_LABEL, Origin
from talkinghead.version import __version__

FRAMES = [np.full((32, 48, 3), 30 * i, np.uint8) for i in range(8)]
ORIGIN = Origin("trainedAlgorithmicMedia", "artalk")
FRAGMENTS = EncodeOptions(fragment_s=0.08, gop_s=0.08)


def write(path: Path, options: EncodeOptions | None = None) -> Path:
    write_video(path, FRAMES, fps=Fraction(25), options=options or EncodeOptions(), origin=ORIGIN)
    return path


def boxes(path: Path) -> list[tuple[str, int]]:
    """Boxes of the file and where they begin, walked without the package."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind.decode(), at))
        at += size
    assert at == len(data)
    return found


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.gif", "a"])
def test_a_video_says_what_it_is_and_what_made_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")
    path = write(tmp_path / name)
    found = probe(min(path.iterdir()) if path.is_dir() else path)
    assert found.said is not None
    assert found.said.source_type == "trainedAlgorithmicMedia"
    assert found.said.tool == f"talkinghead {__version__} (artalk)"
    assert found.said.created == "2026-11-30T00:53:20Z"
    assert found.said.description == SYNTHETIC_LABEL
    if path.suffix not in (".gif", ""):
        assert found.comment == SYNTHETIC_LABEL


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("options", [EncodeOptions(), FRAGMENTS], ids=["whole", "fragments"])
def test_ffmpeg_finds_the_packet_and_every_picture(tmp_path: Path, name: str, options: EncodeOptions) -> None:
    path = write(tmp_path / name, options)
    with av.open(str(path), container_options={"export_xmp": "1"}) as file:
        assert "digitalsourcetype/trainedAlgorithmicMedia" in file.metadata["xmp"]
        seen = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(video=0)]
    assert len(seen) == len(FRAMES)
    assert all(a < b for a, b in pairwise(seen))


def test_the_index_stays_in_front_and_points_where_the_pictures_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    kinds = [kind for kind, _ in boxes(path)]
    assert kinds.index("moov") < kinds.index("mdat") < kinds.index("uuid")
    packet = find_packet(path)
    assert packet is not None
    assert packet.startswith(b"<?xpacket begin=")


def test_a_stream_says_it_before_its_first_fragment_and_its_index_is_right(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", FRAGMENTS)
    found = boxes(path)
    kinds = [kind for kind, _ in found]
    assert kinds[:4] == ["ftyp", "moov", "uuid", "moof"]
    fragments = [at for kind, at in found if kind == "moof"]
    data = path.read_bytes()
    table = data.index(b"tfra", found[-1][1])
    assert data[table + 4] == 1  # version: 8 bytes each for time and place
    count = struct.unpack(">I", data[table + 16 : table + 20])[0]
    entries = [data[table + 20 + 19 * i :][:16] for i in range(count)]
    assert [struct.unpack(">QQ", entry)[1] for entry in entries] == fragments


def test_pillow_reads_it_in_each_picture(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    for path in folder.iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert b"trainedAlgorithmicMedia" in picture.info["xmp"]
            assert picture.size == (48, 32)


def test_the_term_is_a_tag_of_its_own_where_no_standard_names_a_place(tmp_path: Path) -> None:
    for name in ("a.webm", "a.mkv"):
        with av.open(str(write(tmp_path / name))) as file:
            assert file.metadata["DIGITAL_SOURCE_TYPE"] == ORIGIN.source_address


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_what_is_joined_says_it_too(tmp_path: Path, name: str) -> None:
    parts = [write(tmp_path / f"{k}{Path(name).suffix}") for k in range(2)]
    join_videos(tmp_path / name, parts, fps=Fraction(25), origin=Origin("compositeSynthetic", "talkinggaussian"))
    found = probe(tmp_path / name)
    assert found.said is not None
    assert found.said.source_type == "compositeSynthetic"
    assert found.main_video is not None
    assert found.main_video.num_frames == 2 * len(FRAMES)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.gif", "a"])
def test_it_can_be_left_out(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, EncodeOptions(label=False))
    for file in path.iterdir() if path.is_dir() else [path]:
        assert b"xpacket" not in file.read_bytes()
        assert probe(file).said is None
        assert probe(file).comment is None


def test_inspect_shows_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(write(tmp_path / "b.mp4"))]) == 0
    out = capfd.readouterr().out
    assert SYNTHETIC_LABEL in out
    assert f"trainedAlgorithmicMedia (IPTC digital source type), made with talkinghead {__version__} (artalk)" in out


def test_a_time_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(OptionError, match="SOURCE_DATE_EPOCH"):
        write(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
