"""Files of Wav2Lip: the public checkpoints, and how a generator is recognised."""

from __future__ import annotations

from talkinghead.errors import WrongCheckpoint
from talkinghead.weights.catalogue import HUB, NOT_STATED, CatalogueEntry, Licence
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind

_TERMS = Licence(
    "Wav2Lip terms (research)",
    "Personal, research and non-commercial use only, for the results too: the models are trained on the LRS2 dataset.",
    "https://github.com/Rudrabha/Wav2Lip#license-and-citation",
    commercial=False,
)
_MIRRORS = "the README of github.com/Rudrabha/Wav2Lip (terms); mirrors, size and hash as pinned by public projects"

CATALOGUE = (
    CatalogueEntry(
        name="wav2lip-gan",
        purpose="Wav2Lip with a visual quality discriminator: sharper, sync slightly behind wav2lip-base",
        path="wav2lip/wav2lip_gan.pth",
        licence=_TERMS,
        found_in=_MIRRORS,
        kind="wav2lip-96",
        model="wav2lip",
        urls=(
            f"{HUB}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip_gan.pth",
            f"{HUB}/numz/wav2lip_studio/resolve/main/Wav2lip/wav2lip_gan.pth",
            f"{HUB}/Nekochu/Wav2Lip/resolve/main/wav2lip_gan.pth",
        ),
        size_bytes=435_801_865,
        sha256="ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8",
        convert=True,
    ),
    CatalogueEntry(
        name="wav2lip-base",
        purpose="Wav2Lip without discriminator: the most accurate sync",
        path="wav2lip/wav2lip.pth",
        licence=_TERMS,
        found_in=_MIRRORS,
        kind="wav2lip-96",
        model="wav2lip",
        urls=(
            f"{HUB}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip.pth",
            f"{HUB}/numz/wav2lip_studio/resolve/main/Wav2lip/wav2lip.pth",
        ),
        size_bytes=435_807_851,
        sha256="b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37",
        convert=True,
    ),
    CatalogueEntry(
        name="wav2lip-sd-gan",
        purpose="Wav2Lip-SD-GAN.pt, the TorchScript file that the authors link to today",
        path="wav2lip/Wav2Lip-SD-GAN.pt",
        licence=_TERMS,
        found_in="the README of github.com/Rudrabha/Wav2Lip (link); hash as pinned by a public project",
        kind="wav2lip-96",
        model="wav2lip",
        sha256="180cfd49d31d47f195d5bfc62830ffe2c40724b7bbbce6faadc73ac6ab1a3b8e",
        convert=True,
        obtain="Download it in a browser from "
        "https://drive.google.com/file/d/15G3U08c8xsCkOqQxE38Z2XXDnPcOptNk/view (Google asks before it sends large "
        "files), then: talkinghead models import Wav2Lip-SD-GAN.pt",
    ),
    CatalogueEntry(
        name="wav2lip-256",
        purpose="wav2lip256.pth: a generator of 256 pixels",
        path="wav2lip/wav2lip256.pth",
        licence=NOT_STATED,
        found_in="the README of github.com/lipku/LiveTalking (folder)",
        kind="wav2lip-256",
        model="wav2lip",
        convert=True,
        obtain="Download it in a browser from the folder "
        "https://drive.google.com/drive/folders/1FOC_MD6wdogyyX_7V1d4NDIO7P9NlSAJ, then: "
        "talkinghead models import wav2lip256.pth",
    ),
)
"""The first that is installed is the one that is taken when none is named."""


def _is_generator(checkpoint: Checkpoint, name: str) -> bool:
    from talkinghead.families.wav2lip.architecture import recognise
    from talkinghead.families.wav2lip.weights import published_names

    tensors = published_names(checkpoint.tensors)
    if not any(key.startswith("face_encoder_blocks") for key in tensors):
        return False
    try:
        return recognise(tensors, str(checkpoint.path)).name == name
    except WrongCheckpoint:
        return False


KINDS = (
    Kind(
        "wav2lip-96",
        "a Wav2Lip generator of 96 pixels",
        model="wav2lip",
        holds=lambda checkpoint: _is_generator(checkpoint, "wav2lip96"),
    ),
    Kind(
        "wav2lip-256",
        "a Wav2Lip generator of 256 pixels",
        model="wav2lip",
        holds=lambda checkpoint: _is_generator(checkpoint, "wav2lip256"),
    ),
)
