"""`talkinghead doctor`: what this machine and installation can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from talkinghead.terminal import console

if TYPE_CHECKING:
    from talkinghead.service.doctor import Examination


def doctor(json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False) -> int:
    """Say what this machine and installation can do.

    Encoders are tried by encoding with them, since a name in a list proves nothing. The exit status is 1 when the base
    installation cannot work.
    """
    from talkinghead.service.doctor import examine

    found = examine()
    if json_output:
        console.print_json(found.to_dict())
    else:
        console.say(as_text(found))
    return 1 if found.problems else 0


def as_text(found: Examination) -> str:
    """The examination as aligned lines."""
    sections = [
        ("Machine", _machine(found)),
        ("Networks on this processor, the best way first", _networks(found)),
        ("Video encoders", _encoders(found, "video")),
        ("Audio encoders", _encoders(found, "audio")),
        ("Face detectors", _detectors(found)),
        ("Installed", _installed(found)),
        ("Files", _files(found)),
        ("Verdict", _verdict(found)),
    ]
    return "\n\n".join("\n".join([heading, *lines]) for heading, lines in sections)


def _row(name: str, value: str) -> str:
    return f"  {name:<16} {value}".rstrip()


def _state(usable: bool, why_not: str) -> str:
    return "works" if usable else f"no: {why_not}"


def _machine(found: Examination) -> Iterator[str]:
    machine = found.machine
    yield _row("talkinghead", found.version)
    yield _row("python", f"{machine.python} ({machine.executable})")
    yield _row("system", machine.system)
    yield _row("processor", machine.processor or "unknown")
    yield _row("features", f"{' '.join(machine.features) or 'unknown'}: {machine.kind}")
    yield _row("cores", str(machine.cores))
    if machine.memory_bytes is not None:
        free = machine.memory_available_bytes
        more = f", {console.size_text(free)} available" if free is not None else ""
        yield _row("memory", console.size_text(machine.memory_bytes) + more)
    for gpu in found.gpus:
        size = f", {console.size_text(gpu.memory_bytes)}" if gpu.memory_bytes is not None else ""
        yield _row("gpu", f"{gpu.name}{size}: {_state(gpu.usable, gpu.why_not)}")
    if not found.gpus:
        yield _row("gpu", "none found; everything runs on the CPU")


def _networks(found: Examination) -> Iterator[str]:
    for network in dict.fromkeys(place.network for place in found.placements):
        yield f"  {network}"
        for place in found.placements:
            if place.network == network:
                yield _row(f"  {place.precision}", ", ".join(place.ways) or "no runtime is installed")
                yield _row("", place.why)
    for name, why_not in found.runtimes.items():
        if why_not:
            yield _row(name, _state(False, why_not))
    yield "  A reduced precision must keep 45 dB of float32 with your weights; else the next way is taken."


def _encoders(found: Examination, kind: str) -> Iterator[str]:
    for encoder in found.encoders:
        if encoder.kind == kind:
            made = f" ({encoder.codec})" if encoder.codec != encoder.name else ""
            yield _row(encoder.name + made, _state(encoder.usable, encoder.why_not))


def _detectors(found: Examination) -> Iterator[str]:
    for detector in found.detectors:
        chosen = " (taken by default)" if detector.automatic else ""
        model = f", {detector.model}" if detector.model else ""
        yield _row(detector.name, _state(detector.usable, detector.why_not) + chosen + model)


def _installed(found: Examination) -> Iterator[str]:
    for extra in found.extras:
        have = [f"{package.name} {package.version}" for package in extra.packages if package.version is not None]
        lack = [package.name for package in extra.packages if package.version is None]
        if lack and extra.name != "base":
            yield _row(
                f"[{extra.name}]", f"missing: {', '.join(lack)}" + (f"; there: {', '.join(have)}" if have else "")
            )
        else:
            yield _row(extra.name if extra.name == "base" else f"[{extra.name}]", ", ".join(have))


def _files(found: Examination) -> Iterator[str]:
    yield _row("models", found.model_folder)
    for file in found.models:
        yield _row("", f"{file.path} ({console.size_text(file.size_bytes)})")
    yield _row("cache", f"{found.cache_folder}: {found.cache_entries} entries, {console.size_text(found.cache_bytes)}")


def _verdict(found: Examination) -> Iterator[str]:
    for problem in found.problems:
        yield f"  problem: {problem}"
    if not found.problems:
        yield "  The built-in animator can run here."
    for broken in found.broken_models:
        yield f"  warning: {broken}"
    for sentence in found.advice:
        yield f"  {sentence}"
