"""How well a mouth follows speech on finished pictures: the gap between the lips, as the face mesh sees it.

The gap is that between the inner lips in the middle of the mouth, as a share of the distance between the outer corners
of the eyes, which do not move with speech (about 90 mm in an adult). Seen on pictures of shut mouths the mesh says
0.001 to 0.01, with a moustache 0.02. The measures:

- **closed at p, b, m**: share of them during which at least one frame shows a gap of at most `CLOSED`;
- **false closures**: share of the frames of other sounds, more than 40 ms away from any p, b, m or pause, with such a
  gap. Lips that are barely apart (s, t, w) count, too;
- **silence**: the mean gap at least `SETTLED_S` away from any sound, above that at p, b, m, as a share of that in
  vowels above it. Of every p, b, m the smallest gap is taken; what the mesh says of one shut mouth differs from frame
  to frame by as much as 0.005, so that the smallest of some frames lies below their mean. Pauses are measured in the
  same way, by the smallest gap in as many frames as a p, b, m has; the mean over all frames is told beside it;
- **height**: correlation of a vowel's widest gap, as a share of the face's mean, with its textbook openness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.energy import runs
from talkinghead.audio.visemes import BILABIAL, SILENCE, is_vowel, vowel_height
from talkinghead.contracts import Frame, Phone

if TYPE_CHECKING:
    from talkinghead.face.mesh.networks import FaceMesh, MeshFace

CLOSED = 0.025
"""The widest gap of closed lips: 2 mm of an adult's face."""
NEAR_S = 0.04
SETTLED_S = 0.12
"""From speech to frames in which a mouth must have come to rest."""


def inner_lip_gaps(frames: Iterable[Frame], mesh: FaceMesh) -> NDArray[np.float64]:
    """[n] gap between the lips in each frame; NaN where no face is seen. The largest face is followed.

    Args:
        frames: RGB uint8 [H, W, 3], all of one size.
    """
    from talkinghead.face.mesh.points import mouth_opening

    gaps = []
    last: MeshFace | None = None
    for frame in frames:
        last = mesh.follow(frame, last) if last is not None else None
        if last is None:
            last = max(mesh.find(frame), key=lambda face: float(np.ptp(face.box_xyxy[::2])), default=None)
        gaps.append(np.nan if last is None else mouth_opening(last.points))
    return np.array(gaps, np.float64)


@dataclass(frozen=True)
class PixelScores:
    """Sums over utterances of one face, or of many, from which every measure follows; add them with `+`."""

    closures: tuple[float, ...] = ()
    """The smallest gap during each p, b, m; infinite where no frame shows a face."""
    other_frames: int = 0
    other_frames_closed: int = 0
    silence: tuple[float, ...] = ()
    """Gap of every frame well inside a pause."""
    silence_smallest: tuple[float, ...] = ()
    """The smallest gap of every run of such frames that is as long as the p, b, m of the utterance."""
    vowels: tuple[tuple[float, float], ...] = ()
    """(widest gap, height) of every vowel."""
    relative: tuple[tuple[float, float], ...] = ()
    """The same, as a share of the mean of the face: filled by `of_one_face`."""
    frames: int = 0
    frames_unseen: int = 0
    """Those in which the mesh sees no face."""

    def __add__(self, other: PixelScores) -> PixelScores:
        return PixelScores(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def of_one_face(self) -> PixelScores:
        """The same, once all utterances of a face are summed."""
        mean = max(self.vowel_gap, 1e-9)
        relative = tuple((gap / mean, height) for gap, height in self.vowels)
        return replace(self, relative=relative)

    @property
    def bilabials(self) -> int:
        return len(self.closures)

    @property
    def closed_share(self) -> float:
        """Of p, b, m; 1 where there are none."""
        return float(np.mean([gap <= CLOSED for gap in self.closures])) if self.closures else 1.0

    @property
    def closed_gap(self) -> float:
        """Median over p, b, m of the smallest gap."""
        return float(np.median(self.closures)) if self.closures else 0.0

    @property
    def false_closed_share(self) -> float:
        return self.other_frames_closed / self.other_frames if self.other_frames else 0.0

    @property
    def vowel_gap(self) -> float:
        """Mean over vowels of the widest gap."""
        return float(np.mean([gap for gap, _ in self.vowels])) if self.vowels else 0.0

    @property
    def silence_excess(self) -> float:
        """Mean of the smallest gaps in pauses above that of closed lips, as a share of that in vowels above it."""
        return self._above_closed(self.silence_smallest)

    @property
    def silence_mean_excess(self) -> float:
        """The same of the gaps of all frames of pauses: above 0 by the mesh's tremble, too."""
        return self._above_closed(self.silence)

    def _above_closed(self, gaps: tuple[float, ...]) -> float:
        if not gaps:
            return 0.0
        return (float(np.mean(gaps)) - self.closed_gap) / max(self.vowel_gap - self.closed_gap, 1e-6)

    @property
    def height_correlation(self) -> float:
        """Of the widest gap in a vowel, relative to the face's mean, and the vowel's textbook openness."""
        values = np.array(self.relative, np.float64).reshape(-1, 2)
        if len(values) < 3 or np.any(np.std(values, axis=0) < 1e-9):
            return 0.0
        return float(np.corrcoef(values[:, 0], values[:, 1])[0, 1])

    def to_dict(self) -> dict[str, Any]:
        """The measures, as plain values."""
        return {
            "frames": self.frames,
            "frames_unseen": self.frames_unseen,
            "bilabials": self.bilabials,
            "closed_at_bilabials": round(self.closed_share, 4),
            "gap_at_bilabials": round(self.closed_gap, 4),
            "false_closures": round(self.false_closed_share, 4),
            "gap_in_vowels": round(self.vowel_gap, 4),
            "silence_excess": round(self.silence_excess, 4),
            "silence_mean_excess": round(self.silence_mean_excess, 4),
            "height_correlation": round(self.height_correlation, 4),
        }


def score_gaps(gaps: NDArray[np.float64], fps: Fraction, phones: Sequence[Phone]) -> PixelScores:
    """Measure the frames of one utterance against its true phones.

    Args:
        gaps: [n] of `inner_lip_gaps`; frame i shows [i / fps, (i + 1) / fps).
        phones: in order of time, without holes; silence is "SIL".
    """
    n, frame_s = len(gaps), fps.denominator / fps.numerator
    middles = (np.arange(n) + 0.5) * frame_s
    seen = ~np.isnan(gaps)
    near, speech, settled = (np.zeros(n, np.bool_) for _ in range(3))
    closures, lengths, vowels = [], [], []
    for phone in phones:
        inside = (middles >= phone.start_s) & (middles < phone.end_s)
        around = (middles >= phone.start_s - NEAR_S) & (middles < phone.end_s + NEAR_S)
        if phone.label in BILABIAL:
            first, last = int(np.floor(phone.start_s / frame_s)), int(np.ceil(phone.end_s / frame_s - 1e-9))
            shown = gaps[max(first, 0) : last]
            lengths.append(last - first)
            closures.append(float(np.min(shown[~np.isnan(shown)], initial=np.inf)))
        if phone.label == SILENCE:
            begins = phone.start_s + SETTLED_S if phone.start_s > 0 else 0.0
            settled |= (middles >= begins) & (middles < phone.end_s - SETTLED_S)
        if phone.label in BILABIAL or phone.label == SILENCE:
            near |= around
        else:
            speech |= inside
        if is_vowel(phone.label) and np.any(inside & seen):
            vowels.append((float(np.max(gaps[inside & seen])), vowel_height(phone.label)))
    others = speech & ~near & seen
    return PixelScores(
        closures=tuple(closures),
        other_frames=int(others.sum()),
        other_frames_closed=int((gaps[others] <= CLOSED).sum()),
        silence=tuple(float(gap) for gap in gaps[settled & seen]),
        silence_smallest=_smallest(gaps, settled & seen, round(float(np.median(lengths))) if lengths else 1),
        vowels=tuple(vowels),
        frames=n,
        frames_unseen=int((~seen).sum()),
    )


def _smallest(gaps: NDArray[np.float64], chosen: NDArray[np.bool_], length: int) -> tuple[float, ...]:
    """The smallest gap of every run of so many chosen frames; of a shorter stretch of them, of all of it."""
    out: list[float] = []
    for start, stop in runs(chosen):
        part = gaps[start:stop]
        windows = np.lib.stride_tricks.sliding_window_view(part, min(length, len(part)))
        out += [float(gap) for gap in windows.min(axis=1)]
    return tuple(out)


TABLE = (
    ("p b m", "bilabials", "{:d}"),
    ("closed", "closed_share", "{:.1%}"),
    ("gap there", "closed_gap", "{:.3f}"),
    ("false closures", "false_closed_share", "{:.1%}"),
    ("gap in vowels", "vowel_gap", "{:.3f}"),
    ("silence", "silence_excess", "{:+.1%}"),
    ("its mean", "silence_mean_excess", "{:+.1%}"),
    ("r height", "height_correlation", "{:.2f}"),
    ("unseen", "frames_unseen", "{:d}"),
)
"""Column title, attribute of PixelScores, format."""
