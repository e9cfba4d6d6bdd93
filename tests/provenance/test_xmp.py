"""Packets are XML that other programs read; packets of other programs are read, and damaged ones harm nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import OptionError
from talkinghead.media.pictures import encode_png
from talkinghead.provenance import carriers
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.xmp import as_xml_text, in_words, packet_of, read_packet
from talkinghead.registry import FAMILIES

WHEN = datetime(2026, 8, 2, tzinfo=UTC)
PACKET = packet_of(Origin("composite", "viseme"), created=WHEN)
WRAPPED = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" {}</rdf:RDF></x:xmpmeta>'
)
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@settings(max_examples=50)
@given(st.text(), st.text(min_size=1))
def test_any_text_comes_back_and_the_packet_is_xml(text: str, model: str) -> None:
    packet = packet_of(Origin("composite", model, done=text), created=WHEN)
    ElementTree.fromstring(packet.decode())  # an independent reader
    said = read_packet(packet)
    assert said is not None
    assert (said.description or "") == as_xml_text(text)
    assert said.ai_system == as_xml_text(f"talkinghead {model}")
    assert said.created == "2026-08-02T00:00:00Z"


def test_only_what_xml_cannot_hold_is_replaced() -> None:
    assert as_xml_text("a\0b\x1b[0m <&>\t\n\r'\"\ud800 \U0001f600") == "a�b�[0m <&>\t\n\r'\"� \U0001f600"


@pytest.mark.parametrize(
    "inner",
    [
        f'Iptc4xmpExt:DigitalSourceType="{TERM}"/>',
        f"><Iptc4xmpExt:DigitalSourceType>{TERM}</Iptc4xmpExt:DigitalSourceType></rdf:Description>",
        f'><Iptc4xmpExt:DigitalSourceType rdf:resource="{TERM.replace("http:", "https:")}"/></rdf:Description>',
    ],
)
def test_packets_of_other_programs_are_read(inner: str) -> None:
    said = read_packet(WRAPPED.format(inner).encode())
    assert said is not None
    assert said.source_type == "trainedAlgorithmicMedia"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe<",
        b"<x>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        b"<x/>" + b" " * (5 << 20),
    ],
    ids=["empty", "no utf-8", "no xml", "entities", "long"],
)
def test_what_is_no_packet_is_not_read(packet: bytes) -> None:
    assert read_packet(packet) is None


@given(st.binary(max_size=300))
def test_damaged_packets_and_files_harm_nobody(data: bytes) -> None:
    read_packet(data)
    read_packet(PACKET[: len(data)] + data + PACKET[2 * len(data) :])


def test_what_is_shown_steers_no_terminal() -> None:
    said = read_packet(WRAPPED.format('xmp:CreatorTool="a\u202e\u009b31m b"/>').encode())
    assert said is not None
    assert in_words(said) == "made with a??31m b"


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x10ftypisom\0\0\0\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBP"]
)
@given(data=st.binary(max_size=200))
def test_whatever_follows_a_signature_is_looked_at_within_bounds(
    head: bytes, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "foreign"
    path.write_bytes(head + data)
    carriers.find_packet(path)


def test_pictures_of_other_programs(tmp_path: Path) -> None:
    body = carriers.JPEG_PREFIX + PACKET
    jpeg = b"\xff\xd8\xff\xe0\0\4ab\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + b"\xff\xda"
    webp = b"RIFF\0\0\0\0WEBPVP8X\1\0\0\0a\0XMP " + len(PACKET).to_bytes(4, "little") + PACKET
    png = carriers.labelled_png(encode_png(np.zeros((2, 2, 3), np.uint8)), PACKET)
    for data in (jpeg, webp, png):
        path = tmp_path / "a"
        path.write_bytes(data)
        assert carriers.find_packet(path) == PACKET


def test_a_file_without_a_place_keeps_what_waited_for_one(tmp_path: Path) -> None:
    file = carriers.Inserting(tmp_path / "a", carriers.after_moov, b"!")
    assert file.write(b"\0\0\0\x10ft") == 6
    file.close()
    assert (tmp_path / "a").read_bytes() == b"\0\0\0\x10ft"


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1))
def test_however_the_bytes_come_they_are_inserted_in_one_place(parts: list[bytes]) -> None:
    from tempfile import TemporaryDirectory

    init = b"\0\0\0\x0cftypisom" + b"\0\0\0\x09moovx"
    whole = init + b"\0\0\0\x08moof" + b"".join(parts)
    cuts = np.cumsum([0, *(len(part) for part in parts), len(whole)])
    with TemporaryDirectory() as folder:
        file = carriers.Inserting(Path(folder) / "a", carriers.after_moov, b"!!")
        for start, end in pairwise(cuts):
            file.write(whole[start:end])
        file.close()
        assert (Path(folder) / "a").read_bytes() == init + b"!!" + whole[len(init) :]


def test_every_family_says_what_its_videos_are() -> None:
    terms = {name: facts.made_with({}) for name, facts in FAMILIES.items()}
    assert terms == {
        "viseme": "composite",
        "wav2lip": "compositeWithTrainedAlgorithmicMedia",
        "synctalk2d": "compositeWithTrainedAlgorithmicMedia",
        "talkinggaussian": "compositeSynthetic",
        "artalk": "trainedAlgorithmicMedia",
    }
    assert FAMILIES["viseme"].made_with({"enhance": Path("gfpgan")}) == "compositeWithTrainedAlgorithmicMedia"
    assert FAMILIES["viseme"].made_with({"enhance": Path("off")}) == "composite"
    with pytest.raises(OptionError, match="Unknown source type"):
        Origin("painted")  # type: ignore[arg-type]
