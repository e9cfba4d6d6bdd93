#!/usr/bin/env python3
"""Synthesise the sentence that `talkinghead demo` speaks, with its exact phone times.

    python scripts/make_demo_speech.py

Writes talkinghead/assets/demo_speech.wav (16 kHz mono, 16 bit) and demo_speech.phones.json. Needs flite (Debian:
`apt-get install flite`). The voice is `slt`, whose licence (Carnegie Mellon University, BSD-like) allows any use of
what it says; being a statistical model of a real speaker it sounds more natural than formant synthesis.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).resolve().parent.parent / "talkinghead" / "assets"
VOICE = "slt"
TEXT = "Hello! I was only a picture. Now give me any voice, and I will speak with it."
PAD_S = (0.1, 0.3)
"""Silence before and after, so that the face is seen at rest."""
PEAK = 0.8
NAMES = {"pau": "SIL", "ssil": "SIL", "ax": "AH", "axr": "ER", "dx": "D", "el": "L", "em": "M", "en": "N"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", VOICE, "--setf", "duration_stretch=1.0", "-psdur", "-t", TEXT, "-o", str(path)]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("flite is not installed")
        with wave.open(str(path), "rb") as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
    samples *= PEAK * 32767.0 / np.max(np.abs(samples))
    before, after = (np.zeros(round(seconds * rate)) for seconds in PAD_S)
    sound = np.rint(np.concatenate([before, samples, after])).astype("<i2")

    phones: list[list[object]] = [[0.0, PAD_S[0], "SIL"]]
    start, offset = PAD_S[0], PAD_S[0]
    for token in done.stdout.split():
        name, end_text = token.rsplit(":", 1)
        end = float(end_text) + offset
        if end < start:  # each sentence counts from zero
            offset = start
            end = float(end_text) + offset
        label = NAMES.get(name, name.upper())
        if label == "SIL" == phones[-1][2]:
            phones[-1][1] = round(end, 4)
        else:
            phones.append([round(start, 4), round(end, 4), label])
        start = end
    phones[-1][1] = round(len(sound) / rate, 4)

    with wave.open(str(ASSETS / "demo_speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    facts = {"text": TEXT, "voice": f"flite {VOICE}", "phones": phones}
    (ASSETS / "demo_speech.phones.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"{len(sound) / rate:.2f} s, {len(phones)} phones")


if __name__ == "__main__":
    main()
