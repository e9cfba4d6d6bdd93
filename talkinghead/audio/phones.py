"""Speech to phones with times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkinghead.audio.energy import frame_level_db, voice_activity
from talkinghead.contracts import AudioClip, Phone

SILENCE = "SIL"


@dataclass(frozen=True)
class PhoneResult:
    """The phones of a clip, and how they were found."""

    phones: tuple[Phone, ...]
    """In order, from 0 to the end of the clip without holes."""
    method: str
    """"pocketsphinx", "energy" or "given"."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know, as sentences."""


def recognise_phones(clip: AudioClip) -> PhoneResult:
    """Find the phones of a stretch of speech.

    Args:
        clip: 16 kHz mono.
    Returns:
        Phones that cover the whole clip without holes.
    """
    import pocketsphinx

    end_s = float(clip.duration_s)
    if len(clip.samples) < 800:
        return PhoneResult((Phone(0.0, end_s, SILENCE),) if end_s > 0 else (), "energy", ())
    model = pocketsphinx.get_model_path
    config = pocketsphinx.Config(
        hmm=model("en-us/en-us"),
        allphone=model("en-us/en-us-phone.lm.bin"),
        lw=2.0,
        pip=0.3,
        beam=1e-20,
        pbeam=1e-20,
        loglevel="FATAL",
    )
    decoder = pocketsphinx.Decoder(config)
    active = voice_activity(frame_level_db(clip))
    phones: list[Phone] = []
    block = 15 * clip.sample_rate_hz
    for start in range(0, len(clip.samples), block):
        samples = clip.samples[start : start + block]
        pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16).tobytes()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        offset = start / clip.sample_rate_hz
        for segment in decoder.seg() or ():
            label = segment.word if segment.word.isalpha() else SILENCE
            middle = int((offset * 100) + (segment.start_frame + segment.end_frame) / 2)
            if middle < len(active) and not active[middle]:
                label = SILENCE
            phones.append(Phone(offset + segment.start_frame / 100, offset + (segment.end_frame + 1) / 100, label))
    return PhoneResult(fill_holes(phones, end_s), "pocketsphinx", ())


def fill_holes(phones: Sequence[Phone], end_s: float) -> tuple[Phone, ...]:
    """Make phones cover [0, end_s] exactly: gaps become silence, overlaps end where the next one begins."""
    out: list[Phone] = []
    time = 0.0
    for phone in sorted(phones, key=lambda p: p.start_s):
        start, stop = max(phone.start_s, time), min(phone.end_s, end_s)
        if stop <= start:
            continue
        if start > time:
            out.append(Phone(time, start, SILENCE))
        if out and out[-1].label == SILENCE == phone.label:
            out[-1] = Phone(out[-1].start_s, stop, SILENCE)
        else:
            out.append(Phone(start, stop, phone.label))
        time = stop
    if time < end_s:
        if out and out[-1].label == SILENCE:
            out[-1] = Phone(out[-1].start_s, end_s, SILENCE)
        else:
            out.append(Phone(time, end_s, SILENCE))
    return tuple(out)


def read_phones(path: Path) -> tuple[Phone, ...]:
    """Read phones from JSON: {"phones": [[start_s, end_s, "AA"], ...]}."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Phone(float(a), float(b), str(label)) for a, b, label in data["phones"])
