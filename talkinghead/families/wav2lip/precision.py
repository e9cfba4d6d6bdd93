"""How precisely a generator computes: reduced only where a face of the user's stays what it is in float32.

It is measured on the first face that a checkpoint ever makes here, before any generated frame leaves, and remembered:
one face and one window go through the network as it will run and through NumPy in float32, which compiles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from talkinghead.backends import Placement
from talkinghead.backends.gate import Verdict, first_faithful, recall
from talkinghead.contracts import ArrayStore, FloatArray
from talkinghead.families.wav2lip.engine import Engine, Face, Task
from talkinghead.families.wav2lip.graphs import GRAPH_VERSION
from talkinghead.families.wav2lip.weights import GeneratorWeights


class GeneratorPlace:
    """Where and how precisely the generator of one head runs; decided once.

    Args:
        places: ranked ways to run.
        trusted: the number format was asked for by name, or nothing is reduced: nothing is measured.
    """

    def __init__(self, places: Sequence[Placement], weights: GeneratorWeights, *, trusted: bool) -> None:
        self._places = tuple(places)
        self._weights = weights
        self._trusted = trusted
        self._verdict: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """What was decided; until then the first way."""
        return self._verdict or Verdict(self._places[0])

    @property
    def placement(self) -> Placement:
        return self.verdict.placement

    def recall(self, store: ArrayStore) -> None:
        """Take what an earlier run decided. Does not wait for the hash of a checkpoint that was not seen before."""
        if self._verdict is None and (self._trusted or self._weights.file_hash.is_known):
            self._verdict = recall(
                self._places,
                network=self._network,
                weights_sha256=lambda: self._weights.sha256,
                store=store,
                trusted=self._trusted,
            )

    @property
    def is_decided(self) -> bool:
        return self._verdict is not None or self.placement.precision == "float32"

    def settle(self, engine: Engine, face: Face, window: FloatArray, task: Task) -> None:
        """Decide, if nobody did, and move the engine there.

        Args:
            face: from `Engine.crop`.
            window: [80, 16] float32, what is heard with it.
        """
        if self._verdict is None:
            self._verdict = first_faithful(
                self._places,
                lambda place: engine.faithfulness_db(place, face, window, task),
                network=self._network,
                weights_sha256=lambda: self._weights.sha256,
                store=task.run.cache,
                trusted=self._trusted,
            )
        engine.end_comparison()
        engine.move(self._verdict.placement)
        for text in self._verdict.refused:
            task.run.fall_back(text)

    @property
    def _network(self) -> str:
        return f"{self._weights.architecture.name}/{GRAPH_VERSION}"
