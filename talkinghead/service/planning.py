"""From what is given to requests: texts, several faces and sounds, names of videos, checks before slow work."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from talkinghead.contracts import AudioClip, Frame, Speech
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config
from talkinghead.errors import InputError, MediaNotFound, OptionError, choices
from talkinghead.places import check_apart, fitted_name, folded_name
from talkinghead.registry import FAMILIES
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.speech.options import MAX_CHARACTERS, SpeechOptions

TEXT = Path("text")
"""Stands where the name of a sound would, when the speech is made from text."""
IN_MEMORY = Path("samples")


def speech_path(speech: SoundFile | SpokenText | AudioClip | Speech) -> Path:
    """What stands for speech in names and tables."""
    if isinstance(speech, SoundFile):
        return speech.path
    return TEXT if isinstance(speech, SpokenText) else IN_MEMORY


# What is said ---------------------------------------------------------------------------------------------------------


def given_text(text: str | None, text_file: Path | None, stdin: BinaryIO | None = None) -> str:
    """The text of an argument, of a file, or of a stream.

    Args:
        stdin: what "-" reads; None takes "-" as the text itself.
    Raises:
        OptionError: none or both are given. InputError: the file cannot be read as text.
    """
    if (text is None) == (text_file is None):
        raise OptionError(
            "No text is given." if text is None else "Both a text and a file are given.",
            accepted="a text, - for stdin, or --text-file",
        )
    limit = 4 * MAX_CHARACTERS + 4
    try:
        if text_file is not None:
            with text_file.open("rb") as file:
                raw = file.read(limit)
            return raw.decode("utf-8-sig")
        if text == "-" and stdin is not None:
            return stdin.read(limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("The text is not UTF-8.", remedy="save it as UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{text_file} cannot be read: {error.strerror or error}.") from error
    assert text is not None
    return text


def given_speech(
    sounds: Sequence[Path],
    text: str | None = None,
    text_file: Path | None = None,
    *,
    part: Mapping[str, Any] | None = None,
    voice: Mapping[str, Any] | None = None,
    stdin: BinaryIO | None = None,
) -> tuple[SoundFile | SpokenText, ...]:
    """What is said: sound files, or one text.

    Args:
        part: fields of SoundFile that were given: which part of the sounds.
        voice: fields of SpeechOptions that were given: who says the text.
    Raises:
        OptionError: both, neither, or an option that has no effect. InputError: no text.
    """
    says = text is not None or text_file is not None
    if says == bool(sounds):
        raise OptionError(
            "Both --audio and --text are given." if says else "Neither --audio nor --text is given.",
            accepted="--audio FILE, or --text with what to say",
        )
    options = build_config(SpeechOptions, voice or {}, owner="Speech")
    if not says:
        if options != SpeechOptions():
            raise OptionError(
                "--lang, --voice, --engine and --speed have no effect without --text.", remedy="leave them out"
            )
        return tuple(SoundFile(sound, **(part or {})) for sound in sounds)
    if SoundFile(TEXT, **(part or {})) != SoundFile(TEXT):
        raise OptionError("--start and --duration have no effect with --text.", remedy="shorten the text")
    return (SpokenText(given_text(text, text_file, stdin), options),)


# Who says it ----------------------------------------------------------------------------------------------------------


def given_sources(
    facts: Manifest, options: Mapping[str, Sequence[Path] | None], checkpoint: Path | None = None
) -> tuple[Path, ...]:
    """The sources of a model among what was given.

    Args:
        options: source options ("--face", "--scene") to what was given with them.
        checkpoint: that was given, if any.
    Raises:
        OptionError: the model takes another option, or needs one that is missing.
    """
    wanted = options[facts.source_option]
    for flag, paths in options.items():
        if paths and flag != facts.source_option:
            others = [other.name for other in FAMILIES.values() if other.source_option == flag]
            raise OptionError(
                f"The model {facts.name} does not take {flag}.",
                accepted=f"{facts.source_option}: {facts.face_source}",
                remedy=f"--model {choices(others)}" if others else None,
            )
    if wanted:
        return tuple(wanted)
    own = own_source(facts, checkpoint)
    if own is not None:
        return (Path(own),)
    raise missing_source(facts)


def own_source(facts: Manifest, checkpoint: Path | None) -> str | Path | None:
    """What a model shows where no source is given: its own, or the checkpoint's folder where that is a source, too, as
    those of avatars that were trained here are."""
    is_source = checkpoint is not None and facts.source_marks and checkpoint.is_dir()
    if checkpoint is not None and is_source and all(any(checkpoint.glob(mark)) for mark in facts.source_marks):
        return checkpoint
    return facts.default_source


def missing_source(facts: Manifest) -> OptionError:
    """The error of a request without the source that its model needs."""
    return OptionError(
        f"The model {facts.name} needs {facts.source_option}, and it is missing.", accepted=facts.face_source
    )


# Several videos -------------------------------------------------------------------------------------------------------


def plan_requests(
    base: Request,
    sources: Sequence[str | Path | Frame],
    speeches: Sequence[SoundFile | SpokenText | AudioClip | Speech],
    output: str,
) -> tuple[Request, ...]:
    """Every source with all that is said, and the name of each video.

    Args:
        base: what is the same for all.
        output: as for `output_paths`; the folder of several, or one that is named with a separator at its end, is made
            where it is missing.
    Raises:
        OptionError: several videos into one file.
    """
    named = [source if isinstance(source, str | Path) else IN_MEMORY for source in sources]
    codec = base.render.encode.codec if base.render.encode is not None else "auto"
    paths = output_paths(list(map(Path, named)), list(map(speech_path, speeches)), output, codec)
    pairs = [(source, speech) for source in sources for speech in speeches]
    make = len(pairs) > 1 or _ends_in_separator(output)
    return tuple(
        replace(base, source=source, speech=speech, output=path, make_folder=make)
        for (source, speech), path in zip(pairs, paths, strict=True)
    )


def output_paths(sources: Sequence[Path], sounds: Sequence[Path], output: str, codec: str = "auto") -> list[Path]:
    """The name of each video, for every source with every sound.

    With one source and one sound the output is a file, unless it is a folder or ends in a separator; with several it
    is a folder, and each video is named after what differs.

    Returns:
        One path for each pair, the sounds of the first source first.
    Raises:
        OptionError: several videos into one file.
    """
    several = len(sources) * len(sounds) > 1
    target = Path(output)
    named_folder = _ends_in_separator(output) or (target.is_dir() and codec != "png")
    if several and not named_folder and target.suffix:
        raise OptionError(
            f"{len(sources) * len(sounds)} videos cannot go into the one file {output}.",
            accepted="a folder, where each video is named after its sound or face",
            remedy=f"-o {target.with_suffix('')}/",
        )
    paths: list[Path] = []
    used: set[str] = set()
    suffix = usual_suffix(codec) if several or named_folder else ""
    for source in sources:
        for sound in sounds:
            path = target
            if several or named_folder:
                stem = sound.stem
                if len(sources) > 1:
                    stem = f"{source.stem}-{sound.stem}" if len(sounds) > 1 else source.stem
                path = target / _unused(stem, suffix, used)
            paths.append(path)
    return paths


def _ends_in_separator(output: str) -> bool:
    return output.endswith("/") or (os.sep == "\\" and output.endswith("\\"))


def _unused(stem: str, suffix: str, used: set[str]) -> str:
    """A name that no other video has, which is then used: "x.mp4", "x-2.mp4", ...; case does not tell names apart."""
    name, number = fitted_name(stem, suffix), 2
    while folded_name(name) in used:
        name, number = fitted_name(stem, f"-{number}{suffix}"), number + 1
    used.add(folded_name(name))
    return name


def usual_suffix(codec: str) -> str:
    """Suffix of a video that is named after its inputs: ".mp4" unless the codec usually goes elsewhere."""
    if codec == "auto":
        return ".mp4"
    from talkinghead.media.encoders import ENCODERS

    return next((facts.suffixes[0] for facts in ENCODERS if codec in (facts.codec, facts.name)), ".mp4")


# Before slow work -----------------------------------------------------------------------------------------------------


def check_before(requests: Sequence[Request], report: Path | None = None, read: Sequence[Path] = ()) -> None:
    """Find what can be found before anything slow begins; of several requests each is looked at when its turn comes.

    Args:
        report: a file that is to be written about all of them.
        read: files that were read for them.
    Raises:
        OptionError: an output is an input, or another output. MediaNotFound: an input is not there. OutputError: a file
        cannot be written. And as `talkinghead.say`.
    """
    from talkinghead.files import PendingOutput, check_folder_for, existing_file
    from talkinghead.media import EncodeOptions, check_output
    from talkinghead.speech import open_voice

    check_all_apart(requests, report, read)
    beside = [path for request in requests for path in request.outputs if path != request.output]
    made = {request.output.parent for request in requests if request.make_folder}
    for path in beside if report is None else (report, *beside):
        if path.parent in made and not path.parent.exists():
            check_folder_for(path)
        else:
            PendingOutput(path).discard()
    for options in {request.speech.options for request in requests if isinstance(request.speech, SpokenText)}:
        open_voice(options)
    if len(requests) > 1:
        return
    (request,) = requests
    facts = request.facts
    is_path = facts is not None and facts.source_is_path and isinstance(request.source, str | Path)
    if facts is not None and is_path and not os.path.lexists(str(request.source)):
        raise MediaNotFound(f"There is no file {str(request.source)!r}.", accepted=facts.face_source)
    if isinstance(request.speech, SoundFile):
        existing_file(request.speech.path)
    encode = request.render.encode or EncodeOptions()
    check_output(request.output, overwrite=request.render.overwrite, options=encode, new_folder=request.make_folder)


def check_all_apart(requests: Sequence[Request], report: Path | None = None, read: Sequence[Path] = ()) -> None:
    """Refuse requests of which one would write over what another reads or writes.

    Args:
        report, read: as for `check_before`.
    Raises:
        OptionError
    """
    outputs = [path for request in requests for path in request.outputs]
    check_apart([*outputs, report], {*read, *(path for request in requests for path in request.inputs)})
