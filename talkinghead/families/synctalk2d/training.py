"""From a video to an avatar, step by step; a run that was stopped goes on where it stopped.

OUT/full_body_img, landmarks, aud.wav, contact_sheet.png    the template folder (`build`)
OUT/aud_ave.npy                                             rows of its sound
OUT/1.safetensors                                           the network, for this package
OUT/checkpoint/1.pth                                        the same for the published programs
OUT/training.json                                           what was done and measured
OUT/previews/                                               held-out frames: reference, made, truth
OUT/.training/                                              crops, rows and state, until it is complete
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.errors import (
    AmbiguousFace,
    InputError,
    NoFaceFound,
    OptionError,
    OutOfMemory,
    OutputExists,
    UnwritableOutput,
)
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.families.synctalk2d.build import JUMP, BuildOptions, build_template, encode_speech, npy_bytes
from talkinghead.families.synctalk2d.template import FEATURE_FILES, TemplateFolder, open_template
from talkinghead.families.synctalk2d.training_data import TrainingData, cut_crops, find_places
from talkinghead.families.synctalk2d.training_options import TrainOptions
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, SIZES, Variant
from talkinghead.families.synctalk2d.weights import SOUND_ROWS
from talkinghead.files import make_folder, write_bytes
from talkinghead.places import check_apart
from talkinghead.reading import read_json, read_npz

WORK = ".training"
CHECKPOINT, PUBLISHED = "1.safetensors", Path("checkpoint") / "1.pth"
REPORT = "training.json"
LEAST_S, WANTED_S = 4.0, 120.0
"""Seconds of video without which nothing can be learned, and under which little can."""
LEAST_SEEN = 0.5
"""Share of frames in which a face must be seen."""
LOOKED_AT = 12
"""Frames in which faces are counted."""
SEVERAL = 1 / 3
"""Share of them with a second face from which on there are two people."""
BYTES_PER_PIXEL = 0.4
"""Of a frame as JPEG."""
STATE_BYTES = 4 * 50_000_000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """An avatar that was made."""

    path: Path
    report: dict[str, Any]
    warnings: tuple[str, ...] = ()


def train_avatar(
    video: str | Path,
    output: str | Path,
    options: TrainOptions | None = None,
    faces: FaceOptions | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    tell: Tell = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train an avatar from a video of one person who speaks.

    Args:
        resume: go on with what is in the folder, with the options that it was begun with.
        force: replace what is in the folder.
        tell: called with sentences: what is done, how far it is, how long it still takes.
        stop: asked between steps; true ends the run so that it can go on later.
    Raises:
        NoAudioStream: no sound. NoFaceFound: no face in half of the frames. AmbiguousFace: several people.
        InputError: too short, or an option that does not fit. OutputExists: the folder holds something else.
        UnwritableOutput: the disk is full. OutOfMemory: not even two pictures fit. Diverged: the loss is no number.
    """
    from talkinghead.training.ranks import joined_ranks
    from talkinghead.training.speed import choose_speed, keep_memory

    options, output = options or TrainOptions(), Path(output)
    check_apart([output / WORK], [video, options.encoder, options.perceptual])
    options = _begin(Path(video), output, options, resume=resume, force=force)
    speed = choose_speed(options.device, options.precision)
    keep_memory()
    with joined_ranks(speed.device) as ranks, _threads(options.threads):
        work = output / WORK
        if ranks.leads:
            facts = _template(Path(video), output, options, faces or FaceOptions(), tell)
            warnings = list(facts["warnings"])
        ranks.wait()
        facts = read_json(work / "template.json")
        data, cuts = _data(output, options, facts, tell, leads=ranks.leads, wait=ranks.wait)
        if ranks.leads:
            tell(f"{len(data.learned)} frames to learn from, {len(data.held_out)} held out; on {speed.name}")
        report = _learn(data, cuts, output, options, speed, ranks, tell, stop)
        if ranks.leads and report["stopped"] != "asked":
            _export(data, output, options, facts, report)
            shutil.rmtree(work)
        return Trained(output, report, tuple(facts["warnings"]) if not ranks.leads else tuple(warnings))


# Steps --------------------------------------------------------------------------------------------------------------


def _begin(video: Path, output: Path, options: TrainOptions, *, resume: bool, force: bool) -> TrainOptions:
    """Check video and folder; the options that count, which are those of the first run when it goes on."""
    from talkinghead.media import FrameOptions, open_frames, read_audio

    if options.batch % 2:
        raise OptionError(f"A batch of {options.batch} is odd.", accepted="even numbers: neighbours are pairs")
    if options.features != "own" and options.encoder is None:
        raise OptionError(
            f"Features of {options.features} need their encoder.", remedy="--encoder FILE, or --features own"
        )
    record = output / WORK / "options.json"
    if resume:
        if not record.is_file():
            raise InputError(f"There is no unfinished training in {output}.", remedy="leave --resume out")
        return replace(options, **_read_options(record))
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not force:
            raise OutputExists(
                f"{output} is there.",
                remedy="--resume to go on with it, --force to replace it, or another name after -o",
            )
        for name in (WORK, "previews", "checkpoint"):
            shutil.rmtree(output / name, ignore_errors=True)
    fps = _variant(options).audio.fps
    source = open_frames(video, options=FrameOptions(fps=fps))
    if source.info.kind != "video":
        raise InputError(f"{video} is a picture.", accepted="a video of one person who speaks")
    seconds = float(len(source) / fps)
    if seconds < LEAST_S:
        raise InputError(
            f"{video} lasts {seconds:.1f} s.", accepted=f"at least {LEAST_S:g} s; three minutes give a good avatar"
        )
    read_audio(video, SPEECH_RATE_HZ, duration_s=0.5)  # so that missing sound is told at once
    width, height = source.size
    needed = _bytes_needed(seconds, width, height, options)
    existing = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise UnwritableOutput(
            f"The training needs about {needed / 1e9:.1f} GB in {output}, and {free / 1e9:.1f} GB are free.",
            remedy="a folder on another disk, or a smaller video",
        )
    make_folder(output)
    make_folder(output / WORK)
    kept = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    write_bytes(record, json.dumps(kept).encode())
    return options


def _bytes_needed(seconds: float, width: int, height: int, options: TrainOptions) -> float:
    variant = _variant(options)
    frames = seconds * float(variant.audio.fps)
    return frames * (width * height * BYTES_PER_PIXEL + 3 * variant.size.inner_px**2) + 3 * STATE_BYTES


def _read_options(record: Path) -> dict[str, Any]:
    """What a run was begun with; device and threads may be others the next time."""
    kept: dict[str, Any] = read_json(record)
    for name in ("device", "threads", "preview_every"):
        kept.pop(name, None)
    return {name: Path(value) if name in ("encoder", "perceptual") and value else value for name, value in kept.items()}


def _variant(options: TrainOptions) -> Variant:
    return Variant(SIZES[options.size], AUDIO_VARIANTS["ave" if options.features == "own" else options.features])


def _template(video: Path, output: Path, options: TrainOptions, faces: FaceOptions, tell: Tell) -> dict[str, Any]:
    """The template folder, and what was found in it."""
    record = output / WORK / "template.json"
    if record.is_file():
        known: dict[str, Any] = read_json(record)
        return known
    last = [0.0]

    def told(step: str, done: int, total: int | None) -> None:
        _now_and_then(tell, last, f"{'frames and landmarks' if step != 'listen' else 'listening'}: {done} of {total}")

    build = BuildOptions(mode=_variant(options).audio.mode, encoder=options.encoder, workers=options.threads)
    made = build_template(video, output, build, faces, force=True, tell=told)
    warnings = list(made.warnings)
    if made.num_without_face > (1 - LEAST_SEEN) * made.num_frames:
        raise NoFaceFound(
            f"A face is seen in {made.num_frames - made.num_without_face} of {made.num_frames} frames of {video} "
            f"(pictures: {made.contact_sheet}).",
            accepted=f"a face in at least {LEAST_SEEN:.0%} of the frames",
            remedy="a video in which the person looks at the camera, or another detector (--detector)",
        )
    if made.num_without_face:
        warnings.append(f"{made.num_without_face} frames without a face are left out.")
    template = open_template(output)
    _refuse_several(template, faces)
    height, width = template.read_frame(0).shape[:2]
    seconds = made.num_frames / float(_variant(options).audio.fps)
    if seconds < WANTED_S:
        warnings.append(f"The video lasts {seconds:.0f} s; three minutes give a good avatar.")
    facts = {"frames": made.num_frames, "size": [width, height], "without_face": made.without_face,
             "landmarks_from": made.landmarks_from, "warnings": warnings}  # fmt: skip
    write_bytes(record, json.dumps(facts).encode())
    return facts


def _refuse_several(template: TemplateFolder, faces: FaceOptions) -> None:
    """Two people in the picture: whose mouth belongs to the sound nobody knows."""
    from talkinghead.face.detectors import load_detector

    detector = load_detector(faces)
    places = np.linspace(0, template.num_frames - 1, min(LOOKED_AT, template.num_frames)).round().astype(int)
    several = 0
    for place in places.tolist():
        found = detector.detect([template.read_frame(place)])[0]
        sides = sorted((each.box_xyxy[2] - each.box_xyxy[0] for each in found), reverse=True)
        several += len(sides) > 1 and sides[1] > 0.4 * sides[0]
    if several > SEVERAL * len(places):
        raise AmbiguousFace(
            f"Two people are seen in {several} of {len(places)} frames that were looked at.",
            accepted="a video of one person",
            remedy="cut the picture so that only the person who speaks is in it",
        )


def _data(
    output: Path, options: TrainOptions, facts: dict[str, Any], tell: Tell, *, leads: bool, wait: Callable[[], None]
) -> tuple[TrainingData, Any]:
    """Crops, rows and places; what is on the disk already is read."""
    variant, work = _variant(options), output / WORK
    template = open_template(output)
    width, height = facts["size"]
    last = [0.0]
    crops_path, rows_path = work / f"crops-{options.size}.npy", work / "rows.npz"
    if leads:
        cut_crops(template, variant, crops_path, lambda n, of: _now_and_then(tell, last, f"crops: {n} of {of}"))
        if not rows_path.is_file():
            rows = _rows(output, options, variant, template.num_frames, tell)
            _write_npz(rows_path, {f"{k:03d}": value for k, value in enumerate(rows)})
            write_bytes(output / FEATURE_FILES[variant.audio.mode], npy_bytes(rows[0]))
    wait()
    crops = cut_crops(template, variant, crops_path, lambda *_: None)
    kept = read_npz(rows_path)
    places = find_places(template, variant, (width, height), JUMP)
    if leads and len(places.jumps):
        tell(f"{len(places.jumps)} cuts or jumps; nothing is learned from the step over them")
    usable = np.ones(template.num_frames, bool)
    usable[list(facts["without_face"])] = False
    rows = tuple(np.asarray(kept[name], np.float32) for name in sorted(kept))
    return TrainingData(variant, crops, rows, places.mouths, places.poses, usable), places.jumps


def _rows(output: Path, options: TrainOptions, variant: Variant, num_frames: int, tell: Tell) -> tuple[FloatArray, ...]:
    from talkinghead.families.synctalk2d.training_sound import rows_of_voices
    from talkinghead.media import read_audio

    samples = read_audio(output / "aud.wav", SPEECH_RATE_HZ).samples
    if options.features == "own":
        return rows_of_voices(
            samples, num_frames, options.voices, options.seed, lambda n, of: tell(f"listening: voice {n} of {of}")
        )
    assert options.encoder is not None
    rows = encode_speech(samples, options.features, options.encoder)
    return (np.asarray(rows.reshape(len(rows), variant.audio.row_size), np.float32),)


def _write_npz(path: Path, arrays: dict[str, FloatArray]) -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def _learn(
    data: TrainingData,
    cuts: Any,
    output: Path,
    options: TrainOptions,
    speed: Any,
    ranks: Any,
    tell: Tell,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """Train; a batch that does not fit is halved, and said."""
    batch = options.batch
    while True:
        try:
            return _learn_with(data, cuts, output, replace(options, batch=batch), speed, ranks, tell, stop)
        except OutOfMemory:
            if batch // 2 < 2 * ranks.count or batch % 4:
                raise
            batch //= 2
            tell(f"A batch of {2 * batch} does not fit into memory; going on with {batch}.")


def _learn_with(
    data: TrainingData,
    cuts: Any,
    output: Path,
    options: TrainOptions,
    speed: Any,
    ranks: Any,
    tell: Tell,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    from talkinghead.families.synctalk2d.training_task import AvatarTask, Weights, new_network
    from talkinghead.training.loop import BEST, Loop, Plan, Progress, seconds_per_step
    from talkinghead.training.state import read_state

    work = output / WORK
    distance = None
    if options.perceptual is not None:
        from talkinghead.measure.quality import Lpips

        lpips = Lpips.read([options.perceptual], str(speed.device))
        distance = lambda a, b: lpips.distance(a.flip(1), b.flip(1)).mean()  # noqa: E731 (BGR to RGB)
    weights = Weights(options.mouth_weight, options.temporal_weight, options.perceptual_weight)
    task = AvatarTask(data, weights, output / "previews", distance, cuts)
    network = speed.ready(new_network(data, options.seed))
    record = work / "plan.json"
    if record.is_file():
        plan = Plan(**read_json(record))
    else:
        plan = Plan(
            steps=options.steps or 1, batch=options.batch, rate=options.rate, seed=options.seed, evaluate_every=1,
            precision="bfloat16" if speed.half else "float32",
        )  # fmt: skip
        if not options.steps:
            each = seconds_per_step(task, network, plan, speed) if ranks.leads else 0.0
            plan = replace(plan, steps=max(10, int(60 * options.minutes / max(each, 1e-4))))
            tell(f"{1 / max(each, 1e-4):.2f} steps a second: {plan.steps} steps in {options.minutes:g} minutes")
        plan = replace(
            plan, evaluate_every=max(5, min(500, plan.steps // 20)), warm_up=max(1, min(200, plan.steps // 10))
        )
        if ranks.leads:
            write_bytes(record, json.dumps(asdict(plan)).encode())
        ranks.wait()
        plan = Plan(**read_json(record))
    last = [0.0]

    def told(progress: Progress) -> None:
        mouth = f", mouth {progress.last.figures['mouth_psnr']:.1f} dB" if progress.last is not None else ""
        minutes = progress.left_s / 60
        left = f"{minutes:.0f} min" if minutes >= 2 else f"{progress.left_s:.0f} s"
        text = f"step {progress.step} of {progress.steps}, loss {progress.loss:.4f}{mouth}, {left} left"
        _now_and_then(tell, last, text, always=progress.step == progress.steps)

    loop = Loop(task, network, plan, work, speed, ranks, told, stop, preview_every=options.preview_every)
    loop.resume()
    with loop.averaged() as untrained:
        started = task.evaluate(untrained, speed) if loop.step == 0 else {}
    outcome = loop.run()
    figures: dict[str, Any] = {
        **task.baselines,
        **({"start_mouth_psnr": started["mouth_psnr"]} if started else {}),
        "best": asdict(outcome.best) if outcome.best is not None else None,
        "history": [asdict(each) for each in outcome.history],
        "steps": outcome.step,
        "stopped": outcome.stopped,
        "plan": asdict(plan),
    }
    if outcome.stopped != "asked":
        ranks.wait()
        figures["weights"] = read_state(work / BEST).network
    return figures


def _export(
    data: TrainingData, output: Path, options: TrainOptions, facts: dict[str, Any], report: dict[str, Any]
) -> None:
    """The network for this package and for the published programs, and the report."""
    import torch

    from talkinghead.families.synctalk2d.weights import generator_weights
    from talkinghead.files import PendingOutput
    from talkinghead.version import __version__
    from talkinghead.weights import write_safetensors

    state: dict[str, torch.Tensor] = report.pop("weights")
    mode = data.variant.audio.mode
    tensors = generator_weights({name: value.numpy() for name, value in state.items()}, CHECKPOINT).tensors
    metadata = {"mode": mode, "model": f"synctalk2d.{data.variant.name}", "trained_with": f"talkinghead {__version__}"}
    if options.features == "own":
        metadata["hears"] = SOUND_ROWS
    write_safetensors(tensors, output / CHECKPOINT, metadata=metadata, overwrite=True)
    make_folder(output / PUBLISHED.parent)
    with PendingOutput(output / PUBLISHED) as pending:
        with pending.writing():
            torch.save(state, pending.temporary)
        pending.commit()
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    report["options"], report["template"] = shown, {**facts, "without_face": len(facts["without_face"])}
    write_bytes(output / REPORT, (json.dumps(report, indent=2) + "\n").encode())


def _now_and_then(tell: Tell, last: list[float], text: str, *, always: bool = False) -> None:
    """Tell at most every five seconds."""
    import time

    now = time.monotonic()
    if always or now - last[0] >= 5:
        last[0] = now
        tell(text)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many cores; 0 takes those of this process."""
    import torch

    from talkinghead.cores import available_cores

    before = torch.get_num_threads()
    torch.set_num_threads(count or available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
