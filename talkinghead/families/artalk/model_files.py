"""Files of ARTalk: its networks, the head that it moves, avatars and styles; and how they are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkinghead.weights.catalogue import HUB, CatalogueEntry, Licence
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind

_CARD = "The authors state the terms on the model card only. Read it before commercial use."
_TERMS = Licence("see the model card", _CARD, "https://huggingface.co/xg-chu/ARTalk")
_GAGAVATAR = Licence("see the model card", _CARD, "https://huggingface.co/xg-chu/GAGAvatar")
_FLAME = Licence(
    "FLAME model licence",
    "Registration is required; non-commercial research use only; the file may not be passed on.",
    "https://flame.is.tue.mpg.de",
    commercial=False,
)
_MANIFEST = "artalk/assets_manifest.json of github.com/xg-chu/ARTalk"


def _published(
    name: str, path: str, size: int, sha256: str, purpose: str, kind: str = "", **facts: Any
) -> CatalogueEntry:
    return CatalogueEntry(
        name=name,
        purpose=purpose,
        path=f"artalk/{path}",
        licence=_TERMS,
        found_in=_MANIFEST,
        kind=kind,
        urls=(f"{HUB}/xg-chu/ARTalk/resolve/main/{path}?download=true",),
        size_bytes=size,
        sha256=sha256,
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

CATALOGUE = (
    _published(
        "artalk",
        "ARTalk_wav2vec.pt",
        1_959_150_898,
        "d89615a32e2a6b4e35cf5494c1e400b2acedc43812f63423b9f5d705046d67c2",
        "ARTalk: speech to head motion",
        "artalk-motion",
        brings=("artalk-config",),
    ),
    _published(
        "artalk-config",
        "config.json",
        303,
        "7546248a7eace5184a3b072de6fac80f22109e32f073ba4f616a7971a6f190fe",
        "ARTalk: the sizes of its network",
        listed=False,
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
        urls=(f"{HUB}/xg-chu/GAGAvatar/resolve/main/assets/GAGAvatar.pt?download=true",),
        size_bytes=747_434_426,
        sha256="75d449fd1d67dd7bbc613cef17f0196b1c84766935adc75d5231bc89e33950f8",
        brings=("artalk-avatars",),
    ),
    _published(
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
        obtain="Clone github.com/xg-chu/ARTalk, then: talkinghead models import assets/GAGAvatar/gagavatar_logo.png",
    ),
    *(
        _published(
            f"artalk-style-{name.replace('_', '-')}",
            f"style_motion/{name}.pt",
            int(size),
            sha256,
            f"ARTalk: the speaking style {name}",
            "artalk-style",
            listed=False,
        )
        for name, size, sha256 in (line.split() for line in _STYLES.strip().splitlines())
    ),
)


def _is_motion(checkpoint: Checkpoint) -> bool:
    names = checkpoint.tensors
    return any(name.startswith("basic_vae.") for name in names) and any(
        name.startswith("audio_encoder.") for name in names
    )


def _is_avatars(checkpoint: Checkpoint) -> bool:
    tree = checkpoint.tree
    return (
        isinstance(tree, Mapping)
        and len(tree) > 0
        and all(isinstance(e, Mapping) and {"image", "transform_matrix", "shapecode"} <= set(e) for e in tree.values())
    )


def _is_style(checkpoint: Checkpoint) -> bool:
    arrays = list(checkpoint.tensors.values())
    return len(arrays) == 1 and arrays[0].shape == (50, 106)


KINDS = (
    Kind("artalk-motion", "ARTalk's motion network", holds=_is_motion),
    Kind("gagavatar", "GAGAvatar", holds=lambda checkpoint: "head_base" in checkpoint.tensors),
    Kind("artalk-avatars", "tracked avatars of ARTalk", holds=_is_avatars),
    Kind("artalk-style", "a speaking style of ARTalk", holds=_is_style, folder="artalk/style_motion"),
    Kind("flame", "a FLAME head", holds=lambda checkpoint: {"v_template", "shapedirs"} <= set(checkpoint.tensors)),
)
