"""What the rest of the package knows of the family: Wav2Lip."""

from __future__ import annotations

from talkinghead.engine.manifest import Manifest

MANIFEST = Manifest(
    name="wav2lip",
    title="Wav2Lip",
    summary="Generates the lower face of any picture or video from the sound (96 or 256 pixels).",
    kind="patch",
    builder="talkinghead.families.wav2lip.pipeline:build",
    face_source="a picture or video of a face",
    source_option="--face",
    needs_checkpoint=True,
    fps=None,
    config="talkinghead.families.wav2lip.config:Wav2LipConfig",
    extra="models",
    catalogue="talkinghead.families.wav2lip.model_files:CATALOGUE",
    kinds="talkinghead.families.wav2lip.model_files:KINDS",
    exported_tensors="talkinghead.families.wav2lip.weights:tensors_of_export",
    reference="talkinghead.families.wav2lip.reference:NETWORKS",
    bench="talkinghead.families.wav2lip.bench:cases",
    bench_tables="talkinghead.families.wav2lip.bench:tables",
)
