"""ComfyUI's values and the package's: IMAGE, AUDIO and VIDEO to frames, speech and files, and back."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talkinghead.contracts import AudioClip, FaceSource, FloatArray, Frame, Phone, Speech
from talkinghead.engine.speech_input import listen
from talkinghead.media.arrays import ArraySource
from talkinghead.media.options import FrameOptions

from . import host
from .words import NodeError

PHONES = "talkinghead_phones"
"""Key of an AUDIO under which Speech from Text leaves when each sound is spoken."""


# Pictures -------------------------------------------------------------------------------------------------------------


def frames_of_images(images: torch.Tensor) -> list[Frame]:
    """An IMAGE, [B, H, W, C] from 0 to 1, as frames: RGB uint8 [H, W, 3]. Transparency is laid on white.

    Raises:
        NodeError: not an IMAGE of 1, 3 or 4 channels, or not a number in it.
    """
    if images.ndim != 4 or images.shape[0] == 0 or images.shape[3] not in (1, 3, 4):
        raise NodeError(
            f"The image is a tensor {list(images.shape)}.", accepted="an IMAGE, [pictures, height, width, 3]"
        )
    return [_frame(picture) for picture in images]


def _frame(picture: torch.Tensor) -> Frame:
    values = picture.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise NodeError("The image has values in it that are no numbers.", remedy="another picture")
    if values.shape[2] == 4:
        alpha = values[..., 3:].clamp(0, 1)
        values = values[..., :3] * alpha + (1 - alpha)
    elif values.shape[2] == 1:
        values = values.expand(-1, -1, 3)
    return np.ascontiguousarray((values.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def put_frame(images: torch.Tensor, index: int, frame: Frame) -> None:
    """Write a frame into an IMAGE: value / 255, which gives the same bytes back."""
    images[index] = torch.from_numpy(frame).to(torch.float32) / 255


def image_of(frame: Frame) -> torch.Tensor:
    """One frame as an IMAGE, [1, H, W, 3]."""
    images = torch.empty((1, *frame.shape), dtype=torch.float32)
    put_frame(images, 0, frame)
    return images


def rate_of(fps: float) -> Fraction:
    """A frame rate as ComfyUI counts it, exact: 29.97002997 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def source_of_images(images: torch.Tensor, fps: float, options: FrameOptions) -> ArraySource:
    """An IMAGE as a face to prepare: one picture, or a video of so many frames per second."""
    _refuse_times(options)
    frames = frames_of_images(images)
    return ArraySource(frames, fps=None if len(frames) == 1 else rate_of(fps), options=options, name="the image")


def source_of_video(video: Any, options: FrameOptions) -> FaceSource:
    """A VIDEO as a face to prepare: its file where it is one, which is read as it is needed; else its frames."""
    source = _stream_of(video)
    if isinstance(source, str):
        return Path(source)
    if isinstance(source, io.BytesIO):
        return _kept(source.getvalue())
    parts = video.get_components()
    _refuse_times(options)
    frames = frames_of_images(parts.images)
    return ArraySource(frames, fps=Fraction(parts.frame_rate), options=options, name="the video")


def _refuse_times(options: FrameOptions) -> None:
    if options.start_s or options.duration_s is not None:
        raise NodeError(
            "start_s and duration_s take a part of a video file, and these are frames.",
            remedy="a node that takes a part of the frames, or leave both as they are",
        )


def _stream_of(video: Any) -> object:
    """A VIDEO that is a file as it stands: its path or its bytes; None where it was cut, or never written."""
    from comfy_api.input_impl import VideoFromFile

    edited = getattr(video, "has_pending_frame_edits", lambda: False)()
    trimmed = getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()
    if not isinstance(video, VideoFromFile) or edited or any(trimmed):
        return None
    source: object = video.get_stream_source()
    return source


def _kept(data: bytes) -> Path:
    """A video that ComfyUI has in memory, as a file of its temporary folder."""
    path = host.temporary_folder() / f"talkinghead-{hashlib.sha256(data).hexdigest()[:32]}"
    if not path.exists():
        path.write_bytes(data)
    return path


# Sound ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpokenPhones:
    """When each sound of a spoken text is heard, and the samples for which that is true."""

    phones: tuple[Phone, ...]
    digest: str


def _digest(waveform: torch.Tensor, rate: int) -> str:
    return hashlib.sha256(f"{rate} {list(waveform.shape)} ".encode() + waveform.numpy().tobytes()).hexdigest()


def audio_of(speech: Speech) -> dict[str, Any]:
    """Spoken text as an AUDIO; with it, when each sound is spoken."""
    clip = speech.soundtrack
    assert isinstance(clip, AudioClip)
    waveform = torch.from_numpy(np.array(clip.samples)).reshape(1, 1, -1)
    audio: dict[str, Any] = {"waveform": waveform, "sample_rate": clip.sample_rate_hz}
    if speech.phones is not None:
        audio[PHONES] = SpokenPhones(speech.phones, _digest(waveform, clip.sample_rate_hz))
    return audio


def waveform_of(audio: Mapping[str, Any]) -> tuple[torch.Tensor, int]:
    """An AUDIO's samples, [1, channels, n] float32 on the processor, and its rate in hertz.

    Raises:
        NodeError: not one sound.
    """
    waveform, rate = audio["waveform"], int(audio["sample_rate"])
    if waveform.ndim != 3 or waveform.shape[0] != 1 or not waveform.shape[1]:
        raise NodeError(
            f"The audio is a tensor {list(waveform.shape)}.",
            accepted="one AUDIO, [1, channels, samples]",
            remedy="one sound of the batch alone",
        )
    if not waveform.shape[2] or rate < 1:
        raise NodeError("The audio has no samples.", remedy="another sound")
    values = waveform.detach().cpu()
    if not values.dtype.is_floating_point:
        values = values.to(torch.float32) / (torch.iinfo(values.dtype).max + 1)
    values = values.to(torch.float32).contiguous()
    if not bool(torch.isfinite(values).all()):
        raise NodeError("The audio has values in it that are no numbers.", remedy="another sound")
    return values, rate


@contextmanager
def speech_of(audio: Mapping[str, Any]) -> Iterator[Speech]:
    """An AUDIO as what a head listens to, with all its channels for a file. It lasts as long as the block.

    Raises:
        NodeError: not one sound.
    """
    waveform, rate = waveform_of(audio)
    spoken = audio.get(PHONES)
    phones = spoken.phones if spoken is not None and spoken.digest == _digest(waveform, rate) else None
    channels: FloatArray = waveform[0].numpy()
    if len(channels) == 1:
        yield listen(AudioClip(np.ascontiguousarray(channels[0]), rate, source="the audio"), phones=phones)
        return
    handle, name = tempfile.mkstemp(".wav", "talkinghead-", host.temporary_folder())
    os.close(handle)
    path = Path(name)
    try:
        _write_floats(path, channels, rate)
        yield listen(path, phones=phones)
    finally:
        path.unlink(missing_ok=True)


def _write_floats(path: Path, channels: FloatArray, rate: int) -> None:
    """A WAV file of 32-bit floats: what is read from it is what was written."""
    import av

    layouts = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    if len(channels) not in layouts:
        raise NodeError(f"The audio has {len(channels)} channels.", accepted="1 to 8")
    with av.open(str(path), "w", format="wav", options={"rf64": "auto"}) as container:
        layout = layouts[len(channels)]
        stream = container.add_stream("pcm_f32le", rate=rate, layout=layout)
        for start in range(0, channels.shape[1], rate):
            block = np.ascontiguousarray(channels[:, start : start + rate].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cut_to(audio: Mapping[str, Any], seconds: Fraction) -> dict[str, Any]:
    """An AUDIO as long as its frames: cut, or followed by silence."""
    waveform, rate = waveform_of(audio)
    wanted = round(seconds * rate)
    missing = max(0, wanted - waveform.shape[2])
    return {"waveform": torch.nn.functional.pad(waveform[..., :wanted], (0, missing)), "sample_rate": rate}
