"""Signed provenance: a C2PA manifest in the finished file, with what it is made of, what was done, and who says so.

The key stays in its file: it is read when a video is signed, and no message, report, ledger or log has any of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.errors import MissingDependency, OptionError, OutputError, UnwritableOutput
from talkinghead.files import unwritable
from talkinghead.places import partial_name
from talkinghead.provenance.origin import PROGRAM, Origin, made_at
from talkinghead.version import __version__

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CERTIFICATE, KEY, TIMESTAMP_URL = "TALKINGHEAD_SIGN", "TALKINGHEAD_SIGN_KEY", "TALKINGHEAD_SIGN_TIMESTAMP_URL"
"""Environment variables: paths of the certificate chain and of its key, and the address of a time stamp authority."""
SIGNED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".gif": "image/gif"}
"""Files that can be signed: suffix to the format that C2PA knows."""
MAX_PEM_BYTES = 1 << 20
TYPES = {
    **SIGNED,
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".avif": "image/avif",
    ".heic": "image/heic", ".heif": "image/heif", ".tif": "image/tiff", ".tiff": "image/tiff", ".bmp": "image/bmp",
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".m4a": "audio/mp4", ".ogg": "audio/ogg",
    ".opus": "audio/ogg", ".webm": "video/webm", ".mkv": "video/x-matroska", ".avi": "video/avi",
}  # fmt: skip
"""Formats by suffix, of what a video is made of."""
OTHER_TYPE = "application/octet-stream"
SETTINGS: dict[str, dict[str, Any]] = {
    "builder": {"thumbnail": {"enabled": False}},  # a copy of the face in each video is nothing to add unasked
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
EDITS = ("compositeWithTrainedAlgorithmicMedia", "composite")
"""Videos that are a changed picture or recording, and so are opened, not created."""


@dataclass(frozen=True)
class Signer:
    """Who signs finished videos.

    Raises:
        OptionError: one of the files is missing or is not what it should be, or the two do not belong together.
        MissingDependency: the extra `provenance` is not installed.
    """

    certificate: Path
    """Certificates, PEM: that of the signer first, then those that vouch for it."""
    key: Path
    """Private key of the first certificate, PEM, without a passphrase."""
    timestamp_url: str | None = None
    """Time stamp authority (RFC 3161) that is asked for each file; None: nobody is, and nothing leaves the machine."""

    def __post_init__(self) -> None:
        url = self.timestamp_url
        if url is not None and not re.fullmatch(r"https?://[!-~]+", url):
            raise OptionError(f"The time stamp authority is {url[:80]!r}.", accepted="http://... or https://...")
        self._material()

    def _material(self) -> tuple[str, bytes, bytes]:
        """Algorithm, certificates and key."""
        with _packages("Signing videos"):
            from cryptography import x509
            from cryptography.hazmat.primitives import serialization
        chain = _pem(self.certificate, "certificate")
        try:
            first = x509.load_pem_x509_certificates(chain)[0]
        except (ValueError, IndexError):
            raise OptionError(
                f"{str(self.certificate)!r} holds no certificate.", accepted="certificates as PEM, the signer's first"
            ) from None
        secret = _pem(self.key, "key")
        try:
            private = serialization.load_pem_private_key(secret, password=None)
        except Exception:  # noqa: BLE001 - whatever is said of a key stays unsaid
            raise OptionError(
                f"{str(self.key)!r} holds no private key that can be used.", accepted="a key as PEM, without passphrase"
            ) from None
        if private.public_key() != first.public_key():
            raise OptionError(
                f"The key {str(self.key)!r} does not belong to the certificate {str(self.certificate)!r}.",
                remedy="the key of the first certificate in the file",
            )
        plain = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _algorithm(private), chain, plain

    def check(self, output: Path) -> None:
        """Find out before the work whether a video of this name can be signed.

        Raises:
            OptionError: it cannot.
        """
        if output.suffix.lower() not in SIGNED:
            kind = f"A {output.suffix} file" if output.suffix else "A folder of pictures"
            raise OptionError(
                f"{kind} cannot be signed (C2PA).",
                accepted=f"a name that ends in {', '.join(SIGNED)}",
                remedy="another name, or leave the signature out",
            )

    def sign(self, path: Path, title: str, origin: Origin) -> None:
        """Sign a finished file in its place: signed, or as it was.

        Args:
            title: the name that the file will have.
        Raises:
            OptionError: its kind cannot be signed. OutputError: signing failed, or the disk is full.
        """
        self.check(Path(title))
        c2pa = _c2pa("Signing videos")
        algorithm, chain, key = self._material()
        format_name = SIGNED[Path(title).suffix.lower()]
        target = path.with_name(partial_name(path.name))
        try:
            with ExitStack() as stack:
                url = self.timestamp_url.encode() if self.timestamp_url else None
                info = c2pa.C2paSignerInfo(algorithm.encode(), chain, key, url)
                signer = stack.enter_context(contextlib.closing(c2pa.Signer.from_info(info)))
                context = stack.enter_context(contextlib.closing(c2pa.Context(c2pa.Settings.from_dict(SETTINGS))))
                builder = stack.enter_context(contextlib.closing(_builder(c2pa, context, title, origin)))
                source = stack.enter_context(path.open("rb"))
                written = stack.enter_context(target.open("x+b"))
                builder.sign(signer, format_name, source, written)
            target.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
        except c2pa.C2paError as error:
            raise OutputError(
                f"{title!r} cannot be signed: {_without_pem(str(error))}.",
                remedy="talkinghead provenance make-test-certificate DIR makes a certificate that works",
            ) from None
        finally:
            target.unlink(missing_ok=True)


def configured() -> Signer | None:
    """The signer that the environment names; None: videos are not signed.

    Raises:
        OptionError: one of certificate and key is missing, or cannot be used.
    """
    certificate, key = os.environ.get(CERTIFICATE), os.environ.get(KEY)
    if not certificate and not key:
        return None
    if not certificate or not key:
        given, missing = ("a key", "a certificate") if key else ("a certificate", "a key")
        raise OptionError(
            f"To sign videos {given} is given, and {missing} is not.",
            accepted=f"--sign CERT with --key FILE, or {CERTIFICATE} with {KEY} in the environment",
        )
    return Signer(Path(certificate), Path(key), os.environ.get(TIMESTAMP_URL) or None)


@contextmanager
def signing_with(certificate: Path | None, key: Path | None, timestamp_url: str | None = None) -> Iterator[None]:
    """What is made in the block, by this process and those that it starts, is signed; None leaves the environment's.

    Raises:
        OptionError: one without the other, or what cannot be used.
    """
    given = {CERTIFICATE: certificate, KEY: key, TIMESTAMP_URL: timestamp_url}
    values = {name: str(Path(value).absolute()) if isinstance(value, Path) else value for name, value in given.items()}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        if timestamp_url is not None and not os.environ.get(CERTIFICATE):
            raise OptionError("A time stamp is asked for, and nothing is signed.", remedy="--sign CERT --key KEY")
        configured()
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def signing_environment() -> dict[str, str]:
    """What other processes need to sign as this one: names of files and addresses, no secret."""
    return {name: os.environ[name] for name in (CERTIFICATE, KEY, TIMESTAMP_URL) if os.environ.get(name)}


# Manifests ------------------------------------------------------------------------------------------------------------


def _builder(c2pa: Any, context: Any, title: str, origin: Origin) -> Any:
    """The manifest of a video with its ingredients."""
    edits = origin.face is not None and origin.source_type in EDITS
    parts = {"face": (origin.face, "parentOf" if edits else "inputTo"), "sound": (origin.sound, "componentOf")}
    given = {
        name: (path, {"title": path.name, "relationship": relation, "label": name})
        for name, (path, relation) in parts.items()
        if path is not None and path.is_file()
    }
    seen = {name for name, (path, _) in given.items() if _can_be_read(c2pa, path)}
    unseen = [
        {**row, "format": TYPES.get(path.suffix.lower(), OTHER_TYPE), "instance_id": f"{name}:{path.name}"}
        for name, (path, row) in given.items()
        if name not in seen
    ]
    builder = c2pa.Builder(json.dumps(_manifest(title, origin, set(given), unseen)), context)
    try:
        for name in sorted(seen):
            path, row = given[name]
            with path.open("rb") as file:
                builder.add_ingredient(json.dumps(row), TYPES[path.suffix.lower()], file)
    except BaseException:
        builder.close()
        raise
    return builder


def _can_be_read(c2pa: Any, path: Path) -> bool:
    """Whether C2PA can take a file as an ingredient."""
    kind = TYPES.get(path.suffix.lower())
    if kind is None or kind not in c2pa.Builder.get_supported_mime_types():
        return False
    builder = c2pa.Builder("{}", c2pa.Context(c2pa.Settings.from_dict(SETTINGS)))
    try:
        with path.open("rb") as file:
            builder.add_ingredient(json.dumps({"title": path.name, "relationship": "inputTo"}), kind, file)
    except c2pa.C2paError:  # its name says another kind than it is, or it is damaged for C2PA alone
        return False
    finally:
        builder.close()
    return True


def _manifest(title: str, origin: Origin, parts: set[str], unseen: list[dict[str, str]]) -> Mapping[str, Any]:
    agent = {"name": PROGRAM, "version": __version__}
    common = {"softwareAgent": agent, "when": made_at().strftime("%Y-%m-%dT%H:%M:%SZ")}
    done = {"digitalSourceType": origin.source_address, "description": f"{origin.done} [{origin.tool}]"}
    actions: list[dict[str, Any]] = []
    if "face" in parts and origin.source_type in EDITS:
        actions += [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": ["face"]}, **common},
            {"action": "c2pa.edited", **done, **common},
        ]
    else:
        made_of = {"parameters": {"ingredientIds": ["face"]}} if "face" in parts else {}
        actions.append({"action": "c2pa.created", **done, **made_of, **common})
    if "sound" in parts:
        actions.append({"action": "c2pa.placed", "parameters": {"ingredientIds": ["sound"]}, **common})
    return {
        "title": title,
        "claim_generator_info": [agent],
        "ingredients": unseen,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


# Keys and packages ----------------------------------------------------------------------------------------------------


def _algorithm(private: Any) -> str:
    """C2PA's name of what a key signs with.

    Raises:
        OptionError: C2PA has no such keys.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(private.curve.name)
        if name is not None:
            return name
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    raise OptionError(
        "Keys of this kind sign no C2PA manifest.", accepted="P-256, P-384, P-521, Ed25519, RSA from 2048"
    )


def _pem(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise OptionError(
            f"The {what} {str(path)!r} cannot be read: {error.strerror}.", accepted="a PEM file"
        ) from None
    if len(data) > MAX_PEM_BYTES:
        raise OptionError(f"The {what} {str(path)!r} has more than 1 MiB.", accepted="a PEM file")
    return data


def _without_pem(text: str) -> str:
    """What C2PA says, without anything that looks like a part of a key."""
    return re.sub(r"[A-Za-z0-9+/=]{40,}|-----[^\n]*", "...", text)[:300].rstrip(". \n")


@contextmanager
def _packages(purpose: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingDependency("c2pa", extra="provenance", purpose=purpose) from error


def _c2pa(purpose: str) -> Any:
    """The package c2pa.

    Raises:
        MissingDependency
    """
    with _packages(purpose):
        import c2pa
    return c2pa


def make_test_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Make a certificate for trying, signed by an authority that is made with it and whom nobody knows.

    Args:
        folder: made where it is missing; gets certificate.pem, key.pem (mode 0600) and authority.pem.
    Returns:
        Their paths.
    Raises:
        UnwritableOutput: one of them is there already, or the folder cannot be written.
    """
    with _packages("Making a certificate"):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    paths = (folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UnwritableOutput(f"{str(path)!r} is there already.", remedy="another folder")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("talkinghead test authority", authority_key, None, authority_key)
    own = _certificate("talkinghead test signer", key, authority, authority_key)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(paths[1], secret, 0o600)
        _write_new(paths[0], own.public_bytes(pem) + authority.public_bytes(pem), 0o644)
        _write_new(paths[2], authority.public_bytes(pem), 0o644)
    except OSError as error:
        raise unwritable(folder, error) from error
    return paths


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(data)


def _certificate(name: str, key: Any, issuer: Certificate | None, issuer_key: Any) -> Certificate:
    """A certificate as C2PA's profile asks for; without an issuer one of an authority."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    names = [(x509.NameOID.COMMON_NAME, name), (x509.NameOID.ORGANIZATION_NAME, "For trying only")]
    subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in names])
    now = datetime.now(UTC)
    is_authority = issuer is None
    use = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **use),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        built = built.add_extension(usage, critical=False)
    return built.sign(issuer_key, hashes.SHA256())
