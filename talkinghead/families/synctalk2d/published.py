"""The interface of the published `frame_generation_pipeline` package, over this package's own parts.

Pictures here are BGR, as in the published package. Where that package differed from the script that it was written
after, this does as the script: the ring of 4 pixels around the generated picture is the template's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import DEPTHWISE, candidates, choose_device
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray, IntArray
from talkinghead.errors import MediaNotFound, OptionError, UnreadableMedia, UnwritableOutput, choices
from talkinghead.families.synctalk2d.choose import build_engine
from talkinghead.families.synctalk2d.crop import (
    CONTOUR_LEFT,
    CONTOUR_RIGHT,
    NOSE_BRIDGE,
    CropBox,
    Picture,
    crop_box,
    filled_canvas,
    inner_picture,
    masked_picture,
    network_input,
    parsing_keep,
    paste_crop,
    picture_from_output,
    resize_crop,
    resize_filters,
)
from talkinghead.families.synctalk2d.engine import Engine, StateCache
from talkinghead.families.synctalk2d.export import export_generator
from talkinghead.families.synctalk2d.features import features_of, load_array
from talkinghead.families.synctalk2d.folded import fold
from talkinghead.families.synctalk2d.template import numbered_files, read_image, read_landmarks, template_order
from talkinghead.families.synctalk2d.variants import SIZES, SizeVariant, Variant
from talkinghead.families.synctalk2d.weights import GeneratorWeights, read_generator
from talkinghead.files import make_folder, unwritable, write_bytes
from talkinghead.places import check_apart, fitted_name

if TYPE_CHECKING:
    import torch

    from talkinghead.families.synctalk2d.pipeline import SyncTalk2DHead

Coordinates = tuple[int, int, int, int]
"""(xmin, ymin, xmax, ymax)."""

JPEG_QUALITY = 95
"""OpenCV's default."""
WENET_FPS = 20


def _size_of(picture: Picture) -> SizeVariant | None:
    """The network size whose picture this is, or None."""
    for size in SIZES.values():
        if picture.shape[:2] == (size.inner_px, size.inner_px):
            return size
    return None


class ImageProcessor:
    """Reading, cropping, masking and pasting pictures; BGR throughout."""

    @staticmethod
    def load_image(image_path: str | Path) -> Picture:
        """A picture file as BGR uint8 [H, W, 3].

        Raises:
            FileNotFoundError: missing or not a picture.
        """
        try:
            return np.ascontiguousarray(read_image(Path(image_path))[:, :, ::-1])
        except (MediaNotFound, UnreadableMedia) as error:
            raise FileNotFoundError(f"Could not load image: {image_path}") from error

    @staticmethod
    def load_landmarks(lms_path: str | Path) -> IntArray:
        """[110, 2] int32 from a `.lms` file."""
        return read_landmarks(Path(lms_path))

    @staticmethod
    def get_crop_region(landmarks: NDArray[Any]) -> Coordinates:
        """The square below the eyes; may leave the frame."""
        xmin, xmax = int(landmarks[CONTOUR_LEFT][0]), int(landmarks[CONTOUR_RIGHT][0])
        ymin = int(landmarks[NOSE_BRIDGE][1])
        return xmin, ymin, xmax, ymin + (xmax - xmin)

    @staticmethod
    def crop_face_region(image: Picture, landmarks: NDArray[Any]) -> tuple[Picture, Coordinates]:
        """The crop and where it is; what leaves the frame is cut off.

        Raises:
            FaceError: nothing of the square lies in the frame.
        """
        box = crop_box(np.asarray(landmarks, np.int32), image.shape[1], image.shape[0])
        return image[box.y1 : box.y2, box.x1 : box.x2], (box.x1, box.y1, box.x2, box.y2)

    @staticmethod
    def resize_image(image: Picture, target_size: tuple[int, int], interpolation: int = 2) -> Picture:
        """Resize to (width, height); the default interpolation is cv2.INTER_CUBIC."""
        import cv2

        resized: Picture = cv2.resize(image, target_size, interpolation=interpolation)  # type: ignore[assignment]
        return resized

    @staticmethod
    def create_masked_region(image: Picture, inner_crop: bool = True) -> Picture:  # noqa: ARG004 - published argument
        """A copy with the black rectangle; image is the network's picture (320x320 or 160x160)."""
        size = _size_of(image)
        if size is None:
            raise OptionError(
                f"A picture of {image.shape[1]}x{image.shape[0]} has no mask.", accepted="320x320 or 160x160 pixels"
            )
        return masked_picture(image, size)

    @staticmethod
    def prepare_input_tensors(image: Picture, normalize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's input.

        Args:
            image: the network's picture (320x320 or 160x160), or a raw crop, which is then resized for the 328 network
                and cut to its inside.
        Returns:
            [1, 6, H, W] with the blacked copy, and [3, H, W]; float32, in [0, 1] if normalised.
        """
        import torch

        size = _size_of(image)
        if size is None:
            size = SIZES["328"]
            box = CropBox(0, 0, image.shape[1], image.shape[0])
            image = inner_picture(resize_crop(image, box, size, resize_filters(size)))
        planes = network_input(image, size)
        if not normalize:
            planes = np.rint(planes * np.float32(255))
        both = torch.from_numpy(planes)
        return both[None], both[:3]

    @staticmethod
    def paste_generated_region(
        full_frame: Picture,
        generated_region: Picture,
        crop_coords: Coordinates,
        original_crop_size: tuple[int, int],
    ) -> Picture:
        """A copy of the frame with the generated picture pasted in; original_crop_size is (height, width)."""
        return ImageProcessor.process_frame_with_parsing(
            full_frame, generated_region, crop_coords, original_crop_size, None
        )

    @staticmethod
    def process_frame_with_parsing(
        full_frame: Picture,
        generated_region: Picture,
        crop_coords: Coordinates,
        original_crop_size: tuple[int, int],
        parsing_image: Picture | None = None,
    ) -> Picture:
        """As `paste_generated_region`; where the BGR parsing picture is red or white, the frame stays."""
        size = _size_of(generated_region)
        if size is None:
            height, width = generated_region.shape[:2]
            raise OptionError(f"A generated picture of {width}x{height}.", accepted="320x320 or 160x160 pixels")
        height, width = original_crop_size
        x1, y1 = int(crop_coords[0]), int(crop_coords[1])
        box = CropBox(x1, y1, x1 + int(width), y1 + int(height))
        filters = resize_filters(size)
        canvas = filled_canvas(resize_crop(full_frame, box, size, filters), generated_region)
        keep = None if parsing_image is None else parsing_keep(parsing_image[:, :, ::-1], box)
        return paste_crop(full_frame, box, canvas, filters, keep=keep)


class UNetModel:
    """A generator for single frames, float32."""

    def __init__(self, checkpoint_path: str | Path, mode: str = "ave", device: str | None = None) -> None:
        """
        Args:
            checkpoint_path: a file, or a folder of numbered files.
            mode: "ave", "hubert" or "wenet".
            device: "cpu" or "cuda"; None takes CUDA if there is one.
        Raises:
            FileNotFoundError: no such path. CheckpointError: not such a generator.
        """
        if not Path(checkpoint_path).exists():
            raise FileNotFoundError(f"Checkpoint not found: {checkpoint_path}")
        self.weights: GeneratorWeights = read_generator(checkpoint_path)
        self.variant: Variant = self.weights.variant(mode)
        self.checkpoint_path = str(self.weights.path)
        self.mode = mode
        self.device = device or ("cuda" if choose_device() != "cpu" else "cpu")
        self._engine: Engine | None = None
        self._run: Any = None

    @property
    def engine(self) -> Engine:
        """The generator with what it reuses between frames."""
        if self._engine is None:
            choice = candidates(DEPTHWISE, self.device, "auto", "parity")[0]
            self._engine = build_engine(choice, fold(self.weights.tensors, self.variant))
        return self._engine

    def predict(self, image_tensor: Any, audio_features: Any) -> Picture:
        """One picture.

        Args:
            image_tensor: [1, 6, H, W] in [0, 1], torch or NumPy.
            audio_features: [1, ...] or [...] of the mode's shape, torch or NumPy.
        Returns:
            uint8 BGR [H, W, 3] of the first item of the batch: 255 times the output, truncated.
        """
        image = _array(image_tensor)
        audio = _array(audio_features)
        if audio.ndim == 3:
            audio = audio[None]
        image_shape, audio_shape = self.get_input_shapes()
        if image.shape[1:] != image_shape[1:] or audio.shape[1:] != audio_shape[1:]:
            raise OptionError(
                f"The inputs are {list(image.shape)} and {list(audio.shape)}.",
                accepted=f"{list(image_shape)} and {list(audio_shape)}",
            )
        return picture_from_output(self._forward(image[:1], audio[:1])[0])

    def _forward(self, image: FloatArray, audio: FloatArray) -> FloatArray:
        if self.device.startswith("cuda"):
            import torch

            from talkinghead.families.synctalk2d.network import load_unet

            if self._run is None:
                self._run = load_unet(self.weights.tensors, self.variant).to(self.device)
            with torch.inference_mode():
                out = self._run(torch.from_numpy(image).to(self.device), torch.from_numpy(audio).to(self.device))
                on_gpu: FloatArray = out.cpu().numpy()
            return on_gpu
        if self._run is None:
            from talkinghead.backends import Placement, network_of, open_session
            from talkinghead.families.synctalk2d.graphs import whole_graph

            network = network_of(whole_graph(fold(self.weights.tensors, self.variant), 1))
            self._run = open_session(network, Placement("cpu", "onnx", "float32", "")).run
        found: FloatArray = self._run({"image": image, "audio": audio})["output"]
        return found

    def export_to_onnx(self, output_path: str | Path, opset_version: int = 11) -> str:
        """Write the generator as ONNX, compared with torch; returns the path."""
        path = Path(output_path)
        check_apart([path], [self.checkpoint_path])
        make_folder(path.parent)
        return str(export_generator(self.weights, self.variant, path, opset=opset_version).path)

    def get_input_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of picture and audio, with the batch dimension."""
        side = self.variant.size.inner_px
        return (1, 6, side, side), (1, *self.variant.audio.input_shape)


class FrameGenerator:
    """Frames from a template sequence, all kept in memory."""

    def __init__(self, unet_model: UNetModel, mode: str = "ave") -> None:
        self.unet_model = unet_model
        self.mode = mode
        self.image_processor = ImageProcessor()

    def generate_frame(
        self,
        template_image: Picture,
        landmarks: NDArray[Any],
        audio_features: Any,
        parsing_image: Picture | None = None,
    ) -> Picture:
        """One frame, BGR.

        Args:
            audio_features: one window, [1, ...] or [...] of the mode's shape.
            parsing_image: BGR, or None.
        """
        size = self.unet_model.variant.size
        filters = resize_filters(size)
        box = crop_box(np.asarray(landmarks, np.int32), template_image.shape[1], template_image.shape[0])
        canvas = resize_crop(template_image, box, size, filters)
        planes = network_input(inner_picture(canvas), size)
        picture = self.unet_model.predict(planes[None], audio_features)
        keep = None if parsing_image is None else parsing_keep(parsing_image[:, :, ::-1], box)
        return paste_crop(template_image, box, filled_canvas(canvas, picture), filters, keep=keep)

    def generate_frames_from_template_sequence(
        self,
        img_dir: str | Path,
        lms_dir: str | Path,
        audio_features: NDArray[Any],
        start_frame: int = 0,
        parsing_dir: str | Path | None = None,
        fps: int = 25,  # noqa: ARG002 - published argument without effect
    ) -> list[Picture]:
        """All frames, BGR, one per feature row, templates forwards and backwards from start_frame + 1.

        Args:
            audio_features: rows or ready windows, see `features_of`.
            parsing_dir: folder of parsing pictures; missing ones are left out.
        Raises:
            FileNotFoundError: a folder is missing or holds no frames.
        """
        images = _numbered(img_dir, (".jpg", ".jpeg", ".png"))
        landmarks = _numbered(lms_dir, (".lms",))
        parsing = _numbered(parsing_dir, (".png",)) if parsing_dir is not None else {}
        model = self.unet_model
        features = features_of(audio_features, model.variant.audio)
        order = template_order(len(images), len(features), start_frame)
        missing = sorted({int(k) for k in order} - (images.keys() & landmarks.keys()))
        if missing:
            raise FileNotFoundError(f"Template {missing[0]} has no picture or landmarks in {img_dir}, {lms_dir}")
        engine, size = model.engine, model.variant.size
        filters = resize_filters(size)
        states = StateCache(engine, 512_000_000)
        frames: list[Picture] = []
        for i, key in enumerate(order.tolist()):
            image = self.image_processor.load_image(images[key])
            points = read_landmarks(landmarks[key])
            box = crop_box(points, image.shape[1], image.shape[0], source=str(landmarks[key]))
            canvas = resize_crop(image, box, size, filters)
            state = states.get(key, lambda canvas=canvas: inner_picture(canvas))  # type: ignore[misc]
            picture = engine.render([state], engine.speech(features.windows([i])))[0]
            keep = parsing_keep(read_image(parsing[key]), box) if key in parsing else None
            frames.append(paste_crop(image, box, filled_canvas(canvas, picture), filters, keep=keep))
        return frames

    def save_frames(self, frames: Sequence[Picture], output_dir: str | Path, prefix: str = "frame") -> list[str]:
        """Write BGR frames as PREFIX_00000.jpg and so on; returns the paths."""
        folder = Path(output_dir)
        make_folder(folder)
        return [_write_jpeg(folder / f"{prefix}_{i:05d}.jpg", frame) for i, frame in enumerate(frames)]


class FrameGenerationPipeline:
    """Features and a template folder to a video, frames, an ONNX file or reference outputs."""

    def __init__(self, checkpoint_path: str | Path, mode: str = "ave", device: str | None = None) -> None:
        """
        Args:
            checkpoint_path: a file, or a folder of numbered files.
            mode: "ave", "hubert" or "wenet".
            device: "cpu" or "cuda"; None takes CUDA if there is one.
        Raises:
            FileNotFoundError: no such path. CheckpointError: not such a generator.
        """
        self.unet_model = UNetModel(checkpoint_path, mode, device)
        self.frame_generator = FrameGenerator(self.unet_model, mode)
        self.image_processor = self.frame_generator.image_processor
        self.mode = mode
        self.device = self.unet_model.device
        self._head: SyncTalk2DHead | None = None

    def generate_video(
        self,
        audio_features_path: str | Path,
        template_dir: str | Path,
        audio_path: str | Path,
        output_path: str | Path,
        start_frame: int = 0,
        fps: int = 25,
        use_parsing: bool = False,
        crf: int = 20,
        save_frames: bool = False,
        frames_dir: str | Path | None = None,
    ) -> str:
        """Make a video with its sound.

        Args:
            fps: another rate repeats or leaves out frames, so that lips and sound stay together; wenet has 20.
            crf: H.264 quality, lower is better.
            save_frames: also write the frames as JPEG into `frames_dir` (default: the output's name with `_frames`).
        Returns:
            output_path.
        Raises:
            FileNotFoundError: an input is missing. OutputError: the video cannot be written.
        """
        from talkinghead.engine.head import RenderOptions
        from talkinghead.engine.speech_input import listen
        from talkinghead.media import EncodeOptions, write_video

        _check_inputs(audio_features_path, template_dir, audio_path)
        output = Path(output_path)
        self._check_apart(output, audio_features_path, template_dir, audio_path)
        folder = output.with_name(fitted_name(output.stem, "_frames")) if frames_dir is None else Path(frames_dir)
        if save_frames:
            self._check_apart(folder / "frame_00000.jpg", audio_features_path, audio_path)
        make_folder(output.parent)
        head = self._configured(audio_features_path, start_frame, use_parsing)
        avatar = head.prepare(template_dir)
        speech = listen(audio_path)
        options = RenderOptions(fps=self._fps(fps), encode=EncodeOptions(crf=crf))
        if not save_frames:
            head.render(avatar, speech, output, options)
            return str(output_path)
        make_folder(folder)

        def saved() -> Any:
            for i, frame in enumerate(head.frames(avatar, speech, options)):
                _write_jpeg(folder / f"frame_{i:05d}.jpg", frame[:, :, ::-1])
                yield frame

        plan = head.plan(avatar, speech, options)
        write_video(
            output,
            saved(),
            fps=plan.fps,
            soundtrack=speech.soundtrack,
            num_frames=len(plan),
            options=options.encode or EncodeOptions(),
            origin=head.origin(),
        )
        return str(output_path)

    def generate_frames_only(
        self,
        audio_features_path: str | Path,
        template_dir: str | Path,
        output_dir: str | Path,
        start_frame: int = 0,
        fps: int = 25,  # noqa: ARG002 - published argument without effect
        use_parsing: bool = False,
    ) -> list[str]:
        """Write the frames as frame_00000.jpg and so on; returns the paths."""
        import talkinghead.engine.head
        from talkinghead.contracts import AudioClip, Speech

        _check_inputs(audio_features_path, template_dir)
        folder = Path(output_dir)
        self._check_apart(folder / "frame_00000.jpg", audio_features_path)
        head = self._configured(audio_features_path, start_frame, use_parsing)
        avatar = head.prepare(template_dir)
        make_folder(folder)
        silence = AudioClip(np.zeros(1, np.float32), SPEECH_RATE_HZ)  # the features are given; nothing is listened to
        frames = head.frames(avatar, Speech(silence, silence), talkinghead.engine.head.RenderOptions())
        return [_write_jpeg(folder / f"frame_{i:05d}.jpg", frame[:, :, ::-1]) for i, frame in enumerate(frames)]

    def export_model_to_onnx(self, output_path: str | Path, opset_version: int = 11) -> str:
        """Write the generator as ONNX (inputs `image` and `audio`, output `output`); returns the path."""
        return self.unet_model.export_to_onnx(output_path, opset_version)

    def generate_reference_outputs(
        self,
        audio_features_path: str | Path,
        template_dir: str | Path,
        output_dir: str | Path,
        num_sample_frames: int = 5,
    ) -> dict[str, Any]:
        """Write some frames, evenly spread over the features, and `metadata.json`; returns what that file holds."""
        _check_inputs(audio_features_path, template_dir)
        if num_sample_frames < 1:
            raise OptionError(f"num_sample_frames is {num_sample_frames}.", accepted="1 or more")
        for name in ("metadata.json", "frame_00000.jpg"):
            self._check_apart(Path(output_dir) / name, audio_features_path)
        array = load_array(audio_features_path)
        features = features_of(array, self.unet_model.variant.audio, str(audio_features_path))
        folder, template = Path(output_dir), Path(template_dir)
        make_folder(folder)
        images = _numbered(template / "full_body_img", (".jpg", ".jpeg", ".png"))
        order = template_order(len(images), len(features))
        indices = np.linspace(0, len(features) - 1, num_sample_frames).astype(int).tolist()
        paths: dict[int, str] = {}
        size = [0, 0]
        for i in dict.fromkeys(indices):
            key = int(order[i])
            image = self.image_processor.load_image(images[key])
            points = read_landmarks(template / "landmarks" / f"{key}.lms")
            frame = self.frame_generator.generate_frame(image, points, features.windows([i]))
            paths[i] = _write_jpeg(folder / f"frame_{i:05d}.jpg", frame)
            size = [frame.shape[1], frame.shape[0]]
        metadata = {
            "num_total_frames": len(features),
            "sample_indices": indices,
            "reference_frames": paths,
            "audio_features_shape": list(array.shape),
            "mode": self.mode,
            "frame_size": size,
        }
        write_bytes(folder / "metadata.json", (json.dumps(metadata, indent=2) + "\n").encode())
        return metadata

    def _check_apart(self, output: Path, *inputs: str | Path) -> None:
        """Refuse an output that is one of the inputs, or the checkpoint."""
        check_apart([output], [*inputs, self.unet_model.checkpoint_path])

    def _fps(self, fps: int) -> Any:
        from fractions import Fraction

        return Fraction(WENET_FPS if self.mode == "wenet" else fps)

    def _configured(self, features: str | Path, start_frame: int, use_parsing: bool) -> SyncTalk2DHead:
        from talkinghead.engine.head import LoadOptions
        from talkinghead.families.synctalk2d.pipeline import SyncTalk2DHead

        weights = self.unet_model.weights

        class Loaded(SyncTalk2DHead):
            """With the generator that is there already."""

            def read_weights(self, checkpoint: Path) -> GeneratorWeights:  # noqa: ARG002
                return weights

        if self._head is None:
            options = LoadOptions(
                checkpoint=Path(self.unet_model.checkpoint_path),
                device=self.device,
                compat=True,
                family={"mode": self.mode},
            )
            self._head = Loaded(options)
        return self._head.reconfigured(features=Path(features), start_frame=start_frame, parsing=use_parsing)


def _array(value: Any) -> FloatArray:
    """A torch tensor or array as float32 on the host."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.ascontiguousarray(value, np.float32)


def _numbered(folder: str | Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"Directory not found: {folder}")
    found = numbered_files(path, suffixes)[0]
    if not found:
        raise FileNotFoundError(f"No {choices(suffixes)} files in {folder}")
    return found


def _check_inputs(features: str | Path, template: str | Path, audio: str | Path | None = None) -> None:
    """Raises FileNotFoundError, as the published package does, for what is missing."""
    root = Path(template)
    for folder in (root, root / "full_body_img", root / "landmarks"):
        if not folder.is_dir():
            raise FileNotFoundError(f"Directory not found: {folder}")
    for file in (features, audio):
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(f"File not found: {file}")


def _write_jpeg(path: Path, frame_bgr: Picture) -> str:
    import cv2

    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(frame_bgr), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise UnwritableOutput(f"{path} cannot be encoded.")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise unwritable(path, error) from error
    return str(path)


__all__ = ["FrameGenerationPipeline", "FrameGenerator", "ImageProcessor", "UNetModel"]
