"""The seven steps of Wav2Lip as commands of `talkinghead stage`, with files between them; and `run`, all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from talkinghead.bounds import PIXELS, Between
from talkinghead.media.options import CROPS, RESIZE_FACTORS
from talkinghead.places import WRITTEN
from talkinghead.terminal import console
from talkinghead.terminal.apart import AROUND
from talkinghead.terminal.placing import Backend, Device, Precision
from talkinghead.terminal.steps import Force, Report, show_step, write_report

Four = tuple[int, int, int, int]
Frames = Annotated[Path, typer.Option("--frames", help="Folder of frames, from load-frames.")]
Coords = Annotated[Path, typer.Option("--coords", help="Boxes (y1, y2, x1, x2), from detect-faces.")]
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Weights of the generator.")]
Audio = Annotated[Path, typer.Option("--audio", help="Speech: any audio or video file.")]
FaceFile = Annotated[Path, typer.Option("--face", help="Picture or video of a face.")]
Static = Annotated[bool, typer.Option("--static", help="Use the first frame only.")]
MelPadding = Annotated[
    str, typer.Option("--mel-padding", help="zeros (as librosa since 0.9) or reflect (as before), at both ends.")
]
Resize = Annotated[
    int, RESIZE_FACTORS, typer.Option("--resize_factor", "--resize-factor", help="Divide width and height by this.")
]
Crop = Annotated[
    Four | None, CROPS, typer.Option("--crop", help="top bottom left right after resizing and rotating; -1: the edge.")
]
Rotate = Annotated[bool, typer.Option("--rotate", help="Turn by 90 degrees clockwise.")]
Pads = Annotated[Four, PIXELS, typer.Option("--pads", help="Pixels added to the box: top bottom left right.")]
NoSmooth = Annotated[bool, typer.Option("--nosmooth", help="Do not smooth the boxes over time.")]
Box = Annotated[
    Four | None, PIXELS, typer.Option("--box", help="Fixed box, top bottom left right; nothing is detected.")
]
DetectorName = Annotated[str, typer.Option("--detector", help="Face detector; s3fd is the published one.")]
DetectorModel = Annotated[Path | None, typer.Option("--detector-model", help="Its weights, such as s3fd.pth.")]
BatchSize = Annotated[
    int,
    Between(0, 9_999),
    typer.Option("--batch_size", "--batch-size", help="Faces per call of the network; 0 chooses."),
]


def extract_mel(
    audio: Audio,
    out: Annotated[Path, typer.Option("--out", help="Mel spectrogram, .npy [80, T]."), WRITTEN],
    mel_padding: MelPadding = "zeros",
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 1: sound to mel spectrogram."""
    from talkinghead.families.wav2lip import steps

    show_step(steps.extract_mel(audio, out, mel_padding=mel_padding, force=force), report)


def chunk_mel(
    mel: Annotated[Path, typer.Option("--mel", help="Mel spectrogram, from extract-mel.")],
    out: Annotated[Path, typer.Option("--out", help="Windows, .npy [N, 80, 16]."), WRITTEN],
    fps: Annotated[str, typer.Option("--fps", help="Frame rate of the video: 25, 29.97, 30000/1001.")] = "25",
    step: Annotated[int, Between(1, 10_000), typer.Option("--step", help="Columns per window.")] = 16,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 2: mel spectrogram to one window per video frame."""
    from talkinghead.families.wav2lip import steps

    show_step(steps.chunk_mel(mel, out, fps=fps, step=step, force=force), report)


def load_frames(
    face: FaceFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the frames, PNG."), WRITTEN],
    fps: Annotated[
        str | None, typer.Option("--fps", help="Frame rate to read at; default: the video's own, 25 for a picture.")
    ] = None,
    resize_factor: Resize = 1,
    crop: Crop = None,
    rotate: Rotate = False,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 3: picture or video to frames."""
    from talkinghead.families.wav2lip import steps

    show_step(
        steps.load_frames(face, out, fps=fps, resize_factor=resize_factor, crop=crop, rotate=rotate, force=force),
        report,
    )


def detect_faces(
    frames: Frames,
    out: Annotated[Path, typer.Option("--out", help="Boxes, .npy [n, 4]: y1, y2, x1, x2."), WRITTEN],
    pads: Pads = (0, 10, 0, 0),
    nosmooth: NoSmooth = False,
    box: Box = None,
    detector: DetectorName = "s3fd",
    detector_model: DetectorModel = None,
    mel_chunks: Annotated[
        Path | None,
        typer.Option(
            "--mel_chunks",
            "--mel-chunks",
            help="Windows, from chunk-mel: frames that none of them shows are left out, as the published script does.",
        ),
    ] = None,
    static: Static = False,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 4: frames to face boxes, padded and smoothed as published."""
    from talkinghead.families.wav2lip import steps

    choice = steps.FaceChoice(pads, nosmooth, box, detector, detector_model)
    show_step(steps.detect_faces(frames, out, choice=choice, mel_chunks=mel_chunks, static=static, force=force), report)


def run_wav2lip(
    checkpoint: Checkpoint,
    frames: Frames,
    mel_chunks: Annotated[Path, typer.Option("--mel_chunks", "--mel-chunks", help="Windows, from chunk-mel.")],
    coords: Coords,
    out: Annotated[Path, typer.Option("--out", help="Folder for the generated faces, PNG, one per window."), WRITTEN],
    batch_size: BatchSize = 0,
    static: Static = False,
    device: Device = "auto",
    precision: Precision = "parity",
    backend: Backend = "auto",
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 5: the network: one face per window."""
    from talkinghead.families.wav2lip import steps

    network = steps.NetworkChoice(batch_size, device, precision, backend)
    show_step(
        steps.run_wav2lip(checkpoint, frames, mel_chunks, coords, out, network=network, static=static, force=force),
        report,
    )


def paste_patches(
    frames: Frames,
    patches: Annotated[Path, typer.Option("--patches", help="Folder of generated faces, from run-wav2lip.")],
    coords: Coords,
    out: Annotated[Path, typer.Option("--out", help="Folder for the finished frames, PNG."), WRITTEN],
    static: Static = False,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 6: put the generated faces into their frames."""
    from talkinghead.families.wav2lip import steps

    show_step(steps.paste_patches(frames, patches, coords, out, static=static, force=force), report)


def encode_video(
    frames: Frames,
    audio: Audio,
    out: Annotated[Path, typer.Option("--out", help="Video."), WRITTEN],
    fps: Annotated[str | None, typer.Option("--fps", help="Frame rate; default: that of the frames, else 25.")] = None,
    report: Report = None,
    force: Force = False,
) -> None:
    """Step 7: frames and sound to a video."""
    from talkinghead.engine import picture_steps

    show_step(picture_steps.encode_video(frames, audio, out, fps=fps, force=force), report)


def run(
    face: FaceFile,
    audio: Audio,
    workdir: Annotated[Path, typer.Option("--workdir", help="Folder for the files of all stages."), AROUND],
    until: Annotated[str, typer.Option("--until", help="Last stage to run.")] = "encode-video",
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Weights of the generator.")] = None,
    fps: Annotated[str | None, typer.Option("--fps", help="Frame rate; default: the video's own.")] = None,
    resize_factor: Resize = 1,
    crop: Crop = None,
    rotate: Rotate = False,
    pads: Pads = (0, 10, 0, 0),
    nosmooth: NoSmooth = False,
    box: Box = None,
    detector: DetectorName = "s3fd",
    detector_model: DetectorModel = None,
    static: Static = False,
    mel_padding: MelPadding = "zeros",
    batch_size: BatchSize = 0,
    device: Device = "auto",
    precision: Precision = "parity",
    backend: Backend = "auto",
    report: Report = None,
) -> None:
    """All steps, or those up to --until, in one folder. What is there and unchanged is not made again."""
    from talkinghead.engine.picture_steps import parse_fps
    from talkinghead.families.wav2lip import steps
    from talkinghead.families.wav2lip.chain import ChainOptions, check_chain_apart, run_chain

    options = ChainOptions(
        face=face,
        audio=audio,
        workdir=workdir,
        checkpoint=checkpoint,
        fps=parse_fps(fps),
        resize_factor=resize_factor,
        crop=crop,
        rotate=rotate,
        static=static,
        mel_padding=mel_padding,
        faces=steps.FaceChoice(pads, nosmooth, box, detector, detector_model),
        network=steps.NetworkChoice(batch_size, device, precision, backend),
    )

    check_chain_apart(options, until, report)

    def told(step: Any) -> None:
        console.say(f"{step.report.stage}: unchanged, kept" if step.skipped else step.report.text())

    done = run_chain(options, until, told=told)
    if report is not None:
        write_report(report, [{**step.report.to_dict(), "skipped": step.skipped} for step in done])
