"""The public checkpoints that the models and detectors use: what each is for, where it is, and what its licence says.

Nothing here was guessed. `found_in` says where the row's facts are from; a hash or address that no source gives is
left empty, and the hash is then recorded when the file first arrives. No weights come with this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from talkinghead.errors import OptionError, choices


@dataclass(frozen=True)
class Licence:
    """What one may do with a file. Not legal advice: the licence's own text counts."""

    name: str
    summary: str
    """What it allows and forbids, one or two sentences."""
    url: str = ""
    """Where it can be read; empty where the authors publish it beside the file only."""
    commercial: bool | None = None
    """Whether commercial use is allowed; None where the authors do not say."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One public file."""

    name: str
    purpose: str
    path: str
    """Where it lies below the model folder, with forward slashes."""
    licence: Licence
    found_in: str
    """Where address, size and hash of this row are from."""
    kind: str
    """What the content is: a name in `talkinghead.service.recognise.KINDS`, or "" where keys do not tell."""
    model: str | None = None
    """Name in the registry of the model that takes it as its checkpoint; None for parts and detectors."""
    urls: tuple[str, ...] = ()
    """Addresses of the file, best first; empty where it may not be fetched by a program."""
    size_bytes: int | None = None
    sha256: str = ""
    archive_member: str = ""
    """The one file to take out of a zip archive; empty where the file itself is meant."""
    member_sha1: str = ""
    """SHA-1 of that file, where the publisher gives one."""
    convert: bool = False
    """Whether it is kept as safetensors, without optimiser states."""
    obtain: str = ""
    """How a person gets it, where a program may not."""
    brings: tuple[str, ...] = ()
    """Rows of the files that it does not work without; `models pull` fetches them along with it."""

    @property
    def stored_path(self) -> str:
        """`path`, with the suffix that the file is kept under."""
        return f"{self.path.rpartition('.')[0]}.safetensors" if self.convert else self.path


_WAV2LIP = Licence(
    "Wav2Lip terms (research)",
    "Personal, research and non-commercial use only, for the results too: the models are trained on the LRS2 dataset.",
    "https://github.com/Rudrabha/Wav2Lip#license-and-citation",
    commercial=False,
)
_S3FD = Licence(
    "not stated for the weights",
    "Published with face-alignment, whose code is under the BSD licence; the weights carry no terms of their own. Ask "
    "before commercial use.",
    "https://github.com/1adrianb/face-alignment",
)
_MIT = Licence("MIT", "Any use, with the copyright notice.", commercial=True)
_CARD = "The authors state the terms on the model card only. Read it before commercial use."
_ARTALK = Licence("see the model card", _CARD, "https://huggingface.co/xg-chu/ARTalk")
_GAGAVATAR = Licence("see the model card", _CARD, "https://huggingface.co/xg-chu/GAGAvatar")
_FLAME = Licence(
    "FLAME model licence",
    "Registration is required; non-commercial research use only; the file may not be passed on.",
    "https://flame.is.tue.mpg.de",
    commercial=False,
)
_UNSTATED = Licence("not stated for the weights", "The weights carry no licence of their own. Ask their authors.")

_APACHE = "Any use, with the licence text and the authors' notices."
_HUBERT = Licence("Apache-2.0", _APACHE, "https://huggingface.co/facebook/hubert-large-ls960-ft", commercial=True)
_ESPERANTO = Licence(
    "Apache-2.0", _APACHE, "https://huggingface.co/cpierse/wav2vec2-large-xlsr-53-esperanto", commercial=True
)

_HUB = "https://huggingface.co"
_MANIFEST = "artalk/assets_manifest.json of github.com/xg-chu/ARTalk"
_MIRRORS = "the README of github.com/Rudrabha/Wav2Lip (terms); mirrors, size and hash as pinned by public projects"


def _artalk(
    name: str, path: str, size: int, sha256: str, purpose: str, kind: str = "", brings: tuple[str, ...] = ()
) -> CatalogueEntry:
    return CatalogueEntry(
        name=name,
        purpose=purpose,
        path=f"artalk/{path}",
        licence=_ARTALK,
        found_in=_MANIFEST,
        kind=kind,
        urls=(f"{_HUB}/xg-chu/ARTalk/resolve/main/{path}?download=true",),
        size_bytes=size,
        sha256=sha256,
        brings=brings,
    )


def _encoder(
    name: str, repository: str, file: str, licence: Licence, found_in: str, kind: str, purpose: str, **facts: Any
) -> CatalogueEntry:
    """A file of a speech encoder on the Hugging Face hub, kept in a folder that transformers reads."""
    return CatalogueEntry(
        name=name,
        purpose=purpose,
        path=f"{name.removesuffix('-config')}/{file}",
        licence=licence,
        found_in=found_in,
        kind=kind,
        urls=(f"{_HUB}/{repository}/resolve/main/{file}",),
        **facts,
    )


_STYLES = """
angry_0 2365843 4f17f930661c1e42306ecf6e222b370ca2c4f775dbc63bde6402ca2f8135c556
curious_0 680437 f0db8a645684583af9694d72924cad9b4ac4d16d1a3e7c26c979fa9a7a51220d
doubtful_0 2333193 65863da3c4cc9fc11604f21c660684864ddfd135f88a84c0f25d0adba25bfc36
doubtful_1 1062478 2ea3241f8a9a3bd3f428ba77d76720c32ef8696042d05329af4f7e95a1baecce
happy_0 2386200 fdba588c443f1cfb17a11781b37515ababd933f65564a32f6859622ff62d3412
happy_1 531573 3ed4aa1ee540c136e88546a63ae324ac4f677a72a3bd41423fab1a5eea7c30ca
happy_2 638005 0b39a71e934c3bca01dce558e08b1953935392f98f1334e39759e0c9023cbd0f
natural_0 3129038 5c929ca5a4f91ef8c4921964648cd2724f9e10d0ca520e0207009a2ed9b2bdcd
natural_1 696565 775273821b842701d41acc17ed8bc022c806c9a44cc77b860213c6e56fe36612
natural_2 1327054 7cebd082ba8fa4bb91c1d51c6a7a7c9e26c8892f648c9942f49344d42264de70
natural_3 1433043 ae85ce6fbeaa3af633ee1022a6f96a543a88f40becd61a4c5f0bc997ab074078
natural_4 2811460 cc76e17d724001d3d047c6d40c9c86a50550e7fb734a11bf043cc1eaad376005
natural_5 391285 838dc72fccb22908dfc61b8965225295a7ae0c84a57f0672da31a48327b09fc0
natural_6 716469 b32a9d6ed07978d375e51f0f8da9ece1b3e4bc8dad64a281f990fe712c54d7eb
natural_7 620213 7ee71908c968e3a02f7d00c4079cbae0227551251da7a08ad2ed6ee074cd42f6
"""


def _rows() -> tuple[CatalogueEntry, ...]:
    styles = tuple(
        _artalk(
            f"artalk-style-{name.replace('_', '-')}",
            f"style_motion/{name}.pt",
            int(size),
            sha256,
            f"ARTalk: the speaking style {name}",
            "artalk-style",
        )
        for name, size, sha256 in (line.split() for line in _STYLES.strip().splitlines())
    )
    return (
        CatalogueEntry(
            name="wav2lip-gan",
            purpose="Wav2Lip with a visual quality discriminator: sharper, sync slightly behind wav2lip-base",
            path="wav2lip/wav2lip_gan.pth",
            licence=_WAV2LIP,
            found_in=_MIRRORS,
            kind="wav2lip-96",
            model="wav2lip",
            urls=(
                f"{_HUB}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip_gan.pth",
                f"{_HUB}/numz/wav2lip_studio/resolve/main/Wav2lip/wav2lip_gan.pth",
                f"{_HUB}/Nekochu/Wav2Lip/resolve/main/wav2lip_gan.pth",
            ),
            size_bytes=435_801_865,
            sha256="ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8",
            convert=True,
        ),
        CatalogueEntry(
            name="wav2lip-base",
            purpose="Wav2Lip without discriminator: the most accurate sync",
            path="wav2lip/wav2lip.pth",
            licence=_WAV2LIP,
            found_in=_MIRRORS,
            kind="wav2lip-96",
            model="wav2lip",
            urls=(
                f"{_HUB}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip.pth",
                f"{_HUB}/numz/wav2lip_studio/resolve/main/Wav2lip/wav2lip.pth",
            ),
            size_bytes=435_807_851,
            sha256="b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37",
            convert=True,
        ),
        CatalogueEntry(
            name="wav2lip-sd-gan",
            purpose="Wav2Lip-SD-GAN.pt, the TorchScript file that the authors link to today",
            path="wav2lip/Wav2Lip-SD-GAN.pt",
            licence=_WAV2LIP,
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
            licence=_UNSTATED,
            found_in="the README of github.com/lipku/LiveTalking (folder)",
            kind="wav2lip-256",
            model="wav2lip",
            convert=True,
            obtain="Download it in a browser from the folder "
            "https://drive.google.com/drive/folders/1FOC_MD6wdogyyX_7V1d4NDIO7P9NlSAJ, then: "
            "talkinghead models import wav2lip256.pth",
        ),
        CatalogueEntry(
            name="s3fd",
            purpose="S3FD, the face detector that Wav2Lip was published with",
            path="s3fd/s3fd.pth",
            licence=_S3FD,
            found_in="the README of github.com/Rudrabha/Wav2Lip (address); size and hash as pinned by public projects",
            kind="s3fd",
            urls=(
                "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
                f"{_HUB}/camenduru/Wav2Lip/resolve/main/face_detection/detection/sfd/s3fd.pth",
            ),
            size_bytes=89_843_225,
            sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
            convert=True,
        ),
        CatalogueEntry(
            name="yunet",
            purpose="YuNet, a small and fast face detector with five key points",
            path="yunet/face_detection_yunet_2023mar.onnx",
            licence=_MIT,
            found_in="models/face_detection_yunet of github.com/opencv/opencv_zoo (LFS pointer and README)",
            kind="yunet",
            urls=(
                "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
                "face_detection_yunet_2023mar.onnx",
            ),
            size_bytes=232_589,
            sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        ),
        CatalogueEntry(
            name="scrfd",
            purpose="SCRFD 2.5G with key points, the face detector of SyncTalk_2D's preparation",
            path="scrfd/scrfd_2.5g_kps.onnx",
            licence=_UNSTATED,
            found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (size and hash of the file there)",
            kind="scrfd",
            size_bytes=3_291_017,
            sha256="32d20c77b9e2dc1d07e94c2ab9d25bdd5cd05eddbe0b46e7b38e7a1eca22e99a",
            obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
            "talkinghead models import data_utils/scrfd_2.5g_kps.onnx",
        ),
        CatalogueEntry(
            name="pfld",
            purpose="The landmark network of SyncTalk_2D's preparation (110 points)",
            path="pfld/checkpoint_epoch_335.pth.tar",
            licence=_UNSTATED,
            found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
            kind="pfld",
            obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
            "talkinghead models import data_utils/checkpoint_epoch_335.pth.tar",
            brings=("pfld-mean-face",),
        ),
        CatalogueEntry(
            name="pfld-mean-face",
            purpose="The mean face that the landmark network's output is added to",
            path="pfld/mean_face.txt",
            licence=_UNSTATED,
            found_in="data_utils of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
            kind="pfld-mean-face",
            obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: talkinghead models import data_utils/mean_face.txt",
        ),
        CatalogueEntry(
            name="ave",
            purpose="The audio-visual encoder of SyncTalk and SyncTalk_2D",
            path="ave/audio_visual_encoder.pth",
            licence=_UNSTATED,
            found_in="model/checkpoints of github.com/ZiqiaoPeng/SyncTalk_2D (name only)",
            kind="ave",
            obtain="Clone github.com/ZiqiaoPeng/SyncTalk_2D, then: "
            "talkinghead models import model/checkpoints/audio_visual_encoder.pth",
        ),
        CatalogueEntry(
            name="wenet",
            purpose="The WeNet speech encoder of SyncTalk_2D's and Ultralight-Digital-Human's mode wenet",
            path="wenet/encoder.onnx",
            licence=_UNSTATED,
            found_in="the README of github.com/anliyuan/Ultralight-Digital-Human (link)",
            kind="wenet",
            obtain="Download it in a browser from "
            "https://drive.google.com/file/d/1e4Z9zS053JEWl6Mj3W9Lbc9GDtzHIg6b/view, then: "
            "talkinghead models import encoder.onnx",
        ),
        _encoder(
            "hubert",
            "facebook/hubert-large-ls960-ft",
            "pytorch_model.bin",
            _HUBERT,
            "the model that SyncTalk_2D and TalkingGaussian name; address and hash as pinned by public projects",
            "hubert",
            "HuBERT large, the speech features of SyncTalk_2D's mode hubert and of HuBERT heads of TalkingGaussian",
            sha256="9cf43abec3f0410ad6854afa4d376c69ccb364b48ddddfd25c4c5aa16398eab0",
            brings=("hubert-config",),
        ),
        _encoder(
            "hubert-config",
            "facebook/hubert-large-ls960-ft",
            "config.json",
            _HUBERT,
            "beside the weights, as fetched by public projects",
            "hubert-config",
            "HuBERT large: the sizes of its network",
        ),
        _encoder(
            "esperanto",
            "cpierse/wav2vec2-large-xlsr-53-esperanto",
            "pytorch_model.bin",
            _ESPERANTO,
            "the model that TalkingGaussian names; address as fetched by public projects",
            "esperanto",
            "The Esperanto wav2vec 2.0, the speech features of Esperanto heads of TalkingGaussian",
            brings=("esperanto-config",),
        ),
        _encoder(
            "esperanto-config",
            "cpierse/wav2vec2-large-xlsr-53-esperanto",
            "config.json",
            _ESPERANTO,
            "beside the weights, as fetched by public projects",
            "esperanto-config",
            "The Esperanto wav2vec 2.0: the sizes of its network",
        ),
        CatalogueEntry(
            name="deepspeech",
            purpose="DeepSpeech 0.1.0, the speech features that many TalkingGaussian heads listen to",
            path="deepspeech/deepspeech-0_1_0-b90017e8.pb",
            licence=Licence(
                "MPL-2.0 (Mozilla DeepSpeech)",
                "Any use; changes to the files themselves are published. The mirror states no terms of its own.",
                "https://github.com/mozilla/DeepSpeech/blob/master/LICENSE",
                commercial=True,
            ),
            found_in="release v0.0.1 of github.com/osmr/deepspeech_features (address, SHA-1); LICENSE of "
            "github.com/mozilla/DeepSpeech",
            kind="deepspeech",
            urls=(
                "https://github.com/osmr/deepspeech_features/releases/download/v0.0.1/deepspeech-0_1_0-b90017e8.pb.zip",
            ),
            archive_member="deepspeech-0_1_0-b90017e8.pb",
            member_sha1="b90017e816572ddce84f5843f1fa21e6a377975e",
        ),
        _artalk(
            "artalk",
            "ARTalk_wav2vec.pt",
            1_959_150_898,
            "d89615a32e2a6b4e35cf5494c1e400b2acedc43812f63423b9f5d705046d67c2",
            "ARTalk: speech to head motion",
            "artalk-motion",
            ("artalk-config",),
        ),
        _artalk(
            "artalk-config",
            "config.json",
            303,
            "7546248a7eace5184a3b072de6fac80f22109e32f073ba4f616a7971a6f190fe",
            "ARTalk: the sizes of its network",
        ),
        CatalogueEntry(
            name="flame",
            purpose="FLAME with eyes: the head that ARTalk moves",
            path="artalk/FLAME_with_eye.pt",
            licence=_FLAME,
            found_in=_MANIFEST,
            kind="flame",
            size_bytes=26_819_643,
            sha256="b87a1d3513b3df0504f1e1f93bcb85ac01abe4dadf92e75ac08046c4a68403be",
            obtain="Register at https://flame.is.tue.mpg.de and accept the licence there; make FLAME_with_eye.pt as "
            "github.com/xg-chu/ARTalk describes; then: talkinghead models import FLAME_with_eye.pt",
        ),
        CatalogueEntry(
            name="gagavatar",
            purpose="GAGAvatar: photographic avatars for ARTalk",
            path="artalk/GAGAvatar/GAGAvatar.pt",
            licence=_GAGAVATAR,
            found_in=_MANIFEST,
            kind="gagavatar",
            urls=(f"{_HUB}/xg-chu/GAGAvatar/resolve/main/assets/GAGAvatar.pt?download=true",),
            size_bytes=747_434_426,
            sha256="75d449fd1d67dd7bbc613cef17f0196b1c84766935adc75d5231bc89e33950f8",
            brings=("artalk-avatars",),
        ),
        _artalk(
            "artalk-avatars",
            "GAGAvatar/tracked.pt",
            183_503_648,
            "9b716493929ca0a19a50ce87c291627ff15d81980cad572f75b8d023dc3770fd",
            "ARTalk: the published example avatars",
            "artalk-avatars",
        ),
        CatalogueEntry(
            name="gagavatar-logo",
            purpose="GAGAvatar: the logo that its pictures carry (--no-watermark leaves it out)",
            path="artalk/GAGAvatar/gagavatar_logo.png",
            licence=_GAGAVATAR,
            found_in="assets/GAGAvatar of github.com/xg-chu/ARTalk (size and hash of the file there)",
            kind="",
            size_bytes=351_301,
            sha256="235ac41d5190b2964ca712c5ea4cd3be34c6e864764bce361aa350f74ef16811",
            obtain="Clone github.com/xg-chu/ARTalk, then: "
            "talkinghead models import assets/GAGAvatar/gagavatar_logo.png",
        ),
        *styles,
    )


CATALOGUE: Mapping[str, CatalogueEntry] = {entry.name: entry for entry in _rows()}
"""Every entry by name. Of several for one model the first installed one is taken by itself."""


def entry_named(name: str) -> CatalogueEntry:
    """A row.

    Raises:
        OptionError: there is none of that name.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        from difflib import get_close_matches

        near = get_close_matches(name, CATALOGUE, n=3)
        raise OptionError(
            f"There is no checkpoint {name!r} in the catalogue.",
            accepted=choices(near) if near else None,
            remedy="talkinghead models list",
        ) from None
