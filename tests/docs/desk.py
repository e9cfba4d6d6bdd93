"""The files that the documentation's commands name: small, drawn or constructed, in the published formats."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.assets import demo_speech_path
from talkinghead.media import read_audio, write_png, write_video, write_wav
from tests.conftest import ROOT

SECONDS = 0.6
"""Of speech."""


class Shop:
    """Makes each thing once; a page then gets the things that it names, linked into its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Path] = {}

    def make(self, name: str) -> Path:
        """A file or folder of this name."""
        if name not in self._made:
            place = self.folder / name.replace("/", "-")
            place.mkdir(parents=True, exist_ok=True)
            path = place / Path(name).name
            GOODS[name](self, path)
            self._made[name] = path
        return self._made[name]

    def furnish(self, desk: Path, text: str) -> None:
        """Put everything that a text names onto a desk; sounds and faces are always there."""
        if "checkpoint/May" in text:
            text += " model/checkpoints/audio_visual_encoder.pth"  # as it lies in the published repository
        for name in GOODS:
            if name in text or name in ALWAYS:
                target = desk / name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = self.make(name)
                if source.is_dir():
                    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
                elif not target.exists():
                    os.link(source, target)  # the product replaces files and never writes into them

    @cached_property
    def photo(self) -> np.ndarray:
        from skimage.data import astronaut

        return np.ascontiguousarray(astronaut()[:440, 40:480])

    @cached_property
    def person(self) -> Path:
        """A drawn person of SyncTalk_2D: model/ and template/."""
        target = self.folder / "person"
        run_main(
            "synctalk2d", "demo", str(target), "--frames", "6", "--size", "160", "--width", "320", "--height", "180"
        )
        return target

    @cached_property
    def head3d(self) -> Path:
        """A constructed Gaussian head: data/ and model/."""
        target = self.folder / "head3d"
        command = [sys.executable, str(ROOT / "scripts" / "make_gaussian_head.py"), str(target), "--detail", "0.1"]
        subprocess.run([*command, "--size", "160"], check=True, capture_output=True, cwd=ROOT, timeout=300)
        return target


def run_main(*arguments: str) -> None:
    from talkinghead.cli.main import main

    assert main(list(arguments)) == 0, arguments


def speech(_: Shop, path: Path) -> None:
    write_wav(path, read_audio(demo_speech_path(), 16_000, duration_s=SECONDS))


def photo(shop: Shop, path: Path) -> None:
    picture = path.with_suffix(".png")
    write_png(picture, shop.photo)
    picture.rename(path)  # what a file is, its content decides


def video(shop: Shop, path: Path) -> None:
    frames = [np.roll(shop.photo, i, axis=1) for i in range(8)]
    write_video(path, frames, fps=Fraction(25), soundtrack=read_audio(demo_speech_path(), 16_000, duration_s=0.32))


def two_people(shop: Shop, path: Path) -> None:
    write_video(path, [np.hstack([shop.photo, shop.photo])] * 4, fps=Fraction(25))


def words(_: Shop, path: Path) -> None:
    path.write_text("This text comes from a file.\n", encoding="utf-8")


def wav2lip(_: Shop, path: Path) -> None:
    """A thin generator with random weights, as training saves it."""
    import torch

    from tests.thin import thin_weights

    state = {f"module.{name}": torch.from_numpy(value) for name, value in thin_weights().items()}
    torch.save({"state_dict": state, "optimizer": None, "global_step": 1}, path)


def wav2lip_256(_: Shop, path: Path) -> None:
    """The larger generator: mostly zeros, since random numbers of this size take their time."""
    import torch

    from talkinghead.families.wav2lip.architecture import GENERATOR_256

    torch.save({name: torch.full(shape, 0.001) for name, shape in GENERATOR_256.expected()}, path)


def wav2lip_safetensors(shop: Shop, path: Path) -> None:
    run_main("models", "convert", str(shop.make("wav2lip_gan.pth")), str(path))


def network_inputs(_: Shop, path: Path) -> None:
    rng = np.random.default_rng(0)
    face, mel = rng.random((1, 6, 96, 96), np.float32), rng.random((1, 1, 80, 16), np.float32)
    np.savez(path, face=face, mel=mel)


def synctalk_folder(shop: Shop, path: Path) -> None:
    path.mkdir()
    synctalk_file(shop, path / "5.pth")


def synctalk_file(shop: Shop, path: Path) -> None:
    """The drawn person's generator, as training saves it."""
    import torch

    from talkinghead.weights import read_checkpoint

    (source,) = (shop.person / "model").glob("[0-9]*.safetensors")
    tensors = read_checkpoint(source).tensors
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}, path)


def ave_encoder(shop: Shop, path: Path) -> None:
    os.link(shop.person / "model" / "audio_visual_encoder.safetensors", path)


def template(shop: Shop, path: Path) -> None:
    """With the features of its video, as training leaves it."""
    shutil.copytree(shop.person / "template", path)
    np.save(path / "aud_ave.npy", np.zeros((6, 512), np.float32))


def avatar(shop: Shop, path: Path) -> None:
    """Checkpoint and template in one folder, as `train` makes it: those of the drawn person."""
    shutil.copytree(shop.person / "template", path)
    shutil.copytree(shop.person / "model", path, dirs_exist_ok=True)


def ported(shop: Shop, path: Path) -> None:
    """What a port in another language would write: here the same arrays once more."""
    made = path.parent / "reference"
    run_main(
        "synctalk2d", "reference", "--checkpoint", str(shop.make("output/may.pth")), "--mode", "ave", "--template",
        str(shop.make("dataset/May")), "--audio", str(shop.make("hello.wav")), "-o", str(made),
        "--ave-encoder", str(shop.make("audio_visual_encoder.pth")), "--frames", "1",
    )  # fmt: skip
    path.mkdir()
    for file in made.rglob("*.npy"):
        shutil.copyfile(file, path / file.name)


def scene(shop: Shop, path: Path) -> None:
    shutil.copytree(shop.head3d / "data", path)


def trained_head(shop: Shop, path: Path) -> None:
    shutil.copytree(shop.head3d / "model", path)


def deepspeech(_: Shop, path: Path) -> None:
    from tests.audio.encoders.test_deepspeech import graph_file, small_graph

    graph_file(path, small_graph())


def features(shop: Shop, path: Path) -> None:
    np.save(path, np.load(shop.head3d / "data" / "aud_ds.npy")[:20])


def true_video(shop: Shop, path: Path) -> None:
    """What `out.mp4` of the Gaussian head is compared with: the same size and rate."""
    run_main(
        "generate", "--model", "talkinggaussian", "--scene", str(shop.head3d / "data"), "--checkpoint",
        str(shop.head3d / "model"), "--audio", str(shop.make("hello.wav")), "--audio-features", "phones", "-q",
        "-o", str(path),
    )  # fmt: skip


def flame(_: Shop, path: Path) -> None:
    from talkinghead.weights import write_safetensors

    arrays = {"v_template": np.zeros((5, 3), np.float32), "shapedirs": np.zeros((5, 3, 2), np.float32)}
    written = path.with_suffix(".safetensors")
    write_safetensors(arrays, written)
    written.rename(path)


def motion(_: Shop, path: Path) -> None:
    """Motion of ARTalk's layout: the head turns and the jaw opens."""
    values = np.zeros((16, 106), np.float32)
    values[:, 101] = np.linspace(0, 0.2, 16)
    values[:, 103] = 0.1
    np.save(path, values)


def face_restoration(_: Shop, path: Path) -> None:
    """A small network that sharpens."""
    from tests.enhance.networks import sharpener

    sharpener(path.with_suffix(".safetensors")).rename(path)


ALWAYS = ("hello.wav", "goodbye.wav", "me.jpg", "me.mp4")


def jobs(_: Shop, path: Path) -> None:
    """A table of two rows: faces and sounds that are on every desk."""
    path.write_text("face,audio,output\nme.jpg,hello.wav,one\nme.mp4,goodbye.wav,two\n", encoding="utf-8")


GOODS: dict[str, Callable[[Shop, Path], Any]] = {
    "hello.wav": speech,
    "goodbye.wav": speech,
    "me.jpg": photo,
    "me.mp4": video,
    "jobs.csv": jobs,
    "two.mp4": two_people,
    "both.wav": speech,
    "other.wav": speech,
    "a.wav": speech,
    "b.wav": speech,
    "demo/talk_hb.wav": speech,
    "words.txt": words,
    "wav2lip_gan.pth": wav2lip,
    "wav2lip.safetensors": wav2lip_safetensors,
    "wav2lip256.pth": wav2lip_256,
    "I.npz": network_inputs,
    "checkpoint/May": synctalk_folder,
    "output/may.pth": synctalk_file,
    "avatars/me": avatar,
    "audio_visual_encoder.pth": ave_encoder,
    "model/checkpoints/audio_visual_encoder.pth": ave_encoder,
    "dataset/May": template,
    "my_arrays": ported,
    "data/ID": scene,
    "output/P": trained_head,
    "deepspeech-0_1_0-b90017e8.pb": deepspeech,
    "X.npy": features,
    "truth.mp4": true_video,
    "FLAME_with_eye.pt": flame,
    "raw.npy": motion,
    "GFPGANv1.4.pth": face_restoration,
}
"""What the pages name, and how it is made. Later ones are made from earlier ones."""
