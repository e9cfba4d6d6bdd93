"""Features from phones, for the constructed network whose features say what shape the mouth has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkinghead.contracts import AudioClip, Phone
from talkinghead.families.synctalk2d.features import Features
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS

if TYPE_CHECKING:
    from talkinghead.audio.ahead import PhonesAhead


@dataclass(frozen=True, eq=False)
class PhoneFeatures:
    """What the constructed network hears of a sound."""

    features: Features
    phones: tuple[Phone, ...]
    notes: tuple[str, ...]
    """What a reader of the report should know."""


def phone_features(
    clip: AudioClip,
    num_frames: int,
    phones: tuple[Phone, ...] | None = None,
    progress: Callable[[float, float], None] | None = None,
    ahead: PhonesAhead | None = None,
) -> PhoneFeatures:
    """Rows of features of a sound.

    Args:
        clip: 16 kHz mono.
        num_frames: frames at the network's rate.
        phones: exact phone times; recognised where they are not given.
        progress: called with (done, in all) now and then; what it raises ends the work.
        ahead: recognises the phones of this sound already.
    """
    from talkinghead.audio.ahead import recognised
    from talkinghead.audio.mouth import mouth_motion
    from talkinghead.families.synctalk2d.procedural import mouth, weights

    audio = AUDIO_VARIANTS["ave"]
    found = recognised(clip, ahead, progress, given=phones)
    motion = mouth_motion(found.phones, clip, audio.fps, num_frames)
    features = Features(audio, weights.encoded(mouth.shapes(motion)), None, f"phones ({found.method})")
    return PhoneFeatures(features, tuple(found.phones), found.notes)
