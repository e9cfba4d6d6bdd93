"""`talkinghead doctor`: what this machine and installation can do."""

from __future__ import annotations

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
    machine = found.machine
    lines: list[str] = []

    def heading(text: str) -> None:
        lines.extend(["", text] if lines else [text])

    def row(name: str, value: str) -> None:
        lines.append(f"  {name:<16} {value}".rstrip())

    def state(usable: bool, why_not: str) -> str:
        return "works" if usable else f"no: {why_not}"

    heading("Machine")
    row("talkinghead", found.version)
    row("python", f"{machine.python} ({machine.executable})")
    row("system", machine.system)
    row("processor", machine.processor or "unknown")
    row("features", " ".join(machine.features) or "unknown")
    row("cores", str(machine.cores))
    if machine.memory_bytes is not None:
        free = machine.memory_available_bytes
        more = f", {console.size_text(free)} available" if free is not None else ""
        row("memory", console.size_text(machine.memory_bytes) + more)
    for gpu in found.gpus:
        size = f", {console.size_text(gpu.memory_bytes)}" if gpu.memory_bytes is not None else ""
        row("gpu", f"{gpu.name}{size}: {state(gpu.usable, gpu.why_not)}")
    if not found.gpus:
        row("gpu", "none found; everything runs on the CPU")

    for kind in ("video", "audio"):
        heading(f"{kind.capitalize()} encoders")
        for encoder in found.encoders:
            if encoder.kind == kind:
                made = f" ({encoder.codec})" if encoder.codec != encoder.name else ""
                row(encoder.name + made, state(encoder.usable, encoder.why_not))

    heading("Face detectors")
    for detector in found.detectors:
        chosen = " (taken by default)" if detector.automatic else ""
        model = f", {detector.model}" if detector.model else ""
        row(detector.name, state(detector.usable, detector.why_not) + chosen + model)

    heading("Installed")
    for extra in found.extras:
        have = [f"{package.name} {package.version}" for package in extra.packages if package.version is not None]
        lack = [package.name for package in extra.packages if package.version is None]
        if lack and extra.name != "base":
            row(f"[{extra.name}]", f"missing: {', '.join(lack)}" + (f"; there: {', '.join(have)}" if have else ""))
        else:
            row(extra.name if extra.name == "base" else f"[{extra.name}]", ", ".join(have))

    heading("Files")
    row("models", found.model_folder)
    for file in found.models:
        lines.append(f"                   {file.path} ({console.size_text(file.size_bytes)})")
    row("cache", f"{found.cache_folder}: {found.cache_entries} entries, {console.size_text(found.cache_bytes)}")

    heading("Verdict")
    lines.extend(f"  problem: {problem}" for problem in found.problems)
    if not found.problems:
        lines.append("  The built-in animator can run here.")
    return "\n".join(lines)
