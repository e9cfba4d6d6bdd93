"""What everybody else needs to know of a family, before anything heavy is imported.

A family's folder has a module `manifest` with a `MANIFEST` of this class. Whatever it names is imported when it is
used.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Manifest:
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
    whole_sound: tuple[str, ...] = ()
    """What is computed over the whole sound, as noun phrases, and so cannot be known while somebody still speaks."""
