"""What the rest of the package knows of the family: SyncTalk_2D."""

from __future__ import annotations

from talkinghead.engine.manifest import CommandRow, Manifest

MANIFEST = Manifest(
    name="synctalk2d",
    title="SyncTalk_2D",
    summary="Redraws the lower face of a person's template frames with a U-Net trained on that person.",
    kind="patch",
    builder="talkinghead.families.synctalk2d.pipeline:build",
    face_source="a template folder with full_body_img/*.jpg and landmarks/*.lms",
    source_option="--template",
    needs_checkpoint=True,
    fps=None,
    pace=1.2,
    phrase="One filmed person",
    plain="Speaks as the one person it was trained on, with that person's own mouth and teeth.",
    config="talkinghead.families.synctalk2d.config:SyncTalk2DConfig",
    extra="models",
    source_marks=("full_body_img", "landmarks"),
    whole_sound=("the speech encoder's pass over the sound", "the level that HuBERT hears the sound at"),
    commands=(
        CommandRow(
            "template",
            "talkinghead.families.synctalk2d.template_commands:app",
            "Make and check the template folders of SyncTalk_2D.",
        ),
        CommandRow(
            "synctalk2d",
            "talkinghead.families.synctalk2d.commands:app",
            "Run SyncTalk_2D with the flags of its published script; export it.",
        ),
    ),
    kinds="talkinghead.families.synctalk2d.model_files:KINDS",
    reference="talkinghead.families.synctalk2d.reference:NETWORKS",
    bench="talkinghead.families.synctalk2d.bench:cases",
    bench_tables="talkinghead.families.synctalk2d.bench:tables",
    train="talkinghead.families.synctalk2d.training_command:command",
)
