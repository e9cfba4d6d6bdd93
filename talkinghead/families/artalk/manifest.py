"""What the rest of the package knows of the family: ARTalk."""

from __future__ import annotations

from talkinghead.engine.manifest import Manifest

MANIFEST = Manifest(
    name="artalk",
    title="ARTalk",
    summary="A 3D head that speaks, as a mesh or a Gaussian avatar; the mesh needs no weights.",
    kind="scene",
    module="talkinghead.families.artalk.pipeline",
    face_source='"mesh", or the id of a tracked Gaussian avatar',
    source_option="--avatar",
    needs_checkpoint=False,
    fps=None,
    config="talkinghead.families.artalk.config:ARTalkConfig",
    extra="models",
    reference_module="talkinghead.families.artalk.reference",
    default_source="mesh",
    source_is_path=False,
    choices="talkinghead.families.artalk.choices:choices_now",
)
