"""The published interface: names, arguments, results; and what the reference notes say is right."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import OptionError
from talkinghead.families.synctalk2d import FrameGenerationPipeline, FrameGenerator, ImageProcessor, UNetModel
from talkinghead.families.synctalk2d.crop import picture_from_output
from talkinghead.media import open_frames, write_wav
from tests.tolerances import tolerance

from .conftest import golden, write_template
from .test_end_to_end import check_golden_frames, clip_of


@pytest.fixture(scope="module")
def pipeline(models: Path) -> FrameGenerationPipeline:
    return FrameGenerationPipeline(models / "160.pth", mode="ave", device="cpu")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """AVE features of the end-to-end case as a file."""
    from talkinghead.audio.encoders.ave import read_ave_encoder

    path = tmp_path_factory.mktemp("features") / "aud_ave.npy"
    np.save(path, read_ave_encoder(models / "audio_visual_encoder.pth").features(clip_of("e2e_160_ave").samples))
    return path


def test_alias_package() -> None:
    import frame_generation_pipeline
    from frame_generation_pipeline.frame_generator import FrameGenerator as B
    from frame_generation_pipeline.image_processor import ImageProcessor as C
    from frame_generation_pipeline.pipeline import FrameGenerationPipeline as A
    from frame_generation_pipeline.unet_model import UNetModel as D

    assert (FrameGenerationPipeline, FrameGenerator, ImageProcessor, UNetModel) == (A, B, C, D)
    assert set(frame_generation_pipeline.__all__) == {
        "FrameGenerationPipeline", "FrameGenerator", "ImageProcessor", "UNetModel",
    }  # fmt: skip


def test_published_signatures() -> None:
    def names(function: Any) -> list[str]:
        return [f"{p.name}={p.default}" if p.default is not p.empty else p.name
                for p in inspect.signature(function).parameters.values()]  # fmt: skip

    pipe = FrameGenerationPipeline
    assert names(pipe) == ["checkpoint_path", "mode=ave", "device=None"]
    assert names(pipe.generate_video)[1:] == [
        "audio_features_path", "template_dir", "audio_path", "output_path", "start_frame=0", "fps=25",
        "use_parsing=False", "crf=20", "save_frames=False", "frames_dir=None",
    ]  # fmt: skip
    assert names(pipe.generate_frames_only)[1:] == [
        "audio_features_path", "template_dir", "output_dir", "start_frame=0", "fps=25", "use_parsing=False",
    ]  # fmt: skip
    assert names(pipe.export_model_to_onnx)[1:] == ["output_path", "opset_version=11"]
    assert names(pipe.generate_reference_outputs)[1:] == [
        "audio_features_path", "template_dir", "output_dir", "num_sample_frames=5",
    ]  # fmt: skip
    assert names(FrameGenerator.generate_frames_from_template_sequence)[1:] == [
        "img_dir", "lms_dir", "audio_features", "start_frame=0", "parsing_dir=None", "fps=25",
    ]  # fmt: skip
    assert names(FrameGenerator.save_frames)[1:] == ["frames", "output_dir", "prefix=frame"]


def test_predict_and_shapes(models: Path) -> None:
    import torch

    model = UNetModel(models / "328.pth", "ave", "cpu")
    assert model.get_input_shapes() == ((1, 6, 320, 320), (1, 32, 16, 16))
    image, audio = golden("unet328_ave").inputs().values()
    found = model.predict(torch.from_numpy(image), torch.from_numpy(audio))  # the first item of the batch
    assert found.dtype == np.uint8
    assert found.shape == (320, 320, 3)
    wanted = picture_from_output(golden("unet328_ave")["output"][0])
    assert np.abs(found[::4, ::4].astype(int) - wanted).max() <= 1
    np.testing.assert_array_equal(model.predict(image[:1], audio[0]), found)
    with pytest.raises(OptionError, match="inputs are"):
        model.predict(image[:, :, :160, :160], audio)


def test_golden_sequence(tmp_path: Path, pipeline: FrameGenerationPipeline, features: Path) -> None:
    folder = write_template(tmp_path / "May", "e2e_160_ave")
    frames = pipeline.frame_generator.generate_frames_from_template_sequence(
        str(folder / "full_body_img"), str(folder / "landmarks"), np.load(features)
    )
    check_golden_frames("e2e_160_ave", [frame[:, :, ::-1] for frame in frames])
    paths = pipeline.frame_generator.save_frames(frames[:2], tmp_path / "out")
    assert [Path(path).name for path in paths] == ["frame_00000.jpg", "frame_00001.jpg"]

    processor = pipeline.image_processor  # one frame by hand, as the published examples do
    image = processor.load_image(str(folder / "full_body_img" / "1.jpg"))
    points = processor.load_landmarks(str(folder / "landmarks" / "1.lms"))
    crop, coords = processor.crop_face_region(image, points)
    assert coords == processor.get_crop_region(points) == (32, 23, 133, 124)
    from talkinghead.families.synctalk2d.features import window_rows

    rows = np.load(features)
    window = np.where(
        window_rows(len(rows), [0])[0][:, None] >= 0, rows[np.maximum(window_rows(len(rows), [0])[0], 0)], 0
    ).reshape(1, 32, 16, 16)
    single = pipeline.frame_generator.generate_frame(image, points, window.astype(np.float32))
    assert np.abs(single.astype(int) - frames[0]).max() <= 1
    small = processor.resize_image(crop, (168, 168), interpolation=1)[4:164, 4:164]
    picture = pipeline.unet_model.predict(processor.prepare_input_tensors(small)[0], window)
    pasted = processor.paste_generated_region(image, picture, coords, crop.shape[:2])
    assert np.abs(pasted.astype(int) - single).max() <= 1


def test_image_processor() -> None:
    processor = ImageProcessor()
    crop = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    six, three = processor.prepare_input_tensors(crop)  # a raw crop is resized and cut to its inside
    assert six.shape == (1, 6, 320, 320)
    assert three.shape == (3, 320, 320)
    inner = processor.resize_image(crop, (328, 328))[4:324, 4:324]
    np.testing.assert_array_equal(processor.prepare_input_tensors(inner)[0].numpy(), six.numpy())
    assert six[0, 3:, 5:310, 5:315].abs().max() == 0
    assert processor.prepare_input_tensors(inner, normalize=False)[1].max() > 200
    assert processor.create_masked_region(inner)[100, 100].tolist() == [0, 0, 0]
    with pytest.raises(OptionError, match="no mask"):
        processor.create_masked_region(crop)
    with pytest.raises(FileNotFoundError):
        processor.load_image("nothing.jpg")


def test_paste_keeps_the_ring_of_the_template() -> None:
    """Trap: the published package leaves the ring black; the script that it was written after does not."""
    frame = np.full((400, 400, 3), 200, np.uint8)
    generated = np.full((320, 320, 3), 200, np.uint8)
    out = ImageProcessor.paste_generated_region(frame, generated, (10, 20, 338, 348), (328, 328))
    np.testing.assert_array_equal(out, frame)
    generated[:] = 0
    out = ImageProcessor.paste_generated_region(frame, generated, (10, 20, 338, 348), (328, 328))
    assert (out[20:24, 10:338] == 200).all()
    assert (out[24:344, 14:334] == 0).all()
    red = np.zeros_like(frame)
    red[:, :, 2] = 255
    kept = ImageProcessor.process_frame_with_parsing(frame, generated, (10, 20, 338, 348), (328, 328), red)
    np.testing.assert_array_equal(kept, frame)


def test_video_and_frames(tmp_path: Path, pipeline: FrameGenerationPipeline, features: Path, template160: Path) -> None:
    sound = tmp_path / "talk hb.wav"
    write_wav(sound, clip_of("e2e_160_ave"))
    output = tmp_path / "new folder" / "result.mp4"
    path = pipeline.generate_video(features, template160, sound, output, save_frames=True)
    assert path == str(output)
    assert len(open_frames(output)) == 11
    assert len(list((output.parent / "result_frames").glob("frame_?????.jpg"))) == 11
    frames = pipeline.generate_frames_only(str(features), str(template160), str(tmp_path / "frames"))
    assert [Path(p).name for p in frames] == [f"frame_{i:05d}.jpg" for i in range(11)]
    first = ImageProcessor.load_image(frames[0])
    difference = np.abs(first.astype(int) - golden("e2e_160_ave")["frames"][0])
    assert difference.mean() < tolerance("synctalk2d/e2e_160_ave:frames_jpeg")
    assert len(open_frames(pipeline.generate_video(features, template160, sound, output, start_frame=1))) == 11


def test_reference_outputs(
    tmp_path: Path, pipeline: FrameGenerationPipeline, features: Path, template160: Path
) -> None:
    found = pipeline.generate_reference_outputs(features, template160, tmp_path / "ref", num_sample_frames=4)
    assert found["num_total_frames"] == 11
    assert found["sample_indices"] == [0, 3, 6, 10]
    assert found["audio_features_shape"] == [11, 512]
    assert found["frame_size"] == [170, 150]
    assert found["mode"] == "ave"
    text = (tmp_path / "ref" / "metadata.json").read_text()
    assert text.startswith('{\n  "num_total_frames": 11')
    stored = json.loads(text)
    assert [Path(p).name for p in stored["reference_frames"].values()] == [f"frame_{i:05d}.jpg" for i in (0, 3, 6, 10)]
    assert all(Path(p).is_file() for p in stored["reference_frames"].values())


def test_missing_inputs(tmp_path: Path, pipeline: FrameGenerationPipeline, features: Path, template160: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Directory"):
        pipeline.generate_video(features, tmp_path / "nobody", features, tmp_path / "o.mp4")
    with pytest.raises(FileNotFoundError, match="File"):
        pipeline.generate_video(features, template160, tmp_path / "no.wav", tmp_path / "o.mp4")
    with pytest.raises(FileNotFoundError, match="Checkpoint"):
        FrameGenerationPipeline(tmp_path / "no.pth")
    with pytest.raises(FileNotFoundError, match="Directory"):
        pipeline.frame_generator.generate_frames_from_template_sequence(
            tmp_path / "no", template160 / "landmarks", np.load(features)
        )


def test_export(tmp_path: Path, pipeline: FrameGenerationPipeline) -> None:
    import onnx

    path = pipeline.export_model_to_onnx(tmp_path / "models" / "unet.onnx")
    model = onnx.load(path)
    assert model.opset_import[0].version == 11
    assert [entry.name for entry in model.graph.input] == ["image", "audio"]
    assert [entry.name for entry in model.graph.output] == ["output"]
