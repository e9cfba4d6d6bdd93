"""The published program's engine, by its names: for scripts that were written for it.

What differs on purpose: assets are looked for as everywhere in this package; `device="cuda"` without a GPU warns and
uses the processor; a name ending in ".mp4" is not given a second suffix; the motion is not changed by rendering; the
video is streamed to the file instead of being held three times in memory.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, Frame, Picture
from talkinghead.engine.head import LoadOptions
from talkinghead.engine.runner import run_stages
from talkinghead.errors import OptionError
from talkinghead.families.artalk.assets import NO_STYLE
from talkinghead.families.artalk.avatar import MESH, HeadAvatar
from talkinghead.families.artalk.motion.config import MOTION_DIM, MOTION_FPS
from talkinghead.families.artalk.motion.counts import PUBLISHED_CLIP
from talkinghead.files import make_folder, write_bytes
from talkinghead.places import check_apart, fitted_name

if TYPE_CHECKING:
    import torch

    from talkinghead.families.artalk.pipeline import ARTalkHead

OUTPUT_FOLDER = Path("render_results") / "ARTAvatar_wav2vec"
OnFrame = Callable[[int, int], None]
"""Called with the frames written so far and the number of all."""


class ARTAvatarInferEngine:
    """Speech to motion to video, as `inference.ARTAvatarInferEngine` of the published program.

    Args:
        load_gaga: read GAGAvatar.pt and tracked.pt now; they are read when needed anyway.
        fix_pose: keep the head still.
        clip_length: frames that `inference` keeps.
        device: "cuda", "cuda:N", "cpu" or "auto".
        assets: folder of the published files; None looks in the usual places.
        output_folder: where `rendering` writes.
        driver: "artalk", or "auto" to let recognised phones move the mesh where ARTalk's weights are missing.
        options: further fields of `ARTalkConfig`.
    """

    def __init__(
        self,
        load_gaga: bool = False,
        fix_pose: bool = False,
        clip_length: int = PUBLISHED_CLIP,
        device: str = "cuda",
        *,
        assets: str | Path | None = None,
        output_folder: str | Path = OUTPUT_FOLDER,
        driver: str = "artalk",
        **options: Any,
    ) -> None:
        from talkinghead.families.artalk.pipeline import build

        if device.startswith("cuda") and not _has_gpu():
            warnings.warn(f"There is no GPU for device={device!r}: the processor is used.", stacklevel=2)
            device = "cpu"
        family = {
            "assets": Path(assets) if assets is not None else None,
            "driver": driver,
            "fix_pose": fix_pose,
            **options,
        }
        self.head: ARTalkHead = build(LoadOptions(device=device, precision="parity", compat=True, family=family))
        self.device = device
        self.fix_pose = fix_pose
        self.clip_length = clip_length
        self.output_dir = Path(output_folder)
        self.style_motion: FloatArray | None = None
        self._avatars: dict[str, HeadAvatar] = {}
        if load_gaga:
            self.head.assets.need("gagavatar_model", "load_gaga")
            self.head.assets.need("tracked_avatars", "load_gaga")

    @property
    def driver(self) -> str:
        """ "artalk" or "viseme"."""
        return self.head.driver.name

    def set_style_motion(self, style_motion: str | torch.Tensor | FloatArray | None) -> None:
        """Take the style of a name in style_motion, of a file, or of [50, 106] motion; "default" or None for none.

        Raises:
            OptionError: no such style. WrongCheckpoint: another shape.
        """
        from talkinghead.families.artalk.weights import check_style, load_style

        if style_motion is None or (isinstance(style_motion, str) and style_motion in NO_STYLE):
            self.style_motion = None
        elif isinstance(style_motion, str):
            path = self.head.assets.style(style_motion)
            self.style_motion = None if path is None else load_style(path)
        else:
            self.style_motion = check_style(to_numpy(style_motion), "set_style_motion")

    def inference(self, audio: torch.Tensor | FloatArray, clip_length: int | None = None) -> torch.Tensor:
        """Motion of 16 kHz sound.

        Args:
            audio: [n] or [1, n].
            clip_length: frames to keep; None is that of the engine. A longer sound is cut, with a warning.
        Returns:
            [T, 106] float32 on the CPU, smoothed.
        """
        import torch

        limit = self.clip_length if clip_length is None else clip_length
        motion = self.head.driver.motion(as_clip(audio), self.style_motion)
        if len(motion) > limit:
            warnings.warn(
                f"The motion is cut to {limit} of {len(motion)} frames; clip_length={len(motion)} keeps all.",
                stacklevel=2,
            )
        return torch.from_numpy(np.ascontiguousarray(motion[:limit]))

    def rendering(
        self,
        audio: torch.Tensor | FloatArray,
        pred_motions: torch.Tensor | FloatArray,
        shape_id: str = MESH,
        shape_code: torch.Tensor | FloatArray | None = None,
        save_name: str = "ARTAvatar.mp4",
        *,
        on_frame: OnFrame | None = None,
    ) -> Path:
        """Draw motion and write it with its sound.

        Args:
            audio: [n] or [1, n] at 16 kHz; cut to the frames, or filled with silence.
            pred_motions: [T, 106]; not changed.
            shape_id: "mesh" or an avatar id.
            shape_code: [1, 300] identity of the mesh.
            save_name: below the output folder.
        Returns:
            The video.
        """
        from talkinghead.media import write_video

        motion = to_numpy(pred_motions)
        if motion.ndim != 2 or motion.shape[1] != MOTION_DIM or len(motion) == 0:
            raise OptionError(f"pred_motions has the shape {list(motion.shape)}.", accepted=f"[T, {MOTION_DIM}]")
        drawer = self.avatar(shape_id).drawer
        if shape_code is not None:
            drawer = drawer.with_shape(to_numpy(shape_code).reshape(1, 300))
        stages = drawer.stages(list(motion))
        make_folder(self.output_dir)
        path = self.output_dir / fitted_name(save_name.removesuffix(".mp4"), ".mp4")
        write_video(
            path,
            _frames(run_stages(range(len(motion)), stages)),
            fps=Fraction(MOTION_FPS),
            soundtrack=as_clip(audio),
            num_frames=len(motion),
            on_frame=None if on_frame is None else lambda done: on_frame(done, len(motion)),
            origin=self.head.origin(),
        )
        return path

    def avatar(self, shape_id: str) -> HeadAvatar:
        """A prepared avatar; kept for the next clip."""
        if shape_id not in self._avatars:
            self._avatars[shape_id] = self.head.prepare(shape_id)
        return self._avatars[shape_id]

    @staticmethod
    def smooth_motion_savgol(motion_codes: torch.Tensor | FloatArray) -> torch.Tensor:
        """The published smoothing: [T, 106] to [T, 106], T >= 9."""
        import torch

        from talkinghead.families.artalk.motion.smoothing import smooth_motion

        return torch.from_numpy(smooth_motion(to_numpy(motion_codes)))


def _frames(pictures: Iterable[Frame | Picture]) -> Iterator[Frame]:
    """RGBA where there is alpha."""
    for picture in pictures:
        yield np.dstack((picture.frame, picture.alpha)) if isinstance(picture, Picture) else picture


def _has_gpu() -> bool:
    from talkinghead.backends.placement import choose_device

    return choose_device("auto") != "cpu"


def to_numpy(values: Any) -> FloatArray:
    """A tensor of any device, or an array, as float32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    found: FloatArray = np.asarray(values, dtype=np.float32)
    return found


def as_clip(audio: Any) -> AudioClip:
    """[n] or [1, n] at 16 kHz as a clip.

    Raises:
        OptionError: another shape.
    """
    samples = to_numpy(audio)
    if samples.ndim == 2 and len(samples) == 1:
        samples = samples[0]
    if samples.ndim != 1 or len(samples) == 0:
        raise OptionError(f"The sound has the shape {list(samples.shape)}.", accepted="[n] or [1, n] at 16 kHz")
    return AudioClip(np.ascontiguousarray(samples), SPEECH_RATE_HZ)


def load_audio(path: str | Path) -> AudioClip:
    """Read a sound as published: each channel to 16 kHz by windowed sinc, then the mean of the channels."""
    import torch

    from talkinghead.audio.sinc_resample import sinc_resample
    from talkinghead.media.sound import read_audio_native

    samples, rate = read_audio_native(path)
    channels = torch.from_numpy(np.ascontiguousarray(samples.T))
    mono = sinc_resample(channels, rate, SPEECH_RATE_HZ).mean(dim=0)
    return AudioClip(np.ascontiguousarray(mono.numpy()), SPEECH_RATE_HZ, str(path))


@dataclass(frozen=True)
class Rendered:
    """What `run` wrote."""

    video: Path
    motions: Path
    num_frames: int
    driver: str
    notes: tuple[str, ...] = ()


def _made(name: str) -> tuple[str, str]:
    """Names of the video and of its motion."""
    return fitted_name(name, ".mp4"), fitted_name(name, "_motions.pt")


def run(
    engine: ARTAvatarInferEngine,
    audio: str | Path,
    *,
    shape_id: str = MESH,
    style_id: str = "default",
    on_frame: OnFrame | None = None,
) -> Rendered:
    """What the published command does: one sound file to a video and its motion.

    Writes NAME_STYLE_SHAPE.mp4 (dots in style and shape become _) and NAME_STYLE_SHAPE_motions.pt. An unknown avatar
    becomes the mesh, as the published program means to do, and the notes say so.
    """
    import torch

    name = f"{Path(audio).stem}_{style_id.replace('.', '_')}_{shape_id.replace('.', '_')}"
    check_apart([engine.output_dir / made for made in _made(name)], [audio])
    clip = load_audio(audio)
    fallen: tuple[str, ...] = ()
    try:
        engine.avatar(shape_id)
    except OptionError as error:
        fallen = (f"{str(error).splitlines()[0]} The mesh is drawn instead.",)
        shape_id = MESH
    if style_id not in NO_STYLE or engine.driver == "artalk":
        engine.set_style_motion(style_id)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        motion = engine.inference(clip.samples)
    name = f"{Path(audio).stem}_{style_id.replace('.', '_')}_{shape_id.replace('.', '_')}"
    video = engine.rendering(clip.samples, motion, shape_id=shape_id, save_name=f"{name}.mp4", on_frame=on_frame)
    buffer = io.BytesIO()
    torch.save(motion.clone(), buffer)
    motions = video.with_name(_made(name)[1])
    write_bytes(motions, buffer.getvalue())
    notes = tuple(str(item.message) for item in caught)
    return Rendered(video, motions, len(motion), engine.driver, (*engine.head.fallbacks, *fallen, *notes))
