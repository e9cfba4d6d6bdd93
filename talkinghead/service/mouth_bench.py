"""How well the mouth follows speech whose phone times are known, as motion or on finished pictures.

    python -m talkinghead.service.mouth_bench tests/data/mouth_corpus [--phones recognised|exact] [--json]
    python -m talkinghead.service.mouth_bench tests/data/mouth_corpus --live
    python -m talkinghead.service.mouth_bench tests/data/mouth_corpus --pixels [--faces me.jpg clips/ ...]

A corpus is a folder of NAME.flac (or .wav) with NAME.json beside it, as `scripts/make_mouth_corpus.py` makes it. The
measures are explained in `talkinghead.measure.mouth_bench` and, for pictures, in `talkinghead.measure.mouth_pixels`.

With --pixels every face says every utterance, with the default options of the model, and the frames are measured as
they are before encoding. It needs the face mesh. Without --faces the photograph that comes with scikit-image is taken,
and pictures made from it: a painting, a drawing, one in grey, a small and a tilted one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.assets.portrait import astronaut
from talkinghead.audio.phones import recognise_phones
from talkinghead.contracts import Frame, Phone
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import AnyHead, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.speech_input import listen
from talkinghead.errors import MediaNotFound, TalkingHeadError
from talkinghead.face.mesh.networks import FaceMesh, load_mesh
from talkinghead.measure import mouth_bench, mouth_pixels
from talkinghead.measure.mouth_bench import Utterance, read_corpus, score_corpus
from talkinghead.measure.mouth_pixels import PixelScores, inner_lip_gaps, score_gaps
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.service.run import load

NOT_FACES = frozenset((".md", ".txt", ".json", ".csv", ".task", ".tflite"))
"""Files that may lie in a folder of faces."""


def faces_in(places: Iterable[Path]) -> dict[str, Path]:
    """Pictures and videos by name: the files given, and all of folders.

    Raises:
        MediaNotFound: one is not there, or there is none in all.
    """
    found: dict[str, Path] = {}
    for place in places:
        if not place.exists():
            raise MediaNotFound(f"There is no face {place}.", accepted="pictures, videos, and folders of them")
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        found |= {path.name: path for path in inside if path.is_file() and path.suffix.lower() not in NOT_FACES}
    if not found:
        raise MediaNotFound("There is no face in what was given.", accepted="pictures, videos, and folders of them")
    return found


def made_faces() -> dict[str, Frame]:
    """A photograph of a smiling face, 600 x 600, and pictures made from it.

    Raises:
        MissingDependency: scikit-image, which has the photograph, is not installed.
    """
    import cv2

    crop = np.ascontiguousarray(astronaut()[:300, 70:370])
    photograph = np.asarray(cv2.resize(crop, (600, 600), interpolation=cv2.INTER_CUBIC), np.uint8)
    grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
    lines = cv2.GaussianBlur(grey, (0, 0), sigmaX=1.5).astype(np.float32)
    lines = np.clip(1 + (lines - cv2.GaussianBlur(grey, (0, 0), sigmaX=6)) / 24, 0.2, 1)
    flat = cv2.pyrMeanShiftFiltering(photograph, 8, 24)
    turn = cv2.getRotationMatrix2D((300, 230), 14, 1.0)
    made = {
        "photograph": photograph,
        "painting": cv2.edgePreservingFilter(photograph, sigma_s=30, sigma_r=0.35),
        "drawing": flat * lines[..., None],
        "grey": np.repeat(grey[..., None], 3, axis=2),
        "small": cv2.resize(photograph, (180, 180), interpolation=cv2.INTER_AREA),
        "tilted": cv2.warpAffine(photograph, turn, (600, 600), borderMode=cv2.BORDER_REPLICATE),
    }
    return {name: np.clip(picture, 0, 255).astype(np.uint8) for name, picture in made.items()}


def frames_of(
    head: AnyHead,
    face: Path | Frame,
    phones: Sequence[Sequence[Phone]],
    utterances: Sequence[Utterance],
    fps: Fraction,
) -> Iterator[Iterable[Frame]]:
    """The frames of every utterance; the face is prepared once."""
    avatar = head.prepare(face, PrepareOptions(cache=NullCache()))
    for utterance, heard in zip(utterances, phones, strict=True):
        speech = listen(utterance.clip, phones=tuple(heard))
        yield head.frames(avatar, speech, RenderOptions(fps=fps))


def score_faces(
    head: AnyHead,
    faces: dict[str, Any],
    utterances: Sequence[Utterance],
    mesh: FaceMesh,
    *,
    fps: Fraction = Fraction(25),
    recognised: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, PixelScores]:
    """Scores of each face, and of all together under "all".

    Args:
        faces: a file or a frame for each name.
        recognised: find the phones as a job does; else the exact ones are given.
        progress: called with what is done next, as a short phrase.
    """
    progress("listening")
    phones = [recognise_phones(each.clip).phones if recognised else each.phones for each in utterances]
    out: dict[str, PixelScores] = {}
    for name, face in faces.items():
        progress(name)
        scores = PixelScores()
        for utterance, frames in zip(utterances, frames_of(head, face, phones, utterances, fps), strict=True):
            scores += score_gaps(inner_lip_gaps(frames, mesh), fps, utterance.phones)
        out[name] = scores.of_one_face()
    return {**out, "all": sum(out.values(), PixelScores())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.prog = "talkinghead.service.mouth_bench"
    parser.add_argument("corpus", type=Path, help="folder of utterances")
    parser.add_argument("--phones", choices=("recognised", "exact"), default="recognised")
    parser.add_argument("--live", action="store_true", help="listen to the sound as it arrives; motion only")
    parser.add_argument("--fps", type=Fraction, default=Fraction(25), help="frames per second")
    parser.add_argument("--every", type=int, default=1, help="use every k-th utterance only")
    parser.add_argument("--pixels", action="store_true", help="measure finished pictures")
    parser.add_argument("--faces", type=Path, nargs="+", help="with --pixels: pictures, videos, folders of them")
    parser.add_argument("--model", default=DEFAULT_FAMILY, help="with --pixels: who is measured (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="show the measures as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.live and (chosen.pixels or chosen.phones == "exact"):
        parser.error("--live recognises as it listens and measures motion: leave out --pixels and --phones exact")
    try:
        scores, table = _measured(chosen)
    except TalkingHeadError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    if chosen.json:
        text = json.dumps({name: row.to_dict() for name, row in scores.items()}, indent=2)
    else:
        text = mouth_bench.format_table(scores, table)
    sys.stdout.write(text + "\n")
    return 0


def _tell(what: str) -> None:
    sys.stderr.write(f"{what} ...\n")


def _measured(chosen: argparse.Namespace) -> tuple[dict[str, Any], tuple[tuple[str, str, str], ...]]:
    """Scores by name, and the columns of their table."""
    utterances = read_corpus(chosen.corpus)[:: chosen.every]
    recognised = chosen.phones == "recognised"
    if not chosen.pixels:
        listen = recognise_phones if recognised else None
        return score_corpus(utterances, chosen.fps, listen=listen, live=chosen.live), mouth_bench.TABLE
    mesh = load_mesh()
    faces: dict[str, Any] = {**(made_faces() if chosen.faces is None else faces_in(chosen.faces))}
    head = load(chosen.model, LoadOptions())
    scores = score_faces(head, faces, utterances, mesh, fps=chosen.fps, recognised=recognised, progress=_tell)
    return scores, mouth_pixels.TABLE


if __name__ == "__main__":
    sys.exit(main())
