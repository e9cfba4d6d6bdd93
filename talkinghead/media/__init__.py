"""Reading and writing pictures, video and sound. Importing this package loads neither PyAV nor OpenCV.

Reading:  open_frames, read_picture, read_audio, read_audio_native, open_sound, probe
Writing:  write_video, VideoWriter, write_png, write_wav, check_output, resample_clip
Asking:   available_encoders
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from talkinghead.lazy import lazy_names

from .options import EncodeOptions, FrameOptions

if TYPE_CHECKING:
    from .encoders import EncoderStatus, available_encoders
    from .inspect import AudioTrack, MediaProbe, OtherTrack, VideoTrack, probe
    from .pictures import PictureSource, read_picture, write_png
    from .sound import SoundFile, open_sound, read_audio, read_audio_native, resample_clip, write_wav
    from .sources import open_frames
    from .video import VideoSource
    from .writer import EncodeInfo, VideoWriter, check_output, write_video

_HOME = {
    "AudioTrack": "inspect",
    "EncodeInfo": "writer",
    "EncoderStatus": "encoders",
    "MediaProbe": "inspect",
    "OtherTrack": "inspect",
    "PictureSource": "pictures",
    "SoundFile": "sound",
    "VideoSource": "video",
    "VideoTrack": "inspect",
    "VideoWriter": "writer",
    "available_encoders": "encoders",
    "check_output": "writer",
    "open_frames": "sources",
    "open_sound": "sound",
    "probe": "inspect",
    "read_audio": "sound",
    "read_audio_native": "sound",
    "read_picture": "pictures",
    "resample_clip": "sound",
    "write_png": "pictures",
    "write_video": "writer",
    "write_wav": "sound",
}

__all__ = [
    "AudioTrack",
    "EncodeInfo",
    "EncodeOptions",
    "EncoderStatus",
    "FrameOptions",
    "MediaProbe",
    "OtherTrack",
    "PictureSource",
    "SoundFile",
    "VideoSource",
    "VideoTrack",
    "VideoWriter",
    "available_encoders",
    "check_output",
    "open_frames",
    "open_sound",
    "probe",
    "read_audio",
    "read_audio_native",
    "read_picture",
    "resample_clip",
    "write_png",
    "write_video",
    "write_wav",
]

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
