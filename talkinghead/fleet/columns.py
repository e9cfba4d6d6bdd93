"""What the columns of a table mean: a cell is an option's value, by the name that `talkinghead generate` gives it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from talkinghead.bounds import shown
from talkinghead.engine.flags import Flag, Given
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import OptionField
from talkinghead.errors import BadAddress, InputError, MissingWeights, TalkingHeadError, choices
from talkinghead.fleet.table import column_name
from talkinghead.places import name_fault, portable_name
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.groups import FACES, FRAMES, PART, SPEECH, refuse_without_effect, request_flags, request_parts
from talkinghead.service.planning import given_sources, given_text, missing_source, usual_suffix
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.rows import to_row
from talkinghead.speech.options import SpeechOptions
from talkinghead.storage.address import Address

SOURCES: Mapping[str, str | None] = {
    "source": None,
    "face": "--face",
    "template": "--template",
    "scene": "--scene",
    "avatar": "--avatar",
}
"""Columns of the face, and the option of `generate` that each is; `source` is that of whatever model."""
SAYINGS = ("audio", "text", "text_file")
"""Columns of what is said, of which a row has one."""
OWN = (*SOURCES, *SAYINGS, "phones", "model", "output", "cache")
"""Columns that are no options of a part."""
NOT_HERE: Mapping[str, str] = {
    "overwrite": "decide for the whole table, by --overwrite",
    "report": "the table of results has what reports say",
    "json": "the table of results has what reports say",
    "quiet": "decide for the whole table, by --quiet",
    "row": "rows are numbered by their order",
}
"""What `generate` has, or somebody might write, and no row can have."""
KEPT = 1024
"""Different settings that are remembered as they were read."""
T = TypeVar("T")
_FIELD = re.compile(r"\{([^{}]*)\}")
_PARTS = ("stem", "name", "suffix")
_NO_NAME = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


@dataclass(frozen=True, eq=False)
class Settings:
    """All of a request but its face, its speech and its name: many rows have the same."""

    facts: Manifest
    row: Mapping[str, Any]
    """model, load, prepare and render, as `Request.to_dict` has them."""
    text: str
    """The same, and what it names, in one text: equal where settings are."""
    files: tuple[Address, ...]
    """Files and folders that it names, those of the model store among them."""
    suffix: str
    """Of a video whose name has none."""
    request: Request
    """With a face and a speech that stand for any."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table, read."""

    settings: Settings
    source: str | None
    """A whole path, an address, or a name."""
    speech: Mapping[str, Any]
    """As `Request.to_dict` has it."""
    output: str
    """Name of the video below OUT, its suffix among it."""
    files: tuple[tuple[str, Address], ...]
    """What it reads besides: "source", "audio" or "phones", and where it is."""


@dataclass
class Columns:
    """Reads rows.

    Args:
        base: relative names in cells belong to this folder.
        defaults: cells of rows that have none, by column; relative names in them belong to the current folder.
        ignored: columns that are for others.
        pattern: of the names of videos, for rows without `output`.
        here: the videos are made on this machine, so that what is missing here is missing.
    Raises:
        InputError: a default for a column that there is not, a pattern with a field that there is not.
    """

    base: Address
    defaults: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    pattern: str = "{row}-{audio.stem}"
    here: bool = True

    def __post_init__(self) -> None:
        self._flags = {column_name(flag.flag): flag for flag in request_flags()}
        self._ignored = {column_name(name) for name in self.ignored}
        self._in_pattern = [part.strip() for part in _FIELD.findall(self.pattern)]
        self._named = {column_name(part.partition(".")[0]) for part in self._in_pattern} - {"row"}
        self._settings = _kept(self._read_settings)
        self._voice = _kept(self._read_voice)
        self._face = _kept(self._read_face)
        self._checked_suffix = _kept(self._check_suffix)
        self._defaults = {}
        for name, value in self.defaults.items():
            known = column_name(name)
            if problem := self.problem(known):
                raise InputError(f"--set {name}: {problem}")
            if known == "output":
                raise InputError("--set output would give all videos one name.", remedy="--output-name with a pattern")
            if value.strip():
                self._defaults[known] = self._from_here(known, value)
        for part in self._in_pattern:
            if part.partition(".")[2] not in ("", *_PARTS):
                raise InputError(
                    f"The pattern has {shown('{' + part + '}')}.", accepted=f"a column and .{choices(_PARTS)}"
                )

    # Names of columns -------------------------------------------------------------------------------------------------

    def problem(self, column: str) -> str:
        """Why a column cannot be used, as a sentence; empty for one that can."""
        if column in OWN or column in self._ignored or column in self._named:
            return ""
        if column in NOT_HERE:
            return f"{column} cannot be a column: {NOT_HERE[column]}."
        if column in self._flags:
            if any(item.is_written for _, item in self._flags[column].owners):
                return f"{column} cannot be a column: a row has one result, its video."
            return ""
        near = get_close_matches(column, [*OWN, *self._flags], n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        return f"There is no option {column!r}.{meant} A column that is for others is left out by: --ignore {column}"

    def check_pattern(self, columns: Sequence[str]) -> None:
        """Refuse a pattern with a field that no row has.

        Args:
            columns: of the table, as `column_name` has them.
        Raises:
            InputError
        """
        known = {"row", *OWN, *columns, *self._defaults}
        for part in self._in_pattern:
            name = column_name(part.partition(".")[0])
            if name not in known:
                near = get_close_matches(name, sorted(known), n=1)
                raise InputError(
                    f"The pattern of names has {shown('{' + part + '}')}, and the table has no such column.",
                    accepted="{row}, {audio.stem}, {source.stem}, or a column in braces",
                    remedy=f"{{{near[0]}}}" if near else None,
                )

    # Rows -------------------------------------------------------------------------------------------------------------

    def read(self, number: int, cells: Mapping[str, str]) -> Line:
        """Read a row whose columns are known.

        Args:
            number: of the row, from 1.
            cells: by column, without empty ones.
        Raises:
            InputError: what is wrong with it.
        """
        given = {name: text for name, text in cells.items() if name not in self._ignored}
        values = self._with_defaults(given)
        try:
            return self._read(number, values, given)
        except TalkingHeadError as error:
            raise InputError(_in_words_of_a_table(error.in_one_line)) from error
        except ValueError as error:
            raise InputError(_in_words_of_a_table(str(error))) from error

    def _with_defaults(self, given: Mapping[str, str]) -> dict[str, str]:
        """The cells of a row and those of the defaults that its own leave room for."""
        taken = set(given)
        for several in (SOURCES, SAYINGS):
            if any(name in given for name in several):
                taken.update(several)
        if "text" in given or "text_file" in given:
            taken |= {"phones"}
        return {**{name: text for name, text in self._defaults.items() if name not in taken}, **given}

    def _read(self, number: int, values: Mapping[str, str], given: Mapping[str, str]) -> Line:
        model = values.get("model", DEFAULT_FAMILY).strip()
        facts = family(model)
        parts: dict[bool, list[tuple[str, str, bool]]] = {True: [], False: []}
        for name, text in sorted(values.items()):
            flag = self._flags.get(name)
            if flag is None or name in OWN:
                continue
            owners = [owner for owner, _ in flag.owners]
            if name not in given and model not in owners and any(owner in FAMILIES for owner in owners):
                continue  # a default for other models
            parts[owners[0] in (SPEECH, PART)].append((name, text, name in given))
        if "cache" in values:
            parts[False].append(("cache", values["cache"], True))
        settings = self._settings(model, tuple(parts[False]))
        source, face = self._source(facts, values)
        speech, heard = self._speech(values, parts[True], given)
        output = self._output(number, values, source, settings)
        return Line(settings, source, speech, output, (*face, *heard))

    def _source(self, facts: Manifest, values: Mapping[str, str]) -> tuple[str | None, list[tuple[str, Address]]]:
        named = [name for name in SOURCES if name in values]
        if len(named) > 1:
            raise InputError(f"It has both {named[0]} and {named[1]}.")
        if not named:
            if facts.default_source is None:
                raise missing_source(facts)
            return facts.default_source, []
        return self._face(facts, named[0], values[named[0]].strip())

    def _read_face(self, facts: Manifest, column: str, text: str) -> tuple[str | None, list[tuple[str, Address]]]:
        option = SOURCES[column] or facts.source_option
        given_sources(facts, {**{flag: None for flag in SOURCES.values() if flag}, option: [Path(text)]})
        address = self._address(text)
        if facts.source_is_path or address.is_local is False or address.path.exists():
            return address.text, [("source", address)]
        return text, []

    def _speech(
        self, values: Mapping[str, str], parts: Sequence[tuple[str, str, bool]], given: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[tuple[str, Address]]]:
        said = [name for name in SAYINGS if name in values]
        if len(said) != 1:
            raise InputError(f"It has both {said[0]} and {said[1]}." if said else "It has neither audio nor text.")
        (kind,) = said
        options = Given([(self._flags[name], text) for name, text, _ in parts])
        owners = {name: self._flags[name].owners[0][0] for name, _, _ in parts}
        unused = PART if kind != "audio" else SPEECH
        for name, _, own in parts:
            if own and owners[name] == unused:
                raise InputError(f"{name} has no effect with {kind}.")
        if kind == "audio":
            address = self._address(values["audio"].strip())
            sound = SoundFile(Path("sound"), **options.of(PART))
            row, files = {**to_row(sound), "path": address.text}, [("audio", address)]
            if "phones" in values:
                phones = self._address(values["phones"].strip())
                row["phones"] = phones.text
                files.append(("phones", phones))
            return row, files
        if "phones" in given:
            raise InputError(f"phones has no effect with {kind}: the times of a spoken text are known.")
        voice, models = self._voice(tuple((name, text) for name, text, _ in parts if owners[name] == SPEECH))
        text = values["text"] if kind == "text" else given_text(None, self._local(values["text_file"].strip()))
        return to_row(SpokenText(text, voice)), [("voice", file) for file in models]

    # Names of videos --------------------------------------------------------------------------------------------------

    def _output(self, number: int, values: Mapping[str, str], source: str | None, settings: Settings) -> str:
        name = values["output"].strip() if "output" in values else self._by_pattern(number, values, source)
        steps = name.split("/")
        if any(len(step.encode("utf-8", "surrogateescape")) > 250 for step in steps):
            raise InputError(f"output is {shown(name)}, a name that is too long for many file systems.")
        if steps[0].lower() == ".talkinghead":
            raise InputError(f"output is {shown(name)}; that folder is for records.")
        suffix = os.path.splitext(steps[-1])[1]  # noqa: PTH122 (a million times)
        if not suffix or not re.fullmatch(r"\.[A-Za-z0-9]{1,5}", suffix):
            name, suffix = name + settings.suffix, settings.suffix
        if "output" not in values:  # a table gives the same names on every system
            name = "/".join(portable_name(step) if name_fault(step) else step for step in name.split("/"))
        try:
            Address("/").join(name)
        except BadAddress as error:
            raise InputError(f"output is {shown(name)}.", accepted=error.accepted) from error
        self._checked_suffix(settings, suffix.lower())
        return name

    def _by_pattern(self, number: int, values: Mapping[str, str], source: str | None) -> str:
        def value(match: re.Match[str]) -> str:
            name, _, part = match[1].strip().partition(".")
            name = column_name(name)
            if name == "row":
                return f"{number:06d}"
            text = source or "" if name in SOURCES else values.get(name, "").strip()
            if name in ("audio", "text_file") and not text:
                text = "text"
            if part:
                text = str(getattr(Address.of(text), part)) if text else ""
            elif name in SOURCES or name in SAYINGS:
                text = text if len(text) <= 80 else f"{text[:71]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            if not text:
                raise InputError(f"The name of its video needs {name}, and it has none.")
            return _NO_NAME.sub("_", text)

        return _FIELD.sub(value, self.pattern)

    def _check_suffix(self, settings: Settings, suffix: str) -> None:
        """Refuse a name whose suffix fits no encoder, before anything runs."""
        from talkinghead.media.encoders import candidates
        from talkinghead.media.options import EncodeOptions
        from talkinghead.media.writer import check_output

        encode = settings.request.render.encode or EncodeOptions()
        encoders = candidates(encode.codec, suffix)
        if encoders[0].codec == "png":
            raise InputError("A folder of pictures cannot be the result of a row. Accepted: a video, such as .mp4")
        if self.here:
            check_output(Path(f"video{suffix}"), options=encode)

    # Settings ---------------------------------------------------------------------------------------------------------

    def _read_settings(self, model: str, cells: tuple[tuple[str, str, bool], ...]) -> Settings:
        facts = family(model)
        places = Places(self)
        given: list[tuple[Flag, str | bool]] = []
        cache = True
        for name, text, _ in cells:
            if name == "cache":
                cache = _yes_or_no(name, text)
            else:
                flag = self._flags[name]
                item = next((item for owner, item in flag.owners if owner == model), flag.owners[0][1])
                given.append((flag, places.localised(name, item, text)))
        options = Given(given)
        options.refuse_all_but(model, list(FAMILIES))
        refuse_without_effect(facts, options.flags_of([FRAMES, FACES]))
        load, prepare, render = request_parts(facts, options.of, cache=cache)
        request = Request("face", SoundFile(Path("sound")), Path("video.mp4"), model, load, prepare, render)
        row = {name: part for name, part in request.to_dict().items() if name not in ("source", "speech", "output")}
        suffix = usual_suffix(render.encode.codec if render.encode is not None else "auto")
        files = [*places.files.values()]
        stored = self._stored(facts, load.checkpoint)
        if stored is not None and stored not in files:
            files.append(stored)
        row = places.restored(row)
        text = json.dumps([model, row, [address.text for address in files]], sort_keys=True)
        return Settings(facts, row, text, tuple(files), suffix, request)

    def _stored(self, facts: Manifest, checkpoint: Path | None) -> Address | None:
        """The checkpoint that is taken from the model store of this machine; None for one that the row names itself."""
        from talkinghead.service.models import model_store

        if checkpoint is None and not facts.needs_checkpoint:
            return None
        found = model_store().checkpoint_for(facts.name, checkpoint)
        if found is None and self.here:
            raise MissingWeights(
                f"The model {facts.name} needs a checkpoint, and none is installed.",
                remedy=model_store().missing_checkpoint(facts.name),
            )
        return Address.of(found) if found is not None and found != checkpoint else None

    def _read_voice(self, cells: tuple[tuple[str, str], ...]) -> tuple[SpeechOptions, tuple[Address, ...]]:
        from talkinghead.speech import open_voice

        places = Places(self)
        flags = [(self._flags[name], name, text) for name, text in cells]
        given = [(flag, places.localised(name, flag.owners[0][1], text)) for flag, name, text in flags]
        options = SpeechOptions(**Given(given).of(SPEECH))
        if self.here and not places.remote:
            open_voice(options)
        return SpeechOptions(**{**to_row(options), **places.restored(to_row(options))}), tuple(places.files.values())

    # Places -----------------------------------------------------------------------------------------------------------

    def _address(self, text: str) -> Address:
        """What a name in a cell stands for."""
        if "://" in text or Path(text).is_absolute():
            return Address.of(text)
        return Address.of(self.base.path / text) if self.base.is_local else self.base.join(text)

    def _local(self, text: str) -> Path:
        address = self._address(text)
        if not address.is_local:
            raise InputError(f"text_file is {address.shown!r}. Accepted: a file of this machine")
        return address.path

    def _from_here(self, column: str, text: str) -> str:
        """A default; a relative name of something that is there becomes a whole one."""
        is_place = column in SOURCES or column in ("audio", "text_file", "phones") or column in self._flags
        if is_place and "://" not in text and len(text) < 4096 and "\0" not in text and Path(text.strip()).exists():
            return str(Path(text.strip()).absolute())
        return text


class Places:
    """The files that options name: whole paths for the local ones, and something that stands for those elsewhere while
    options are checked, which know paths alone.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._stand_ins: dict[str, str] = {}
        self.files: dict[str, Address] = {}

    @property
    def remote(self) -> bool:
        """Whether something lies elsewhere."""
        return bool(self._stand_ins)

    def localised(self, name: str, item: OptionField, text: str) -> str | bool:
        """A cell as an option reads it.

        Raises:
            InputError: a file that it names is not there.
        """
        if item.type is bool:
            return _yes_or_no(name, text)
        text = text.strip()
        if item.choices or item.type not in (Path, str):
            return text
        try:
            address = self._columns._address(text)
        except (BadAddress, ValueError):
            if "://" in text and item.type is Path:
                raise
            return text
        if not address.is_local:
            self.files[name] = address
            stand_in = f"/elsewhere/{hashlib.sha256(address.text.encode()).hexdigest()[:16]}/{address.name}"
            self._stand_ins[stand_in] = address.text
            return stand_in
        if address.path.exists():
            if item.type is Path or address.path.is_file():
                self.files[name] = address
                return address.text
        elif item.type is Path and ("/" in text or Path(text).suffix):
            raise InputError(f"{name}: there is no file {address.text!r}.")
        return text

    def restored(self, value: Any) -> Any:
        """A row with the addresses in it."""
        if isinstance(value, Mapping):
            return {name: self.restored(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.restored(item) for item in value]
        return self._stand_ins.get(value, value) if isinstance(value, str) else value


def _kept(function: Callable[..., T]) -> Callable[..., T]:
    """A function whose latest answers are remembered, errors among them."""

    @lru_cache(KEPT)
    def answer(*given: Any) -> T | TalkingHeadError | ValueError:
        try:
            return function(*given)
        except (TalkingHeadError, ValueError) as error:
            return error

    def remembered(*given: Any) -> T:
        found = answer(*given)
        if isinstance(found, TalkingHeadError | ValueError):
            raise found.with_traceback(None)
        return found

    return remembered


def _yes_or_no(name: str, text: str) -> bool:
    known = {"true": True, "false": False}.get(text.strip().lower())
    if known is None:
        raise InputError(f"{name} is {shown(text)}. Accepted: true or false")
    return known


def _in_words_of_a_table(text: str) -> str:
    """A message about options of a command, for cells: without hyphens before names."""
    return re.sub(r"(?<![\w-])--(?=[a-z])", "", text)
