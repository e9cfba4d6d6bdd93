"""ComfyUI as far as a pack of nodes sees it: its modules faked, and the pack imported as ComfyUI does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT

PACK = ROOT / "integrations" / "comfyui"
NAME = "a_folder_of_custom_nodes"


class Interrupted(Exception):
    """ComfyUI's InterruptProcessingException."""


class Host:
    """What the fakes have in common: folders, what the bar was told, whether somebody interrupts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bar: list[tuple[int, int, Any]] = []
        self.is_interrupted = False
        self.stop_at: int | None = None
        """The user interrupts when the bar comes here."""
        self.free_bytes = 64 * 2**30
        self.made_room: list[int] = []
        self.device = SimpleNamespace(type="cpu", index=None)

    def advance(self, value: int, total: int, preview: Any) -> None:
        self.bar.append((value, total, preview))
        if self.stop_at is not None and value >= self.stop_at:
            self.is_interrupted = True

    def check(self) -> None:
        if self.is_interrupted:
            self.is_interrupted = False
            raise Interrupted

    def outputs(self) -> list[str]:
        """Every file below the output and the temporary folder."""
        return sorted(
            path.name for name in ("output", "temp") for path in (self.folder / name).rglob("*") if path.is_file()
        )


class VideoFromFile:
    """ComfyUI's VIDEO that is a file."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def get_stream_source(self) -> Any:
        return self.file


class VideoFromComponents:
    """ComfyUI's VIDEO that is frames."""

    def __init__(self, images: Any, frame_rate: Any) -> None:
        self.parts = SimpleNamespace(images=images, frame_rate=frame_rate, audio=None)

    def get_components(self) -> Any:
        return self.parts


def fakes(host: Host) -> dict[str, ModuleType]:
    """ComfyUI's modules by name."""
    torch = pytest.importorskip("torch")

    def module(name: str, **parts: Any) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(parts)
        return made

    class ProgressBar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
            self.total = total or self.total
            host.advance(value, self.total, preview)
            host.check()

    def get_filename_list(kind: str) -> list[str]:
        folders, suffixes = paths.folder_names_and_paths[kind]
        return sorted(path.name for folder in folders for path in Path(folder).iterdir() if path.suffix in suffixes)

    def get_save_image_path(prefix: str, folder: str, width: int = 0, height: int = 0) -> tuple[Any, ...]:
        below, name = str(Path(prefix).parent), Path(prefix).name
        whole = Path(folder) / below
        whole.mkdir(parents=True, exist_ok=True)
        return str(whole), name, 1 + sum(1 for _ in whole.glob(f"{name}_*")), below, prefix

    paths = module(
        "folder_paths",
        models_dir=str(host.folder / "models"),
        folder_names_and_paths={},
        get_filename_list=get_filename_list,
        get_full_path_or_raise=lambda kind, name: str(Path(paths.folder_names_and_paths[kind][0][0]) / name),
        get_folder_paths=lambda kind: paths.folder_names_and_paths[kind][0],
        get_temp_directory=lambda: str(host.folder / "temp"),
        get_output_directory=lambda: str(host.folder / "output"),
        get_save_image_path=get_save_image_path,
    )
    management = module(
        "comfy.model_management",
        InterruptProcessingException=Interrupted,
        processing_interrupted=lambda: host.is_interrupted,
        throw_exception_if_processing_interrupted=host.check,
        get_torch_device=lambda: host.device,
        get_free_memory=lambda device: host.free_bytes,
        free_memory=lambda size, device: host.made_room.append(size),
    )
    utils = module("comfy.utils", ProgressBar=ProgressBar)
    implemented = module("comfy_api.input_impl", VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents)
    assert torch
    return {
        "folder_paths": paths,
        "comfy": module("comfy", utils=utils, model_management=management),
        "comfy.utils": utils,
        "comfy.model_management": management,
        "comfy_api": module("comfy_api", input_impl=implemented),
        "comfy_api.input_impl": implemented,
    }


def import_pack() -> ModuleType:
    """The pack, as ComfyUI imports a folder of custom_nodes."""
    spec = importlib.util.spec_from_file_location(NAME, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="session")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, ModuleType]]:
    host = Host(tmp_path_factory.mktemp("comfyui"))
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fakes(host).items():
            patch.setitem(sys.modules, name, module)
        try:
            yield host, import_pack()
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
                del sys.modules[name]


@pytest.fixture
def host(_installed: tuple[Host, ModuleType]) -> Host:
    """The faked ComfyUI, with nothing made yet."""
    found, _ = _installed
    fresh = Host(found.folder)
    found.__dict__.update(fresh.__dict__)
    for path in [path for name in ("output", "temp") for path in (found.folder / name).rglob("*") if path.is_file()]:
        path.unlink()
    return found


@pytest.fixture
def pack(_installed: tuple[Host, ModuleType], host: Host) -> ModuleType:
    """The imported pack."""
    return _installed[1]


class Bench:
    """Runs nodes as ComfyUI does: widgets that are not given have their defaults."""

    def __init__(self, pack: ModuleType) -> None:
        self.pack = pack

    def run(self, name: str, **given: Any) -> Any:
        node = self.pack.NODE_CLASS_MAPPINGS[name]
        inputs = node.INPUT_TYPES()
        known = {**inputs.get("required", {}), **inputs.get("optional", {})}
        assert set(given) <= set(known), set(given) - set(known)
        values = {key: facts["default"] for key, (_, facts) in known.items() if "default" in facts}
        missing = set(inputs.get("required", {})) - set(values) - set(given)
        assert not missing, missing
        return getattr(node(), node.FUNCTION)(**{**values, **given})

    def head(self, **given: Any) -> Any:
        return self.run("TalkingHeadLoadHead", **given)[0]

    def face(self, head: Any, **given: Any) -> Any:
        return self.run("TalkingHeadPrepareFace", head=head, **given)[0]


@pytest.fixture
def bench(pack: ModuleType) -> Bench:
    return Bench(pack)


def bytes_of(images: Any) -> np.ndarray:
    """An IMAGE as the next node's file has it: cut, not rounded, as ComfyUI's own nodes do."""
    return (images.clamp(0, 1) * 255).numpy().astype(np.uint8)


def image_from(frames: np.ndarray) -> Any:
    """Frames, uint8 [n, H, W, 3], as ComfyUI's loaders give them."""
    import torch

    return torch.from_numpy(frames.astype(np.float32) / 255.0)


def audio_from(samples: np.ndarray, rate: int) -> dict[str, Any]:
    """Samples, [n, channels] float32, as ComfyUI's loader gives them."""
    import torch

    return {"waveform": torch.from_numpy(np.ascontiguousarray(samples.T))[None], "sample_rate": rate}
