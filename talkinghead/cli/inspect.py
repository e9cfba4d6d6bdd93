"""`talkinghead inspect`: what a media file holds, and how well its pictures and sound go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkinghead.terminal import console
from talkinghead.terminal.helping import HelpPage, help_page

if TYPE_CHECKING:
    from talkinghead.measure.inspect import Inspection, MouthOpening
    from talkinghead.media import AudioTrack, VideoTrack
    from talkinghead.provenance.verify import Signature


@help_page(
    HelpPage(
        examples=(
            "inspect out.mp4",
            "inspect me.jpg --json",
            "inspect signed.mp4 --no-faces --trust authority.pem",
        )
    )
)
def inspect(
    file: Annotated[Path, typer.Argument(help="Picture, video or sound.")],
    faces: Annotated[
        bool, typer.Option("--faces/--no-faces", help="Look for faces and measure sync; else only read the streams.")
    ] = True,
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Authorities (PEM) that may vouch for whoever signed the file."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Say what a media file holds and how well it is in sync.

    Frames and samples are counted, not taken from the header. Offset and drift between sound and pictures are measured
    from how the mouth opens against how loud the sound is; no model is needed. With the face mesh installed it says how
    far the lips are apart, too. A signature (C2PA) is verified where the extra `provenance` is installed.
    """
    from talkinghead.engine.context import ProgressEvent
    from talkinghead.measure.inspect import inspect_media
    from talkinghead.provenance.verify import read_signature

    with console.ProgressDisplay(quiet=quiet or json_output) as display:
        found = inspect_media(
            file,
            look_for_faces=faces,
            progress=lambda what, done, total: display(ProgressEvent(what, done, total)),
        )
    signature = read_signature(file, trust=trust)
    if json_output:
        console.print_json({**found.to_dict(), "signature": signature.to_dict() if signature is not None else None})
    else:
        console.say(as_text(found, signature))


def as_text(found: Inspection, signature: Signature | None = None) -> str:
    """The inspection as aligned lines."""
    from talkinghead.provenance.verify import in_lines
    from talkinghead.provenance.xmp import in_words

    media = found.media
    rows: list[tuple[str, str]] = [
        ("file", f"{media.path} ({media.kind}, {media.container}, {console.size_text(media.file_bytes)})")
    ]
    if media.comment:
        rows.append(("says", media.comment[:200]))
    if media.said is not None:
        rows.append(("XMP", in_words(media.said)))
    if signature is not None:
        rows += [("signed" if k == 0 else "", line) for k, line in enumerate(in_lines(signature))]
    rows += [("video", _video(track)) for track in media.video]
    rows += [("audio", _audio(track)) for track in media.audio]
    rows += [("other", f"{track.kind} {track.codec or ''}".strip()) for track in media.other]
    difference = media.audio_minus_video_s
    if difference is not None:
        later = "after" if difference >= 0 else "before"
        rows.append(("ends", f"the sound ends {1000 * abs(difference):.0f} ms {later} the pictures"))
    if found.faces is not None:
        faces = found.faces
        text = f"in {faces.frames_with_face} of {faces.frames_looked_at} frames looked at ({100 * faces.share:.0f}%)"
        if faces.frames_with_several:
            text += f", several in {faces.frames_with_several}"
        if faces.mean_height is not None:
            text += f"; {100 * faces.mean_height:.0f}% of the height"
        rows.append(("face", f"{text} [{faces.detector}]"))
    if found.mouth is not None:
        rows.append(("mouth", _mouth(found.mouth)))
    if found.sync is not None:
        rows += [("sync", line) for line in found.sync.sentences]
    rows += [("note", text) for text in (*media.warnings, *found.notes)]
    return "\n".join(f"{name:<6} {text}" for name, text in rows)


def _mouth(mouth: MouthOpening) -> str:
    known = 100 * mouth.known
    return (
        f"lips apart by {known.mean():.1f}% of the distance between the eyes in the mean, at most {known.max():.1f}%; "
        f"closed in {100 * (mouth.closed_share or 0):.0f}% of {len(known)} frames [{mouth.landmarks}]"
    )


def _video(track: VideoTrack) -> str:
    parts = [track.codec, f"{track.width}x{track.height}"]
    if track.pixel_format:
        parts.append(track.pixel_format)
    if track.rotation_degrees:
        parts.append(f"turned {track.rotation_degrees} degrees")
    if track.fps is not None:
        kind = "variable, about " if track.variable_frame_rate else ""
        exact = f" ({track.fps})" if track.fps.denominator != 1 else ""
        parts.append(f"{kind}{float(track.fps):.6g} frames/s{exact}")
        parts.append(f"{track.num_frames} frames")
        if track.declared_frames is not None and track.declared_frames != track.num_frames:
            parts.append(f"the header says {track.declared_frames}")
    if track.duration_s is not None:
        parts.append(f"{track.duration_s:.3f} s")
    if track.is_cover:
        parts.append("cover picture")
    return ", ".join(parts)


def _audio(track: AudioTrack) -> str:
    layout = "mono" if track.num_channels == 1 else track.layout
    parts = [track.codec, f"{track.sample_rate_hz} Hz", layout]
    if track.duration_s is not None:
        parts.append(f"{track.duration_s:.3f} s")
    if track.language and track.language != "und":
        parts.append(track.language)
    return ", ".join(parts)
