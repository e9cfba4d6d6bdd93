"""XMP packets: what a video says of itself in a form that other programs read, and back.

ISO 16684-1 (XMP part 1), IPTC Photo Metadata Standard 2025.1 (`Iptc4xmpExt`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from talkinghead.provenance.origin import PROGRAM, Origin, made_at
from talkinghead.reading.bounds import shortened
from talkinghead.version import __version__

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
MAX_PACKET_BYTES = 4 << 20
"""Longer packets of other programs are not read."""
MAX_LINE = 400
"""Characters of what is shown of a packet."""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can hold, not even escaped."""
_REPLACED = "\ufffd"


@dataclass(frozen=True)
class Said:
    """What a packet says; None where it does not."""

    source_type: str | None = None
    """Term of IPTC's vocabulary, such as "trainedAlgorithmicMedia"; whole where it is of another vocabulary."""
    tool: str | None = None
    created: str | None = None
    """A moment, as ISO 8601 writes it."""
    ai_system: str | None = None
    ai_system_version: str | None = None
    description: str | None = None

    @property
    def says_something(self) -> bool:
        return any((self.source_type, self.tool, self.created, self.ai_system, self.description))


def as_xml_text(text: str) -> str:
    """A text as XML can hold it: characters that no XML document has become U+FFFD."""
    return _NO_XML.sub(_REPLACED, text)


def packet_of(origin: Origin, *, created: datetime | None = None) -> bytes:
    """The XMP packet of a video, UTF-8.

    Args:
        created: in UTC; None: now.
    """
    moment = (created or made_at()).strftime("%Y-%m-%dT%H:%M:%SZ")
    system = f"{PROGRAM} {origin.model}" if origin.model else PROGRAM
    described = f'<rdf:Alt><rdf:li xml:lang="x-default">{_escaped(origin.done)}</rdf:li></rdf:Alt>'
    rows = [
        ("xmp:CreatorTool", _escaped(origin.tool)),
        ("xmp:CreateDate", moment),
        ("xmp:MetadataDate", moment),
        ("Iptc4xmpExt:DigitalSourceType", _escaped(origin.source_address)),
        ("Iptc4xmpExt:AISystemUsed", _escaped(system)),
        ("Iptc4xmpExt:AISystemVersionUsed", _escaped(__version__)),
        ("dc:description", described),
    ]
    spaces = "".join(f' xmlns:{name}="{address}"' for name, address in NAMESPACES.items() if name != "rdf")
    lines = "".join(f"   <{name}>{value}</{name}>\n" for name, value in rows)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="{PROGRAM} {__version__}">\n'
        f' <rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}">\n'
        f'  <rdf:Description rdf:about=""{spaces}>\n{lines}'
        "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def _escaped(text: str) -> str:
    return escape(as_xml_text(text), {"\r": "&#13;"})


def read_packet(packet: bytes) -> Said | None:
    """What a packet says, of whatever program; None where it is no packet that can be read.

    Properties may be elements or attributes of a description; of texts in several languages the first is taken.
    """
    if len(packet) > MAX_PACKET_BYTES:
        return None
    try:
        text = packet.decode("utf-8").strip("\ufeff\0 \r\n\t")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # no packet has one; what it could do is not tried
            return None
        root = ElementTree.fromstring(text)  # noqa: S314 - bounded, and without a document type
    except (UnicodeDecodeError, ElementTree.ParseError):
        return None
    found: dict[str, str] = {}
    for description in root.iter(_name("rdf:Description")):
        for name in (*_PROPERTIES, *_LATER):
            value = description.get(_name(name))
            if value is None and (element := description.find(_name(name))) is not None:
                value = element.get(_name("rdf:resource")) or _text_of(element)
            if value:
                found.setdefault(name, value)
    values = {field: found[name] for name, field in _PROPERTIES.items() if name in found}
    if "created" not in values and _LATER[0] in found:
        values["created"] = found[_LATER[0]]
    if "source_type" in values:
        values["source_type"] = re.sub("^https?://cv.iptc.org/newscodes/digitalsourcetype/", "", values["source_type"])
    return Said(**values)


_PROPERTIES = {
    "Iptc4xmpExt:DigitalSourceType": "source_type",
    "xmp:CreatorTool": "tool",
    "xmp:CreateDate": "created",
    "Iptc4xmpExt:AISystemUsed": "ai_system",
    "Iptc4xmpExt:AISystemVersionUsed": "ai_system_version",
    "dc:description": "description",
}
_LATER = ("xmp:MetadataDate",)
"""Says when, where nothing else does."""


def _name(short: str) -> str:
    space, _, name = short.partition(":")
    return f"{{{NAMESPACES[space]}}}{name}"


def _text_of(element: ElementTree.Element) -> str:
    item = next(element.iter(_name("rdf:li")), None)
    return (item.text if item is not None else element.text) or ""


def in_words(said: Said) -> str:
    """What a packet says, as one line for people, safe to show; without its description."""
    parts = []
    if said.source_type:
        parts.append(f"{said.source_type} (IPTC digital source type)")
    if said.tool:
        parts.append(f"made with {said.tool}")
    elif said.ai_system:
        parts.append(f"made with {said.ai_system} {said.ai_system_version or ''}".strip())
    if said.created:
        parts.append(f"at {said.created}")
    return shortened(", ".join(parts), MAX_LINE)
