"""`talkinghead stage extract-features`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from talkinghead.cli.main import main
from talkinghead.errors import MissingWeights, OptionError
from talkinghead.media import write_wav
from talkinghead.service.features import extract_features
from tests.tolerances import tolerance

from .conftest import golden
from .test_end_to_end import clip_of


def test_command(tmp_path: Path, models: Path) -> None:
    sound, out, report = tmp_path / "a.wav", tmp_path / "f.npy", tmp_path / "r.json"
    write_wav(sound, clip_of("mel"))
    encoder = ["--encoder", str(models / "audio_visual_encoder.pth")]
    arguments = ["stage", "extract-features", "--audio", str(sound), "--kind", "ave", "--out", str(out)]
    assert main([*arguments, *encoder, "--report", str(report)]) == 0
    np.testing.assert_allclose(
        np.load(out), golden("mel")["ave_features"], atol=tolerance("synctalk2d/mel:ave_features_16bit")
    )
    assert json.loads(report.read_text())["items"] == 24
    assert main([*arguments, *encoder]) != 0  # it is there
    assert main([*arguments, *encoder, "--force"]) == 0


def test_refusals(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    write_wav(sound, clip_of("mel"))
    with pytest.raises(OptionError, match="mfcc"):
        extract_features(sound, tmp_path / "f.npy", "mfcc")
    for kind in ("ave", "wenet", "deepspeech"):
        with pytest.raises(MissingWeights):
            extract_features(sound, tmp_path / "f.npy", kind)
    with pytest.raises(MissingWeights):
        extract_features(sound, tmp_path / "f.npy", "hubert", encoder=tmp_path)
    assert not (tmp_path / "f.npy").exists()
