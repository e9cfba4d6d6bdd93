"""The step from sound to the speech features of the published models, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.engine.steps import StageReport, Stopwatch, check_free, write_array, write_record
from talkinghead.errors import MissingWeights, OptionError, choices

KINDS = ("ave", "hubert", "wenet", "deepspeech", "esperanto")


def extract_features(
    audio: Path,
    out: Path,
    kind: str,
    *,
    encoder: Path | None = None,
    convention: str = "synctalk",
    device: str = "cpu",
    force: bool = False,
) -> StageReport:
    """Sound to speech features, .npy.

    Args:
        kind: one of KINDS: ave [N, 512], hubert [N, 2, 1024] (25 per second), wenet [N, 16, 512] (20 per second),
            deepspeech [N, 16, 29], esperanto [N, 16, 44].
        encoder: its weights: a file (ave, wenet, deepspeech) or a model folder (hubert, esperanto).
        convention: of hubert: synctalk, udh-classic or ilg.
    Raises:
        OptionError: no such kind. MissingWeights: the encoder is not found.
    """
    from talkinghead.media import read_audio

    if kind not in KINDS:
        raise OptionError(f"There are no features {kind!r}.", accepted=choices(KINDS))
    check_free(out, force=force, inputs=(audio, encoder))
    watch = Stopwatch()
    notes: list[str] = []
    clip = read_audio(audio, SPEECH_RATE_HZ, warnings=notes)
    rows = _features(clip, kind, encoder, convention, device)
    write_array(out, rows)
    inputs = {"audio": audio, **({"encoder": encoder} if encoder is not None and encoder.is_file() else {})}
    write_record(out, "extract-features", {"kind": kind, "convention": convention}, inputs)
    details = {"kind": kind, "shape": list(rows.shape), "notes": notes}
    return StageReport("extract-features", str(out), watch.seconds(), len(rows), "rows", details)


def _features(clip: Any, kind: str, encoder: Path | None, convention: str, device: str) -> NDArray[np.float32]:
    if kind == "ave":
        from talkinghead.audio.encoders.ave import read_ave_encoder

        return read_ave_encoder(_needed(encoder, kind, "audio_visual_encoder.pth")).features(clip.samples)
    if kind == "wenet":
        from talkinghead.audio.encoders.wenet import WenetEncoder

        return WenetEncoder(_needed(encoder, kind, "encoder.onnx")).features(clip.samples)
    if kind == "hubert":
        from talkinghead.audio.encoders.hubert import MODEL_NAME, read_hubert
        from talkinghead.weights.store import part_folder

        source = encoder or part_folder("hubert", "hubert-config") or MODEL_NAME
        return read_hubert(source, device=device).features(clip.samples, convention)
    if kind == "deepspeech":
        from talkinghead.audio.encoders.deepspeech import GRAPH, deepspeech_rows
        from talkinghead.audio.encoders.deepspeech_graph import read_deepspeech

        network = read_deepspeech(_needed(encoder, kind, GRAPH))
        return np.concatenate(list(deepspeech_rows(clip.samples, network)))
    from talkinghead.audio.encoders.wav2vec2 import esperanto_rows, load_encoder

    given = str(encoder) if encoder is not None else None
    model = load_encoder(kind, given, device)
    return np.concatenate(list(esperanto_rows(model, clip.samples)))


def _needed(encoder: Path | None, kind: str, name: str) -> Path:
    """The encoder that was given, else the one in the models folder."""
    if encoder is not None:
        return encoder
    from talkinghead.weights.folder import find_model

    found = find_model((name,))
    if found is None:
        raise MissingWeights(
            f"Features of the kind {kind} need {name}, and it is not found.",
            accepted=f"--encoder FILE, or {name} in the models folder",
        )
    return found
