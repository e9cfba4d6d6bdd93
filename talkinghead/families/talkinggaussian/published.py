"""The published `synthesize_fuse.py`: same flags, same frames, same files.

    <model>/{test,train}/ours_None/renders/out.mp4        face over mouth over background
                                  renders/out_face.mp4   face alone on black
                                  renders/out_mouth.mp4  mouth alone on black
                                  gt/out.mp4             the recording's own pictures

Frames stream into the files; all four appear when they are complete. Kept from the original: which list is rendered,
where it stops, the folder's name, H.264 at quality 8 (crf 10), 25 frames per second, no sound unless `audio` is a
sound file, which the original does not take. Left on purpose: `iteration` is honoured; `white_background` puts white
behind the single clouds and leaves the composite right; nothing else is written into the dataset or model folder; odd
sizes are padded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from talkinghead.bounds import MAX_PATH, THREADS, Length, check_fields
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, Frame, Speech, StageTime
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import CancelToken
from talkinghead.engine.runner import run_stages
from talkinghead.errors import InputError, MediaNotFound, UnreadableMedia
from talkinghead.families.talkinggaussian.checkpoint import read_trained_head
from talkinghead.families.talkinggaussian.config import ITERATIONS, AudioExtractor, TalkingGaussianConfig
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS
from talkinghead.families.talkinggaussian.frames import (
    BLACK,
    Shot,
    ShotDrawn,
    deform_stage,
    draw_stage,
    shots_stage,
)
from talkinghead.families.talkinggaussian.listen import FeatureSource, feature_source, speech_rows, stored_source
from talkinghead.families.talkinggaussian.pipeline import make_renderer
from talkinghead.families.talkinggaussian.renderer import HeadRenderer
from talkinghead.families.talkinggaussian.scene import (
    FPS,
    Backdrop,
    Poses,
    action_units_of,
    read_action_units,
    read_poses,
    read_rgb,
)
from talkinghead.files import make_folder
from talkinghead.places import check_apart

if TYPE_CHECKING:
    from talkinghead.media import VideoWriter

CRF = 10
"""libx264 quality of the original: int((1 - quality / 10) * 51) for quality 8."""
FOLDER = "ours_None"
"""The original never names the iteration."""
WHITE = np.ones(3, np.float32)


@dataclass(frozen=True)
class FuseOptions:
    """Flags of the published program that have an effect, with its names."""

    source_path: Path
    """Dataset folder."""
    model_path: Path
    """Folder with the checkpoint; videos go below it."""
    eval: bool = False
    """Do not read transforms_train.json: the training list is then that of transforms_val.json."""
    use_train: bool = False
    """Render the training list, and write below train/ instead of test/."""
    audio: Path | None = None
    """Speech features (.npy), or a sound file; default: the dataset's own features."""
    audio_extractor: AudioExtractor = "auto"
    """Speech features that the head was trained with; auto reads it from the checkpoint."""
    fast: bool = False
    """Write only the composited video."""
    dilate: bool = False
    """Widen the mouth's cut-out of the background."""
    white_background: bool = False
    """White behind the single clouds."""
    iteration: Annotated[int, ITERATIONS] = -1
    """Which chkpnt_fuse_N.pth; -1 is the latest."""
    audio_model: Annotated[str | None, Length(MAX_PATH)] = None
    """Speech encoder for a sound file and HuBERT or Esperanto heads."""
    deepspeech_graph: Path | None = None
    """DeepSpeech graph for a sound file and DeepSpeech heads."""
    approximate_features: bool = False
    """DeepSpeech features of a sound file from recognised phones."""
    device: str = "auto"
    threads: Annotated[int, THREADS] = 0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class FuseResult:
    """What was written."""

    videos: tuple[Path, ...]
    num_frames: int
    times: tuple[StageTime, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FusePlan:
    """What the published program would render."""

    poses: Poses
    codes: tuple[int, ...]
    """Index around which each rendered frame's speech window lies; as many as there are frames."""


def plan_frames(poses: Poses, num_rows: int, *, custom_audio: bool) -> FusePlan:
    """Which frames are rendered, and what they listen to.

    With features of its own each frame listens at its `img_id`, and the first with `img_id` above the number of rows
    ends the video (the one equal to it is still rendered). With other audio it listens at its place in the list, and
    the video ends with the rows.
    """
    codes: list[int] = []
    for place, frame in enumerate(poses.frames):
        index = place if custom_audio else frame.img_id
        if (custom_audio and index >= num_rows) or (not custom_audio and index > num_rows):
            break
        codes.append(index)
    return FusePlan(poses, tuple(codes))


def synthesize_fuse(
    options: FuseOptions,
    *,
    on_frame: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> FuseResult:
    """Render and write the published videos.

    Args:
        on_frame: called with frames done and frames in all.
    Raises:
        InputError: something that rendering needs is missing or wrong. OutputError: a video cannot be written.
    """
    from talkinghead.backends.placement import choose_device

    folder, warnings = options.source_path, list[str]()
    target = options.model_path if options.model_path.is_dir() else options.model_path.parent
    target = target / ("train" if options.use_train else "test") / FOLDER
    names = _outputs(options, folder, warnings)
    check_apart(
        [target / name for name in names],
        [options.audio, options.deepspeech_graph, folder, options.model_path],
    )
    head = read_trained_head(options.model_path, extractor=options.audio_extractor, iteration=options.iteration)
    if not folder.is_dir():
        raise MediaNotFound(f"{folder} is not a folder.", accepted="the dataset folder (-S)")
    train = "transforms_val.json" if options.eval else "transforms_train.json"
    poses = read_poses(folder / (train if options.use_train else "transforms_val.json"))
    backdrop = Backdrop(folder)
    device = choose_device(options.device)
    renderer = make_renderer(head, device, threads=options.threads or None, exact=True)
    features, speech = _features(options, head.extractor, device)
    silence = AudioClip(np.zeros(0, np.float32), SPEECH_RATE_HZ)
    rows, positions = speech_rows(
        renderer, features, speech or Speech(silence, silence), head_sha256=head.sha256, cache=Cache()
    )
    plan = plan_frames(poses, len(rows), custom_audio=options.audio is not None)
    if not plan.codes:
        raise InputError(
            f"There is nothing to render: the first frame lies beyond the {len(rows)} rows of speech features."
        )
    frames = poses.frames[: len(plan.codes)]
    backdrop.check(frames)
    units = action_units_of(read_action_units(folder / "au.csv"), frames, folder / "au.csv")
    codes = renderer.codes(rows, np.array(plan.codes), positions)
    warnings = [*head.warnings, *warnings]

    def shot(index: int) -> Shot:
        return Shot(index, codes[index], frames[index].img_id, poses.camera(index, backdrop.size), units[index])

    background = WHITE if options.white_background else BLACK
    with contextlib.ExitStack() as stack:
        sound = speech.soundtrack if speech is not None else None
        writers = {name: _writer(stack, target / name, backdrop.size, sound, len(frames)) for name in names}
        stages = (shots_stage(shot, backdrop), deform_stage(renderer), draw_stage(renderer, background))
        run = run_stages(range(len(frames)), stages, cancel=cancel)
        pictures = contextlib.closing(iter(run))  # type: ignore[type-var]
        for done, item in enumerate(stack.enter_context(pictures), start=1):
            for name, picture in _pictures(renderer, item, options, names, folder, background):
                writers[name].write(picture)
            if on_frame is not None:
                on_frame(done, len(frames))
    return FuseResult(tuple(target / name for name in names), len(frames), run.times, tuple(warnings))


def _features(options: FuseOptions, extractor: str, device: str) -> tuple[FeatureSource, Speech | None]:
    """The features, and the speech if they are computed from sound."""
    facts = EXTRACTORS[extractor]
    if options.audio is None:
        path = options.source_path / facts.dataset_file
        if not path.is_file() and (options.source_path / "aud.npy").is_file():
            raise MediaNotFound(
                f"There is no {path}.",
                accepted=f"the {facts.name} features of the recording",
                remedy=f"rename aud.npy of the published preprocessing to {facts.dataset_file}, or give --audio",
            )
        return stored_source(facts, path), None
    if options.audio.suffix.lower() == ".npy":
        return stored_source(facts, options.audio), None
    from talkinghead.engine.speech_input import listen

    config = TalkingGaussianConfig(
        audio_model=options.audio_model,
        deepspeech_graph=options.deepspeech_graph,
        audio_features="phones" if options.approximate_features else "trained",
    )
    return feature_source(extractor, config, device), listen(options.audio)


def _outputs(options: FuseOptions, folder: Path, warnings: list[str]) -> tuple[str, ...]:
    if options.fast:
        return ("renders/out.mp4",)
    names = ["renders/out.mp4", "renders/out_face.mp4", "renders/out_mouth.mp4"]
    if (folder / "gt_imgs").is_dir():
        names.append("gt/out.mp4")
    else:
        warnings.append("gt/out.mp4 is not written: the dataset has no gt_imgs.")
    return tuple(names)


def _writer(
    stack: contextlib.ExitStack, path: Path, size: tuple[int, int], sound: Path | AudioClip | None, num_frames: int
) -> VideoWriter:
    from talkinghead.media import EncodeOptions, VideoWriter
    from talkinghead.provenance.origin import Origin

    make_folder(path.parent)
    fps = Fraction(FPS)
    options = EncodeOptions(codec="libx264", crf=CRF, pixel_format="yuv420p", even="pad")
    return stack.enter_context(
        VideoWriter(
            path,
            width=size[0],
            height=size[1],
            fps=fps,
            soundtrack=sound if path.parent.name == "renders" else None,
            duration=num_frames / fps,
            options=options,
            origin=Origin("compositeSynthetic", "talkinggaussian"),
        )
    )


def _pictures(
    renderer: HeadRenderer,
    item: ShotDrawn,
    options: FuseOptions,
    names: tuple[str, ...],
    folder: Path,
    background: FloatArray,
) -> Iterator[tuple[str, Frame]]:
    drawn = item.drawn
    if options.white_background:
        drawn = renderer.without_background(drawn, background)
    yield names[0], renderer.compose(drawn, item.backdrop, dilate_mouth=options.dilate)
    if options.fast:
        return
    yield "renders/out_face.mp4", renderer.alone(item.drawn.face)
    yield "renders/out_mouth.mp4", renderer.alone(item.drawn.mouth)
    if "gt/out.mp4" in names:
        path = folder / "gt_imgs" / f"{item.shot.img_id}.jpg"
        picture = read_rgb(path)
        if picture.shape != item.backdrop.shape:
            raise UnreadableMedia(
                f"{path} is {picture.shape[1]}x{picture.shape[0]}, the scene {item.backdrop.shape[1]}x"
                f"{item.backdrop.shape[0]}.",
                remedy="--fast does not need the recording's pictures",
            )
        yield "gt/out.mp4", picture
