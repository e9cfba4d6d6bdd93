"""What everybody else needs to know of a family, before anything heavy is imported.

A family's folder has a module `manifest` with a `MANIFEST` of class Manifest. What it names as "module:object" is
imported when it is used; the command line, the web page, the model store, benchmarks and the reference outputs know a
family from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from talkinghead.provenance.origin import SourceType

KINDS = ("patch", "scene")
SOURCE_OPTIONS = ("--face", "--template", "--scene", "--avatar")
MAKE = "Make videos"
LOOK = "Look and measure"
MANAGE = "Models and cache"


@dataclass(frozen=True)
class StepRow:
    """One entry of `talkinghead stage`: a step that runs alone, or a group of such steps."""

    name: str
    target: str
    """"module:object": a function, or a typer.Typer of subcommands. Imported when it is used."""
    help: str
    """One line for the list."""


@dataclass(frozen=True)
class CommandRow(StepRow):
    """One command of the command line."""

    panel: str = MAKE
    """Heading under which the list of commands shows it: MAKE, LOOK or MANAGE."""


@dataclass(frozen=True)
class Example:
    """A button of the web page that fills it in, so that Generate gives a result at once."""

    name: str
    """Unique among all examples; part of the button's id."""
    label: str
    """What happens, such as "a portrait speaks"."""
    text: bool = False
    """A text is read aloud; else the bundled sound is used."""


@dataclass(frozen=True)
class Manifest:
    """One family. Fields that end in "module:object" say of what type the object is."""

    name: str
    title: str
    summary: str
    kind: str
    """"patch": changes a region of given frames; "scene": renders whole frames."""
    builder: str
    """"module:function(LoadOptions) -> Head"; imported when the model is loaded."""
    face_source: str
    """What `prepare` takes, as a noun phrase for help and errors."""
    source_option: str
    """Command-line option that gives it: one of SOURCE_OPTIONS."""
    needs_checkpoint: bool
    fps: Fraction | None
    """The only frame rate the networks know, or None where any rate works."""
    config: str
    """"module:class" of the family's configuration; cheap to import. Options and their help come from its fields."""
    extra: str | None
    """Extra of the package that the family needs, or None for the base install."""
    source_type: SourceType | None = None
    """What its videos are in IPTC's vocabulary of digital source types (docs/provenance.md); None: what is usual for
    its kind."""
    phrase: str = ""
    """What it is for, in a few plain words: under its name on the web page's card. A picture beside it lies in
    `talkinghead/assets` as model-NAME.webp."""
    plain: str = ""
    """What it does, in a sentence or two for people who do not know the field; empty: the summary serves."""
    pace: float | None = None
    """Seconds of video made per second on two cores of a server, for forecasts; None: nobody measured it."""
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
    commands: tuple[CommandRow, ...] = ()
    """Commands of the family's own: its published programs, and tools for its files."""
    steps: tuple[StepRow, ...] = ()
    """What `talkinghead stage` runs: the family's steps one by one, with files between them."""
    examples: tuple[Example, ...] = ()
    """Buttons of the web page."""
    catalogue: str | None = None
    """"module:object", a tuple of `weights.catalogue.CatalogueEntry`: the public files that the family uses alone."""
    kinds: str | None = None
    """"module:object", a tuple of `weights.kinds.Kind`: the files that the family knows by what they hold."""
    exported_tensors: str | None = None
    """"module:function(Checkpoint) -> tensors by their published names, or None": for ONNX files whose exporter gave
    the weights names of its own."""
    reference: str | None = None
    """"module:object", a tuple of `engine.networks.ReferenceNetwork`."""
    reference_prefixes: tuple[str, ...] = ()
    """What names of these networks begin with before their first dot, besides the family's name."""
    bench: str | None = None
    """"module:function(BenchSettings, folder) -> Sequence[BenchCase]": what is measured where a portrait is not the
    right input. It may write into the folder."""
    bench_tables: str | None = None
    """"module:function(BenchSettings, folder, tell) -> Sequence[BenchTable]": what else the benchmark shows."""
    train: str | None = None
    """"module:object" of the command `talkinghead train NAME`: a function, or what `terminal.flags.with_flags` made."""
    recorded_lips: str | None = None
    """"module:function(source, poses) -> boxes (x1, y1, x2, y2)", one per frame: where the lips are in a recording
    that is a source of this family."""

    def made_with(self, options: Mapping[str, Any]) -> SourceType:
        """What its videos are in IPTC's vocabulary, with these options of the family's own: where a trained network
        sharpens the face, it draws in the picture."""
        usual = self.source_type
        if usual is None:
            usual = "compositeWithTrainedAlgorithmicMedia" if self.kind == "patch" else "trainedAlgorithmicMedia"
        sharpened = str(options.get("enhance") or "off") != "off"
        return "compositeWithTrainedAlgorithmicMedia" if sharpened and usual == "composite" else usual
