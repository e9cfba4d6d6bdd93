"""Make the moving pictures of the web page from what the real commands make.

    python scripts/make_page_pictures.py [--only hero model-viseme ...]

`assets/hero.mp4`, a portrait that speaks the bundled sentence, and one small picture per model (`assets/model-*.webp`,
and `-still.webp` for visitors who asked for less motion). Each command runs in a process of its own. Needs the extra
`models`. No weights of Wav2Lip come along, so that its picture shows which part of a film it replaces.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkinghead.assets import demo_speech_path
from talkinghead.assets.portrait import portrait_path
from talkinghead.contracts import Frame
from talkinghead.media import open_frames

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "talkinghead" / "assets"
HERO, FILMED = "olive", "rowan"
"""The portraits of the page's first view, and of a model that changes films."""
HERO_CRF = "27"
THUMBNAIL = (240, 168)
"""Width and height of a model's picture."""
EVERY, FIRST, COUNT = 2, 8, 30
"""Frames of 25 per second: every second one, from here, so many; then backwards to the beginning."""
MOUTH = (0.36, 0.58, 0.64, 0.78)
"""Left, top, right and bottom of what is marked, as shares of the picture."""


def talkinghead(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "talkinghead", *arguments], check=True, cwd=ROOT)


def script(name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / name), *arguments], check=True, cwd=ROOT)


def spoken(portrait: str, output: Path, *more: str) -> Path:
    speech = str(demo_speech_path())
    talkinghead("generate", "--face", str(portrait_path(portrait)), "--audio", speech, "-o", str(output), *more)
    return output


def make_hero(folder: Path) -> None:
    made = spoken(HERO, folder / "hero.mp4", "--crf", HERO_CRF, "--preset", "veryslow")
    (ASSETS / "hero.mp4").write_bytes(made.read_bytes())


def of_viseme(folder: Path) -> list[Frame]:
    return cut(frames_of(spoken("hazel", folder / "viseme.mp4")), 0.12, 0.82)


def of_wav2lip(folder: Path) -> list[Frame]:
    return [marked(frame) for frame in cut(frames_of(spoken(FILMED, folder / "film.mp4")), 0.24, 0.98)]


def of_synctalk2d(folder: Path) -> list[Frame]:
    script("make_synctalk2d_template.py", str(folder / "person"))
    made = folder / "synctalk2d.mp4"
    talkinghead(
        "generate", "--model", "synctalk2d", "--checkpoint", str(folder / "person" / "model"), "--template",
        str(folder / "person" / "template"), "--audio", str(demo_speech_path()), "-o", str(made),
    )  # fmt: skip
    return cut(frames_of(made), 0.05, 0.85)


def of_talkinggaussian(folder: Path) -> list[Frame]:
    script("make_gaussian_head.py", str(folder / "head3d"))
    made = folder / "talkinggaussian.mp4"
    talkinghead(
        "generate", "--model", "talkinggaussian", "--scene", str(folder / "head3d" / "data"), "--checkpoint",
        str(folder / "head3d" / "model"), "--audio-features", "phones", "--yaw", "20", "--audio",
        str(demo_speech_path()), "-o", str(made),
    )  # fmt: skip
    return cut(frames_of(made), 0.08, 0.86)


def of_artalk(folder: Path) -> list[Frame]:
    made = folder / "artalk.mp4"
    talkinghead(
        "generate", "--model", "artalk", "--driver", "viseme", "--yaw", "15", "--audio", str(demo_speech_path()),
        "-o", str(made),
    )  # fmt: skip
    return cut(frames_of(made), 0.08, 0.9)


MODELS: dict[str, Callable[[Path], list[Frame]]] = {
    "viseme": of_viseme,
    "wav2lip": of_wav2lip,
    "synctalk2d": of_synctalk2d,
    "talkinggaussian": of_talkinggaussian,
    "artalk": of_artalk,
}


def frames_of(path: Path) -> list[Frame]:
    return list(open_frames(path).read())[FIRST : FIRST + EVERY * COUNT : EVERY]


def cut(frames: list[Frame], top: float, bottom: float) -> list[Frame]:
    """The middle of each frame between two heights, in the shape of a thumbnail."""
    height, width = frames[0].shape[:2]
    first, last = round(top * height), round(bottom * height)
    across = min(width, round((last - first) * THUMBNAIL[0] / THUMBNAIL[1]))
    left = (width - across) // 2
    return [
        np.asarray(
            cv2.resize(frame[first:last, left : left + across], THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8
        )
        for frame in frames
    ]


def marked(frame: Frame) -> Frame:
    """With the part around the mouth bright and framed, and the rest dimmed."""
    height, width = frame.shape[:2]
    left, top, right, bottom = (round(share * size) for share, size in zip(MOUTH, (width, height) * 2, strict=True))
    dimmed = (frame * 0.55).astype(np.uint8)
    dimmed[top:bottom, left:right] = frame[top:bottom, left:right]
    return np.asarray(cv2.rectangle(dimmed, (left, top), (right, bottom), (255, 255, 255), 2, cv2.LINE_AA), np.uint8)


def write_animation(path: Path, frames: list[Frame], fps: Fraction, quality: int) -> None:
    """An animated WebP that plays for ever, forwards and backwards; frames are RGB."""
    animation = cv2.Animation()
    there_and_back = [*frames, *frames[-2:0:-1]]
    animation.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in there_and_back]
    animation.durations = np.full(len(there_and_back), round(1000 / fps), np.int32)  # type: ignore[assignment]  # OpenCV wants an array here and says a sequence
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, quality]):
        raise RuntimeError(f"{path} was not written")
    still = path.with_name(f"{path.stem}-still.webp")
    cv2.imwrite(str(still), cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 85])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("hero", *(f"model-{name}" for name in MODELS))
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="make only these")
    parser.add_argument("--quality", type=int, default=55, help="of WebP, 1 to 100")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.only:
            if name == "hero":
                make_hero(Path(temporary))
                continue
            folder = Path(temporary) / name
            folder.mkdir()
            frames = MODELS[name.removeprefix("model-")](folder)
            write_animation(ASSETS / f"{name}.webp", frames, Fraction(25, EVERY), given.quality)
    return 0


if __name__ == "__main__":
    sys.exit(main())
