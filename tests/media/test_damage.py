"""Files with random damage: an answer or one of our errors, never anything else."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from talkinghead.errors import MediaError
from talkinghead.media import open_frames, probe, read_audio
from tests.synthetic_media import make_picture, make_sound, make_video

VIDEOS: dict[str, dict[str, object]] = {
    "a.mp4": {"sound": (16_000, 1)},
    "a.mkv": {"sound": (16_000, 2)},
    "a.ts": {},
    "a.flv": {},
    "a.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p", "full_range": True},
    "a.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "a.gif": {"codec": "gif", "pixel_format": "bgr8"},
}
SOUNDS = ("s.wav", "s.flac", "s.mp3", "s.ogg", "s.m4a")
PICTURES = ("p.jpg", "p.png", "p.webp", "p.bmp", "p.avif", "p.tiff")
ROUNDS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


def damaged(data: bytes, pick: random.Random) -> bytes:
    """The file with a few stretches overwritten, blanked or cut out, or its end missing."""
    result = bytearray(data)
    for _ in range(pick.randint(1, 6)):
        at, length = pick.randrange(len(result)), pick.choice([1, 2, 4, 16, 200, 2_000])
        length = min(length, len(result) - at)
        kind = pick.choice(["noise", "blank", "cut", "end"])
        if kind == "noise":
            result[at : at + length] = pick.randbytes(length)
        elif kind == "blank":
            result[at : at + length] = bytes(length)
        elif kind == "cut" and length < len(result):
            del result[at : at + length]
        elif pick.random() < 0.3:
            del result[max(1, at) :]
    return bytes(result)


@pytest.mark.parametrize("name", [*VIDEOS, *SOUNDS, *PICTURES])
def test_damaged_files(name: str, folder: Path) -> None:
    if name in VIDEOS:
        whole = make_video(folder / name, 20, (96, 72), gop=6, **VIDEOS[name])  # type: ignore[arg-type]
    elif name in SOUNDS:
        whole = make_sound(folder / name, 1.0, 16_000, 2)
    else:
        whole = make_picture(folder / name, (120, 90))
    data = whole.read_bytes()
    pick = random.Random(name)
    path = folder / f"damaged-{name}"
    for _ in range(ROUNDS):
        path.write_bytes(damaged(data, pick))
        with contextlib.suppress(MediaError):
            source = open_frames(path)
            frames = list(source.read())
            assert len(frames) == len(source) > 0
            assert {frame.shape[1::-1] for frame in frames} == {source.size}
            assert len(list(source.read(len(source) - 1, None, -1))) == len(source)
        with contextlib.suppress(MediaError):
            assert len(read_audio(path).samples) > 0
        with contextlib.suppress(MediaError):
            assert probe(path).to_dict()
