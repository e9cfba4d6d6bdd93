"""`talkinghead generate`: faces and sounds in, videos out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import OptionField, build_config, config_class
from talkinghead.engine.timeline import LOOP_POLICIES
from talkinghead.errors import OptionError, TalkingHeadError, choices
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.terminal import console
from talkinghead.terminal.flags import Flag, Given, Group, declared_flags, make_flags, with_flags

if TYPE_CHECKING:
    from talkinghead.contracts import Result, Speech, StageTime
    from talkinghead.engine.head import Avatar, Head, PrepareOptions, RenderOptions

SEVERAL = ("--audio", "--face", "--template", "--scene", "--avatar")
"""Options that take one value after another: `--audio a.wav b.wav`, as the shell expands `*.wav`."""

_FRAMES, _FACES, _ENCODE = "frames", "faces", "encoding"


class GenerateCommand(TyperCommand):
    """Reads `--audio a.wav b.wav` as `--audio a.wav --audio b.wav`; its help shows the options of one model."""

    flags: tuple[Flag, ...] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if any(argument in ("-h", "--help") for argument in args):
            self._show_only(_model_named(args))
        return super().parse_args(ctx, repeat_option(args, SEVERAL))

    def _show_only(self, model: str) -> None:
        """Hide the options of other models."""
        others = [name for name in FAMILIES if name != model]
        for parameter in self.params:
            for flag in self.flags:
                if flag.parameter == parameter.name:
                    names = [name for name, _ in flag.owners]
                    parameter.hidden = model not in names and any(name in others for name in names)  # type: ignore[attr-defined]
        if others:
            rest = " ".join(f"`--model {name} --help`" for name in others)
            self.epilog = f"Options of the other models: {rest}"


def _model_named(args: Sequence[str]) -> str:
    for argument, following in pairwise([*args, ""]):
        if argument in ("--model", "-m") and following in FAMILIES:
            return following
        if argument.partition("=")[0] == "--model" and argument.partition("=")[2] in FAMILIES:
            return argument.partition("=")[2]
    return DEFAULT_FAMILY


def repeat_option(args: Sequence[str], several: Sequence[str]) -> list[str]:
    """Write an option again before each further value that follows it."""
    written: list[str] = []
    option: str | None = None
    values = 0
    for i, argument in enumerate(args):
        if argument == "--":
            return [*written, *args[i:]]
        if argument.startswith("-") and argument != "-":
            name, equals, _ = argument.partition("=")
            option = name if name in several else None
            values = 1 if equals else 0
        elif option is not None:
            if values:
                written.append(option)
            values += 1
        written.append(argument)
    return written


@dataclass(frozen=True)
class Job:
    """One video to make."""

    source: Path
    audio: Path
    output: Path


def plan_jobs(sources: Sequence[Path], sounds: Sequence[Path], output: str, codec: str = "auto") -> list[Job]:
    """Every source with every sound, and the name of each video.

    With one source and one sound the output is a file, unless it is a folder or ends in a separator; with several it
    is a folder, and each video is named after what differs.

    Raises:
        OptionError: several videos into one file, or a video over its own input.
    """
    several = len(sources) * len(sounds) > 1
    target = Path(output)
    named_folder = output.endswith(("/", "\\")) or (target.is_dir() and codec != "png")
    if several and not named_folder and target.suffix:
        raise OptionError(
            f"{len(sources) * len(sounds)} videos cannot go into the one file {output}.",
            accepted="a folder, where each video is named after its sound or face",
            remedy=f"-o {target.with_suffix('')}/",
        )
    jobs: list[Job] = []
    used: set[str] = set()
    suffix = usual_suffix(codec) if several or named_folder else ""
    for source in sources:
        for sound in sounds:
            path = target
            if several or named_folder:
                stem = sound.stem
                if len(sources) > 1:
                    stem = f"{source.stem}-{sound.stem}" if len(sounds) > 1 else source.stem
                name, number = stem, 2
                while name in used:
                    name, number = f"{stem}-{number}", number + 1
                used.add(name)
                path = target / (name + suffix)
            for given in (source, sound):
                if _same_file(path, given):
                    raise OptionError(f"The output {path} is one of the inputs.", remedy="another name after -o")
            jobs.append(Job(source, sound, path))
    return jobs


def usual_suffix(codec: str) -> str:
    """Suffix of a video that is named after its inputs: ".mp4" unless the codec usually goes elsewhere."""
    if codec == "auto":
        return ".mp4"
    from talkinghead.media.encoders import ENCODERS

    return next((facts.suffixes[0] for facts in ENCODERS if codec in (facts.codec, facts.name)), ".mp4")


def _same_file(a: Path, b: Path) -> bool:
    try:
        return a.is_file() and a.samefile(b)
    except OSError:
        return False


def shared_groups() -> tuple[Group, ...]:
    """Options of every model: reading frames, finding faces, encoding."""
    from talkinghead.face.detectors.options import FaceOptions
    from talkinghead.media.options import EncodeOptions, FrameOptions

    return (
        Group(
            _FRAMES,
            FrameOptions,
            "Reading the face",
            names={"start_s": "--face-start", "duration_s": "--face-duration"},
            leave_out=frozenset({"fps", "cache_bytes"}),
        ),
        Group(
            _FACES,
            FaceOptions,
            "Finding the face",
            names={"every": "--detect-every", "min_score": "--min-face-score", "max_side": "--detect-size"},
        ),
        Group(_ENCODE, EncodeOptions, "Encoding", names={"gop_s": "--gop", "threads": "--encoder-threads"}),
    )


def _model_groups() -> list[Group]:
    return [
        Group(facts.name, config_class(facts.config), f"Model {facts.name} ({facts.title})")
        for facts in FAMILIES.values()
    ]


def parse_fps(text: str | None) -> Fraction | None:
    """An exact frame rate: "25", "29.97" (read as it stands), "30000/1001".

    Raises:
        OptionError: not a rate from above 0 to 1000.
    """
    if text is None:
        return None
    fps = OptionField("fps", Fraction, True, None, "").parse(text)
    if not 0 < fps <= 1000:
        raise OptionError(f"--fps is {text!r}.", accepted="more than 0, at most 1000 frames per second")
    return Fraction(fps)


def generate(
    given: Given,
    output: Annotated[
        str, typer.Option("-o", "--output", help="Video to write; its suffix chooses the format. A folder for several.")
    ],
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", "-a", help="Speech: any audio or video file. Several: --audio *.wav"),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Speech from text instead (extra tts): what to say; - reads it.")
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", help="Speech from text: read what to say from this file (UTF-8).")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language of --text: en, de, zh. See: talkinghead say")] = "en",
    voice: Annotated[str | None, typer.Option("--voice", help="Voice of --text. See: talkinghead say --voices")] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="auto|espeak|gtts|piper", help="Who speaks --text; gtts is online.")
    ] = "auto",
    speed: Annotated[float, typer.Option("--speed", help="Pace of --text: 0.5 is half, 2 is double.")] = 1.0,
    face: Annotated[
        list[Path] | None, typer.Option("--face", "-f", help="Picture or video of a face. Several are allowed.")
    ] = None,
    template: Annotated[
        list[Path] | None,
        typer.Option("--template", help="Folder of a person's frames, for models made for one person."),
    ] = None,
    scene: Annotated[
        list[Path] | None, typer.Option("--scene", help="Folder of a scene, for models that render one.")
    ] = None,
    avatar: Annotated[list[Path] | None, typer.Option("--avatar", help="Avatar, for models that render one.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Model: {', '.join(FAMILIES)}. See: talkinghead models list",
            show_default=DEFAULT_FAMILY,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Weights of the model: a file, or a name of the model store; default: the installed ones."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, parity (float32, as published) or fast.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, torch, onnx or openvino, where the model has them.")] = "auto",
    compat: Annotated[
        bool, typer.Option("--compat/--no-compat", help="Behave as the published script does, quirks included.")
    ] = False,
    fps: Annotated[
        str | None,
        typer.Option(metavar="25 or 30000/1001", help="Frame rate; default: the model's, else the face's, else 25."),
    ] = None,
    loop: Annotated[
        str,
        typer.Option(
            metavar="|".join(LOOP_POLICIES),
            help="When the video is shorter than the sound: play it forwards and backwards, start again, hold the last "
            "frame, or end with it.",
            autocompletion=lambda: list(LOOP_POLICIES),
        ),
    ] = "pingpong",
    start: Annotated[float, typer.Option(min=0.0, help="Seconds of the sound to leave out at its beginning.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0.0, help="Seconds of the sound to use; default: all.")] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite/--no-overwrite", help="Replace a video that exists (once the new one is complete)."),
    ] = True,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep and reuse what was found in a face video before.")
    ] = True,
    report: Annotated[Path | None, typer.Option(help="Write what ran, and where the time went, as JSON.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show that on stdout instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> int:
    """Make a talking-head video from a face and speech.

    Without --model the built-in animator moves the mouth; it needs no weights. Several faces and sounds make one video
    for each pair, in the folder after -o; one that fails is reported and the others go on.
    """
    from talkinghead import api
    from talkinghead.contracts import StageTime
    from talkinghead.engine.cache import NullCache
    from talkinghead.engine.head import PrepareOptions, RenderOptions
    from talkinghead.face.detectors.options import FaceOptions
    from talkinghead.media.options import EncodeOptions, FrameOptions

    if model is None:
        model = DEFAULT_FAMILY
        if not quiet and not json_output:
            tell_models(model)
    facts = family(model)
    said = SpokenText(text, text_file, lang, voice, engine, speed)
    spoken = speech_from_text(said, audio, start, duration)
    sounds = [SPOKEN] if spoken is not None else audio or []
    given.refuse_all_but(model, list(FAMILIES))
    sources = _sources(facts, {"--face": face, "--template": template, "--scene": scene, "--avatar": avatar})
    if facts.kind == "scene" and (unused := given.flags_of([_FRAMES, _FACES])):
        raise OptionError(
            f"{unused[0]} has no effect with {model}, which renders whole frames.", remedy=f"leave {unused[0]} out"
        )
    if loop not in LOOP_POLICIES:
        raise OptionError(f"There is no loop policy {loop!r}.", accepted=choices(LOOP_POLICIES))
    if duration is not None and duration <= 0:
        raise OptionError("--duration is 0.", accepted="more than 0 seconds")
    rate = parse_fps(fps)
    encode = build_config(EncodeOptions, given.of(_ENCODE), owner="Encoding")
    render = RenderOptions(fps=rate, loop=loop, encode=encode, overwrite=overwrite)
    prepare = PrepareOptions(
        frames=build_config(FrameOptions, {**given.of(_FRAMES), "fps": rate}, owner="Reading the face"),
        faces=build_config(FaceOptions, given.of(_FACES), owner="Finding the face"),
        cache=None if cache else NullCache(),
        render=render,
    )
    family_options = given.of(model)
    jobs = plan_jobs(sources, sounds, output, encode.codec)
    check_before(jobs, facts, render, report)

    started = time.perf_counter()
    head = api.load(
        model,
        checkpoint=checkpoint,
        device=device,
        precision=precision,
        backend=backend,
        compat=compat,
        **family_options,
    )
    load_time = StageTime("load", time.perf_counter() - started, 0.0, 0.0, 1)
    work = Work(head, prepare, render, start, duration, (load_time,), quiet=quiet, spoken=spoken)
    outcomes = work.run(jobs)
    results = [outcome.to_dict() for outcome in outcomes]
    shown = results[0]["report"] if len(jobs) == 1 else {"items": results}
    if report is not None:
        write_report(report, shown)
    if json_output:
        console.print_json(shown)
    else:
        show_outcomes(outcomes)
    return 1 if any(outcome.error is not None for outcome in outcomes) else 0


SPOKEN = Path("text")
"""Stands where a job names its sound file, when the sound is made from text."""


@dataclass(frozen=True)
class SpokenText:
    """The options of speech from text, as they were given."""

    text: str | None = None
    text_file: Path | None = None
    lang: str = "en"
    voice: str | None = None
    engine: str = "auto"
    speed: float = 1.0

    @property
    def is_given(self) -> bool:
        return self.text is not None or self.text_file is not None


def speech_from_text(
    said: SpokenText, audio: list[Path] | None, start_s: float, duration_s: float | None
) -> Speech | None:
    """Speak `--text` or `--text-file`, or None where sound files are given.

    Raises:
        OptionError: both, neither, or an option that has no effect.
    """
    from talkinghead import api
    from talkinghead.cli.say import given_text

    if said.is_given == bool(audio):
        raise OptionError(
            "Both --audio and --text are given." if said.is_given else "Neither --audio nor --text is given.",
            accepted="--audio FILE, or --text with what to say",
        )
    if not said.is_given:
        if replace(said, text=None) != SpokenText():
            raise OptionError(
                "--lang, --voice, --engine and --speed have no effect without --text.", remedy="leave them out"
            )
        return None
    if start_s or duration_s is not None:
        raise OptionError("--start and --duration have no effect with --text.", remedy="shorten the text")
    words = given_text(said.text, said.text_file)
    return api.say(words, lang=said.lang, voice=said.voice, engine=said.engine, speed=said.speed)


def tell_models(default: str) -> None:
    """Say which model runs when none is named, and which others have their weights installed."""
    from talkinghead.service.models import model_store

    have: dict[str, list[str]] = {}
    for record in model_store().installed().values():
        if record.model is not None:
            have.setdefault(record.model, []).append(record.name)
    others = "; ".join(f"--model {name} ({', '.join(names)})" for name, names in have.items())
    console.note(
        f"No --model is given: the built-in {default} runs. "
        + (f"Installed: {others}." if others else "No checkpoint is installed; see: talkinghead models list")
    )


@dataclass(frozen=True)
class Outcome:
    """What came of one job."""

    job: Job
    result: Result | None
    error: Exception | None

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "source": str(self.job.source),
            "audio": str(self.job.audio),
            "output": str(self.job.output),
            "ok": self.error is None,
        }
        if self.error is not None:
            data["error"] = str(self.error)
        if self.result is not None:
            data["report"] = self.result.report.to_dict()
        return data


@dataclass
class Work:
    """A loaded head at work on a list of jobs; each source is prepared once."""

    head: Head
    prepare: PrepareOptions
    render: RenderOptions
    start_s: float
    duration_s: float | None
    times: tuple[StageTime, ...] = ()
    """What loading cost."""
    quiet: bool = False
    spoken: Speech | None = None
    """Speech from text, which takes the place of every sound file."""

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do all jobs. With one only, its error is raised; with several, the work goes on after an error."""
        prepared: dict[Path, Avatar | TalkingHeadError] = {}
        several = len({job.audio for job in jobs}) > 1
        outcomes: list[Outcome] = []
        for number, job in enumerate(jobs, 1):
            label = f"[{number}/{len(jobs)}] {job.output.name}" if len(jobs) > 1 else ""
            try:
                outcomes.append(Outcome(job, self._one(job, prepared if several else None, label), None))
            except (TalkingHeadError, OSError) as error:
                from talkinghead.errors import Cancelled

                if len(jobs) == 1 or isinstance(error, Cancelled):
                    raise
                console.note(f"{label}: failed")
                console.show_failure(error)
                outcomes.append(Outcome(job, None, error))
        return outcomes

    def _one(self, job: Job, prepared: dict[Path, Avatar | TalkingHeadError] | None, label: str) -> Result:
        from talkinghead import api
        from talkinghead.contracts import StageTime

        started = time.perf_counter()
        times, self.times = list(self.times), ()  # loading counts once, for the first video
        with console.ProgressDisplay(quiet=self.quiet, label=label) as progress:
            if self.spoken is not None:
                heard = [self.spoken]
            else:
                heard = [api.listen(job.audio, start_s=self.start_s, duration_s=self.duration_s)]
            times.append(StageTime("read-sound", time.perf_counter() - started, 0.0, 0.0, 1))
            face: Any = job.source
            if prepared is not None:
                if job.source not in prepared:
                    try:
                        prepared[job.source] = made = self.head.prepare(job.source, self.prepare, progress=progress)
                        times.extend(made.times)
                    except TalkingHeadError as error:
                        prepared[job.source] = error
                face = prepared[job.source]
                if isinstance(face, TalkingHeadError):
                    raise face
            if label:  # one of several: the folder is ours to make
                job.output.parent.mkdir(parents=True, exist_ok=True)
            result = api.generate(
                face,
                heard.pop(),  # handed over: a long sound is freed once it has been listened to
                job.output,
                model=self.head,
                prepare_options=self.prepare,
                render_options=self.render,
                progress=progress,
            )
        report = replace(
            result.report,
            stages=(*times, *result.report.stages),
            wall_s=time.perf_counter() - started + sum(stage.busy_s for stage in times if stage.name == "load"),
        )
        return replace(result, report=report)


def check_before(jobs: Sequence[Job], facts: Manifest, render: RenderOptions, report: Path | None) -> None:
    """Find what can be found before anything slow begins; of several jobs each is looked at when its turn comes.

    Raises:
        MediaNotFound: an input is not there. OutputError: the video or report cannot be written.
    """
    from talkinghead.errors import MediaNotFound
    from talkinghead.files import PendingOutput, existing_file
    from talkinghead.media import EncodeOptions, check_output

    if report is not None:
        PendingOutput(report).discard()
    if len(jobs) > 1:
        return
    job = jobs[0]
    if facts.source_is_path and not job.source.exists():
        raise MediaNotFound(f"There is no file {str(job.source)!r}.", accepted=facts.face_source)
    if job.audio is not SPOKEN:
        existing_file(job.audio)
    check_output(job.output, overwrite=render.overwrite, options=render.encode or EncodeOptions())


def _sources(facts: Manifest, options: dict[str, list[Path] | None]) -> list[Path]:
    wanted = options[facts.source_option]
    for flag, paths in options.items():
        if paths and flag != facts.source_option:
            others = [other.name for other in FAMILIES.values() if other.source_option == flag]
            raise OptionError(
                f"The model {facts.name} does not take {flag}.",
                accepted=f"{facts.source_option}: {facts.face_source}",
                remedy=f"--model {choices(others)}" if others else None,
            )
    if not wanted and facts.default_source is not None:
        return [Path(facts.default_source)]
    if not wanted:
        raise OptionError(
            f"The model {facts.name} needs {facts.source_option}, and it is missing.", accepted=facts.face_source
        )
    return wanted


def write_report(path: Path, report: Any) -> None:
    """Write a report as JSON; it appears whole or not at all."""
    import json

    from talkinghead.files import write_bytes

    write_bytes(path, (json.dumps(report, indent=2, default=str) + "\n").encode("utf-8"))


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Closing tables: of one job where the time went, of several one line each."""
    if len(outcomes) == 1 and outcomes[0].result is not None:
        show_result(outcomes[0].result)
        return
    rows: list[list[object]] = []
    for outcome in outcomes:
        report = outcome.result.report if outcome.result is not None else None
        if report is None:
            rows.append([outcome.job.output, "failed", "-", "-", "-", "-"])
        else:
            rows.append([
                outcome.job.output, "done", report.num_frames, f"{report.wall_s:.1f}",
                f"{report.frames_per_second:.1f}", f"{report.realtime_factor:.2f}x",
            ])  # fmt: skip
            for text in (*report.fallbacks, *report.warnings):
                console.warn(f"{outcome.job.output.name}: {text}")
    console.say(console.table(["video", "", "frames", "seconds", "frames/s", "real time"], rows))
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed:
        console.say(f"{failed} of {len(outcomes)} failed.")


def show_result(result: Result) -> None:
    """Where the time of one job went, what limited it, and what to know about it."""
    report = result.report
    for text in (*report.fallbacks, *report.warnings):
        console.warn(text)
    rows = []
    for stage in report.stages:
        rate = f"{stage.items / stage.busy_s:.1f}" if stage.items > 1 and stage.busy_s > 0 else "-"
        rows.append([
            stage.name, f"{stage.busy_s:.2f}", f"{stage.wait_input_s:.2f}", f"{stage.wait_output_s:.2f}", rate
        ])  # fmt: skip
    console.say(console.table(["stage", "seconds", "waiting for input", "waiting for output", "frames/s"], rows))
    console.say()
    console.say(
        f"{result.path}: {report.num_frames} frames of {report.width}x{report.height} at {report.fps} frames/s, "
        f"{report.audio_s:.2f} s, {report.model} on {report.device} ({report.backend}, {report.precision})"
    )
    console.say(
        f"{report.wall_s:.2f} s in all: {report.frames_per_second:.1f} frames/s, "
        f"{report.realtime_factor:.2f} times real time, limited by {report.limited_by!r}"
    )


def _build() -> Any:
    flags: tuple[Flag, ...] = make_flags(shared_groups(), _model_groups(), declared_flags(generate))
    built = with_flags(generate, flags)
    built.command_class = type("Command", (GenerateCommand,), {"flags": flags})  # type: ignore[attr-defined]
    return built


command = _build()
