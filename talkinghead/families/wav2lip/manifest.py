"""What the rest of the package knows of the family: Wav2Lip."""

from __future__ import annotations

from talkinghead.engine.manifest import Manifest, StepRow

_STEPS = "talkinghead.families.wav2lip.step_commands"

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
    pace=3.1,
    phrase="New lips in a film",
    plain="Gives the person in a film new lips that follow your speech. Best with films of real people.",
    config="talkinghead.families.wav2lip.config:Wav2LipConfig",
    extra="models",
    steps=(
        StepRow("extract-mel", f"{_STEPS}:extract_mel", "Step 1: sound to mel spectrogram."),
        StepRow("chunk-mel", f"{_STEPS}:chunk_mel", "Step 2: mel spectrogram to one window per video frame."),
        StepRow("load-frames", f"{_STEPS}:load_frames", "Step 3: picture or video to frames."),
        StepRow("detect-faces", f"{_STEPS}:detect_faces", "Step 4: frames to face boxes."),
        StepRow("run-wav2lip", f"{_STEPS}:run_wav2lip", "Step 5: the network: one face per window."),
        StepRow("paste-patches", f"{_STEPS}:paste_patches", "Step 6: put the generated faces into their frames."),
        StepRow("encode-video", f"{_STEPS}:encode_video", "Step 7: frames and sound to a video."),
        StepRow("run", f"{_STEPS}:run", "All seven steps, or those up to --until, in one folder."),
    ),
    catalogue="talkinghead.families.wav2lip.model_files:CATALOGUE",
    kinds="talkinghead.families.wav2lip.model_files:KINDS",
    exported_tensors="talkinghead.families.wav2lip.weights:tensors_of_export",
    reference="talkinghead.families.wav2lip.reference:NETWORKS",
    bench="talkinghead.families.wav2lip.bench:cases",
    bench_tables="talkinghead.families.wav2lip.bench:tables",
    whole_sound=(
        "the silence gate: how loud the speech is at its loudest",
        "the sounds of several faces, which are read from files",
    ),
)
