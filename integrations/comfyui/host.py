"""Everything that is ComfyUI's: its folders, bar, pictures while it works, interrupt, devices and memory.

No other module imports ComfyUI.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch

from talkinghead.contracts import Frame
from talkinghead.engine.context import CancelToken, ProgressEvent
from talkinghead.errors import Cancelled, TalkingHeadError

from .words import node_error

LOG = logging.getLogger("talkinghead.comfyui")
FOLDER = "talkinghead"
"""Below ComfyUI's folder of models: checkpoints, voices, folders of people and scenes."""
CHECKPOINTS = {".ckpt", ".onnx", ".pt", ".pth", ".safetensors"}
POLL_S = 0.05
"""Seconds from one look at ComfyUI's interrupt to the next."""
PICTURE_S, PICTURE_SIDE = 0.25, 512
"""Seconds between the pictures that a node shows while it works, and the longer side that they are reduced to."""
ROOM_BYTES = 2 * 2**30
"""What ComfyUI is asked to free on a graphics card before a head is loaded."""


# Folders --------------------------------------------------------------------------------------------------------------


def add_folder() -> None:
    """Make models/talkinghead one of ComfyUI's folders; what extra_model_paths.yaml adds stays."""
    folders, _ = folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))
    own = Path(folder_paths.models_dir) / FOLDER
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        LOG.warning("%s cannot be made: %s", own, error)
    paths = [*folders, *([] if str(own) in folders else [str(own)])]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, CHECKPOINTS)


def model_files() -> list[str]:
    """Files in ComfyUI's folder for this pack, as ComfyUI names them."""
    return list(folder_paths.get_filename_list(FOLDER))


def model_file(name: str) -> Path:
    """One of `model_files`."""
    return Path(folder_paths.get_full_path_or_raise(FOLDER, name))


def model_folders() -> list[Path]:
    """Where folders of people and scenes are looked for."""
    return [Path(path) for path in folder_paths.get_folder_paths(FOLDER)]


def temporary_folder() -> Path:
    """ComfyUI's own, which it empties."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def next_output(prefix: str, suffix: str, size: tuple[int, int]) -> tuple[Path, dict[str, str]]:
    """A file that is not there yet, named as ComfyUI names what it saves, and how its page finds it."""
    width, height = size
    folder, name, counter, below, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    file = f"{name}_{counter:05}_{suffix}"
    return Path(folder) / file, {"filename": file, "subfolder": below, "type": "output"}


def video_from_file(path: Path) -> Any:
    """A VIDEO that is this file."""
    from comfy_api.input_impl import VideoFromFile

    return VideoFromFile(str(path))


# Machine --------------------------------------------------------------------------------------------------------------


def device_for(choice: str) -> str:
    """A device as the package names it: "auto" is where ComfyUI itself works, as far as the package can."""
    if choice != "auto":
        return choice
    device = comfy.model_management.get_torch_device()
    if device.type != "cuda":
        return "cpu"
    return f"cuda:{device.index}" if device.index else "auto"


def make_room(device: str) -> None:
    """Let ComfyUI move models of its own off the graphics card where a head is to run on it."""
    if device != "cpu" and comfy.model_management.get_torch_device().type == "cuda":
        comfy.model_management.free_memory(ROOM_BYTES, comfy.model_management.get_torch_device())


def free_bytes() -> int:
    """Memory of the machine that is free, as ComfyUI counts it."""
    return int(comfy.model_management.get_free_memory(torch.device("cpu")))


# Work -----------------------------------------------------------------------------------------------------------------


class Work:
    """One node at work: ComfyUI's bar follows it, and its interrupt stops it within a frame or two.

    with Work() as work:
        avatar = head.prepare(source, progress=work.progress, cancel=work.cancel)
    """

    def __init__(self) -> None:
        self.cancel = CancelToken()
        self._bar = comfy.utils.ProgressBar(1)
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="talkinghead-interrupt", daemon=True)
        self._thread = threading.get_ident()
        self._shown_s = 0.0

    def __enter__(self) -> Work:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join()
        if isinstance(error, Cancelled):
            comfy.model_management.throw_exception_if_processing_interrupted()
            raise comfy.model_management.InterruptProcessingException from error
        if isinstance(error, TalkingHeadError):
            raise node_error(error) from error

    def progress(self, event: ProgressEvent) -> None:
        """A stage of the package says how far it is."""
        if event.note:
            LOG.info("%s", event.note)
        elif event.total:
            self.at(event.done, event.total)

    def at(self, done: int, total: int, picture: Frame | None = None) -> None:
        """Move the bar, and now and then show a picture: RGB uint8 [H, W, 3]."""
        if threading.get_ident() != self._thread:  # ComfyUI knows by the thread which node works
            return
        shown = None
        if picture is not None and time.monotonic() - self._shown_s >= PICTURE_S:
            from PIL import Image

            self._shown_s = time.monotonic()
            shown = ("JPEG", Image.fromarray(picture), PICTURE_SIDE)
        try:
            self._bar.update_absolute(done, total, shown)
        except comfy.model_management.InterruptProcessingException:
            self.cancel.cancel()
            self.cancel.check()

    def tell(self, sentences: Sequence[str]) -> None:
        """What the user should know, in ComfyUI's log."""
        for sentence in sentences:
            LOG.warning("%s", sentence)

    def _watch(self) -> None:
        while not self._ended.wait(POLL_S):
            if comfy.model_management.processing_interrupted():
                self.cancel.cancel()
                return


add_folder()
