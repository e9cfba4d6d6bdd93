"""`talkinghead synctalk2d`: the published scripts' flags, export for other programs, and model files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.bounds import LENGTHS_S, Between
from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.families.synctalk2d.config import START_FRAMES
from talkinghead.files import make_folder
from talkinghead.places import WRITTEN, check_apart, fitted_name
from talkinghead.terminal import console
from talkinghead.terminal.apart import AROUND
from talkinghead.terminal.placing import Backend, Device, Precision
from talkinghead.terminal.program import program, quoted
from talkinghead.terminal.typers import CONTEXT

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich", context_settings=CONTEXT
)

OPSETS = Between(11, 25)
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Generator: a file, or a folder of numbered files.")]
Mode = Annotated[str, typer.Option("--mode", help="ave, hubert or wenet; auto goes by the checkpoint.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    asr: Annotated[str, typer.Option("--asr", help="Speech features: ave, hubert or wenet.")] = "ave",
    name: Annotated[
        str, typer.Option("--name", help="Person: ./checkpoint/NAME, ./dataset/NAME, ./result/NAME_SOUND_NUMBER.mp4.")
    ] = "May",
    audio_path: Annotated[Path, typer.Option("--audio_path", "--audio-path", help="Speech.")] = Path(
        "demo/talk_hb.wav"
    ),
    start_frame: Annotated[
        int, START_FRAMES, typer.Option("--start_frame", "--start-frame", help="First template used.")
    ] = 0,
    parsing: Annotated[
        bool, typer.Option("--parsing/--no-parsing", help="Keep torso and background by the parsing pictures.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "parity",
    backend: Backend = "auto",
    features: Annotated[Path | None, typer.Option(help="Features of the sound as .npy, for hubert and wenet.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make a video with the flags and folders of the published SyncTalk_2D script, its behaviour included.

    Looks for ./checkpoint/NAME (highest number), ./dataset/NAME and the AVE encoder in ./model/checkpoints; writes
    ./result/NAME_SOUND_NUMBER.mp4. The general command is: talkinghead generate --model synctalk2d
    """
    if context.invoked_subcommand is not None:
        return
    from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
    from talkinghead.engine.speech_input import listen
    from talkinghead.errors import OptionError, choices
    from talkinghead.families.synctalk2d.pipeline import build
    from talkinghead.families.synctalk2d.variants import MODES
    from talkinghead.families.synctalk2d.weights import find_checkpoint
    from talkinghead.media import EncodeOptions

    if asr not in MODES:
        raise OptionError(f"--asr is {asr!r}.", accepted=choices(MODES))
    checkpoint = find_checkpoint(Path("checkpoint") / name)
    options: dict[str, Any] = {"mode": asr, "start_frame": start_frame, "parsing": parsing}
    if features is not None:
        options["features"] = features
    load = LoadOptions(checkpoint, device, precision, backend, compat=True, family=options)
    head: Any = build(load)
    number = checkpoint.name.split(".")[0]
    sound = audio_path.name.split(".")[0]
    output = Path("result") / fitted_name(f"{name}_{sound}_{number}", ".mp4")
    check_apart([output], [audio_path, features, checkpoint])
    make_folder(output.parent)
    render = RenderOptions(encode=EncodeOptions(crf=head.variant().size.crf))
    with console.ProgressDisplay(quiet=quiet) as display:
        started = time.perf_counter()
        speech = listen(audio_path)
        prepare = PrepareOptions(speech=speech, render=render)
        avatar = head.prepare(Path("dataset") / name, prepare, progress=display)
        made = head.render(avatar, speech, output, render, progress=display)
        per_second = made.report.num_frames / (time.perf_counter() - started)
    console.say(f"{made.path}: {made.report.num_frames} frames, {per_second:.1f} frames/s")


@app.command()
def export(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file of the generator."), WRITTEN],
    mode: Mode = "auto",
    opset: Annotated[int, OPSETS, typer.Option(help="ONNX opset.")] = 17,
    ave_encoder: Annotated[Path | None, typer.Option(help="Also export this AVE encoder.")] = None,
    ave_output: Annotated[
        Path | None, typer.Option(help="Its ONNX file; default: ave_encoder.onnx beside the generator's."), WRITTEN
    ] = None,
    force: Force = False,
    json_output: Annotated[bool, typer.Option("--json", help="Say as JSON what was written.")] = False,
) -> None:
    """Write the generator (and the AVE encoder) as ONNX, compared in ONNX Runtime with torch before it is left.

    The file says in its metadata what its inputs and outputs are: mode, shapes, ranges, colour order, crop.
    """
    from dataclasses import asdict

    from talkinghead.errors import OutputExists
    from talkinghead.families.synctalk2d.export import export_ave_encoder, export_generator
    from talkinghead.families.synctalk2d.weights import read_generator
    from talkinghead.weights import read_checkpoint

    second = ave_output or output.with_name("ave_encoder.onnx")
    check_apart([output, second if ave_encoder is not None else None], [checkpoint, ave_encoder])
    for path in (output, second) if ave_encoder is not None else (output,):
        if path.exists() and not force:
            raise OutputExists(f"{path} exists.", remedy="another name, or --force")
    weights = read_generator(checkpoint)
    written = [export_generator(weights, weights.variant(None if mode == "auto" else mode), output, opset=opset)]
    if ave_encoder is not None:
        encoder = read_checkpoint(ave_encoder)
        written.append(export_ave_encoder(dict(encoder.tensors), second, opset=opset, sha256=encoder.sha256))
    if json_output:
        console.print_json([asdict(entry) for entry in written])
        return
    rows = [
        [entry.path, entry.opset, f"{entry.num_bytes / 1e6:.1f} MB", f"{entry.max_difference:.1e}"] for entry in written
    ]
    console.say(console.table(["file", "opset", "size", "largest difference to torch"], rows))


@app.command()
def reference(
    checkpoint: Checkpoint,
    template: Annotated[Path, typer.Option("--template", help="Template folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write."), WRITTEN],
    audio: Annotated[
        Path | None, typer.Option("--audio", "-a", help="Speech; the steps to features are recorded.")
    ] = None,
    features: Annotated[Path | None, typer.Option(help="Features as .npy instead of a sound.")] = None,
    mode: Mode = "auto",
    ave_encoder: Annotated[Path | None, typer.Option(help="AVE encoder; default: beside the checkpoint.")] = None,
    frames: Annotated[
        int, Between(1, 10_000), typer.Option(help="Output frames that are recorded, evenly spread.")
    ] = 5,
    opset: Annotated[int, OPSETS, typer.Option(help="ONNX opset.")] = 17,
    duration: Annotated[
        float | None, LENGTHS_S, typer.Option(help="Seconds of the sound to use; default: all.")
    ] = None,
    force: Force = False,
) -> None:
    """Write a folder for a port in another language: ONNX files and the arrays at every seam of a real run.

    Check it, or compare a port's arrays with it, with: talkinghead reference validate FOLDER --against OTHER
    """
    from talkinghead.errors import OptionError
    from talkinghead.families.synctalk2d.port import write_port_folder
    from talkinghead.families.synctalk2d.weights import read_generator
    from talkinghead.media import read_audio

    if (audio is None) == (features is None):
        raise OptionError("One of --audio and --features is needed.")
    weights = read_generator(checkpoint)
    clip = read_audio(audio, SPEECH_RATE_HZ, duration_s=duration) if audio is not None else None
    folder = write_port_folder(
        output,
        weights,
        weights.variant(None if mode == "auto" else mode),
        template,
        clip=clip,
        features_path=features,
        ave_encoder=ave_encoder,
        num_sample_frames=frames,
        opset=opset,
        overwrite=force,
    )
    console.say(f"{folder}: {sum(1 for _ in folder.rglob('*.npy'))} arrays")


@app.command()
def convert(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("-o", "--output", help="Safetensors file."), WRITTEN],
    mode: Mode = "auto",
    force: Force = False,
) -> None:
    """Write a checkpoint of any published layout as safetensors with its mode, which then need not be given again."""
    from talkinghead.families.synctalk2d.weights import read_generator
    from talkinghead.weights import write_safetensors

    weights = read_generator(checkpoint)
    variant = weights.variant(None if mode == "auto" else mode)
    metadata = {"mode": variant.audio.mode, "model": f"synctalk2d.{variant.name}"}
    if weights.hears is not None:
        metadata["hears"] = weights.hears
    write_safetensors(weights.tensors, output, metadata=metadata, overwrite=force)
    console.say(f"{output}: {variant.name}, {len(weights.tensors)} tensors")


@app.command()
def demo(
    output: Annotated[Path, typer.Argument(help="Folder to make."), AROUND],
    frames: Annotated[int, Between(1, 10_000), typer.Option(help="Template frames.")] = 100,
    width: Annotated[int, Between(64, 8_192), typer.Option(help="Pixels.")] = 960,
    height: Annotated[int, Between(64, 8_192), typer.Option(help="Pixels.")] = 540,
    size: Annotated[str, typer.Option(help="Network: 328 or 160.")] = "328",
    force: Force = False,
) -> None:
    """Make a drawn template folder and networks with constructed weights, to try everything without a download."""
    from talkinghead.errors import OptionError
    from talkinghead.families.synctalk2d.procedural import write_models, write_template
    from talkinghead.families.synctalk2d.variants import SIZES

    if size not in SIZES:
        raise OptionError(f"There is no network {size!r}.", accepted="328 or 160")
    checkpoint = write_models(output / "model", size, overwrite=force)
    template = write_template(output / "template", num_frames=frames, width=width, height=height)
    words = ["generate", "--model", "synctalk2d", "--checkpoint", str(checkpoint), "--template", str(template)]
    console.say(f"Next: {program()} {quoted(words)} --audio hello.wav -o out.mp4")
