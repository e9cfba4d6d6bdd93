"""A Dockerfile as its instructions. What of the format this package's file does not use is refused."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

KNOWN = {"ARG", "FROM", "RUN", "ENV", "COPY", "WORKDIR", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One instruction with its text, lines joined."""

    name: str
    text: str

    @property
    def exec_form(self) -> list[str]:
        """The words of `CMD ["a", "b"]`, and of HEALTHCHECK's CMD."""
        return json.loads(self.text[self.text.index("[") :])

    @property
    def command(self) -> str:
        """What RUN hands to the shell; mounts of the builder are left out."""
        return re.sub(r"^(--\S+\s+)*", "", self.text)


@dataclass
class Stage:
    """From one FROM to the next."""

    image: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [one for one in self.instructions if one.name == name]

    def variables(self, kind: str = "ENV") -> dict[str, str]:
        """Names and values of ENV or ARG."""
        pairs = re.findall(r'([A-Za-z_]\w*)=("[^"]*"|\S*)', " ".join(one.text for one in self.all(kind)))
        return {name: value.strip('"') for name, value in pairs}


def read(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage, and the stages.

    Raises:
        ValueError: a line is none of a Dockerfile.
    """
    stages: list[Stage] = []
    first = Stage("", None)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        if name not in KNOWN or not rest.strip():
            raise ValueError(f"no instruction: {line!r}")
        if name == "FROM":
            match = re.fullmatch(r"(\S+)(?: AS ([a-z][a-z0-9_-]*))?", rest)
            if match is None:
                raise ValueError(f"no stage: {line!r}")
            stages.append(Stage(match[1], match[2]))
        else:
            (stages[-1] if stages else first).instructions.append(Instruction(name, rest.strip()))
    return first.variables("ARG"), stages
