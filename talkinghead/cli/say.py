"""`talkinghead say`: speech from text."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.engine.flags import Given, make_flags
from talkinghead.engine.options import build_config
from talkinghead.errors import OptionError
from talkinghead.places import WRITTEN, check_apart
from talkinghead.service.groups import OPTIONS, SPEECH, SPOKEN
from talkinghead.speech.options import SpeechOptions
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page


@help_page(
    HelpPage(
        examples=(
            "say 'Hello.' -o hello.wav",
            "say 'Guten Tag.' --lang de -o tag.wav",
            "say --voices",
        )
    )
)
def say(
    given: Given,
    text: Annotated[str | None, typer.Argument(help="What to say; - reads it from stdin.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Sound file to write, .wav."), WRITTEN] = None,
    text_file: Annotated[Path | None, typer.Option(help="Read the text from this file (UTF-8) instead.")] = None,
    phones: Annotated[
        Path | None, typer.Option(help="Write the sounds with their times as JSON (espeak only)."), WRITTEN
    ] = None,
    voices: Annotated[bool, typer.Option("--voices", help="List engines, languages and voices, and end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace a file that exists.")] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Show the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Speak a text into a sound file, sentence by sentence.

    Needs the extra `tts` or an installed espeak-ng; nothing is downloaded, and only --engine gtts uses the network.
    """
    from talkinghead.files import PendingOutput, write_bytes
    from talkinghead.service.planning import given_text
    from talkinghead.speech import speak, voice_for, write_speech

    if voices:
        _show_voices(json_output)
        return
    if output is None:
        raise OptionError("No output is given.", accepted="-o speech.wav")
    voice = given.of(SPEECH).get("voice")
    check_apart([output, phones], [voice])  # the voice of piper is a file
    words = given_text(text, text_file, getattr(sys.stdin, "buffer", None))
    chosen, notes = voice_for(words, build_config(SpeechOptions, given.of(SPEECH), owner="Speech"))
    for note in notes:
        console.note(note)
    if phones is not None:
        if chosen.engine != "espeak":
            raise OptionError(
                f"The engine {chosen.engine} does not tell when each sound begins.", remedy="leave --phones out"
            )
        PendingOutput(phones).discard()
    PendingOutput(output, overwrite=overwrite).discard()  # find out now whether it can be written
    seconds, found = write_speech(output, speak(words, voice=chosen, progress=_counter(quiet)), overwrite=overwrite)
    if phones is not None and found is not None:
        write_bytes(phones, phones_json(found))
    if json_output:
        console.print_json(
            {"output": str(output), "seconds": seconds, "engine": chosen.engine, "voice": chosen.name,
             "lang": chosen.lang, "phones": None if found is None else len(found), "notes": list(notes)}
        )  # fmt: skip
        return
    exact = f", {len(found)} sounds with exact times" if found is not None else ""
    console.say(f"{output}: {seconds:.2f} s, {chosen.engine} ({chosen.name}){exact}")


def _counter(quiet: bool) -> Callable[[int, int], None] | None:
    """Says now and then on stderr how far a long text is."""
    if quiet:
        return None
    last_s = time.monotonic()

    def count(done: int, total: int) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= 5.0:
            last_s = time.monotonic()
            console.note(f"{done}/{total} sentences")

    return count


def phones_json(found: Any) -> bytes:
    """{"phones": [[start_s, end_s, "AA"], ...]}, as `talkinghead.audio.phones.read_phones` reads."""
    rows = ",\n".join(json.dumps([round(p.start_s, 6), round(p.end_s, 6), p.label]) for p in found)
    return f'{{"phones": [\n{rows}\n]}}\n'.encode()


def _show_voices(json_output: bool) -> None:
    from dataclasses import asdict

    from talkinghead.speech import available_engines

    rows = available_engines()
    if json_output:
        console.print_json([asdict(row) for row in rows])
        return
    for row in rows:
        console.say(f"{row.name}: {row.summary}" + ("" if row.usable else f" (not usable: {row.why_not})"))
        if row.languages:
            console.say("  languages: " + " ".join(row.languages))
        if row.variants:
            console.say("  voices: " + " ".join(row.variants))


def _build() -> Any:
    group = replace(SPOKEN, panel=OPTIONS, short={"lang": "-l"})
    return with_flags(say, make_flags([group], (), declared_flags(say)))


command = _build()
