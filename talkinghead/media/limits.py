"""What a media file may ask for, whatever it claims of itself: the budgets, all in one place.

They hold in the probe and in the decoder, for every packet and every frame, so that a file of a few kilobytes cannot
take gigabytes or hours. Only `MAX_PIXELS` has an option (`max_pixels`, `--max-pixels`); a part of a long file is read
with a start and a duration.
"""

from __future__ import annotations

from pathlib import Path

from talkinghead.errors import UnreadableMedia

MEGAPIXEL = 1_000_000
MAX_PIXELS = 64 * MEGAPIXEL
"""Pixels of a picture, or of any frame of a video; the default of `max_pixels`."""

MAX_STREAMS = 256
"""Streams of one file."""
MAX_FRAMES = 8_000_000
"""Pictures of one video: 37 hours at 60 per second."""
MAX_PACKETS = 20_000_000
"""Packets of one stream that are counted."""
MAX_SLOTS = 8_000_000
"""Frames that come out of one video when frames are repeated to fill its time."""
MAX_GAP_S = 600
"""A longer hole between two timestamps is a broken timestamp, not a still or a pause."""
MAX_FPS = 240
"""Frame rates of a file that are believed; the lowest is one picture in MAX_GAP_S."""
MAX_INDEX_ENTRIES = 4_000_000
"""Samples that the tables of an MP4 or MOV file may claim without spending a byte on each."""

DECODER_BYTES = 1 << 28
"""Pictures that the threads of one decoder may hold at a time, by an estimate."""
MAX_HELD_FRAMES = 32
"""Decoded B frames that wait for the frame which they may depend on."""

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MAX_BLOCK_VALUES = 1 << 24
"""Samples of one decoded block, all channels together."""
MAX_SOUND_S = 24 * 3600
"""Seconds of sound in one file, silence in its holes included."""
FREE_SOUND_S = 3600
"""Seconds of sound that the smallest file may have."""
SPARSE_BYTES_PER_S = 500
"""What lasts longer has at least this many bytes for each further second; even codecs of telephones need more."""


def check_sound_format(path: Path, rate_hz: int, channels: int) -> None:
    """Refuse rates and channel counts that no recording has.

    Raises:
        UnreadableMedia
    """
    if not (MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ and 0 < channels <= MAX_CHANNELS):
        raise UnreadableMedia(
            f"{str(path)!r} claims {channels} channels at {rate_hz} Hz.",
            accepted=f"up to {MAX_CHANNELS} channels, and {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz",
            remedy="export it again",
        )


class SoundBudget:
    """Counts the sound of one pass through a file, silence in its holes included.

    Args:
        path: the file, whose size decides how long it may last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.limit_s = min(MAX_SOUND_S, FREE_SOUND_S + path.stat().st_size / SPARSE_BYTES_PER_S)
        self.spent_s = 0.0

    def spend(self, samples: int, rate_hz: int) -> None:
        """Count what is about to be given.

        Raises:
            UnreadableMedia: it is more than the file may have.
        """
        self.spent_s += samples / rate_hz
        if self.spent_s > self.limit_s:
            raise UnreadableMedia(
                f"The sound of {str(self._path)!r} does not end after {self.limit_s / 60:.0f} minutes, "
                f"the most that is read of a file of {self._path.stat().st_size} bytes.",
                accepted=f"up to {MAX_SOUND_S // 3600} hours, and {FREE_SOUND_S // 3600} hour where there are "
                f"less than {SPARSE_BYTES_PER_S} bytes for each further second",
                remedy="a part of it (--start and --duration), or export it again if it should be shorter",
            )
