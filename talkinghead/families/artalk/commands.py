"""`talkinghead artalk`: the published ARTalk program, flag by flag; and its steps one by one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.bounds import Between
from talkinghead.errors import OptionError
from talkinghead.families.artalk.config import ANTIALIAS, CLIP_LENGTHS, IMAGE_SIZES, PITCHES, YAWS, ZOOMS
from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.apart import AROUND
from talkinghead.terminal.placing import Device

if TYPE_CHECKING:
    from talkinghead.families.artalk.pipeline import ARTalkHead
    from talkinghead.terminal.host import Host

ASSETS = typer.Option(help="Folder of the published files. Default: ARTALK_ASSET_DIR, else ./assets.")


def artalk(
    context: typer.Context,
    audio_path: Annotated[Path | None, typer.Option("-a", "--audio_path", "--audio-path", help="Speech.")] = None,
    clip_length: Annotated[
        int,
        Between(1, CLIP_LENGTHS.most),
        typer.Option("-l", "--clip_length", "--clip-length", help="Frames (25 a second) at most."),
    ] = 750,
    shape_id: Annotated[
        str, typer.Option("-i", "--shape_id", "--shape-id", help='"mesh", or the id of a tracked avatar.')
    ] = "mesh",
    style_id: Annotated[
        str, typer.Option("-s", "--style_id", "--style-id", help='A style of the assets, or "default" for none.')
    ] = "default",
    run_app: Annotated[bool, typer.Option("--run_app", "--run-app", help="Open the web page instead.")] = False,
    assets: Annotated[Path | None, ASSETS] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results."), AROUND] = Path(
        "render_results/ARTAvatar_wav2vec"
    ),
    driver: Annotated[
        str, typer.Option(help="artalk, viseme (recognised phones; no files), or auto: artalk where its files are.")
    ] = "auto",
    fix_pose: Annotated[bool, typer.Option("--fix_pose", "--fix-pose", help="Keep the head still.")] = False,
    device: Device = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Say as JSON what was written.")] = False,
) -> None:
    """Make a 3D head speak as the published ARTalk program does.

    Writes NAME_STYLE_SHAPE.mp4 and NAME_STYLE_SHAPE_motions.pt. For videos of any length, other cameras, colours and
    formats use: talkinghead generate --model artalk
    """
    if run_app:
        host: Host = context.obj
        host.open_page("artalk", {"assets": assets} if assets is not None else {})
        return
    if audio_path is None:
        raise OptionError("There is no sound to speak.", accepted="-a FILE, or --run_app for the web page")
    from talkinghead.engine.context import ProgressEvent
    from talkinghead.families.artalk.published import ARTAvatarInferEngine, run
    from talkinghead.files import existing_file

    existing_file(audio_path)
    engine = ARTAvatarInferEngine(
        fix_pose=fix_pose,
        clip_length=clip_length,
        device=device,
        assets=assets,
        output_folder=output,
        driver=driver,
    )
    with console.ProgressDisplay(quiet=quiet) as progress:
        result = run(
            engine,
            audio_path,
            shape_id=shape_id,
            style_id=style_id,
            on_frame=lambda done, total: progress(ProgressEvent("render", done, total)),
        )
    for sentence in result.notes:
        console.warn(sentence)
    if json_output:
        console.print_json(
            {
                "video": str(result.video),
                "motions": str(result.motions),
                "num_frames": result.num_frames,
                "driver": result.driver,
                "warnings": list(result.notes),
            }
        )
        return
    console.say(f"{result.video}: {result.num_frames} frames")
    console.say(f"{result.motions}: motion [{result.num_frames}, 106]")


steps = typer.Typer(help="Run the steps of ARTalk one by one, with files between them.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="File of the step before.")]
Target = Annotated[Path, typer.Option("-o", "--output", help="File to write."), WRITTEN]
Flame = Annotated[Path | None, typer.Option(help='FLAME file; "procedural" is our own head.')]
Shape = Annotated[Path | None, typer.Option(help="Identity: 300 numbers in .npy, .npz or .json.")]


def _head(device: str = "auto", **values: Any) -> ARTalkHead:
    from talkinghead.engine.options import build_config
    from talkinghead.families.artalk.config import ARTalkConfig
    from talkinghead.families.artalk.steps import open_head

    return open_head(build_config(ARTalkConfig, values, owner="artalk"), device=device)


@steps.command("features")
def features_step(
    audio: Annotated[Path, typer.Argument(help="Speech.")],
    output: Target,
    assets: Annotated[Path | None, ASSETS] = None,
    device: Device = "auto",
) -> None:
    """Speech to audio features (.npz)."""
    import io

    import numpy as np

    from talkinghead.families.artalk.published import load_audio
    from talkinghead.families.artalk.steps import audio_features
    from talkinghead.files import write_bytes

    clip = load_audio(audio)
    buffer = io.BytesIO()
    found = audio_features(_head(device, assets=assets, driver="artalk"), clip.samples)
    np.savez(buffer, features=found, num_samples=len(clip.samples))
    write_bytes(output, buffer.getvalue())
    console.say(f"{output}: features {list(found.shape)}")


@steps.command("motion")
def motion_step(
    source: Annotated[Path, typer.Argument(help="features.npz, or speech (then also smoothed).")],
    output: Target,
    assets: Annotated[Path | None, ASSETS] = None,
    style: Annotated[str | None, typer.Option(help="Style name or file.")] = None,
    driver: Annotated[str, typer.Option(help="auto, artalk or viseme.")] = "auto",
    device: Device = "auto",
) -> None:
    """Features or speech to motion (.npy or .pt)."""
    from talkinghead.families.artalk.steps import FPS, raw_motion, read_features, write_array

    if source.suffix == ".npz":
        head = _head(device, assets=assets, driver="artalk", style=style)
        made = raw_motion(head, *read_features(source))
    else:
        from talkinghead.engine.speech_input import listen

        head = _head(device, assets=assets, driver=driver, style=style)
        speech = listen(source)
        made = head.motion_arrays(head.hear(head.prepare("mesh"), speech, FPS))["motion"]
    write_array(output, made)
    console.say(f"{output}: motion {list(made.shape)}")


@steps.command("smooth")
def smooth_step(
    motion: Source,
    output: Target,
    clip_length: Annotated[int, CLIP_LENGTHS, typer.Option(help="Frames to keep; 0 keeps all.")] = 0,
    fix_pose: Annotated[bool, typer.Option("--fix-pose", help="Keep the head still.")] = False,
) -> None:
    """Smooth raw motion as published."""
    from talkinghead.families.artalk.steps import read_motion, smoothed, write_array

    made = smoothed(read_motion(motion), clip_length=clip_length or None, fix_pose=fix_pose)
    write_array(output, made)
    console.say(f"{output}: motion {list(made.shape)}")


@steps.command("vertices")
def vertices_step(
    motion: Source,
    output: Target,
    flame: Flame = None,
    shape: Shape = None,
    assets: Annotated[Path | None, ASSETS] = None,
) -> None:
    """Motion to vertices (.npz)."""
    from talkinghead.families.artalk.steps import read_motion, write_vertices

    head = _head(assets=assets, driver="viseme", flame=flame, shape=shape)
    values = read_motion(motion)
    write_vertices(output, head.mesh(), values)
    console.say(f"{output}: {len(values)} frames of {head.flame.num_vertices} vertices")


@steps.command("render")
def render_step(
    vertices: Source,
    output: Annotated[Path, typer.Option("-o", "--output", help="Video, or a folder for PNG files."), WRITTEN],
    audio: Annotated[Path | None, typer.Option(help="Sound for the video.")] = None,
    flame: Flame = None,
    assets: Annotated[Path | None, ASSETS] = None,
    image_size: Annotated[int, IMAGE_SIZES, typer.Option(help="Pixels per side.")] = 512,
    look: Annotated[str, typer.Option(help="auto, plain or natural.")] = "auto",
    antialias: Annotated[int, ANTIALIAS, typer.Option(help="Samples per pixel along each side.")] = 2,
    background: Annotated[str, typer.Option(help="A colour or a picture.")] = "auto",
    yaw: Annotated[float, YAWS, typer.Option(help="Degrees.")] = 0.0,
    pitch: Annotated[float, PITCHES, typer.Option(help="Degrees.")] = 0.0,
    zoom: Annotated[float, ZOOMS, typer.Option(help="Factor.")] = 1.0,
) -> None:
    """Vertices to a video (rendered and encoded), or to PNG files for `talkinghead stage encode-video`."""
    from talkinghead.families.artalk.steps import draw, read_vertices
    from talkinghead.media import EncodeOptions, write_video

    head = _head(
        assets=assets, driver="viseme", flame=flame, image_size=image_size, look=look, antialias=antialias,
        background=background, yaw=yaw, pitch=pitch, zoom=zoom,
    )  # fmt: skip
    verts, faces = read_vertices(vertices)
    options = EncodeOptions() if output.suffix else EncodeOptions(codec="png")
    info = write_video(
        output,
        draw(verts, faces, head.mesh()),
        fps=Fraction(25),
        soundtrack=audio,
        num_frames=len(verts),
        options=options,
        origin=head.origin(),
    )
    console.say(f"{output}: {info.num_frames} frames")


@steps.command("export")
def export_step(
    motion: Source,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help=".glb (morph targets), .obj or .ply (a file per frame), .npz, .json."),
        WRITTEN,
    ],
    flame: Flame = None,
    shape: Shape = None,
    assets: Annotated[Path | None, ASSETS] = None,
) -> None:
    """Motion to files for Blender, the web and other programs."""
    from talkinghead.families.artalk.export import export_motion
    from talkinghead.families.artalk.steps import read_motion

    head = _head(assets=assets, driver="viseme", flame=flame, shape=shape)
    mesh = head.mesh()
    written = export_motion(output, read_motion(motion), head.flame, shape=mesh.shape, colours=mesh.renderer.colours)
    console.say(f"{written[0]}" + (f" and {len(written) - 1} more" if len(written) > 1 else ""))
