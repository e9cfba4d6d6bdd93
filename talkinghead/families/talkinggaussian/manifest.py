"""What the rest of the package knows of the family: TalkingGaussian."""

from __future__ import annotations

from fractions import Fraction

from talkinghead.engine.manifest import LOOK, CommandRow, Manifest, StepRow

MANIFEST = Manifest(
    name="talkinggaussian",
    title="TalkingGaussian",
    summary="Renders a head of 3D Gaussians that was trained on one person, from any camera.",
    kind="scene",
    builder="talkinghead.families.talkinggaussian.pipeline:build",
    face_source="a dataset folder with transforms_*.json, bc.jpg, torso_imgs and au.csv",
    source_option="--scene",
    needs_checkpoint=True,
    fps=Fraction(25),
    pace=0.9,
    phrase="One person in 3D",
    plain="A head in 3D, trained on a few minutes of film of one person. The camera can move.",
    config="talkinghead.families.talkinggaussian.config:TalkingGaussianConfig",
    extra="models",
    source_type="compositeSynthetic",
    source_marks=("transforms_*.json", "bc.jpg"),
    whole_sound=(
        "the spacing of the rows of DeepSpeech features",
        "the level that HuBERT hears the sound at",
        "the recognition of phones",
    ),
    commands=(
        CommandRow(
            "synthesize-fuse",
            "talkinghead.families.talkinggaussian.published_command:synthesize_fuse",
            "Run TalkingGaussian with the flags of its published program.",
        ),
        CommandRow(
            "inspect-gaussians",
            "talkinghead.families.talkinggaussian.inspect_command:inspect_gaussians",
            "Say what a trained Gaussian head holds, show and export it.",
            LOOK,
        ),
    ),
    steps=(
        StepRow(
            "gaussians",
            "talkinghead.families.talkinggaussian.step_commands:app",
            "Five steps: features, motion, render, compose, encode.",
        ),
    ),
    kinds="talkinghead.families.talkinggaussian.model_files:KINDS",
    recorded_lips="talkinghead.families.talkinggaussian.annotations:recorded_lips",
    reference="talkinghead.families.talkinggaussian.reference:NETWORKS",
    bench="talkinghead.families.talkinggaussian.bench:cases",
    bench_tables="talkinghead.families.talkinggaussian.bench:tables",
)
