"""What the rest of the package knows of the family: ARTalk."""

from __future__ import annotations

from talkinghead.engine.manifest import CommandRow, Example, Manifest, StepRow

MANIFEST = Manifest(
    name="artalk",
    title="ARTalk",
    summary="A 3D head that speaks, as a mesh or a Gaussian avatar; the mesh needs no weights.",
    kind="scene",
    builder="talkinghead.families.artalk.pipeline:build",
    face_source='"mesh", or the id of a tracked Gaussian avatar',
    source_option="--avatar",
    needs_checkpoint=False,
    fps=None,
    pace=2.8,
    phrase="A 3D head",
    plain="Moves a whole head in 3D from speech alone, with its face and its gaze. It needs no photo.",
    config="talkinghead.families.artalk.config:ARTalkConfig",
    extra="models",
    default_source="mesh",
    source_is_path=False,
    choices="talkinghead.families.artalk.choices:choices_now",
    commands=(
        CommandRow(
            "artalk",
            "talkinghead.families.artalk.commands:artalk",
            "Run ARTalk with the flags of its published program.",
        ),
        CommandRow(
            "artalk-step",
            "talkinghead.families.artalk.commands:steps",
            "Run the steps of ARTalk one by one; export for 3D.",
        ),
    ),
    steps=(
        StepRow(
            "artalk",
            "talkinghead.families.artalk.commands:steps",
            "Five steps: features, motion, smooth, vertices, render; and export for 3D.",
        ),
    ),
    examples=(Example("head", "a 3D head speaks"),),
    catalogue="talkinghead.families.artalk.model_files:CATALOGUE",
    kinds="talkinghead.families.artalk.model_files:KINDS",
    reference="talkinghead.families.artalk.reference:NETWORKS",
    reference_prefixes=("gagavatar",),
    whole_sound=("with --driver viseme the recognition of phones, and how loud the speech is at its loudest",),
    bench="talkinghead.families.artalk.bench:cases",
    bench_tables="talkinghead.families.artalk.bench:tables",
)
