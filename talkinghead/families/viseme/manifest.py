"""What the rest of the package knows of the family: Built-in animator."""

from __future__ import annotations

from talkinghead.engine.manifest import Example, Manifest

MANIFEST = Manifest(
    name="viseme",
    title="Built-in animator",
    summary="Animates the mouth of any picture or video from recognised phones; needs no weights.",
    kind="patch",
    builder="talkinghead.families.viseme.pipeline:build",
    face_source="a picture or video of a face",
    source_option="--face",
    needs_checkpoint=False,
    fps=None,
    pace=3.5,
    phrase="Any photo or film",
    plain="Makes the mouth, eyes and head of any photo move, and the mouth of any film. It comes along: nothing to "
    "download.",
    config="talkinghead.families.viseme.config:VisemeConfig",
    extra=None,
    source_type="composite",
    bench_tables="talkinghead.families.viseme.bench:tables",
    whole_sound=("the recognition of phones", "how loud the speech is at its loudest"),
    examples=(Example("portrait", "a portrait speaks"), Example("text", "a portrait reads a text", text=True)),
)
