"""The model families: facts that callers may read, and builders that import the heavy parts when they run.

A family is one row here plus one folder under `families/`. Callers read facts and never ask for a family by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

from talkinghead.errors import OptionError, choices

if TYPE_CHECKING:
    from talkinghead.engine.head import Head, LoadOptions


@dataclass(frozen=True)
class FamilyFacts:
    """What is known of a family before anything heavy is imported."""

    name: str
    title: str
    summary: str
    kind: str
    """"patch": changes a region of given frames; "scene": renders whole frames."""
    module: str
    """Imported when the family is built; has `build(options: LoadOptions) -> Head`."""
    face_source: str
    """What `prepare` takes, as a noun phrase for help and errors."""
    source_option: str
    """Command-line option that gives it: "--face", "--template", "--scene" or "--avatar"."""
    needs_checkpoint: bool
    fps: Fraction | None
    """The only frame rate the networks know, or None where any rate works."""
    look_ahead_s: float
    """Sound after a frame's time that the frame depends on."""
    can_stream: bool
    """Frames can leave before the sound has ended."""
    config: str
    """"module:class" of the family's configuration; cheap to import. Options and their help come from its fields."""
    extra: str | None
    """Extra of the package that the family needs, or None for the base install."""
    reference_module: str | None = None
    """Module with `NETWORKS`, the family's rows of `talkinghead reference`, or None."""
    default_source: str | None = None
    """What `prepare` takes when nothing is given, where the family has something of its own."""
    source_is_path: bool = True
    """The source is a file or folder; False where it is a name."""
    source_marks: tuple[str, ...] = ()
    """Shell patterns below a folder that make it a source of this family (all of them); empty where it is no folder."""
    choices: str | None = None
    """"module:function" that gives the names which can be chosen now: fields of the configuration, and "source" for
    the source, to tuples of names. None where there are none to choose from."""


FAMILIES: Mapping[str, FamilyFacts] = {
    facts.name: facts
    for facts in (
        FamilyFacts(
            name="viseme",
            title="Built-in animator",
            summary="Animates the mouth of any picture or video from recognised phones; needs no weights.",
            kind="patch",
            module="talkinghead.families.viseme.pipeline",
            face_source="a picture or video of a face",
            source_option="--face",
            needs_checkpoint=False,
            fps=None,
            look_ahead_s=0.2,
            can_stream=False,
            config="talkinghead.families.viseme.config:VisemeConfig",
            extra=None,
        ),
        FamilyFacts(
            name="wav2lip",
            title="Wav2Lip",
            summary="Generates the lower face of any picture or video from the sound (96 or 256 pixels).",
            kind="patch",
            module="talkinghead.families.wav2lip.pipeline",
            face_source="a picture or video of a face",
            source_option="--face",
            needs_checkpoint=True,
            fps=None,
            look_ahead_s=0.2,
            can_stream=True,
            config="talkinghead.families.wav2lip.config:Wav2LipConfig",
            extra="models",
            reference_module="talkinghead.families.wav2lip.reference",
        ),
        FamilyFacts(
            name="talkinggaussian",
            title="TalkingGaussian",
            summary="Renders a head of 3D Gaussians that was trained on one person, from any camera.",
            kind="scene",
            module="talkinghead.families.talkinggaussian.pipeline",
            face_source="a dataset folder with transforms_*.json, bc.jpg, torso_imgs and au.csv",
            source_option="--scene",
            needs_checkpoint=True,
            fps=Fraction(25),
            look_ahead_s=0.28,
            can_stream=False,
            config="talkinghead.families.talkinggaussian.config:TalkingGaussianConfig",
            extra="models",
            reference_module="talkinghead.families.talkinggaussian.reference",
            source_marks=("transforms_*.json", "bc.jpg"),
        ),
        FamilyFacts(
            name="synctalk2d",
            title="SyncTalk_2D",
            summary="Redraws the lower face of a person's template frames with a U-Net trained on that person.",
            kind="patch",
            module="talkinghead.families.synctalk2d.pipeline",
            face_source="a template folder with full_body_img/*.jpg and landmarks/*.lms",
            source_option="--template",
            needs_checkpoint=True,
            fps=None,
            look_ahead_s=0.48,
            can_stream=False,
            config="talkinghead.families.synctalk2d.config:SyncTalk2DConfig",
            extra="models",
            reference_module="talkinghead.families.synctalk2d.reference",
            source_marks=("full_body_img", "landmarks"),
        ),
        FamilyFacts(
            name="artalk",
            title="ARTalk",
            summary="A 3D head that speaks, as a mesh or a Gaussian avatar; the mesh needs no weights.",
            kind="scene",
            module="talkinghead.families.artalk.pipeline",
            face_source='"mesh", or the id of a tracked Gaussian avatar',
            source_option="--avatar",
            needs_checkpoint=False,
            fps=None,
            look_ahead_s=4.16,
            can_stream=False,
            config="talkinghead.families.artalk.config:ARTalkConfig",
            extra="models",
            reference_module="talkinghead.families.artalk.reference",
            default_source="mesh",
            source_is_path=False,
            choices="talkinghead.families.artalk.choices:choices_now",
        ),
    )
}

DEFAULT_FAMILY = "viseme"


def family(name: str) -> FamilyFacts:
    """Facts of one family.

    Raises:
        OptionError: no such family.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise OptionError(
            f"There is no model {name!r}.", accepted=choices(list(FAMILIES)), remedy="talkinghead models list"
        ) from None


def build(name: str, options: LoadOptions) -> Head:
    """Import the family's module and build its head."""
    facts = family(name)
    if facts.needs_checkpoint and options.checkpoint is None:
        from talkinghead.weights.store import missing_checkpoint

        raise OptionError(
            f"The model {name!r} needs a checkpoint and none was given.",
            accepted=f"--checkpoint FILE ({facts.title})",
            remedy=f"{missing_checkpoint(name)}; or leave out --model to use the built-in {DEFAULT_FAMILY!r}",
        )
    module: Any = import_module(facts.module)
    head: Head = module.build(options)
    return head
