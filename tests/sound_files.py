"""Sound files of odd kinds for tests, made with PyAV alone: clicks at known times, packets lost or stamped otherwise.

    from tests.sound_files import clicks, write_stream, write_video_and_sound, click_times

A click is a burst of 3 ms of a high tone over a quiet low one: it survives every codec, and no filter moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.synthetic_media import coded_frame

Samples = NDArray[np.float32]
CLICK_S = 0.003
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}

Restamp = Callable[[int, float, float], float | None]
"""(number of a packet, its time, its length in seconds) to the time that it is stamped with; None loses it."""


def clicks(seconds: float, rate: int, at: Sequence[float], channels: int = 1, level: float = 0.8) -> Samples:
    """[n, channels]: a quiet hum, and clicks at the given seconds."""
    t = np.arange(round(seconds * rate)) / rate
    out = 0.03 * np.sin(2 * np.pi * 150 * t)
    high = min(3000.0, rate / 5)
    for time in at:
        inside = (t >= time - CLICK_S / 2) & (t < time + CLICK_S / 2)
        out[inside] += level * np.sin(2 * np.pi * high * (t[inside] - time + CLICK_S))
    return np.repeat(out.astype(np.float32)[:, np.newaxis], channels, axis=1)


def found_clicks(samples: NDArray[Any], rate: int, first_s: float = 0.0) -> list[float]:
    """The times at which a sound clicks."""
    loud = np.abs(samples if samples.ndim == 1 else samples.max(axis=1))
    above = np.flatnonzero(loud > max(0.15, 0.4 * float(loud.max(initial=0.0))))
    if not len(above):
        return []
    groups = np.split(above, np.flatnonzero(np.diff(above) > 0.02 * rate) + 1)
    return [first_s + float(group.mean()) / rate for group in groups]


def click_times(path: Path) -> list[float]:
    """When the sound of a finished file clicks, by the timestamps of its blocks; without the package."""
    with av.open(f"file:{path}") as container:
        rate, parts, start = 0, [], None
        for frame in container.decode(audio=0):
            values = frame.to_ndarray()
            values = values if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)).T
            parts.append(values[0].astype(np.float64) / (32768 if values.dtype == np.int16 else 1))
            rate = frame.sample_rate
            if start is None:
                start = float(frame.pts * frame.time_base)
        return found_clicks(np.concatenate(parts), rate, start or 0.0)


def write_stream(
    path: Path,
    samples: Samples,
    rate: int,
    codec: str,
    *,
    restamp: Restamp | None = None,
    container: str | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """Write a sound file whose packets are lost or stamped as `restamp` says."""
    with av.open(f"file:{path}", "w", format=container, container_options=options or {}) as out:
        _mux(out, _sound_packets(out, samples, rate, codec, restamp, codec_options))
    return path


def write_video_and_sound(
    path: Path,
    num_frames: int,
    samples: Samples,
    rate: int,
    *,
    fps: int = 25,
    sound_late_s: float = 0.0,
    pictures_late_s: float = 0.0,
    video_codec: str = "libx264",
    sound_codec: str = "aac",
    container: str | None = None,
    options: dict[str, str] | None = None,
    b_frames: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write a video of `coded_frame`s whose sound or pictures begin late."""
    with av.open(f"file:{path}", "w", format=container, container_options=options or {}) as out:
        stream: Any = out.add_stream(video_codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = 12
        if video_codec == "libx264":
            stream.codec_context.max_b_frames = b_frames
            stream.codec_context.options = {"preset": "ultrafast", "crf": "10", "bf": str(b_frames)}
        sound = _sound_packets(out, samples, rate, sound_codec, lambda _, time, __: time + sound_late_s, None)
        pictures = []
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(coded_frame(index, *size), format="rgb24")
            frame = frame.reformat(
                format="yuv420p", src_colorspace=5, dst_colorspace=5, src_color_range=2, dst_color_range=1
            )
            frame.pts, frame.time_base = index, Fraction(1, fps)
            pictures.extend(stream.encode(frame))
        pictures.extend(stream.encode(None))
        for packet in pictures:
            _move(packet, pictures_late_s)
        _mux(out, [*pictures, *sound])
    return path


def _sound_packets(
    out: Any, samples: Samples, rate: int, codec: str, restamp: Restamp | None, options: dict[str, str] | None
) -> list[Any]:
    stream = out.add_stream(codec, rate=rate)
    context = stream.codec_context
    context.layout = LAYOUTS[samples.shape[1]]
    context.options = {**(options or {}), "strict": "experimental"}
    made: list[Any] = []
    resampler = None
    for at in range(0, len(samples), 4096):
        part = np.ascontiguousarray(samples[at : at + 4096].T)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=LAYOUTS[samples.shape[1]])
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        if context.format is not None and context.format.name != "fltp":
            resampler = resampler or av.AudioResampler(format=context.format, layout=context.layout, rate=rate)
            frames = resampler.resample(frame)
        else:
            frames = [frame]
        for each in frames:
            made.extend(stream.encode(each))
    made.extend(stream.encode(None))
    kept = []
    for number, packet in enumerate(made):
        time, length = float(packet.pts * packet.time_base), float(packet.duration * packet.time_base)
        stamped = time if restamp is None else restamp(number, time, length)
        if stamped is None:
            continue
        if stamped != time:
            _move(packet, stamped - time)
        kept.append(packet)
    return kept


def _move(packet: Any, seconds: float) -> None:
    if seconds:
        ticks = round(seconds / packet.time_base)
        packet.pts += ticks
        packet.dts = packet.pts if packet.dts is None else packet.dts + ticks


def _mux(out: Any, packets: list[Any]) -> None:
    out.start_encoding()
    for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
        out.mux(packet)
