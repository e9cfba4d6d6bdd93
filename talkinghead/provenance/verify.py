"""What a signature (C2PA) says, and whether it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from talkinghead.errors import MissingDependency, OptionError
from talkinghead.provenance.carriers import GIF_HEADER, PNG_SIGNATURE, boxes
from talkinghead.provenance.signing import SETTINGS, _c2pa, _pem
from talkinghead.reading.bounds import shortened
from talkinghead.reading.text import parse_json

State = Literal["valid", "unknown signer", "changed", "damaged", "not checked"]
UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Of the box that holds a manifest in ISO base media files."""
PNG_CHUNK = b"caBX"
UNTRUSTED = "signingCredential.untrusted"
CHANGED = (".mismatch", ".missing")
"""Ends of the codes of what fits no longer."""
MEANING: Mapping[State, str] = {
    "valid": "signed, unchanged since, by a certificate that one of the given authorities vouches for",
    "unknown signer": "signed, unchanged since, by a certificate that nobody vouches for here",
    "changed": "changed after it was signed",
    "damaged": "has a signature that does not hold",
    "not checked": 'signed; to verify: pip install "talkinghead[provenance]"',
}


@dataclass(frozen=True)
class Signature:
    """What the newest manifest of a file says."""

    state: State
    signer: str | None = None
    """Name in the certificate."""
    issuer: str | None = None
    time: str | None = None
    """When it was signed, by a time stamp authority; None where none was asked."""
    generator: str | None = None
    """The program that signed."""
    actions: tuple[str, ...] = ()
    """What was done, each with its digital source type where it has one."""
    ingredients: tuple[str, ...] = ()
    """Names of what it was made of."""
    problems: tuple[str, ...] = ()
    """C2PA's codes of what is wrong."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def read_signature(path: Path, *, trust: Path | None = None) -> Signature | None:
    """What a file's signature says; None where it has none, or is of a kind that has none.

    Args:
        trust: certificates of authorities, PEM, that may vouch for signers; None: none may.
    Raises:
        OptionError: `trust` cannot be read.
        MissingDependency: authorities are given, and the extra `provenance` is not installed.
    """
    kind = _kind(path)
    if kind is None:
        return None
    anchors = _pem(trust, "list of authorities").decode("utf-8", "replace") if trust is not None else None
    if anchors is not None and "-----BEGIN CERTIFICATE-----" not in anchors:
        raise OptionError(f"{str(trust)!r} holds no certificate.", accepted="certificates as PEM")
    try:
        c2pa = _c2pa("Verifying signatures")
    except MissingDependency:
        if anchors is not None:
            raise
        return Signature("not checked") if _has_manifest(path) else None
    settings: dict[str, Any] = dict(SETTINGS)
    if anchors is not None:
        settings |= {"trust": {"trust_anchors": anchors}, "verify": {**SETTINGS["verify"], "verify_trust": True}}
    with contextlib.closing(c2pa.Context(c2pa.Settings.from_dict(settings))) as context, path.open("rb") as file:
        try:
            with contextlib.closing(c2pa.Reader(kind, file, context=context)) as reader:
                found = parse_json(reader.json().encode(), path)
        except c2pa.C2paError as error:
            if "ManifestNotFound" in str(error) or not _has_manifest(path):
                return None
            return Signature("damaged", problems=(shortened(str(error), 120),))
    return _signature(found)


def _signature(found: Any) -> Signature:
    active = found.get("manifests", {}).get(found.get("active_manifest"), {})
    own = found.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    codes = [str(row.get("code", "")) for row in (*found.get("validation_status", []), *own)]
    problems = tuple(dict.fromkeys(code for code in codes if code != UNTRUSTED))
    info = active.get("signature_info", {})
    state: State = "unknown signer" if UNTRUSTED in codes else "valid"
    if problems:
        state = "changed" if any(code.endswith(CHANGED) for code in problems) else "damaged"
    agents = active.get("claim_generator_info") or [{}]
    generator = " ".join(str(agents[0][name]) for name in ("name", "version") if agents[0].get(name))
    return Signature(
        state,
        _text(info.get("common_name")),
        _text(info.get("issuer")),
        _text(info.get("time")),
        generator or None,
        tuple(_action(row) for part in active.get("assertions", []) for row in _actions_of(part)),
        tuple(shortened(str(row.get("title", "?")), 80) for row in active.get("ingredients", [])),
        problems,
    )


def _actions_of(part: Any) -> list[Any]:
    if not str(part.get("label", "")).startswith("c2pa.actions"):
        return []
    found = part.get("data", {}).get("actions", [])
    return found if isinstance(found, list) else []


def _action(row: Any) -> str:
    kind = str(row.get("digitalSourceType", "")).rpartition("/")[2]
    return shortened(f"{row.get('action', '?')}" + (f" ({kind})" if kind else ""), 120)


def _text(value: Any) -> str | None:
    return None if value is None else shortened(str(value), 120)


def in_lines(found: Signature) -> list[str]:
    """What a signature says, for people."""
    lines = [MEANING[found.state]]
    if found.problems:
        lines.append(f"wrong: {', '.join(found.problems)}")
    if found.signer or found.issuer:
        when = f", {found.time}" if found.time else ""
        lines.append(f"by {found.signer or '?'} ({found.issuer or '?'}){when}")
    if found.actions:
        lines.append(f"{found.generator or 'a program'}: {', '.join(found.actions)}")
    if found.ingredients:
        lines.append(f"made of {', '.join(found.ingredients)}")
    return lines


def _kind(path: Path) -> str | None:
    """The format of a file as C2PA calls it, by content."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        brands = {b"qt  ": "video/quicktime", b"avif": "image/avif", b"heic": "image/heic", b"M4A ": "audio/mp4"}
        return brands.get(head[8:12], "video/mp4")
    if head[4:8] in (b"moov", b"wide", b"mdat"):
        return "video/quicktime"
    if head.startswith(PNG_SIGNATURE):
        return "image/png"
    if head.startswith(GIF_HEADER):
        return "image/gif"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    riff = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}
    return riff.get(head[8:12]) if head[:4] == b"RIFF" else None


def _has_manifest(path: Path) -> bool:
    """Whether a file holds a manifest, verified or not; known of MP4, MOV and PNG."""
    with path.open("rb") as file:
        head = file.read(8)
        if head[4:8] == b"ftyp":
            return any(
                kind == b"uuid" and _at(file, start, 16) == UUID
                for kind, start, _ in boxes(file, 0, path.stat().st_size)
            )
        return head == PNG_SIGNATURE and PNG_CHUNK in _at(file, 0, 1 << 20)


def _at(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)
