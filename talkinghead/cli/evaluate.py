"""`talkinghead evaluate`: how close a video is to the true one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkinghead.errors import MediaNotFound
from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.helping import HelpPage, help_page

if TYPE_CHECKING:
    from talkinghead.measure.landmarks import FaceLandmarks

_NAMES = {
    "psnr_db": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "lmd_px": "LMD",
    "f_lmd_px": "F-LMD",
    "psnr_region_db": "PSNR of the lips",
}


@help_page(HelpPage(examples=("evaluate out.mp4 true.mp4",)))
def evaluate(
    predicted: Annotated[Path, typer.Argument(help="The video to judge.")],
    truth: Annotated[Path, typer.Argument(help="The true video, frame for frame.")],
    lpips: Annotated[
        list[Path] | None,
        typer.Option(
            help="LPIPS weights: AlexNet of torchvision and alex.pth of the LPIPS project, in one file or given twice."
        ),
    ] = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="PFLD landmark checkpoint (mean_face.txt beside it) for the landmark distances; default: the face "
            "mesh, where it is installed."
        ),
    ] = None,
    faces: Annotated[bool, typer.Option("--faces/--no-faces", help="Measure landmark distances; else none.")] = True,
    scene: Annotated[
        Path | None,
        typer.Option(help="Dataset folder of a Gaussian head: PSNR inside the recorded lips too (ori_imgs/*.lms)."),
    ] = None,
    poses: Annotated[str, typer.Option(help="With --scene: which list the videos show, train or val.")] = "val",
    report: Annotated[Path | None, typer.Option(help="Write every measure of every frame as JSON."), WRITTEN] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show that on stdout instead of the means.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Compare a video with the true one.

    PSNR in dB (higher is closer), SSIM (1 is equal), LPIPS (0 is equal) where weights are given, LMD and F-LMD in
    pixels (mean distance of the landmarks of the mouth and of the whole face, after the mean place of each is taken
    off; 0 is equal) where the face mesh is installed or a landmark model is given. The frames until the shorter video
    ends count.
    """
    from talkinghead.engine.context import ProgressEvent
    from talkinghead.files import PendingOutput, write_bytes
    from talkinghead.measure.quality import Lpips, evaluate_videos

    if report is not None:
        PendingOutput(report).discard()  # find out now whether it can be written
    with console.ProgressDisplay(quiet=quiet or json_output) as progress:
        found = evaluate_videos(
            predicted,
            truth,
            lpips=Lpips.read(lpips) if lpips else None,
            landmarks=_landmarks(landmarks, quiet=quiet or json_output) if faces else None,
            regions=_lips(scene, poses) if scene is not None else None,
            on_frame=lambda done, total: progress(ProgressEvent("compare", done, total)),
        )
    if report is not None:
        write_bytes(report, found.to_json().encode("utf-8"))
    if json_output:
        console.print_json(found.to_dict())
        return
    for note in found.notes:
        console.warn(note)
    console.say(f"{found.num_frames} frames")
    for name, value in found.mean.items():
        shown = "none" if value is None else "infinite (equal)" if math.isinf(value) else f"{value:.4f}"
        console.say(f"{_NAMES[name]:<16} {shown}")


def _landmarks(model: Path | None, *, quiet: bool) -> FaceLandmarks | None:
    """By the network that is given, else by the face mesh where it is there; says where it is not."""
    from talkinghead.face.mesh.files import OBTAIN
    from talkinghead.face.mesh.networks import found_mesh
    from talkinghead.measure.landmarks import MeshLandmarks, Pfld110

    if model is not None:
        return Pfld110.read(model)
    mesh = found_mesh()
    if mesh is None:
        if not quiet:
            console.note(f"No landmark distances without the face mesh: {OBTAIN}")
        return None
    return MeshLandmarks(mesh)


def _lips(scene: Path, poses: str) -> list[tuple[int, int, int, int]]:
    """Square around the lips in each frame of a recording."""
    from talkinghead.registry import FAMILIES, named
    from talkinghead.service.availability import sources_in

    know = [facts for facts in FAMILIES.values() if facts.recorded_lips is not None]
    for facts in know:
        if facts.recorded_lips is not None and scene in sources_in([scene], facts):
            found: list[tuple[int, int, int, int]] = named(facts.recorded_lips)(scene, poses)
            return found
    raise MediaNotFound(
        f"{scene} is no recording that says where the lips are.",
        accepted=" or ".join(facts.face_source for facts in know) or None,
    )
