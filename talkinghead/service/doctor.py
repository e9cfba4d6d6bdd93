"""What this machine and installation can do, found by trying rather than by believing lists.

Nothing here downloads anything or needs a GPU. Facts that the system does not tell are None.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from talkinghead.backends.placement import RankedWays, available_backends, ranking
from talkinghead.backends.processor import KINDS, this_processor
from talkinghead.cores import available_cores


@dataclass(frozen=True)
class Machine:
    """The computer, as far as this process may use it."""

    system: str
    python: str
    executable: str
    processor: str | None
    features: tuple[str, ...]
    """Those that the speed of networks depends on; empty where the system does not tell."""
    kind: str
    """How the processor multiplies bfloat16, in words."""
    cores: int
    """Cores that this process may use, container limits included."""
    memory_bytes: int | None
    """Memory that this process may use, container limits included."""
    memory_available_bytes: int | None


@dataclass(frozen=True)
class Gpu:
    """One graphics processor."""

    name: str
    memory_bytes: int | None
    driver: str | None
    usable: bool
    why_not: str
    """Empty when usable."""


@dataclass(frozen=True)
class Package:
    """One package that this one can use."""

    name: str
    version: str | None
    """None when it is not installed."""


@dataclass(frozen=True)
class Extra:
    """One optional part of the installation; the base is called "base"."""

    name: str
    complete: bool
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Encoder:
    """One way to write video or sound, tried."""

    name: str
    kind: str
    """"video" or "audio"."""
    usable: bool
    why_not: str
    """Empty when usable."""
    codec: str
    """What it makes, by the name that `--codec` or `--audio-codec` takes."""


@dataclass(frozen=True)
class FaceDetector:
    """One face detector."""

    name: str
    summary: str
    usable: bool
    why_not: str
    model: str | None
    automatic: bool


@dataclass(frozen=True)
class StoredFile:
    """One model file found."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class Examination:
    """Everything that `talkinghead doctor` shows."""

    version: str
    machine: Machine
    gpus: tuple[Gpu, ...]
    extras: tuple[Extra, ...]
    runtimes: Mapping[str, str]
    """Runtime for networks to "" or the reason why it cannot be used."""
    placements: tuple[RankedWays, ...]
    """Where each kind of network runs on this processor, the best first, and why."""
    encoders: tuple[Encoder, ...]
    detectors: tuple[FaceDetector, ...]
    model_folder: str
    models: tuple[StoredFile, ...]
    cache_folder: str
    cache_bytes: int
    cache_entries: int
    broken_models: tuple[str, ...]
    """Models of other packages that cannot be used, and what to try, as sentences."""
    advice: tuple[str, ...]
    """What would make videos better, and how to get it, as sentences."""
    problems: tuple[str, ...]
    """What keeps the base installation from working, as sentences; empty when it works."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> Examination:
    """Look at everything; takes a second or two, most of it for trying the encoders."""
    from talkinghead.engine.cache import Cache
    from talkinghead.face.detectors import available_detectors
    from talkinghead.face.mesh.files import advice
    from talkinghead.registry import FAMILIES
    from talkinghead.version import __version__
    from talkinghead.weights.folder import model_folder

    extras = _extras()
    encoders = _encoders()
    cache = Cache()
    detectors = tuple(
        FaceDetector(
            found.name,
            found.summary,
            found.usable,
            found.why_not,
            str(found.model) if found.model is not None else None,
            found.automatic,
        )
        for found in available_detectors()
    )
    return Examination(
        version=__version__,
        machine=examine_machine(),
        gpus=_gpus(),
        extras=extras,
        runtimes=available_backends(),
        placements=ranking(),
        encoders=encoders,
        detectors=detectors,
        model_folder=str(model_folder()),
        models=_stored_files(model_folder()),
        cache_folder=str(cache.folder),
        cache_bytes=cache.size(),
        cache_entries=len(cache),
        broken_models=tuple(f"{broken} Try: {broken.remedy}." for broken in FAMILIES.broken),
        advice=tuple(filter(None, [advice()])),
        problems=tuple(_problems(extras, encoders, detectors)),
    )


def _problems(extras: Sequence[Extra], encoders: Sequence[Encoder], detectors: Sequence[FaceDetector]) -> list[str]:
    problems = [
        f"The package {package.name} is missing; reinstall talkinghead."
        for extra in extras
        if extra.name == "base"
        for package in extra.packages
        if package.version is None
    ]
    if not any(encoder.usable for encoder in encoders if encoder.kind == "video"):
        problems.append("No video encoder opens; reinstall the package av.")
    if not any(encoder.usable for encoder in encoders if encoder.kind == "audio"):
        problems.append("No audio encoder opens; reinstall the package av.")
    if not any(detector.usable for detector in detectors if detector.automatic):
        problems.append("No face detector works; reinstall the package opencv-python-headless.")
    return problems


def examine_machine() -> Machine:
    """Only the computer."""
    processor = this_processor()
    total, available = _memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        executable=sys.executable,
        processor=processor.name,
        features=processor.features,
        kind=KINDS[processor.kind],
        cores=available_cores(),
        memory_bytes=total,
        memory_available_bytes=available,
    )


def _memory() -> tuple[int | None, int | None]:
    """(total, available) in bytes."""
    try:
        total: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = None
    available = None
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
        available = int(found[1]) * 1024 if found else None
    except OSError:
        pass
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            total = min(total, int(limit)) if total is not None else int(limit)
            used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
            left = max(0, int(limit) - used)
            available = min(available, left) if available is not None else left
    except (OSError, ValueError):
        pass
    return total, available


def _gpus() -> tuple[Gpu, ...]:
    """Those that the driver shows, with whether PyTorch can use them."""
    program = shutil.which("nvidia-smi")
    rows: list[tuple[str, int | None, str | None]] = []
    if program is not None:
        query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(query, capture_output=True, timeout=10, check=True)  # noqa: S603
            answer = done.stdout.decode("utf-8", "replace")
        except (OSError, subprocess.SubprocessError):
            answer = ""
        for line in answer.splitlines():
            parts = [part.strip() for part in line.split(",")]
            if len(parts) == 3:
                rows.append((parts[0], int(parts[1]) * 1024**2 if parts[1].isdigit() else None, parts[2]))
    if importlib.util.find_spec("torch") is None:
        why = 'PyTorch is not installed (pip install "talkinghead[models]")'
        return tuple(Gpu(name, memory, driver, False, why) for name, memory, driver in rows)
    if not rows and program is None:
        return ()
    import torch

    if not torch.cuda.is_available():
        why = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch cannot open it"
        return tuple(Gpu(name, memory, driver, False, why) for name, memory, driver in rows)
    driver = rows[0][2] if rows else None
    return tuple(
        Gpu(properties.name, int(properties.total_memory), driver, True, "")
        for properties in (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    )


def _extras() -> tuple[Extra, ...]:
    """Base packages and extras, as the installed package declares them."""
    try:
        declared = importlib.metadata.requires("talkinghead") or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    wanted: dict[str, list[str]] = {"base": []}
    for text in declared:
        name = re.match(r"[A-Za-z0-9._-]+", text)
        extra = re.search(r"extra\s*==\s*[\"']([^\"']+)[\"']", text)
        if name is None or name[0].lower() == "talkinghead":
            continue
        wanted.setdefault(extra[1] if extra else "base", []).append(name[0])
    found = []
    for extra_name, names in wanted.items():
        packages = tuple(Package(name, _version(name)) for name in names)
        found.append(Extra(extra_name, all(package.version is not None for package in packages), packages))
    return tuple(found)


def usable_gpus() -> tuple[Gpu, ...]:
    """The graphics processors that networks can run on."""
    return tuple(gpu for gpu in _gpus() if gpu.usable)


def missing_packages(extra: str) -> tuple[str, ...]:
    """Packages of an extra that are not installed; empty when it is complete."""
    found = next((row for row in _extras() if row.name == extra), None)
    return () if found is None else tuple(package.name for package in found.packages if package.version is None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


AUDIO_ENCODERS = {"aac": "aac", "libopus": "opus", "libmp3lame": "mp3", "flac": "flac", "pcm_s16le": "pcm_s16le"}
"""FFmpeg's encoders of sound and what they make."""


def _encoders() -> tuple[Encoder, ...]:
    from talkinghead.media import available_encoders

    video = tuple(
        Encoder(status.name, "video", status.works, status.detail, status.codec) for status in available_encoders()
    )
    audio = (_try_audio(name, codec) for name, codec in AUDIO_ENCODERS.items())
    return (*video, *audio)


def _try_audio(name: str, codec: str) -> Encoder:
    """Encode half a second of silence."""
    import av
    import numpy as np

    try:
        context: Any = av.CodecContext.create(name, "w")
        context.sample_rate, context.layout = 48_000, "mono"
        context.format = context.codec.audio_formats[0]
        context.open()
        packets: list[Any] = []
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        silence.sample_rate = 48_000
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(format=context.format, layout="mono", rate=48_000)
        for i in range(25):
            silence.pts = 960 * i
            for frame in resampler.resample(silence):
                fifo.write(frame)
        while (block := fifo.read(context.frame_size or 960, partial=False)) is not None:
            packets += context.encode(block)
        packets += context.encode(None)
    except (av.FFmpegError, ValueError, OSError) as error:
        return Encoder(name, "audio", False, getattr(error, "strerror", None) or str(error), codec)
    if not any(packet.size for packet in packets):
        return Encoder(name, "audio", False, "it gave no data", codec)
    return Encoder(name, "audio", True, "", codec)


def _stored_files(folder: Path) -> tuple[StoredFile, ...]:
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return tuple(StoredFile(str(path), path.stat().st_size) for path in paths)
    except OSError:
        return ()
