"""What the rest of the package knows of the family: Wav2Lip."""

from __future__ import annotations

from talkinghead.engine.manifest import Manifest

MANIFEST = Manifest(
    name="wav2lip",
    title="Wav2Lip",
    summary="Generates the lower face of any picture or video from the sound (96 or 256 pixels).",
    kind="patch",
    module="talkinghead.families.wav2lip.pipeline",
    face_source="a picture or video of a face",
    source_option="--face",
    needs_checkpoint=True,
    fps=None,
    config="talkinghead.families.wav2lip.config:Wav2LipConfig",
    extra="models",
    reference_module="talkinghead.families.wav2lip.reference",
    whole_sound=(
        "the silence gate: how loud the speech is at its loudest",
        "the sounds of several faces, which are read from files",
    ),
)
