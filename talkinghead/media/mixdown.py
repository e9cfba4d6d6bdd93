"""Several channels as one, for listening: their mean, and a single channel where the mean loses the sound.

The published systems take the mean. Where a microphone is wired the wrong way round the channels of a stereo recording
cancel each other, and in 5.1 the mean divides the dialogue of the centre by six.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray

WINDOW_S = 0.5
FAR_LESS = 0.1
"""Part of the loudest channel's power below which the mean has lost the sound: 10 dB. Two channels that have nothing in
common lose 3 dB, eight lose 9."""
AUDIBLE = 1e-4
"""Part of the file's loudest window: quieter ones decide nothing."""
FAINTEST = 1e-9
NEIGHBOURS = 2
"""Windows to either side that a window is decided with: a stretch is at least 2.5 s long."""
NEARLY_ALL = 0.9
"""Part of the audible sound from which on the whole file is heard in one channel, without a change."""
RAMP_S = 0.1


@dataclass(frozen=True, eq=False)
class OneChannel:
    """A channel, and where it is heard instead of the mean."""

    channel: int
    edges: NDArray[np.float64]
    """[n] sample positions, increasing."""
    shares: NDArray[np.float64]
    """[n] share of the channel in [0, 1] at each; between them it changes evenly."""
    replaced: int
    """Samples for which it is heard."""

    def mix(self, block: FloatArray, start: int) -> FloatArray:
        """[n, 1] of [n, channels] whose first sample has this position."""
        mean = block.mean(axis=1, keepdims=True)
        share = np.interp(np.arange(start, start + len(block)), self.edges, self.shares).astype(np.float32)[:, None]
        mixed: FloatArray = mean + share * (block[:, self.channel, None] - mean)
        return mixed


class Mixdown:
    """The mean of the channels, block by block; it measures on the way how much of the sound is left in it.

    Args:
        centre: the channel that carries dialogue by the layout, if there is one.
    """

    def __init__(self, sample_rate_hz: int, num_channels: int, centre: int | None = None) -> None:
        self._window = max(1, round(WINDOW_S * sample_rate_hz))
        self._ramp = RAMP_S * sample_rate_hz
        self._channels, self._centre = num_channels, centre
        self._powers: list[NDArray[np.float64]] = []
        self._lengths: list[int] = []
        self._energy = np.zeros(num_channels + 1)
        self._length = 0

    def push(self, block: FloatArray) -> FloatArray:
        """[n, 1] mean of [n, channels]."""
        mean: FloatArray = block.mean(axis=1, keepdims=True)
        if self._channels > 1:
            products = block.T @ block
            self._energy[:-1] += products.diagonal()
            self._energy[-1] += float(mean[:, 0] @ mean[:, 0])
            self._length += len(block)
            if self._length >= self._window:
                self._close_window()
        return mean

    def _close_window(self) -> None:
        self._powers.append(self._energy / self._length)
        self._lengths.append(self._length)
        self._energy = np.zeros(self._channels + 1)
        self._length = 0

    def lost(self) -> OneChannel | None:
        """Where the mean of what was given has far less sound than a channel, and which one to hear there."""
        if self._length:
            self._close_window()
        if not self._powers:
            return None
        powers = np.array(self._powers)
        lengths = np.array(self._lengths)
        loudest, left = powers[:, :-1].max(axis=1), powers[:, -1]
        audible = loudest > max(FAINTEST, AUDIBLE * float(loudest.max()))
        weak = audible & (left < FAR_LESS * loudest)
        if not weak.any():
            return None
        if lengths[weak].sum() >= NEARLY_ALL * lengths[audible].sum():
            chosen = np.ones(len(weak), np.bool_)
        else:
            around = np.ones(2 * NEIGHBOURS + 1)
            votes, voters = (np.convolve(each.astype(float), around, "same") for each in (weak, audible))
            chosen = _held(votes > 0.5 * voters, voters > 0)
            if not chosen.any():
                return None
        energy = (powers[:, :-1] * lengths[:, None])[chosen].sum(axis=0)
        channel = int(energy.argmax())
        if self._centre is not None and energy[self._centre] >= FAR_LESS * energy[channel]:
            channel = self._centre
        edges, shares = self._ramps(chosen, lengths)
        return OneChannel(channel, edges, shares, int(lengths[chosen].sum()))

    def _ramps(
        self, chosen: NDArray[np.bool_], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        starts = np.concatenate([[0], np.cumsum(lengths)])
        edges, shares = [0.0], [float(chosen[0])]
        for window in np.flatnonzero(chosen[1:] != chosen[:-1]) + 1:
            edges += [starts[window] - self._ramp / 2, starts[window] + self._ramp / 2]
            shares += [float(chosen[window - 1]), float(chosen[window])]
        return np.array(edges), np.array(shares)


def _held(values: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The values where they are known, and in between what was known last (at the beginning: first)."""
    places = np.flatnonzero(known)
    last = np.maximum(np.searchsorted(places, np.arange(len(values)), side="right") - 1, 0)
    return values[places[last]]
