"""Making a template folder from a video: frames, landmarks, sound, features; and checking one.

OUT/full_body_img/K.jpg   25 frames per second (20 for wenet), JPEG quality 95
OUT/landmarks/K.lms       110 points
OUT/aud.wav               16 kHz mono
OUT/aud_ave.npy ...       features, where their encoder is there
OUT/contact_sheet.png     some frames with their landmarks and squares
OUT/.build/               until it is complete: what a second run goes on from
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from talkinghead.bounds import LENGTHS_S, MOMENTS_S, THREADS, Between, check_fields
from talkinghead.contracts import SPEECH_RATE_HZ, Detection, FaceStatus, FloatArray, Frame
from talkinghead.cores import available_cores
from talkinghead.errors import (
    InputError,
    MediaNotFound,
    NoAudioStream,
    NoFaceFound,
    OptionError,
    OutputExists,
    UnreadableMedia,
    UnwritableOutput,
    choices,
)
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.face.gaps import HOLD_S, short_gaps
from talkinghead.families.synctalk2d.crop import CONTOUR_LEFT, CONTOUR_RIGHT, NOSE_BRIDGE, NUM_LANDMARKS, crop_box
from talkinghead.families.synctalk2d.template import (
    FEATURE_FILES,
    IMAGE_SUFFIXES,
    IMAGES,
    LANDMARKS,
    PARSING,
    landmark_text,
    numbered_files,
    parse_landmarks,
    read_image,
)
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, MODES
from talkinghead.files import text_to_paths, write_bytes
from talkinghead.places import check_apart
from talkinghead.reading import read_json, read_npy
from talkinghead.system import remove_tree

BUILD = ".build"
_SINGLE_FILES = ("aud.wav", "contact_sheet.png", *FEATURE_FILES.values())
JPEG_QUALITY = 95
SMOOTHING_WINDOW, SMOOTHING_ORDER = 9, 3
"""Of the Savitzky-Golay filter over time, as the ILG2021 fork's tool uses it."""
SHEET_COLUMNS, SHEET_ROWS, SHEET_WIDTH = 5, 4, 320

Tell = Callable[[str, int, int | None], None]
"""Step, done, total."""


@dataclass(frozen=True)
class BuildOptions:
    """How a template folder is made."""

    mode: str = "ave"
    """Speech features that it is for: ave and hubert have 25 frames per second, wenet 20."""
    no_face: Literal["hold", "trim"] = "hold"
    """Frames without a face: use the nearest landmarks, or keep only the longest stretch with a face."""
    smooth: bool = False
    """Smooth the landmarks over time."""
    landmark_model: Path | None = None
    """The landmark network's checkpoint (checkpoint_epoch_335.pth.tar, mean_face.txt beside it); default: that of the
    model store; without any the face mesh tells where it is installed, else a standard face is placed on the detected
    one."""
    encoder: Path | None = None
    """Speech encoder of the mode: AVE checkpoint, HuBERT folder or WeNet encoder.onnx; without it, no features."""
    workers: Annotated[int, THREADS] = 0
    """Threads; 0 takes one per core."""
    quality: Annotated[int, Between(1, 100)] = JPEG_QUALITY
    """JPEG quality of the frames."""
    start_s: Annotated[float, MOMENTS_S] = 0.0
    """Seconds of the video to leave out at its beginning."""
    duration_s: Annotated[float | None, LENGTHS_S] = None
    """Seconds of the video to use; default: all."""

    def __post_init__(self) -> None:
        text_to_paths(self, "landmark_model", "encoder")
        check_fields(self)
        if self.no_face not in ("hold", "trim"):
            raise OptionError(
                f"There is no policy {self.no_face!r} for frames without a face.", accepted="hold or trim"
            )
        if self.mode not in MODES:
            raise OptionError(f"There is no mode {self.mode!r}.", accepted=choices(MODES))

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        return AUDIO_VARIANTS[self.mode].fps


@dataclass(frozen=True)
class BuildResult:
    """A template folder that was made."""

    path: Path
    num_frames: int
    num_without_face: int
    """Frames of the folder that use another frame's landmarks."""
    num_left_out: int
    """Frames of the video that are not in the folder (trim)."""
    landmarks_from: str
    features: tuple[str, ...]
    """Feature files that were written."""
    contact_sheet: Path
    warnings: tuple[str, ...] = ()
    without_face: tuple[int, ...] = ()
    """Those frames of the folder, by number."""


class Landmarker:
    """Face and landmarks of one frame; may be called from several threads.

    By the landmark network where its checkpoint is given; else by the face mesh where that is the detector; else a
    standard face is placed on the detected one.
    """

    def __init__(self, faces: FaceOptions, model: Path | None) -> None:
        from talkinghead.face.detectors import load_detector
        from talkinghead.face.detectors.mesh import MeshDetector

        self._detector = load_detector(faces)
        self._mesh = self._detector if isinstance(self._detector, MeshDetector) else None
        self._network: Any = None
        if model is not None:
            from talkinghead.face.landmarks.pfld import read_pfld

            self._network = read_pfld(model, threads=1)

    @property
    def identity(self) -> str:
        """Everything that changes its answers."""
        ways = {"network": "pfld", "mesh": "face mesh/1", "standard": "standard face, eyes and box"}
        return f"{self._detector.identity}; {ways[self._way]}"

    @property
    def description(self) -> str:
        ways = {"network": "landmark network", "mesh": "face mesh", "standard": "standard face on the detected one"}
        return f"{ways[self._way]}, {self._detector.description}"

    @property
    def _way(self) -> str:
        if self._network is not None:
            return "network"
        return "mesh" if self._mesh is not None else "standard"

    def find(self, frame: Frame) -> FloatArray | None:
        """[110, 2] float32 in pixels, or None without a face. The best-scored face counts, as published."""
        if self._way == "mesh" and self._mesh is not None:
            from talkinghead.face.landmarks.from_mesh import landmarks_110

            faces = self._mesh.meshes(frame)
            return landmarks_110(faces[0].points) if faces else None
        found = self._detector.detect([frame])[0]
        if not found:
            return None
        best: Detection = found[0]
        if self._network is not None:
            x1, y1, x2, y2 = best.box_xyxy
            points = self._network.landmarks(frame, (x1, y1, x2 - x1, y2 - y1))
            return np.asarray(points, np.float32)
        from talkinghead.face.landmarks import layout

        if best.key_points is not None and np.isfinite(best.key_points).all():
            return layout.place_on_key_points(best.key_points, best.box_xyxy)
        return layout.place_in_box(best.box_xyxy)


def build_template(
    video: str | Path,
    output: str | Path,
    options: BuildOptions | None = None,
    faces: FaceOptions | None = None,
    *,
    force: bool = False,
    tell: Tell | None = None,
) -> BuildResult:
    """Make a template folder from a video with sound.

    A run that was stopped goes on where it stopped, if video and options are the same.

    Args:
        force: replace a folder that is there.
    Raises:
        OutputExists: the folder is complete, or holds something else. MediaError: the video cannot be read.
        NoFaceFound: no face in any frame.
    """
    from talkinghead.media import FrameOptions, open_frames

    options, faces = options or BuildOptions(), faces or FaceOptions()
    output = Path(output)
    made = (IMAGES, LANDMARKS, PARSING, BUILD, *_SINGLE_FILES)
    check_apart(
        [output / name for name in made],
        [video, faces.detector_model, options.landmark_model, options.encoder],
    )
    source = open_frames(
        video, options=FrameOptions(fps=options.fps, start_s=options.start_s, duration_s=options.duration_s)
    )
    if source.info.kind != "video":
        raise InputError(f"{video} is a picture.", accepted="a video of one person talking")
    from talkinghead.weights.store import part, part_folder

    stored = part("pfld") if part_folder("pfld", "pfld-mean-face") is not None else None
    landmarker = Landmarker(faces, options.landmark_model or stored)
    state = {
        "version": 1,
        "source": source.content_hash,
        "fps": str(options.fps),
        "quality": options.quality,
        "landmarks": landmarker.identity,
    }
    build = _begin(output, state, force)
    raw = _frames_and_landmarks(source.read(), output, build, landmarker, options, len(source), tell)
    count = len(raw)
    found = np.array([points is not None for points in raw])
    if not found.any():
        raise NoFaceFound(
            f"No face was found in any of {count} frames of {video}.",
            remedy="another detector (--detector), or a video in which the face is seen from the front",
        )
    first, stop = (0, count) if options.no_face == "hold" else longest_stretch(found)
    points = held([raw[k] for k in range(first, stop)])
    if options.smooth:
        points = smoothed_landmarks(points)
    _finish_frames(output, points, first, stop, count)
    warnings = _told_of_gaps(found[first:stop], options.fps)
    features = _sound_and_features(Path(video), output, options, first, stop - first, tell, warnings)
    sheet = output / "contact_sheet.png"
    write_contact_sheet(output, sheet)
    remove_tree(build, strict=True)
    return BuildResult(
        path=output,
        num_frames=stop - first,
        num_without_face=int(np.count_nonzero(~found[first:stop])),
        num_left_out=count - (stop - first),
        landmarks_from=landmarker.description,
        features=features,
        contact_sheet=sheet,
        warnings=(*source.warnings, *warnings),
        without_face=tuple(np.flatnonzero(~found[first:stop]).tolist()),
    )


def _told_of_gaps(found: NDArray[np.bool_], fps: Fraction) -> list[str]:
    """A warning where the face is away for longer than a moment: what is made from such frames has a mouth there."""
    status = np.where(found, FaceStatus.DETECTED, FaceStatus.MISSING).astype(np.uint8)
    one_shot = np.zeros(len(found), np.int32)
    away = int((~found & ~short_gaps(status, one_shot, round(HOLD_S * float(fps)))).sum())
    if not away:
        return []
    return [
        f"In {away} frames nobody is seen for more than {HOLD_S:g} s; they use landmarks from before, so that a mouth "
        'will be drawn there. --no-face trim keeps the longest stretch with a face ("no_face": "trim" in Python).'
    ]


def _begin(output: Path, state: dict[str, Any], force: bool) -> Path:
    """The folder of unfinished work, new or of an earlier run of the same job."""
    build = output / BUILD
    record = build / "state.json"
    known = None
    if record.is_file():
        with contextlib.suppress(InputError):
            known = read_json(record)
    if output.exists() and known != state:
        if not output.is_dir() or (any(output.iterdir()) and not force):
            what = "a file" if not output.is_dir() else "unfinished work of other options" if known else "not empty"
            raise OutputExists(f"{output} is {what}.", remedy="another name after -o, or --force to replace it")
        for name in (IMAGES, LANDMARKS, PARSING, BUILD):
            remove_tree(output / name)
        for name in _SINGLE_FILES:
            (output / name).unlink(missing_ok=True)
    try:
        for folder in (output / IMAGES, output / LANDMARKS, build):
            folder.mkdir(parents=True, exist_ok=True)
        write_bytes(record, json.dumps(state).encode())
    except OSError as error:
        raise UnwritableOutput(f"{output} cannot be written: {error.strerror or error}.") from error
    return build


def _frames_and_landmarks(
    frames: Iterator[Frame],
    output: Path,
    build: Path,
    landmarker: Landmarker,
    options: BuildOptions,
    total: int,
    tell: Tell | None,
) -> list[FloatArray | None]:
    """Write every frame and find its landmarks, several at a time, in order; what is there already is kept."""
    import cv2

    workers = options.workers or available_cores()

    def work(k: int, frame: Frame) -> FloatArray | None:
        image, record = output / IMAGES / f"{k}.jpg", build / f"{k}.npy"
        if image.is_file() and record.is_file():
            with contextlib.suppress(InputError):
                kept: FloatArray = read_npy(record)
                if not kept.size or kept.shape == (NUM_LANDMARKS, 2):
                    return kept if kept.size else None
        ok, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.quality])
        if not ok:
            raise UnwritableOutput(f"{image} cannot be encoded.")
        write_bytes(image, data.tobytes(), flush=False)
        points = landmarker.find(frame)
        found = np.zeros((0, 2), np.float32) if points is None else points
        write_bytes(record, npy_bytes(found), flush=False)
        return points

    results: list[FloatArray | None] = []
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Future[FloatArray | None]] = []
        numbered = enumerate(frames)
        try:
            while True:
                for k, frame in islice(numbered, 2 * workers - len(waiting)):
                    waiting.append(pool.submit(work, k, frame))
                if not waiting:
                    break
                results.append(waiting.pop(0).result())
                if tell is not None:
                    tell("detect-faces", len(results), total)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return results


def npy_bytes(array: NDArray[Any]) -> bytes:
    """The content of a .npy file."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def longest_stretch(found: NDArray[np.bool_]) -> tuple[int, int]:
    """[start, stop) of the longest run of frames with a face."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], found.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    best = int(np.argmax(stops - starts))
    return int(starts[best]), int(stops[best])


def held(raw: Sequence[FloatArray | None]) -> NDArray[np.float64]:
    """Landmarks of all frames: those without any take the last ones before them, at the beginning the first ones.

    Args:
        raw: per frame [110, 2] or None; at least one is not None.
    Returns:
        [n, 110, 2].
    """
    out = np.empty((len(raw), NUM_LANDMARKS, 2))
    last = next(points for points in raw if points is not None)
    for k, points in enumerate(raw):
        last = points if points is not None else last
        out[k] = last
    return out


def smoothed_landmarks(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Savitzky-Golay filter over time; unchanged where there are fewer frames than the window."""
    if len(points) < SMOOTHING_WINDOW:
        return points
    from scipy.signal import savgol_filter

    smooth: NDArray[np.float64] = savgol_filter(points, SMOOTHING_WINDOW, SMOOTHING_ORDER, axis=0)
    return smooth


def _finish_frames(output: Path, points: NDArray[np.float64], first: int, stop: int, count: int) -> None:
    """Landmark files, and frames numbered from 0."""
    images = output / IMAGES
    for k in [*range(first), *range(stop, count)]:
        (images / f"{k}.jpg").unlink()
    if first:
        for k in range(first, stop):
            (images / f"{k}.jpg").replace(images / f"{k - first}.jpg")
    for k, each in enumerate(points):
        text = landmark_text(np.rint(each).astype(np.int32))
        write_bytes(output / LANDMARKS / f"{k}.lms", text.encode("ascii"), flush=False)


def _sound_and_features(
    video: Path, output: Path, options: BuildOptions, first: int, count: int, tell: Tell | None, warnings: list[str]
) -> tuple[str, ...]:
    """aud.wav for the frames of the folder, and the features whose encoder is there."""
    from talkinghead.media import read_audio, write_wav
    from talkinghead.media.offsets import sound_offset

    start = float(options.start_s + first / options.fps)
    try:
        late = sound_offset(video).kept  # the frames are counted from the first picture, and so is their sound
        clip = read_audio(
            video,
            SPEECH_RATE_HZ,
            start_s=start + float(max(-late, Fraction(0))),
            lead_s=max(late, Fraction(0)),
            duration_s=float(count / options.fps),
            warnings=warnings,
        )
    except NoAudioStream:
        warnings.append("The video has no sound: no aud.wav and no features.")
        return ()
    write_wav(output / "aud.wav", clip)
    if options.encoder is None:
        return ()
    if tell is not None:
        tell("listen", 0, 1)
    name = FEATURE_FILES[options.mode]
    write_bytes(output / name, npy_bytes(encode_speech(clip.samples, options.mode, options.encoder)))
    if tell is not None:
        tell("listen", 1, 1)
    return (name,)


def encode_speech(samples: FloatArray, mode: str, encoder: Path) -> FloatArray:
    """Features of a mode, as its training reads them."""
    if mode == "ave":
        from talkinghead.audio.encoders.ave import read_ave_encoder

        return read_ave_encoder(encoder).features(samples)
    if mode == "wenet":
        from talkinghead.audio.encoders.wenet import WenetEncoder

        return WenetEncoder(encoder).features(samples)
    from talkinghead.audio.encoders.hubert import read_hubert

    return read_hubert(encoder).features(samples)


# Checking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """Something about a template folder."""

    severity: Literal["error", "warning"]
    what: str
    frames: tuple[int, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(str(k) for k in self.frames[:8])
        more = f" and {len(self.frames) - 8} more" if len(self.frames) > 8 else ""
        return f"{self.severity}: {self.what}" + (f" ({shown}{more})" if self.frames else "")


@dataclass(frozen=True)
class CheckResult:
    """What `check_template` found."""

    path: Path
    num_frames: int
    size: tuple[int, int] | None
    """(width, height) of most frames."""
    square_px: tuple[int, int] | None
    """Smallest and largest side of the squares."""
    features: dict[str, list[int]]
    """Shapes of the feature files."""
    findings: tuple[Finding, ...] = field(default=())

    @property
    def usable(self) -> bool:
        """Nothing would stop a video from being made."""
        return not any(finding.severity == "error" for finding in self.findings)


JUMP = 0.25
"""A square that moves by more than this share of its side from one frame to the next is reported."""


def check_template(folder: str | Path) -> CheckResult:
    """Look at everything in a template folder: counts, sizes, holes, stray files, landmarks, features.

    Raises:
        InputError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", accepted="a template folder")
    findings: list[Finding] = []

    def report(severity: Literal["error", "warning"], what: str, frames: Sequence[int] = ()) -> None:
        findings.append(Finding(severity, what, tuple(frames)))

    images, strays = numbered_files(folder / IMAGES, IMAGE_SUFFIXES)
    texts, stray_texts = numbered_files(folder / LANDMARKS, (".lms",))
    parsing, _ = numbered_files(folder / PARSING, (".png",))
    if (folder / BUILD).exists():
        report("warning", "unfinished: talkinghead template build goes on with it")
    if not images:
        report("error", f"no frames in {IMAGES}")
    holes = [k for k in range(max(images, default=-1) + 1) if k not in images]
    if holes:
        report("error", "frames are missing in the numbering", holes)
    if bare := sorted(images.keys() - texts.keys()):
        report("error", "frames without landmarks", bare)
    if extra := sorted(texts.keys() - images.keys()):
        report("warning", "landmarks without a frame", extra)
    if strays or stray_texts:
        names = ", ".join(path.name for path in (strays + stray_texts)[:5])
        report("warning", f"{len(strays) + len(stray_texts)} files that are no frames or landmarks: {names}")
    if parsing and (without := sorted(images.keys() - parsing.keys())):
        report("warning", "frames without a parsing picture", without)
    sizes, unreadable = _sizes(images)
    if unreadable:
        report("error", "frames that cannot be decoded", unreadable)
    common = max(set(sizes.values()), key=list(sizes.values()).count) if sizes else None
    if odd := sorted(k for k, size in sizes.items() if size != common):
        report("error", "frames of another size than the others", odd)
    sides = _check_landmarks(texts, sizes, report)
    features = _check_features(folder, len(images), report)
    return CheckResult(
        folder, len(images), common, (min(sides), max(sides)) if sides else None, features, tuple(findings)
    )


Reporter = Callable[[Literal["error", "warning"], str, Sequence[int]], None]


def _sizes(images: dict[int, Path]) -> tuple[dict[int, tuple[int, int]], list[int]]:
    """(width, height) of every frame, and the frames that cannot be decoded."""
    sizes: dict[int, tuple[int, int]] = {}
    unreadable: list[int] = []
    for k, path in sorted(images.items()):
        try:
            frame = read_image(path)
        except (MediaNotFound, UnreadableMedia):
            unreadable.append(k)
        else:
            sizes[k] = (frame.shape[1], frame.shape[0])
    return sizes, unreadable


def _check_landmarks(texts: dict[int, Path], sizes: dict[int, tuple[int, int]], report: Reporter) -> list[int]:
    """Reads all landmarks; returns the sides of the squares."""
    broken: list[int] = []
    outside: list[int] = []
    leaving: list[int] = []
    jumps: list[int] = []
    sides: list[int] = []
    before: tuple[int, NDArray[np.int32]] | None = None
    for k, path in sorted(texts.items()):
        if k not in sizes:
            continue
        try:
            points = parse_landmarks(path.read_text(encoding="utf-8"), path)
        except (InputError, UnicodeDecodeError, OSError):
            broken.append(k)
            continue
        corner = np.array([points[CONTOUR_LEFT, 0], points[NOSE_BRIDGE, 1]])
        side = int(points[CONTOUR_RIGHT, 0] - corner[0])
        width, height = sizes[k]
        try:
            box = crop_box(points, width, height)
        except InputError:
            outside.append(k)
            continue
        if box.size != (side, side):
            leaving.append(k)
        sides.append(side)
        if before is not None and before[0] == k - 1 and np.abs(corner - before[1]).max() > JUMP * side:
            jumps.append(k)
        before = (k, corner)
    if broken:
        report("error", "landmark files that are not 110 points", broken)
    if outside:
        report("error", "landmarks that give no square inside the frame", outside)
    if leaving:
        report("warning", "squares that leave the frame and are stretched", leaving)
    if jumps:
        report("warning", "squares that jump from the frame before", jumps)
    return sides


def _check_features(folder: Path, num_frames: int, report: Reporter) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for mode, name in FEATURE_FILES.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            array = read_npy(path, mapped=True)
        except InputError:
            report("warning", f"{name} is not a .npy file of numbers", ())
            continue
        shapes[name] = [int(n) for n in array.shape]
        if array.ndim == 0 or abs(len(array) - num_frames) > max(5, num_frames // 50):
            report(
                "warning",
                f"{name} has {len(array) if array.ndim else 0} rows for {num_frames} frames "
                f"({mode} training needs them equal)",
                (),
            )
    return shapes


# Pictures -----------------------------------------------------------------------------------------------------------


def draw_landmarks(frame: Frame, points: NDArray[np.int32]) -> Frame:
    """A copy with the points and the square that the network redraws."""
    import cv2

    picture = frame.copy()
    radius = max(1, round(max(frame.shape[:2]) / 400))
    x1, x2, y1 = int(points[CONTOUR_LEFT, 0]), int(points[CONTOUR_RIGHT, 0]), int(points[NOSE_BRIDGE, 1])
    cv2.rectangle(picture, (x1, y1), (x2 - 1, y1 + x2 - x1 - 1), (255, 176, 32), 2 * radius)
    for k, (x, y) in enumerate(points):
        used = k in (CONTOUR_LEFT, CONTOUR_RIGHT, NOSE_BRIDGE)
        colour = (255, 64, 64) if used else (64, 220, 96)
        cv2.circle(picture, (int(x), int(y)), 2 * radius if used else radius, colour, -1)
    return picture


def write_contact_sheet(folder: Path, output: Path) -> None:
    """Twenty frames of a template folder with landmarks and squares, as one PNG."""
    import cv2

    from talkinghead.media import write_png

    images, _ = numbered_files(folder / IMAGES, IMAGE_SUFFIXES)
    texts, _ = numbered_files(folder / LANDMARKS, (".lms",))
    keys = sorted(images)
    if not keys:
        raise InputError(f"{folder} holds no frames.", accepted="a template folder")
    wanted = np.linspace(0, len(keys) - 1, min(len(keys), SHEET_COLUMNS * SHEET_ROWS)).astype(int)
    cells: list[Frame] = []
    height = 0
    for key in (keys[i] for i in wanted):
        try:
            frame = read_image(images[key])
            if key in texts:
                frame = draw_landmarks(frame, parse_landmarks(texts[key].read_text(encoding="utf-8"), texts[key]))
        except (InputError, UnicodeDecodeError):
            frame = np.full((180, 320, 3), (160, 32, 32), np.uint8)
        height = height or max(1, round(SHEET_WIDTH * frame.shape[0] / frame.shape[1]))
        cell = np.asarray(cv2.resize(frame, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        cv2.putText(cell, str(key), (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 3)
        cv2.putText(cell, str(key), (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
        cells.append(cell)
    rows = [cells[k : k + SHEET_COLUMNS] for k in range(0, len(cells), SHEET_COLUMNS)]
    blank = np.zeros((height, SHEET_WIDTH, 3), np.uint8)
    columns = min(SHEET_COLUMNS, len(cells))
    sheet = np.vstack([np.hstack([*row, *[blank] * (columns - len(row))]) for row in rows])
    write_png(output, np.ascontiguousarray(sheet))
