"""The seven stages in one folder, up to one of them; what is there and unchanged is not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from talkinghead.bounds import FRAME_RATES, check_fields
from talkinghead.engine.picture_steps import PICTURE_FPS, encode_video
from talkinghead.engine.steps import StageReport, is_current, picture_paths, read_record, record_path
from talkinghead.errors import MediaNotFound, OptionError, choices
from talkinghead.families.wav2lip import steps
from talkinghead.files import make_folder
from talkinghead.media.options import CROPS, RESIZE_FACTORS
from talkinghead.places import check_apart
from talkinghead.reading import read_npy
from talkinghead.system import remove_tree

FILES = {
    "extract-mel": "mel.npy",
    "chunk-mel": "mel_chunks.npy",
    "load-frames": "frames",
    "detect-faces": "coords.npy",
    "run-wav2lip": "patches",
    "paste-patches": "merged_frames",
    "encode-video": "output.mp4",
}
"""Name of each stage's result in the folder."""


@dataclass(frozen=True)
class ChainOptions:
    """What all stages together need."""

    face: Path
    audio: Path
    workdir: Path
    checkpoint: Path | None = None
    """Needed from run-wav2lip on."""
    fps: Annotated[Fraction | None, FRAME_RATES] = None
    """None takes the video's own, 25 for a picture."""
    resize_factor: Annotated[int, RESIZE_FACTORS] = 1
    crop: Annotated[tuple[int, int, int, int] | None, CROPS] = None
    rotate: bool = False
    static: bool = False
    mel_padding: str = "zeros"
    faces: steps.FaceChoice = field(default_factory=steps.FaceChoice)
    network: steps.NetworkChoice = field(default_factory=steps.NetworkChoice)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ChainStep:
    """One stage of a run."""

    report: StageReport
    skipped: bool
    """It was there and unchanged."""


def run_chain(
    options: ChainOptions, until: str = "encode-video", *, told: Callable[[ChainStep], None] | None = None
) -> list[ChainStep]:
    """Run the stages in order up to `until`.

    Raises:
        OptionError: no such stage, or it needs a checkpoint. MediaNotFound: an input is missing.
    """
    if until not in steps.NAMES:
        raise OptionError(f"There is no stage {until!r}.", accepted=choices(steps.NAMES))
    last = steps.NAMES.index(until)
    if options.checkpoint is None and last >= steps.NAMES.index("run-wav2lip"):
        raise OptionError(f"{until} needs a checkpoint.", accepted="--checkpoint wav2lip.pth")
    for path in (options.face, options.audio, options.checkpoint):
        if path is not None and not path.is_file():
            raise MediaNotFound(f"There is no file {path}.")
    check_chain_apart(options, until)
    make_folder(options.workdir)
    done: list[ChainStep] = []
    # The rate of the frames decides how the sound is cut, so a video's rate is looked up first.
    rate = _rate(options)
    for name in steps.NAMES[: last + 1]:
        step = _run(name, options, rate)
        done.append(step)
        if told is not None:
            told(step)
    return done


def check_chain_apart(options: ChainOptions, until: str, *beside: Path | None) -> None:
    """Refuse a folder in which a result would replace what is read.

    Args:
        beside: what else is written.
    Raises:
        OptionError
    """
    made = steps.NAMES[: steps.NAMES.index(until) + 1] if until in steps.NAMES else ()
    outputs = [*(options.workdir / FILES[name] for name in made), *beside]
    check_apart(outputs, [options.face, options.audio, options.checkpoint, options.faces.detector_model])


def _rate(options: ChainOptions) -> Fraction:
    if options.fps is not None:
        return options.fps
    from talkinghead.media import open_frames

    return open_frames(options.face).fps or PICTURE_FPS


def _run(name: str, options: ChainOptions, rate: Fraction) -> ChainStep:
    where = {stage: options.workdir / file for stage, file in FILES.items()}
    out = where[name]
    mel, chunks, frames, coords = (where[stage] for stage in steps.NAMES[:4])
    checkpoint = options.checkpoint or Path()
    stop = None
    if name == "detect-faces":
        count = len(picture_paths(frames, "frames"))
        heard = read_npy(chunks, mapped=True).shape[:1]
        stop = 1 if options.static else min(count, *heard)
    faces, network = options.faces, options.network
    plans: Mapping[str, tuple[dict[str, Any], dict[str, Path], Callable[[], StageReport]]] = {
        "extract-mel": (
            {"mel_padding": options.mel_padding},
            {"audio": options.audio},
            lambda: steps.extract_mel(options.audio, out, mel_padding=options.mel_padding),
        ),
        "chunk-mel": (
            {"fps": str(rate), "step": 16},
            {"mel": mel},
            lambda: steps.chunk_mel(mel, out, fps=rate),
        ),
        "load-frames": (
            {
                "fps": options.fps,
                "resize_factor": options.resize_factor,
                "crop": options.crop,
                "rotate": options.rotate,
            },
            {"face": options.face},
            lambda: steps.load_frames(
                options.face,
                out,
                fps=options.fps,
                resize_factor=options.resize_factor,
                crop=options.crop,
                rotate=options.rotate,
            ),
        ),
        "detect-faces": (
            {
                "pads": faces.pads,
                "nosmooth": faces.nosmooth,
                "box": faces.box,
                "detector": faces.detector,
                "detector_model": faces.detector_model,
                "static": options.static,
                "stop": stop,
            },
            {"frames": frames},
            lambda: steps.detect_faces(frames, out, choice=faces, mel_chunks=chunks, static=options.static),
        ),
        "run-wav2lip": (
            {"precision": network.precision, "static": options.static},
            {"checkpoint": checkpoint, "frames": frames, "mel_chunks": chunks, "coords": coords},
            lambda: steps.run_wav2lip(checkpoint, frames, chunks, coords, out, network=network, static=options.static),
        ),
        "paste-patches": (
            {"static": options.static},
            {"frames": frames, "patches": where["run-wav2lip"], "coords": coords},
            lambda: steps.paste_patches(frames, where["run-wav2lip"], coords, out, static=options.static),
        ),
        "encode-video": (
            {"fps": str(rate)},
            {"frames": where["paste-patches"], "audio": options.audio},
            lambda: encode_video(where["paste-patches"], options.audio, out, fps=rate),
        ),
    }
    plain, inputs, run = plans[name]
    if is_current(out, name, plain, inputs):
        record = read_record(out)
        items = int(record.facts.get("count", 0)) if record is not None else 0
        return ChainStep(StageReport(name, str(out), 0.0, items, "items"), skipped=True)
    _remove(out)
    return ChainStep(run(), skipped=False)


def _remove(out: Path) -> None:
    """Remove an outdated result and its record; only what a stage writes."""
    record = record_path(out)
    if out.is_dir():
        remove_tree(out, strict=True)
    else:
        out.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
