"""`talkinghead synthesize-fuse`: the published TalkingGaussian program, flag by flag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.bounds import THREADS, Between
from talkinghead.errors import OptionError, choices
from talkinghead.families.talkinggaussian.config import ITERATIONS
from talkinghead.terminal import console
from talkinghead.terminal.placing import Device

_IGNORED = "Accepted for compatibility; has no effect, as in the original."
ANY = Between(-(2**63), 2**63 - 1)


def synthesize_fuse(
    source_path: Annotated[Path, typer.Option("--source_path", "--source-path", "-s", "-S", help="Dataset folder.")],
    model_path: Annotated[
        Path,
        typer.Option(
            "--model_path", "--model-path", "-m", "-M", help="Folder with chkpnt_fuse_latest.pth; videos go here."
        ),
    ],
    eval_: Annotated[
        bool, typer.Option("--eval", help="Do not read transforms_train.json; the training list is then the other one.")
    ] = False,
    use_train: Annotated[
        bool,
        typer.Option("--use_train", "--use-train", help="Render the training list, below train/ instead of test/."),
    ] = False,
    audio: Annotated[
        Path | None,
        typer.Option(
            help="Speech features (.npy), or any sound file, which then is in the videos. Default: the dataset's."
        ),
    ] = None,
    audio_extractor: Annotated[
        str,
        typer.Option(
            "--audio_extractor",
            "--audio-extractor",
            help="deepspeech, hubert or esperanto; default: by the checkpoint.",
        ),
    ] = "auto",
    fast: Annotated[bool, typer.Option("--fast", help="Write only the composited video.")] = False,
    dilate: Annotated[bool, typer.Option("--dilate", help="Widen the mouth's cut-out of the background.")] = False,
    white_background: Annotated[
        bool,
        typer.Option("--white_background", "--white-background", "-w", "-W", help="White behind the single clouds."),
    ] = False,
    iteration: Annotated[int, ITERATIONS, typer.Option(help="Which chkpnt_fuse_N.pth; -1 is the latest.")] = -1,
    audio_model: Annotated[
        str | None,
        typer.Option(
            help="For a sound file: HuBERT or Esperanto encoder, a folder or its name on the Hugging Face hub."
        ),
    ] = None,
    deepspeech_graph: Annotated[
        Path | None, typer.Option(help="For a sound file: the frozen graph deepspeech-0_1_0-b90017e8.pb.")
    ] = None,
    phones: Annotated[
        bool, typer.Option("--phones", help="For a sound file: approximate DeepSpeech features from recognised phones.")
    ] = False,
    device: Device = "auto",
    threads: Annotated[int, THREADS, typer.Option(help="Threads of the rasteriser; 0 uses every core.")] = 0,
    sh_degree: Annotated[int, ANY, typer.Option("--sh_degree", help=_IGNORED, hidden=True)] = 2,
    images: Annotated[str, typer.Option("--images", "-i", "-I", help=_IGNORED, hidden=True)] = "images",
    resolution: Annotated[int, ANY, typer.Option("--resolution", "-r", "-R", help=_IGNORED, hidden=True)] = -1,
    data_device: Annotated[str, typer.Option("--data_device", help=_IGNORED, hidden=True)] = "cpu",
    init_num: Annotated[int, ANY, typer.Option("--init_num", help=_IGNORED, hidden=True)] = 10_000,
    convert_shs: Annotated[bool, typer.Option("--convert_SHs_python", help=_IGNORED, hidden=True)] = False,
    compute_cov: Annotated[bool, typer.Option("--compute_cov3D_python", help=_IGNORED, hidden=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=_IGNORED, hidden=True)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Say as JSON what was written.")] = False,
) -> None:
    """Render a TalkingGaussian head as the published synthesize_fuse.py does.

    Writes MODEL/{test,train}/ours_None/renders/out.mp4, and without --fast also out_face.mp4, out_mouth.mp4 and
    gt/out.mp4. For videos with sound, of any length, use: talkinghead generate --model talkinggaussian
    """
    from talkinghead.engine.context import ProgressEvent
    from talkinghead.families.talkinggaussian.extractors import EXTRACTORS
    from talkinghead.families.talkinggaussian.published import FuseOptions
    from talkinghead.families.talkinggaussian.published import synthesize_fuse as run

    del sh_degree, images, resolution, data_device, init_num, convert_shs, compute_cov, debug
    accepted = ("auto", *EXTRACTORS)
    if audio_extractor not in accepted:
        raise OptionError(f"There is no audio_extractor {audio_extractor!r}.", accepted=choices(accepted))
    options = FuseOptions(
        source_path=source_path,
        model_path=model_path,
        eval=eval_,
        use_train=use_train,
        audio=audio,
        audio_extractor=audio_extractor,  # type: ignore[arg-type]
        fast=fast,
        dilate=dilate,
        white_background=white_background,
        iteration=iteration,
        audio_model=audio_model,
        deepspeech_graph=deepspeech_graph,
        approximate_features=phones,
        device=device,
        threads=threads,
    )
    with console.ProgressDisplay(quiet=quiet) as progress:
        result = run(options, on_frame=lambda done, total: progress(ProgressEvent("render", done, total)))
    for sentence in result.warnings:
        console.warn(sentence)
    if json_output:
        console.print_json(
            {
                "videos": [str(path) for path in result.videos],
                "num_frames": result.num_frames,
                "stages": [vars(stage) for stage in result.times],
                "warnings": list(result.warnings),
            }
        )
        return
    for path in result.videos:
        console.say(f"{path}: {result.num_frames} frames")
