"""What each stage does: files in, files out. The numbers come from the same functions as `generate --compat`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.engine.head import BackendChoice, PrecisionChoice
from talkinghead.engine.picture_steps import (
    PICTURE_FPS,
    PictureFolder,
    fps_of,
    parse_fps,
    read_picture,
    write_picture,
)
from talkinghead.engine.steps import (
    StageReport,
    Stopwatch,
    check_free,
    check_made_from,
    pending_folder,
    picture_name,
    picture_paths,
    read_array,
    read_record,
    write_array,
    write_record,
)
from talkinghead.errors import OptionError, StaleStage

NAMES = (
    "extract-mel",
    "chunk-mel",
    "load-frames",
    "detect-faces",
    "run-wav2lip",
    "paste-patches",
    "encode-video",
)


def extract_mel(audio: Path, out: Path, *, mel_padding: str = "zeros", force: bool = False) -> StageReport:
    """Sound to mel spectrogram, [80, T] float32."""
    from talkinghead.audio.mel import MelSettings, mel_spectrogram
    from talkinghead.media import read_audio

    if mel_padding not in ("zeros", "reflect"):
        raise OptionError(f"mel padding is {mel_padding!r}.", accepted="zeros or reflect")
    check_free(out, force=force, inputs=(audio,))
    watch = Stopwatch()
    settings = MelSettings(padding="reflect" if mel_padding == "reflect" else "zeros")
    notes: list[str] = []
    mel = mel_spectrogram(read_audio(audio, settings.sample_rate_hz, warnings=notes).samples, settings)
    write_array(out, mel)
    write_record(out, "extract-mel", {"mel_padding": mel_padding}, {"audio": audio})
    return StageReport("extract-mel", str(out), watch.seconds(), mel.shape[1], "columns", {"notes": notes})


def chunk_mel(
    mel: Path, out: Path, *, fps: str | Fraction = PICTURE_FPS, step: int = 16, force: bool = False
) -> StageReport:
    """Mel spectrogram to one window per video frame, [N, 80, step] float32. `step` is the width of a window."""
    from talkinghead.audio.mel import mel_windows, published_window_starts

    check_free(out, force=force, inputs=(mel,))
    rate = parse_fps(fps)
    assert rate is not None
    if step < 1:
        raise OptionError(f"step is {step}.", accepted="16, the width of a window in columns")
    watch = Stopwatch()
    spectrogram = read_array(mel, (80, None), "a mel spectrogram").astype(np.float32)
    windows = mel_windows(spectrogram, published_window_starts(spectrogram.shape[1], rate, step), step)
    write_array(out, windows)
    options = {"fps": str(rate), "step": step}
    write_record(out, "chunk-mel", options, {"mel": mel}, {"fps": str(rate), "count": len(windows)})
    return StageReport("chunk-mel", str(out), watch.seconds(), len(windows), "windows")


def load_frames(
    face: Path,
    out: Path,
    *,
    fps: str | Fraction | None = None,
    resize_factor: int = 1,
    crop: tuple[int, int, int, int] | None = None,
    rotate: bool = False,
    force: bool = False,
) -> StageReport:
    """Picture or video to numbered PNG files, after resizing, rotating and cropping in this order."""
    from talkinghead.media import FrameOptions, open_frames

    check_free(out, force=force, inputs=(face,), folder=True)
    rate = parse_fps(fps)
    watch = Stopwatch()
    options = FrameOptions(fps=rate, resize_factor=resize_factor, crop=crop, rotate=rotate)
    source = open_frames(face, options=options)
    count = 0
    with pending_folder(out) as folder:
        for count, frame in enumerate(source.read(), start=1):
            write_picture(folder / picture_name(count - 1), frame)
    facts = {"fps": str(source.fps or rate or PICTURE_FPS), "count": count, "picture": source.fps is None}
    plain = {"fps": rate, "resize_factor": resize_factor, "crop": crop, "rotate": rotate}
    write_record(out, "load-frames", plain, {"face": face}, facts)
    return StageReport("load-frames", str(out), watch.seconds(), count, "frames", {"warnings": source.warnings})


@dataclass(frozen=True)
class FaceChoice:
    """How `detect-faces` finds the face."""

    pads: tuple[int, int, int, int] = (0, 10, 0, 0)
    """Top, bottom, left, right."""
    nosmooth: bool = False
    box: tuple[int, int, int, int] | None = None
    """Top, bottom, left, right, as published: used as it is for all frames."""
    detector: str = "s3fd"
    detector_model: Path | None = None


def detect_faces(
    frames: Path,
    out: Path,
    *,
    choice: FaceChoice | None = None,
    mel_chunks: Path | None = None,
    static: bool = False,
    cache: Any = None,
    force: bool = False,
) -> StageReport:
    """Boxes of the face, [n, 4] int64 (y1, y2, x1, x2), padded and smoothed as published.

    Args:
        mel_chunks: frames that no window will show are left out, as the published script does; this changes the
            smoothing of the last boxes.
        static: the first frame only.
    """
    from talkinghead.engine.cache import Cache
    from talkinghead.face import FaceOptions
    from talkinghead.families.wav2lip.preprocess import to_coords
    from talkinghead.families.wav2lip.tracking import published_track

    choice = choice or FaceChoice()
    check_free(out, force=force, inputs=(frames, mel_chunks, choice.detector_model))
    watch = Stopwatch()
    source = PictureFolder(frames)
    stop = len(source)
    if mel_chunks is not None:
        stop = min(stop, len(read_array(mel_chunks, (None, 80, None), "mel windows")))
    if static:
        stop = 1
    box = choice.box
    options = FaceOptions(
        detector="auto" if box is not None else choice.detector,
        detector_model=choice.detector_model if box is None else None,
        box=(box[2], box[0], box[3], box[1]) if box is not None else None,
        padding=choice.pads,
        smoothing=0 if choice.nosmooth else 5,
    )
    looked_at = 0

    def told(done: int, _total: int) -> None:
        nonlocal looked_at
        looked_at = done

    (track,) = published_track(source, options, stop=stop, cache=cache or Cache(), progress=told)
    write_array(out, to_coords(track.boxes_xyxy))
    plain = {
        "pads": choice.pads,
        "nosmooth": choice.nosmooth,
        "box": box,
        "detector": choice.detector,
        "detector_model": choice.detector_model,
        "static": static,
        "stop": stop,
    }
    write_record(out, "detect-faces", plain, {"frames": frames}, {"count": len(track)})
    details = {"detector": track.detector, "from_cache": box is None and looked_at == 0}
    return StageReport("detect-faces", str(out), watch.seconds(), len(track), "frames", details)


@dataclass(frozen=True)
class NetworkChoice:
    """How `run-wav2lip` runs the generator."""

    batch_size: int = 0
    """0 chooses."""
    device: str = "auto"
    precision: PrecisionChoice = "parity"
    backend: BackendChoice = "auto"


def run_wav2lip(
    checkpoint: Path,
    frames: Path,
    mel_chunks: Path,
    coords: Path,
    out: Path,
    *,
    network: NetworkChoice | None = None,
    static: bool = False,
    force: bool = False,
) -> StageReport:
    """One generated face per window, as numbered PNG files of the generator's size, not yet resized."""
    from talkinghead.engine.head import LoadOptions
    from talkinghead.families.wav2lip.pipeline import Wav2LipHead

    check_free(out, force=force, inputs=(checkpoint, frames, mel_chunks, coords), folder=True)
    network = network or NetworkChoice()
    watch = Stopwatch()
    windows = read_array(mel_chunks, (None, 80, 16), "mel windows").astype(np.float32)
    source, boxes = _frames_and_boxes(frames, coords)
    _check_rates(frames, mel_chunks)
    head = Wav2LipHead(
        LoadOptions(
            checkpoint=checkpoint,
            device=network.device,
            precision=network.precision,
            backend=network.backend,
            compat=True,
            family={"batch_size": network.batch_size or "auto", "static": static},
        )
    )
    count = 0
    with pending_folder(out) as folder:
        for count, face in enumerate(head.faces_of_windows(source, boxes, windows), start=1):
            write_picture(folder / picture_name(count - 1), np.ascontiguousarray(face[..., ::-1]))
    inputs = {"checkpoint": checkpoint, "frames": frames, "mel_chunks": mel_chunks, "coords": coords}
    plain = {"precision": network.precision, "static": static}
    write_record(out, "run-wav2lip", plain, inputs, {"count": count, "static": static})
    details = {
        "device": head.placement.device,
        "backend": head.placement.backend,
        "precision": head.placement.precision,
        "placement": head.placement.why,
        "weights_sha256": head.weights.sha256,
    }
    return StageReport("run-wav2lip", str(out), watch.seconds(), count, "patches", details)


def paste_patches(
    frames: Path, patches: Path, coords: Path, out: Path, *, static: bool = False, force: bool = False
) -> StageReport:
    """Each patch resized to its box and put into a copy of its frame; frames start again when they end."""
    from talkinghead.families.wav2lip.postprocess import paste_box

    check_free(out, force=force, inputs=(frames, patches, coords), folder=True)
    watch = Stopwatch()
    source, boxes = _frames_and_boxes(frames, coords)
    check_made_from(patches, "frames", frames)
    check_made_from(patches, "coords", coords)
    pictures = picture_paths(patches, "patches")
    record = read_record(patches)
    static = static or (record is not None and bool(record.facts.get("static")))
    with pending_folder(out) as folder:
        for index, path in enumerate(pictures):
            shown = 0 if static else index % len(boxes)
            face = np.ascontiguousarray(read_picture(path)[..., ::-1])
            if face.shape[0] != face.shape[1]:
                raise StaleStage(f"{path} is {face.shape[1]}x{face.shape[0]} pixels.", accepted="square patches")
            write_picture(folder / picture_name(index), paste_box(source[shown], face, boxes[shown]))
    facts = {"fps": fps_of(frames), "count": len(pictures)}
    inputs = {"frames": frames, "patches": patches, "coords": coords}
    write_record(out, "paste-patches", {"static": static}, inputs, facts)
    return StageReport("paste-patches", str(out), watch.seconds(), len(pictures), "frames")


# Helpers --------------------------------------------------------------------------------------------------------------


def _frames_and_boxes(frames: Path, coords: Path) -> tuple[PictureFolder, NDArray[np.int32]]:
    """The frames and their boxes, checked against each other.

    Raises:
        StaleStage: counts do not fit, a box leaves the frame, or the boxes are of other frames.
    """
    from talkinghead.families.wav2lip.preprocess import from_coords

    source = PictureFolder(frames)
    boxes = from_coords(read_array(coords, (None, 4), "boxes (y1, y2, x1, x2)"))
    check_made_from(coords, "frames", frames)
    record = read_record(coords)
    limited = record is not None and record.facts.get("count") == len(boxes)
    if len(boxes) == 0 or len(boxes) > len(source) or (len(boxes) < len(source) and not limited):
        raise StaleStage(
            f"{coords} holds {len(boxes)} boxes and {frames} {len(source)} frames.",
            accepted="one box per frame",
            remedy="run detect-faces again with --force",
        )
    width, height = source.size
    inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    if not inside or (boxes[:, :2] >= boxes[:, 2:]).any():
        raise StaleStage(
            f"A box of {coords} is empty or leaves the frames of {width}x{height} pixels.",
            remedy="run detect-faces again with --force",
        )
    return source, boxes


def _check_rates(frames: Path, mel_chunks: Path) -> None:
    """Refuse windows cut for another frame rate than that of a video.

    Raises:
        StaleStage: they differ.
    """
    chunks, pictures = read_record(mel_chunks), read_record(frames)
    if chunks is None or pictures is None or pictures.facts.get("picture"):
        return
    cut_for, shown_at = chunks.facts.get("fps"), pictures.facts.get("fps")
    if cut_for and shown_at and Fraction(cut_for) != Fraction(shown_at):
        raise StaleStage(
            f"{mel_chunks} is cut for {cut_for} frames per second, and {frames} has {shown_at}: lips and sound would "
            "part.",
            remedy=f"chunk-mel --fps {shown_at} --force, or load-frames --fps {cut_for} --force",
        )
