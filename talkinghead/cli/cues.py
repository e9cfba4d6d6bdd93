"""`talkinghead cues`: the mouth shapes of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.engine.flags import Given, make_flags
from talkinghead.errors import OptionError, choices
from talkinghead.places import WRITTEN
from talkinghead.service.groups import PART, PART_OF_SOUND
from talkinghead.service.request import SoundFile
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page


@help_page(
    HelpPage(
        examples=(
            "cues hello.wav -o cues.json",
            "cues hello.wav -o cues.tsv",
        )
    )
)
def cues(
    given: Given,
    sound: Annotated[Path, typer.Argument(help="Speech: any audio or video file.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Cue file; its suffix chooses the format. Default: stdout."),
        WRITTEN,
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="json, tsv, xml, srt or dat; default: from the output's suffix, else tsv.")
    ] = None,
) -> None:
    """Write the mouth shapes of a recording as a cue file, in Rhubarb's formats.

    Shapes are A to H and X (closed, at rest); each holds until the next begins.
    """
    from talkinghead.audio.cues import FORMATS, format_cues, mouth_cues
    from talkinghead.audio.phones import recognise_phones
    from talkinghead.files import PendingOutput, write_bytes
    from talkinghead.service.run import hear

    wanted = format or (output.suffix.lstrip(".").lower() if output is not None else "tsv")
    if wanted not in FORMATS:
        raise OptionError(
            f"There is no cue format {wanted!r}.", accepted=choices(FORMATS), remedy="--format json, or -o cues.json"
        )
    if output is not None:
        PendingOutput(output).discard()  # find out now whether it can be written
    speech = hear(SoundFile(sound, **given.of(PART)))
    found = recognise_phones(speech.clip)
    for text in (*speech.warnings, *found.notes):
        console.warn(text)
    text = format_cues(mouth_cues(found.phones), wanted, sound_file=str(sound))
    if output is None:
        console.say(text.rstrip("\n"))
        return
    write_bytes(output, text.encode("utf-8"))
    console.say(f"{output}: {len(mouth_cues(found.phones))} mouth shapes over {float(speech.clip.duration_s):.2f} s")


def _build() -> Any:
    return with_flags(cues, make_flags([PART_OF_SOUND], (), declared_flags(cues)))


command = _build()
