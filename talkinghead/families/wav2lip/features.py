"""Features of source faces on disk, for avatars that are used again and again: a picture or a short loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import Placement
from talkinghead.engine.cache import Cache
from talkinghead.families.wav2lip.graphs import GRAPH_VERSION
from talkinghead.files import cache_key

MOST_KEPT = {"pictures": 1, "loops": 64, "never": 0}
"""By `Wav2LipConfig.keep_features`: source faces of a job whose features are kept, 0.6 MB each; those of longer videos
are computed faster than they are read."""


class FeatureStore:
    """The face encoder's outputs by what went in: the face's pixels, the weights and the runtime."""

    def __init__(self, cache: Cache, weights_sha256: str, placement: Callable[[], Placement]) -> None:
        """
        Args:
            placement: tells where the network runs now.
        """
        self._cache = cache
        self._weights_sha256 = weights_sha256
        self._placement = placement

    def get(self, face_bgr: NDArray[np.uint8]) -> tuple[NDArray[np.generic], ...] | None:
        """One array per encoder stage, in the form in which the runtime gave them; None where they are not kept."""
        stored = self._cache.get(self._key(face_bgr))
        return None if stored is None else tuple(stored[str(level)] for level in range(len(stored)))

    def put(self, face_bgr: NDArray[np.uint8], features: tuple[NDArray[np.generic], ...]) -> None:
        """Keep the features of one face."""
        self._cache.put(self._key(face_bgr), {str(level): value for level, value in enumerate(features)})

    def _key(self, face_bgr: NDArray[np.uint8]) -> str:
        pixels = hashlib.blake2b(np.ascontiguousarray(face_bgr).data, digest_size=32).digest()
        place = self._placement()
        identity = f"{self._weights_sha256} {GRAPH_VERSION} {place.backend} {place.precision}"
        return cache_key("wav2lip-features/1", face=pixels, size=len(face_bgr), identity=identity)
