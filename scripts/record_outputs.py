"""Record what command lines and the Python interface produce, and compare two records.

For changes inside the package that must not change a single pixel: record before, record after, compare.

    git worktree add ../base COMMIT
    python scripts/record_outputs.py inputs /tmp/inputs --package ../base      # once; both sides use these files
    python scripts/record_outputs.py record before.json --inputs /tmp/inputs --package ../base
    python scripts/record_outputs.py record after.json --inputs /tmp/inputs
    python scripts/record_outputs.py compare before.json after.json

A record holds for each case of the table below the exit status of every command, the hash of every frame on its way to
the encoder, and the hash of every other file that was written; of videos also size, rate, codec and sound. What
encoders make of the frames is recorded too, but differences there are only told: encoders with several threads
need not repeat themselves. Records are comparable on one machine with one set of libraries; both are written into
them. `--frames DIR` keeps the frames themselves, and `compare --frames BEFORE_DIR AFTER_DIR` says how far apart
they are.

Where a command line changes its name or a module moves, the table takes several forms of the same: the first one that
the package under test knows is used.
"""

from __future__ import annotations

import argparse
import ast
import faulthandler
import fnmatch
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = str | tuple[str, ...]
"""A command line without the program's name, or several forms of it: the first that is accepted counts."""


@dataclass(frozen=True)
class Case:
    """One row of the table: commands that run one after the other in one folder and one process."""

    name: str
    lines: tuple[Line, ...] = ()
    code: tuple[str, ...] = ()
    """Python instead of commands: forms of it, the first that finds what it needs counts. `frames(iterable)` records
    frames, `array(name, value)` an array, `find(name)` gives what any module of the package defines."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Inputs that the commands look for at a fixed place, or write into: where to, and which."""
    status: int = 0
    """The exit status that the last command has to have."""
    small_encoder: bool = False
    """Give ARTalk's audio encoder, whose sizes no file says, those of the constructed weights."""


def commands(name: str, *lines: Line, **more: Any) -> Case:
    return Case(name, lines, **more)


def python(name: str, *code: str, **more: Any) -> Case:
    return Case(name, code=code, **more)


# The table ------------------------------------------------------------------------------------------------------------

SHORT = "--duration 0.4"
WAV2LIP = "generate -q --model wav2lip --checkpoint in/wav2lip_gan.pth"
SYNC = "generate -q --model synctalk2d --checkpoint in/may328/model --template in/may328/template"
SYNC160 = "generate -q --model synctalk2d --checkpoint in/unet160_ave.pth --template in/may160/template --mode ave"
GAUSS = "generate -q --model talkinggaussian --scene in/head3d/data --checkpoint in/head3d/model"
PHONES = f"{GAUSS} --audio-features phones"
ARTALK = "generate -q --model artalk --assets in/assets --image-size 128"
MESH = "generate -q --model artalk --driver viseme --image-size 128"
HELLO = "--audio in/hello.wav"
FEATURES = "stage extract-features --audio in/hello.wav"
REFERENCE = "reference run"


def network(name: str, *more: str, files: str = "", weights: bool = True, config: bool = False) -> Line:
    """`reference run` of one network on its constructed arrays."""
    base = f"in/reference/{files or name}"
    line = f"{REFERENCE} {name} --inputs {base}.npz -o {(files or name) + ''.join(more).replace(' ', '')}.npz"
    line += f" --weights {base}.safetensors" if weights else ""
    line += f" --config {base}.json" if config else ""
    return " ".join([line, *more])


CASES = (
    # The built-in animator
    commands("viseme-picture", f"generate -q --face in/me.png {HELLO} -o out.mp4 --report report.json"),
    commands("viseme-video", "generate -q --face in/me.mp4 --audio in/pause.wav -o out.mp4 --report report.json"),
    commands(
        "viseme-options",
        f"generate -q --face in/me.png {HELLO} {SHORT} --start 0.2 -o out.webm --fps 30 --strength 1.3 "
        "--head-motion 2 --blinks-per-minute 60 --seed 3 --jaw 1.4 --width 0.7 --no-teeth",
        f"generate -q --face in/me.png {HELLO} {SHORT} -o still.gif --fps 10 --no-idle-motion --resize-factor 2",
        f"generate -q --face in/me.mp4 {HELLO} {SHORT} -o pictures --codec png --loop hold --box 150,60,290,240",
        "generate -q --face in/me.mp4 --audio in/goodbye.wav -o loop.mkv --loop loop --crop 0,401,0,431 --even pad",
        f"generate -q --face in/me.mp4 {HELLO} -o trim.mov --loop trim --codec prores --smoothing 5 --detect-every 3",
    ),
    commands(
        "viseme-precision",
        f"generate -q --face in/me.png {HELLO} {SHORT} -o parity.mp4 --precision parity",
        f"generate -q --face in/me.png {HELLO} {SHORT} -o fast.mp4 --precision fast",
        f"generate -q --face in/me.png {HELLO} {SHORT} -o compat.mp4 --compat",
    ),
    commands(
        "viseme-several",
        f"generate -q --face in/me.png in/me.mp4 --audio in/hello.wav in/goodbye.wav {SHORT} -o videos/",
    ),
    commands(
        "viseme-one-fails",
        f"generate -q --face in/me.png in/words.txt {HELLO} {SHORT} -o videos/",
        status=1,
    ),
    commands(
        "viseme-text",
        'generate -q --face in/me.png --text "Hello. How are you?" --lang en -o out.mp4 --report report.json',
        "generate -q --face in/me.png --text-file in/words.txt --voice m3 --speed 1.4 -o file.mp4",
    ),
    commands("demo", "demo -q -o demo.mp4 --audio in/hello.wav"),
    commands(
        "say",
        # espeak-ng's voices with breath, f2 for one, are noisy anew in each process
        'say -q "Guten Morgen." --lang de --voice m3 --speed 0.8 --phones phones.json -o morgen.wav',
        "say -q --text-file in/words.txt -o words.wav",
    ),
    commands(
        "cues",
        *(
            f"cues in/{name}.wav -o {name}.{kind}"
            for kind in ("json", "tsv", "xml", "srt", "dat")
            for name in ("hello", "pause")
        ),
    ),
    # Wav2Lip
    commands("wav2lip-video", f"{WAV2LIP} --face in/me.mp4 --audio in/pause.wav -o out.mp4 --report report.json"),
    commands("wav2lip-picture", f"{WAV2LIP} --face in/me.png {HELLO} -o out.mp4 --report report.json"),
    commands(
        "wav2lip-compat",
        f"{WAV2LIP} --compat --box 140,60,300,250 --face in/me.mp4 {HELLO} -o box.mp4 --report report.json",
        f"{WAV2LIP} --compat --detector haar --face in/me.mp4 --audio in/goodbye.wav -o haar.mp4",
        f"{WAV2LIP} --compat --detector-model in/s3fd.pth --face in/noise.png {HELLO} -o s3fd.mp4",
    ),
    commands("wav2lip-parity", f"{WAV2LIP} --precision parity --face in/me.mp4 {HELLO} -o out.mp4"),
    commands("wav2lip-fast", f"{WAV2LIP} --precision fast --face in/me.mp4 {HELLO} -o out.mp4"),
    commands(
        "wav2lip-backends",
        *(
            f"{WAV2LIP} --backend {name} --precision parity --face in/me.mp4 {HELLO} {SHORT} -o {name}.mp4"
            for name in ("torch", "onnx", "openvino")
        ),
    ),
    commands(
        "wav2lip-two-people",
        f"{WAV2LIP} --face in/two.mp4 {HELLO} --map 0=in/hello.wav,1=in/goodbye.wav -o map.mp4",
        f"{WAV2LIP} --face in/two.mp4 --audio in/goodbye.wav --face-index 1 -o right.mp4",
    ),
    commands(
        "wav2lip-options",
        f"{WAV2LIP} --face in/me.mp4 {HELLO} {SHORT} -o plain.mp4 --no-reuse --batch-size 3 --no-silence-gate",
        f"{WAV2LIP} --face in/me.mp4 {HELLO} {SHORT} -o hard.mp4 --paste box --no-colour-match --align published",
        f"{WAV2LIP} --face in/me.mp4 {HELLO} {SHORT} -o static.mp4 --static --fps 30 --latency --feather 0.3",
        f"{WAV2LIP} --face in/me.mp4 {HELLO} {SHORT} -o pads.mp4 --pads 4,20,3,3 --mel-padding reflect --no-cache",
    ),
    commands(
        "wav2lip-several",
        f"{WAV2LIP} --face in/me.png in/me.mp4 --audio in/hello.wav in/goodbye.wav {SHORT} -o videos/",
    ),
    commands(
        "wav2lip-256",
        f"generate -q --model wav2lip --checkpoint in/wav2lip256.pth --face in/me.mp4 {HELLO} {SHORT} -o out.mp4",
    ),
    commands(
        "wav2lip-steps",
        "stage extract-mel --audio in/hello.wav --out mel.npy --report report.json",
        "stage chunk-mel --mel mel.npy --fps 25 --step 16 --out mel_chunks.npy",
        "stage load-frames --face in/me.mp4 --fps 25 --out frames",
        "stage detect-faces --frames frames --pads 0 10 0 0 --detector haar --mel_chunks mel_chunks.npy "
        "--out coords.npy",
        "stage run-wav2lip --checkpoint in/wav2lip_gan.pth --frames frames --mel_chunks mel_chunks.npy "
        "--coords coords.npy --out patches",
        "stage paste-patches --frames frames --patches patches --coords coords.npy --out merged_frames",
        "stage encode-video --frames merged_frames --audio in/hello.wav --fps 25 --out output.mp4",
    ),
    commands(
        "wav2lip-stage-run",
        "stage run --checkpoint in/wav2lip_gan.pth --face in/me.png --audio in/goodbye.wav --workdir work "
        "--detector haar --until detect-faces",
        "stage run --checkpoint in/wav2lip_gan.pth --face in/me.png --audio in/goodbye.wav --workdir work "
        "--detector haar",
    ),
    commands(
        "wav2lip-reference",
        network("wav2lip.generator96"),
        network("wav2lip.generator96", "--backend onnx"),
        network("wav2lip.generator96", "--backend openvino"),
        network("wav2lip.s3fd"),
        "models convert in/wav2lip_gan.pth wav2lip.safetensors",
    ),
    python(
        "wav2lip-python",
        """
import numpy as np
import talkinghead as th
head = th.load("wav2lip", checkpoint="in/wav2lip_gan.pth", latency=True)
avatar = head.prepare("in/me.mp4")
speech = th.listen("in/hello.wav", duration_s=0.5)
frames(head.frames(avatar, speech))
preview = find("preview")
seen = preview(head, avatar, shape="D")
frames([seen.result, seen.picture(layers=("box", "landmarks", "mask"))])
""",
    ),
    python(  # LiveTalking's windows; its first five frames hear what comes before the sound
        "wav2lip-live",
        """
import numpy as np
import talkinghead as th
session_of = find("LiveSession")
head = th.load("wav2lip", checkpoint="in/wav2lip_gan.pth", latency=True)
avatar = head.prepare("in/me.png")
samples = np.concatenate([np.zeros(6400, np.float32), th.listen("in/hello.wav", duration_s=0.5).clip.samples])
session = session_of(head, avatar, batch=4)
pieces = [samples[first : first + 1000] for first in range(0, len(samples), 1000)]
made = [frame for piece in pieces for step in session.push(piece) for frame in step.frames]
frames(made[5:20])
""",
        """
import itertools
import numpy as np
import talkinghead as th
head = th.load("wav2lip", checkpoint="in/wav2lip_gan.pth", latency=True, windows="livetalking", step_frames=4)
avatar = head.prepare("in/me.png")
samples = np.concatenate([np.zeros(6400, np.float32), th.listen("in/hello.wav", duration_s=0.5).clip.samples])
pieces = [samples[first : first + 1000] for first in range(0, len(samples), 1000)]
frames(itertools.islice(head.stream(avatar, pieces, th.RenderOptions(overlap=False)), 15))
""",
    ),
    # SyncTalk_2D
    commands("synctalk2d-default", f"{SYNC} --mode ave {HELLO} -o out.mp4 --report report.json"),
    commands("synctalk2d-compat", f"{SYNC} --mode ave {HELLO} --compat -o out.mp4"),
    commands(
        "synctalk2d-precision",
        f"{SYNC160} --ave-encoder in/ave_encoder.pth {HELLO} -o parity.mp4 --precision parity",
        f"{SYNC160} --ave-encoder in/ave_encoder.pth {HELLO} -o fast.mp4 --precision fast",
        f"{SYNC160} --ave-encoder in/ave_encoder.pth --audio in/pause.wav -o auto.mp4",
    ),
    commands(
        "synctalk2d-backends",
        *(
            f"{SYNC160} --ave-encoder in/ave_encoder.pth {HELLO} {SHORT} -o {name}.mp4 --backend {name}"
            for name in ("torch", "onnx", "openvino")
        ),
    ),
    commands(
        "synctalk2d-328",
        f"generate -q --model synctalk2d --checkpoint in/unet328_ave.pth --template in/may328/template --mode ave "
        f"--ave-encoder in/ave_encoder.pth {HELLO} {SHORT} -o out.mp4 --save-frames frames --start-frame 2 --fps 30",
    ),
    commands(
        "synctalk2d-modes",
        "generate -q --model synctalk2d --checkpoint in/unet160_hubert.pth --template in/may160/template "
        f"--mode hubert --features in/aud_hu.npy {HELLO} -o hubert.mp4 --smooth-features",
        "generate -q --model synctalk2d --checkpoint in/unet160_wenet.pth --template in/may160/template "
        f"--mode wenet --features in/aud_wenet.npy {HELLO} -o wenet.mp4 --window-edges repeat",
        "generate -q --model synctalk2d --checkpoint in/udh160_hubert_classic.pth --template in/may160/template "
        f"--mode hubert --hubert-model in/hubert {HELLO} {SHORT} -o udh.mp4 --crop-filter area "
        "--hubert-convention udh-classic",
    ),
    commands(
        "synctalk2d-published",
        "synctalk2d -q --asr ave --name May --audio_path demo/talk_hb.wav",
        copies={
            "checkpoint/May/5.pth": "unet160_ave.pth",
            "dataset/May": "may160/template",
            "model/checkpoints/audio_visual_encoder.pth": "ave_encoder.pth",
            "demo/talk_hb.wav": "hello.wav",
        },
    ),
    python(
        "synctalk2d-package",
        """
import numpy as np
from frame_generation_pipeline import FrameGenerationPipeline
pipeline = FrameGenerationPipeline("in/unet160_ave.pth", mode="ave", device="cpu")
given = {"audio_features_path": "in/aud_ave.npy", "template_dir": "in/may160/template"}
pipeline.generate_video(**given, audio_path="in/hello.wav", output_path="result/out.mp4")
pipeline.generate_video(**given, audio_path="in/goodbye.wav", output_path="result/kept.mp4", save_frames=True)
pipeline.generate_frames_only(**given, output_dir="only")
pipeline.generate_reference_outputs(**given, output_dir="reference", num_sample_frames=3)
pipeline.export_model_to_onnx("unet.onnx")
generator, processor = pipeline.frame_generator, pipeline.image_processor
folder = "in/may160/template"
made = generator.generate_frames_from_template_sequence(
    f"{folder}/full_body_img", f"{folder}/landmarks", np.load("in/aud_ave.npy")[:6])
frames(made)
image = processor.load_image(f"{folder}/full_body_img/1.jpg")
crop, place = processor.crop_face_region(image, processor.load_landmarks(f"{folder}/landmarks/1.lms"))
array("crop", crop)
small = processor.resize_image(crop, (168, 168), interpolation=1)[4:164, 4:164]
planes = processor.prepare_input_tensors(small)[0]
array("planes", planes.numpy())
window = np.load("in/aud_ave.npy")[:16].reshape(1, 32, 16, 16)
picture = pipeline.unet_model.predict(planes, window)
array("picture", picture)
array("pasted", processor.paste_generated_region(image, picture, place, crop.shape[:2]))
""",
    ),
    commands(
        "synctalk2d-files",
        "synctalk2d export --checkpoint in/unet160_ave.pth --mode ave -o unet.onnx --ave-encoder in/ave_encoder.pth",
        "synctalk2d reference --checkpoint in/unet160_ave.pth --mode ave --template in/may160/template "
        "--audio in/hello.wav -o reference --ave-encoder in/ave_encoder.pth --frames 2",
        "reference validate reference",
        "synctalk2d convert --checkpoint in/unet160_ave.pth --mode ave -o may.safetensors",
    ),
    commands(
        "synctalk2d-template",
        "template build in/me.mp4 -q -o built --encoder in/ave_encoder.pth --workers 1",
        "template check built --picture sheet.png",
        "synctalk2d demo drawn --frames 2 --width 320 --height 180 --size 160",
    ),
    commands(
        "extract-features",
        f"{FEATURES} --kind ave --encoder in/ave_encoder.pth --out ave.npy",
        f"{FEATURES} --kind hubert --encoder in/hubert --out hubert.npy",
        f"{FEATURES} --kind hubert --encoder in/hubert --convention udh-classic --out hubert2.npy",
        f"{FEATURES} --kind deepspeech --encoder in/deepspeech.pb --out deepspeech.npy",
        f"{FEATURES} --kind esperanto --encoder in/esperanto --out esperanto.npy",
    ),
    commands(
        "synctalk2d-reference",
        network("synctalk2d.unet160.ave"),
        network("synctalk2d.udh160.wenet"),
        network("synctalk2d.ave_encoder"),
        network("synctalk2d.pfld"),
    ),
    python(
        "synctalk2d-python",
        """
import talkinghead as th
head = th.load("synctalk2d", checkpoint="in/unet160_ave.pth", mode="ave", ave_encoder="in/ave_encoder.pth")
avatar = head.prepare("in/may160/template")
frames(head.frames(avatar, th.listen("in/goodbye.wav", duration_s=0.5)))
preview = find("preview")
frames([preview(head, avatar, shape="B").result])
""",
    ),
    # TalkingGaussian
    commands("gaussian-default", f"{PHONES} {HELLO} -o out.mp4 --report report.json"),
    commands("gaussian-graph", f"{GAUSS} --deepspeech-graph in/deepspeech.pb {HELLO} -o out.mp4"),
    commands("gaussian-compat", f"{GAUSS} --features in/aud_ds.npy {HELLO} --compat -o out.mp4"),
    commands(
        "gaussian-precision",
        f"{PHONES} {HELLO} {SHORT} --precision parity -o parity.mp4",
        f"{PHONES} {HELLO} {SHORT} --precision fast -o fast.mp4",
    ),
    commands(
        "gaussian-options",
        f"{PHONES} {HELLO} {SHORT} --yaw 20 --pitch -8 --zoom 1.3 --no-torso --expression neutral -o turned.mp4",
        f"{PHONES} {HELLO} {SHORT} --poses val --dilate --background in/me.png --no-cache -o val.mp4",
    ),
    commands(
        "gaussian-published",
        "synthesize-fuse -q -S in/head3d/data -M P --eval",
        "synthesize-fuse -q -S in/head3d/data -M P --use_train --audio in/aud_ds.npy --fast --dilate",
        "synthesize-fuse -q -S in/head3d/data -M Q --eval --audio in/hello.wav --phones --white_background",
        copies={"P": "head3d/model", "Q": "head3d/model"},
    ),
    commands(
        "gaussian-steps",
        "stage gaussians features --checkpoint in/head3d/model --audio in/hello.wav --audio-features phones "
        "--out features.npy",
        "stage gaussians motion --checkpoint in/head3d/model --scene in/head3d/data --features features.npy "
        "--num-frames 6 --out motion",
        "stage gaussians render --checkpoint in/head3d/model --scene in/head3d/data --motion motion --out drawn",
        "stage gaussians compose --scene in/head3d/data --render drawn --out frames",
        "stage gaussians encode --frames frames --audio in/hello.wav --out stages.mp4",
    ),
    commands(
        "gaussian-files",
        "inspect-gaussians in/head3d/model --picture histograms.png --turntable turn.mp4 --frames 4 --size 96",
        "inspect-gaussians in/head3d/model --export head.safetensors",
        "inspect-gaussians in/head3d/model --export head.ply",
        "inspect-gaussians in/head3d/model --export raw.ply --raw --cloud mouth",
        "evaluate -q in/me.mp4 in/me.mp4 --report quality.json",
    ),
    commands(
        "gaussian-reference",
        network("talkinggaussian.face_motion"),
        network("talkinggaussian.mouth_motion", files="talkinggaussian.mouth_motion_hubert"),
        network("talkinggaussian.rasterize", weights=False),
        network("talkinggaussian.sh", weights=False),
    ),
    python(
        "gaussian-python",
        """
import talkinghead as th
head = th.load("talkinggaussian", checkpoint="in/head3d/model", audio_features="phones")
avatar = head.prepare("in/head3d/data")
frames(head.frames(avatar, th.listen("in/goodbye.wav", duration_s=0.3)))
preview = find("preview")
frames([preview(head, avatar, shape="F").result])
""",
    ),
    # ARTalk
    commands("artalk-viseme", f"{MESH} {HELLO} -o out.mp4 --report report.json"),
    commands(
        "artalk-default", f"{ARTALK} --style natural_0 {HELLO} -o out.mp4 --report report.json", small_encoder=True
    ),
    commands("artalk-compat", f"{ARTALK} --avatar mesh {HELLO} --compat -o out.mp4", small_encoder=True),
    commands(
        "artalk-precision",
        f"{ARTALK} --style natural_0 {HELLO} --precision parity -o parity.mp4",
        f"{ARTALK} --style natural_0 {HELLO} --precision fast -o fast.mp4",
        small_encoder=True,
    ),
    commands(
        "artalk-options",
        f"{MESH} {HELLO} {SHORT} --fps 50 --yaw 25 --pitch 5 --zoom 1.2 --look plain --antialias 1 -o view.mp4",
        f"{MESH} {HELLO} {SHORT} --background transparent --no-smooth-shading -o transparent.webm",
        f"{MESH} {HELLO} {SHORT} --background transparent --codec png -o pictures",
        f"{MESH} {HELLO} {SHORT} --background in/me.png --flame in/flame.pt --shape in/shape.npy --fix-pose "
        "-o flame.mp4",
        f"{MESH} {HELLO} {SHORT} --texture in/me.png --antialias 3 --background green --head-motion 2 -o texture.mp4",
    ),
    commands(
        "artalk-published",
        "artalk -q -a in/hello.wav -i mesh -s natural_0 -l 20 --assets in/assets",
        "artalk -q -a in/goodbye.wav -i mesh --driver viseme --fix_pose -o other",
        small_encoder=True,
    ),
    commands(
        "artalk-steps",
        "artalk-step features in/hello.wav -o features.npz --assets in/assets",
        "artalk-step motion features.npz -o raw.npy --assets in/assets --style natural_0",
        "artalk-step smooth raw.npy -o motion.npy",
        "artalk-step smooth raw.npy -o motion.pt --clip-length 12 --fix-pose",
        "artalk-step vertices motion.npy -o vertices.npz",
        "artalk-step render vertices.npz -o out.mp4 --audio in/hello.wav --image-size 128",
        small_encoder=True,
    ),
    commands(
        "artalk-export",
        *(f"artalk-step export in/raw.npy -o head.{kind}" for kind in ("glb", "npz", "json")),
        "artalk-step export in/raw4.npy -o objects/head.obj",
        "artalk-step export in/raw4.npy -o clouds/head.ply --flame in/flame.pt --shape in/shape.npy",
        copies={"objects/readme": "words.txt", "clouds/readme": "words.txt"},
    ),
    commands(
        "artalk-reference",
        network("artalk.wav2vec", config=True),
        network("artalk.style_encoder"),
        network("artalk.vae", config=True),
        network("artalk.ar", config=True),
        network("artalk.flame"),
        network("artalk.mesh_render", weights=False),
    ),
    commands(
        "gagavatar-reference",
        network("gagavatar.dino", config=True),
        network("gagavatar.gaussians"),
        network("gagavatar.rasterize", weights=False),
        network("gagavatar.style_unet"),
    ),
    python(
        "artalk-python",
        """
from fractions import Fraction
from pathlib import Path
import numpy as np
import talkinghead as th
import talkinghead.engine.listener
from talkinghead.engine.context import RunContext
from talkinghead.families.artalk.motion.stream import MotionStream
head = th.load("artalk", assets=Path("in/assets"), style="natural_0", image_size=96)
avatar = head.prepare("mesh")
speech = th.listen("in/hello.wav")
frames(head.frames(avatar, speech))
frames(head.frames(avatar, speech, th.RenderOptions(fps=Fraction(30000, 1001))))
samples = np.tile(speech.clip.samples, 6)[:70000]
pieces = [samples[first : first + 20000] for first in range(0, len(samples), 20000)]
frames(list(head.stream(avatar, pieces))[::10])
motion = MotionStream(head.driver.model(RunContext()), head.driver.style)
array("motion", np.concatenate([*map(motion.feed, pieces), motion.finish()]))
head.render(avatar, speech, "out.mp4", th.RenderOptions(motion=Path("motion.npz")))
""",
        """
from pathlib import Path
import numpy as np
import talkinghead as th
head = th.load("artalk", assets=Path("in/assets"), style="natural_0", image_size=96)
avatar = head.prepare("mesh")
speech = th.listen("in/hello.wav")
frames(head.frames(avatar, speech))
from fractions import Fraction
frames(head.frames(avatar, speech, th.RenderOptions(fps=Fraction(30000, 1001))))
samples = np.tile(speech.clip.samples, 6)[:70000]
made = list(head.stream(samples[first : first + 20000] for first in range(0, len(samples), 20000)))
frames(frame for _, frame in made[::10])
array("motion", np.stack([motion for motion, _ in made]))
head.render(avatar, speech, "out.mp4", th.RenderOptions(motion=Path("motion.npz")))
""",
        small_encoder=True,
    ),
    # All models together
    python(
        "python-interface",
        """
from fractions import Fraction
from pathlib import Path
import talkinghead as th
head = th.load("viseme")
avatar = head.prepare("in/me.mp4")
speech = th.listen("in/hello.wav", start_s=0.1, duration_s=0.6)
frames(head.frames(avatar, speech))
frames(head.frames(avatar, speech, th.RenderOptions(fps=Fraction(50), loop="hold", overlap=False)))
head.render(avatar, speech, "out.mp4", th.RenderOptions(motion=Path("motion.npz"), cues=Path("cues.json")))
th.generate("in/me.png", th.say("Hello."), "said.mp4")
preview = find("preview")
for shape in "XABCDEFGH":
    frames([preview(head, avatar, shape=shape).result])
frames([preview(head, avatar, shape="D").picture(layers=("box", "landmarks", "mask"), close_up=True)])
""",
    ),
)

VOLATILE = frozenset(
    (
        "stages", "times", "time", "time_s", "seconds", "wall_s", "busy_s", "wait_input_s", "wait_output_s",
        "realtime_factor", "frames_per_second", "items_per_second", "per_second", "limited_by", "peak_memory_bytes",
        "version", "versions", "created", "date", "file_bytes", "generator", "command",
    )
)  # fmt: skip
"""Keys of reports whose values are measured, or say which program wrote them; so are all in seconds but these:"""
EXACT = frozenset(("audio_s", "start_s", "end_s", "duration_s"))
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif")
PLACES = {
    "VideoWriter": ("talkinghead.media.writer", "talkinghead.media.video_writer", "talkinghead.media"),
    "preview": ("talkinghead.preview", "talkinghead.service.preview"),
    "XLS_R_300M": ("talkinghead.families.artalk.motion.config",),
}
"""Where what is hooked has been defined; elsewhere it is searched for in the sources."""
MAIN = (("talkinghead.cli.main", "main"), ("talkinghead.cli", "main"), ("talkinghead.__main__", "main"))


# Hashes ---------------------------------------------------------------------------------------------------------------


def sha(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def array_entry(value: Any) -> dict[str, Any]:
    """Shape, type and hash of an array, and two numbers that say what changed."""
    import numpy as np

    made = np.ascontiguousarray(value)
    entry: dict[str, Any] = {"shape": list(made.shape), "dtype": str(made.dtype)}
    if made.dtype.hasobject:
        return {**entry, "sha256": sha(repr(made.tolist()).encode())}
    entry["sha256"] = sha(made.tobytes())
    if made.size and made.dtype.kind in "fiub":
        entry["mean"] = float(np.float64(made.mean(dtype=np.float64)))
        entry["std"] = float(np.float64(made.std(dtype=np.float64)))
    return entry


def file_entry(path: Path, root: Path) -> dict[str, Any]:
    """What is recorded of a file."""
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return {"kind": "video", **video_entry(path)}
    data = path.read_bytes()
    if suffix == ".json":
        value = settled(json.loads(data), root)
        if any(path.name.endswith(f"{video}.stage.json") for video in VIDEOS):
            value.pop("output", None)  # the hash of what the encoder wrote
        return {"kind": "json", "value": value}
    if suffix == ".npy":
        import numpy as np

        return {"kind": "array", **array_entry(np.load(path, allow_pickle=False))}
    if suffix == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as archive:
            return {"kind": "arrays", "arrays": {name: array_entry(archive[name]) for name in archive.files}}
    if suffix in (".pt", ".pth") and zipfile.is_zipfile(path):
        import torch

        return {"kind": "arrays", "arrays": dict(leaves(torch.load(path, weights_only=True)))}
    if suffix in (".png", ".jpg", ".jpeg"):
        import cv2

        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        return {"kind": "picture", "bytes": sha(data), "pixels": array_entry(pixels)}
    return {"kind": "file", "size": len(data), "sha256": sha(data)}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The tensors of a checkpoint by their names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}/{key}" if name else str(key))
    elif hasattr(value, "numpy"):
        yield name or "value", array_entry(value.detach().cpu().numpy())
    else:
        yield name or "value", {"sha256": sha(repr(value).encode())}


def volatile(key: str) -> bool:
    return key in VOLATILE or (key.endswith("_s") and key not in EXACT)


def settled(value: Any, root: Path) -> Any:
    """A report without what differs from run to run."""
    if isinstance(value, dict):
        return {key: settled(item, root) for key, item in value.items() if not volatile(key)}
    if isinstance(value, list):
        return [settled(item, root) for item in value]
    if isinstance(value, str):
        text = value.replace(str(root.resolve()) + "/", "").replace(str(root) + "/", "")
        text = re.sub(r"(?<![\w.])/(?:[^\s'\",:;]+/)+([^\s'\",:;/]+)", r"\1", text)  # other absolute paths: the name
        return re.sub(r"\b\d+(\.\d+)? (seconds|s|ms|minutes|MB|GB)\b", r"N \2", text)
    return value


def video_entry(path: Path) -> dict[str, Any]:
    """Streams of a video: facts, the sound's samples, and what the decoder makes of the pictures."""
    import av

    entry: dict[str, Any] = {"streams": []}
    with av.open(str(path)) as container:
        entry["metadata"] = {key: text for key, text in container.metadata.items() if key in ("comment", "title")}
        for stream in container.streams:
            facts: dict[str, Any] = {"type": stream.type, "codec": stream.codec_context.name}
            if isinstance(stream, av.VideoStream):
                facts |= {
                    "width": stream.codec_context.width,
                    "height": stream.codec_context.height,
                    "pixel_format": stream.codec_context.pix_fmt,
                    "fps": str(stream.average_rate),
                }
            elif isinstance(stream, av.AudioStream):
                facts |= {"rate": stream.codec_context.sample_rate, "channels": stream.codec_context.channels}
            entry["streams"].append(facts)
    for facts, kind in ((facts, facts["type"]) for facts in entry["streams"]):
        if kind not in ("video", "audio"):
            continue
        total = hashlib.sha256()
        count = 0
        with av.open(str(path)) as container:
            for item in container.decode(next(iter(getattr(container.streams, kind)))):
                total.update(item.to_ndarray().tobytes())
                count += 1 if kind == "video" else item.samples
        if kind == "video":
            facts["frames"] = count
            entry["decoded"] = total.hexdigest()[:32]
        else:
            facts |= {"samples": count, "sha256": total.hexdigest()[:32]}
    return entry


# In the process of a case ---------------------------------------------------------------------------------------------


def find(name: str, package: Path) -> tuple[Any, Any]:
    """(module, object) where the package under test defines a name at the top of a module.

    Raises:
        LookupError: nowhere.
    """
    for place in PLACES.get(name, ()):
        try:
            module = importlib.import_module(place)
            return module, getattr(module, name)
        except (ImportError, AttributeError):
            continue
    for path in sorted((package / "talkinghead").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if name not in text:
            continue
        for node in ast.parse(text).body:
            targets = [node] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
            names = [item.name for item in targets]
            if isinstance(node, ast.Assign | ast.AnnAssign):
                given = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [item.id for item in given if isinstance(item, ast.Name)]
            if name in names:
                place = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
                module = importlib.import_module(place)
                return module, getattr(module, name)
    raise LookupError(f"{name} is defined nowhere in {package}: tell this script (PLACES) where frames are written")


class Recorder:
    """Takes the frames of one case."""

    def __init__(self, keep: Path | None) -> None:
        self.videos: list[dict[str, Any]] = []
        self.arrays: list[dict[str, Any]] = []
        self._keep = keep
        self._kept: list[Any] = []

    def open(self, path: str, **facts: Any) -> dict[str, Any]:
        entry = {"path": path, **facts, "frames": []}
        self.videos.append(entry)
        return entry

    def take(self, entry: dict[str, Any], frame: Any) -> None:
        import numpy as np

        made = np.ascontiguousarray(frame)
        entry["shape"], entry["dtype"] = list(made.shape), str(made.dtype)
        entry["frames"].append(sha(made.tobytes()))
        if self._keep is not None:
            name = f"{self.videos.index(entry)}-{len(entry['frames']) - 1:05d}"
            self._keep.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(self._keep / f"{name}.npz", frame=made)

    def frames(self, iterable: Any) -> None:
        """For the cases in Python."""
        entry = self.open("(frames)")
        for frame in iterable:
            self.take(entry, frame)

    def array(self, name: str, value: Any) -> None:
        self.arrays.append({"name": name, **array_entry(value)})

    def hook(self, writer: Any) -> None:
        """Record what is given to a class that writes videos."""
        start, write = writer.__init__, writer.write
        recorder = self
        opened: dict[int, dict[str, Any]] = {}

        def record_start(this: Any, *given: Any, **named: Any) -> None:
            start(this, *given, **named)
            path = Path(str(given[0] if given else named.get("path", "?")))
            if path.is_absolute() and path.is_relative_to(Path.cwd()):
                path = path.relative_to(Path.cwd())
            facts = {"fps": str(named["fps"])} if "fps" in named else {}
            opened[id(this)] = recorder.open(str(path), **facts)

        def record_write(this: Any, frame: Any, *given: Any, **named: Any) -> Any:
            recorder.take(opened[id(this)], frame)
            return write(this, frame, *given, **named)

        writer.__init__, writer.write = record_start, record_write


def child(spec_path: Path, result_path: Path) -> int:
    """Run one case in this process, in the current folder; write what was recorded."""
    spec = json.loads(spec_path.read_text())
    faulthandler.dump_traceback_later(0.95 * spec["timeout"], exit=True)
    package = Path(spec["package"])
    sys.path[:] = [item for item in sys.path if Path(item or ".").resolve() != Path(__file__).resolve().parent]
    if str(package) not in sys.path:
        sys.path.insert(0, str(package))
    import talkinghead

    found = Path(talkinghead.__file__).resolve()
    if not found.is_relative_to(package.resolve()):
        raise SystemExit(f"talkinghead is imported from {found}, not from {package}")
    recorder = Recorder(Path(spec["keep"]) if spec["keep"] else None)
    _, writer = find("VideoWriter", package)
    recorder.hook(writer)
    if spec["small_encoder"]:
        _, sizes = find("XLS_R_300M", package)
        sizes.clear()
        sizes.update(json.loads(Path("in/artalk_encoder.json").read_text()))
    before = snapshot(Path())
    status: list[dict[str, Any]] = []
    if spec["code"]:
        status.append(run_code(spec["code"], recorder, package))
    else:
        main = find_main()
        status.extend(run_line(main, forms) for forms in spec["lines"])
    files = {name: file_entry(Path(name), Path.cwd()) for name in sorted(set(snapshot(Path())) - set(before))}
    opened = {video["path"] for video in recorder.videos}
    unseen = [
        name
        for name, entry in files.items()
        if entry["kind"] == "video" and name not in opened and str(Path.cwd() / name) not in opened
    ]
    result = {"status": status, "videos": recorder.videos, "arrays": recorder.arrays, "files": files, "unseen": unseen}
    result_path.write_text(json.dumps(result))
    faulthandler.cancel_dump_traceback_later()
    return 0


def snapshot(folder: Path) -> dict[str, int]:
    """Files below a folder, without the inputs."""
    return {
        str(path): path.stat().st_mtime_ns
        for top in folder.iterdir()
        if top.name != "in"
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file()
    }


def find_main() -> Callable[[Sequence[str]], int]:
    for place, name in MAIN:
        try:
            found: Callable[[Sequence[str]], int] = getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
        return found
    raise SystemExit("the package has no command line where this script looks for it (MAIN)")


def run_line(main: Callable[[Sequence[str]], int], forms: Sequence[str]) -> dict[str, Any]:
    """Run a command in the first of its forms that is accepted."""
    status = 2
    for form in forms:
        try:
            status = main(shlex.split(form))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
            status = 1
        if status != 2:
            break
    return {"line": forms[0], "status": status}


def run_code(forms: Sequence[str], recorder: Recorder, package: Path) -> dict[str, Any]:
    """Run Python in the first of its forms that finds what it needs."""
    names = {"frames": recorder.frames, "array": recorder.array, "find": lambda name: find(name, package)[1]}
    for number, form in enumerate(forms):
        try:
            exec(compile(form, "<case>", "exec"), dict(names))
        except (ImportError, AttributeError, LookupError):
            traceback.print_exc()
            if number + 1 < len(forms):
                recorder.videos.clear()
                recorder.arrays.clear()
                continue
            return {"line": "(python)", "status": 1}
        except BaseException:
            traceback.print_exc()
            return {"line": "(python)", "status": 1}
        break
    return {"line": "(python)", "status": 0}


# Recording ------------------------------------------------------------------------------------------------------------


def environment(arguments: argparse.Namespace, home: Path, work: Path) -> dict[str, str]:
    """A fresh home and cache, a fixed number of threads, no network."""
    kept = (
        "PATH",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "TALKINGHEAD_ESPEAK_LIBRARY",
        "CUDA_VISIBLE_DEVICES",
    )
    threads = str(arguments.threads)
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **{f"{name}_NUM_THREADS": threads for name in names},
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait for each other leave the processor to others
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local"),
        "TALKINGHEAD_HOME": str(home / "data"),
        "TALKINGHEAD_CACHE": str(home / "cache"),
        "TALKINGHEAD_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "NUMBA_CACHE_DIR": str(work / "numba"),
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(arguments.package),
        "TMPDIR": str(home),
    }


def limit_processors(count: int) -> None:
    """Use only some processors, so that everything that counts them finds the same number."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What results depend on besides the package."""
    flags: list[str] = []
    model = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        text = information.read_text()
        found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
        there = set(found[1].split()) if found else set()
        wanted = (
            "avx2",
            "fma",
            "avx512f",
            "avx512_vnni",
            "avx512_bf16",
            "avx512_fp16",
            "amx_bf16",
            "amx_int8",
            "amx_fp16",
        )
        flags = [name for name in wanted if name in there]
        named = re.search(r"^model name\s*:(.*)$", text, re.MULTILINE)
        model = named[1].strip() if named else model
    versions = {}
    for name in ("numpy", "torch", "openvino", "onnxruntime", "onnx", "numba", "scipy", "av", "soxr",
                 "opencv-python-headless", "pocketsphinx", "transformers", "espeakng-loader"):  # fmt: skip
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(["git", "-C", str(arguments.package), "rev-parse", "HEAD"], capture_output=True, text=True)
    return {
        "processor": model,
        "flags": flags,
        "threads": arguments.threads,
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit.stdout.strip(),
    }


def record(arguments: argparse.Namespace) -> int:
    inputs: Path = arguments.inputs.resolve()
    if not (inputs / "complete").exists():
        raise SystemExit(f"{inputs} holds no inputs: make them with `inputs {arguments.inputs}` first")
    limit_processors(arguments.threads)
    chosen = [case for case in CASES if any(fnmatch.fnmatch(case.name, each) for each in arguments.only or ["*"])]
    if not chosen:
        raise SystemExit(f"no case is named {arguments.only}")
    made: dict[str, Any] = {
        "machine": machine(arguments),
        "inputs": (inputs / "complete").read_text().strip(),
        "cases": {},
    }
    if arguments.only and arguments.output.exists():
        kept = json.loads(arguments.output.read_text())
        if any(kept[key] != made[key] for key in ("machine", "inputs")):
            raise SystemExit(f"{arguments.output} was recorded with another package, machine or inputs")
        made["cases"] = {case.name: kept["cases"][case.name] for case in CASES if case.name in kept["cases"]}
    failed: list[str] = []
    own = None if arguments.work else tempfile.TemporaryDirectory()
    work = Path(own.name if own else arguments.work).resolve()
    try:
        for case in chosen:
            entry, problems = record_case(case, arguments, inputs, work)
            made["cases"][case.name] = entry
            failed += [f"{case.name}: {text}" for text in problems]
            count = sum(len(video["frames"]) for video in entry.get("videos", ()))
            mark, files = "FAILED" if problems else "ok", len(entry.get("files", {}))
            print(f"{case.name:24} {mark:6} {entry['seconds']:6.1f} s {count:4d} frames {files:3d} files", flush=True)
            arguments.output.write_text(json.dumps(made, indent=1) + "\n")
    finally:
        if own is not None:
            own.cleanup()
    for text in failed:
        print(text, file=sys.stderr)
    return 1 if failed else 0


def children_s() -> float:
    """Processor time of the processes that ended."""
    times = os.times()
    return times.children_user + times.children_system


def record_case(
    case: Case, arguments: argparse.Namespace, inputs: Path, work: Path
) -> tuple[dict[str, Any], list[str]]:
    """Run a case in a process of its own; what was recorded, and what is wrong with it."""
    place = work / case.name
    shutil.rmtree(place, ignore_errors=True)
    desk, home = place / "desk", place / "home"
    desk.mkdir(parents=True)
    home.mkdir()
    (desk / "in").symlink_to(inputs)
    for target, source in case.copies.items():
        (desk / target).parent.mkdir(parents=True, exist_ok=True)
        copy: Any = shutil.copytree if (inputs / source).is_dir() else shutil.copyfile
        copy(inputs / source, desk / target)
    spec = {
        "package": str(arguments.package),
        "lines": [[line] if isinstance(line, str) else list(line) for line in case.lines],
        "code": list(case.code),
        "small_encoder": case.small_encoder,
        "timeout": arguments.timeout,
        "keep": str((arguments.frames / case.name).resolve()) if arguments.frames else "",
    }
    (place / "spec.json").write_text(json.dumps(spec))
    result = place / "result.json"
    command = [sys.executable, str(Path(__file__).resolve()), "_child", str(place / "spec.json"), str(result)]
    began, used = time.perf_counter(), children_s()
    with (place / "log").open("w") as log:
        try:
            done = subprocess.run(
                command, cwd=desk, env=environment(arguments, home, work), stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, timeout=arguments.timeout,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            done = 124
    seconds = {"seconds": round(time.perf_counter() - began, 1), "processor_seconds": round(children_s() - used, 1)}
    tail = (place / "log").read_text(errors="replace")[-1500:]
    if done != 0 or not result.exists():
        return {**seconds, "died": done}, [f"the process ended with {done}\n{tail}"]
    entry = json.loads(result.read_text())
    problems = []
    for number, row in enumerate(entry["status"]):
        wanted = case.status if number == len(entry["status"]) - 1 else 0
        if row["status"] != wanted:
            problems.append(f"exit status {row['status']} of: {row['line']}\n{tail}")
    problems += [f"{name} was written past the hook of this script (PLACES)" for name in entry["unseen"]]
    if not any(video["frames"] for video in entry["videos"]) and not entry["files"]:
        problems.append("nothing was recorded")
    if not arguments.work:
        shutil.rmtree(place, ignore_errors=True)
    return {**seconds, **entry}, problems


# Comparing ------------------------------------------------------------------------------------------------------------


def compare(arguments: argparse.Namespace) -> int:
    before, after = (json.loads(path.read_text()) for path in (arguments.before, arguments.after))
    expected = dict(text.partition("=")[::2] for text in arguments.expected)
    for key in sorted({*before["machine"], *after["machine"]} - {"commit"}):
        if before["machine"].get(key) != after["machine"].get(key):
            print(f"note: {key} differs: {before['machine'].get(key)} and {after['machine'].get(key)}")
    if before["inputs"] != after["inputs"]:
        print("the inputs differ: these records cannot be compared", file=sys.stderr)
        return 1
    names = list(dict.fromkeys([*before["cases"], *after["cases"]]))
    if arguments.only:
        names = [name for name in names if any(fnmatch.fnmatch(name, each) for each in arguments.only)]
    unexpected = 0
    told = 0
    for name in names:
        if name not in after["cases"] or name not in before["cases"]:
            found = [("", f"is missing in {arguments.after if name in before['cases'] else arguments.before}")]
            notes: list[str] = []
        else:
            frames = tuple(folder / name for folder in arguments.frames) if arguments.frames else None
            found, notes = differences(before["cases"][name], after["cases"][name], frames)
        for item, text in found:
            label = f"{name}:{item}" if item else name
            reason = next(
                (why for form, why in expected.items() if fnmatch.fnmatch(name, form) or fnmatch.fnmatch(label, form)),
                None,
            )
            if reason is None:
                unexpected += 1
            print(
                f"{'DIFFERS ' if reason is None else 'expected'} {label}: {text}" + (f" [{reason}]" if reason else "")
            )
        for text in notes:
            told += 1
            if arguments.notes:
                print(f"note     {name}: {text}")
    print(f"{len(names)} cases, {unexpected} unexpected differences, {told} notes about encoded pictures")
    return 1 if unexpected else 0


def differences(
    before: dict[str, Any], after: dict[str, Any], frames: tuple[Path, ...] | None
) -> tuple[list[tuple[str, str]], list[str]]:
    """What differs between two records of a case (item, sentence), and notes."""
    found: list[tuple[str, str]] = []
    notes: list[str] = []
    if "died" in before or "died" in after:
        return [("", f"the process ended with {before.get('died', 0)}, now with {after.get('died', 0)}")], notes
    statuses = [[row["status"] for row in side["status"]] for side in (before, after)]
    if statuses[0] != statuses[1]:
        found.append(("status", f"{statuses[0]} became {statuses[1]}"))
    found += video_differences(before["videos"], after["videos"], frames)
    for old, new in zip(before["arrays"], after["arrays"], strict=False):
        if old != new:
            found.append((old["name"], f"{old} became {new}"))
    if len(before["arrays"]) != len(after["arrays"]):
        found.append(("arrays", f"{len(before['arrays'])} became {len(after['arrays'])}"))
    for name in sorted({*before["files"], *after["files"]}):
        old, new = before["files"].get(name), after["files"].get(name)
        if old is None or new is None:
            found.append((name, "is new" if old is None else "is no longer written"))
            continue
        unseen = name in before.get("unseen", ()) or name in after.get("unseen", ())
        decoded = () if unseen else (old.pop("decoded", None), new.pop("decoded", None))
        if old != new:
            found.append((name, "; ".join(value_differences(old, new)[:6])))
        if len(set(decoded)) > 1:
            notes.append(f"{name}: the decoded pictures differ")
    return found, notes


def video_differences(
    before: list[dict[str, Any]], after: list[dict[str, Any]], frames: tuple[Path, ...] | None
) -> list[tuple[str, str]]:
    """What differs between the frames that were written."""
    found: list[tuple[str, str]] = []
    sides = numbered(before), numbered(after)
    for label in dict.fromkeys([*sides[0], *sides[1]]):
        if label not in sides[0] or label not in sides[1]:
            found.append((label, "no such frames before" if label in sides[1] else "its frames are no longer written"))
            continue
        places = [side[label] for side in sides]
        old, new = before[places[0]], after[places[1]]
        for key in ("shape", "dtype", "fps"):
            if old.get(key) != new.get(key) and (key != "fps" or (key in old and key in new)):
                found.append((label, f"{key} {old.get(key)} became {new.get(key)}"))
        if len(old["frames"]) != len(new["frames"]):
            found.append((label, f"{len(old['frames'])} frames became {len(new['frames'])}"))
        changed = [i for i, pair in enumerate(zip(old["frames"], new["frames"], strict=False)) if pair[0] != pair[1]]
        if changed:
            text = f"{len(changed)} of {len(old['frames'])} frames differ: {ranges(changed)}"
            found.append((label, text + (how_far(frames, places, changed) if frames else "")))
    return found


def numbered(videos: list[dict[str, Any]]) -> dict[str, int]:
    """Where each video is in the list, by its path and, if that was written again, a number."""
    places: dict[str, int] = {}
    for index, video in enumerate(videos):
        label, again = video["path"], 2
        while label in places:
            label, again = f"{video['path']} {again}", again + 1
        places[label] = index
    return places


def ranges(numbers: Sequence[int]) -> str:
    """ "0-3, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def how_far(folders: tuple[Path, ...], videos: Sequence[int], changed: Sequence[int]) -> str:
    """How far apart the frames are that differ."""
    import numpy as np

    largest, squares, share, count = 0, 0.0, 0.0, 0
    for index in changed:
        paths = [folder / f"{video}-{index:05d}.npz" for folder, video in zip(folders, videos, strict=True)]
        if not all(path.exists() for path in paths):
            return " (not kept)"
        old, new = (np.load(path)["frame"].astype(np.int32) for path in paths)
        if old.shape != new.shape:
            return " (of another size)"
        largest = max(largest, int(np.abs(old - new).max()))
        squares += float(((old - new) ** 2).mean())
        share += float((old != new).mean())
        count += 1
    psnr = 10 * np.log10(255**2 / (squares / count))
    return f" (at most by {largest}, in {100 * share / count:.2g} % of the values, PSNR {psnr:.1f} dB)"


def value_differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Where two values differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        rows = []
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                rows += value_differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        return rows
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        rows = []
        for index, pair in enumerate(zip(old, new, strict=True)):
            if pair[0] != pair[1]:
                rows += value_differences(*pair, f"{name}[{index}]")
        return rows
    return [f"{name} {str(old)[:120]} became {str(new)[:120]}"]


# Inputs ---------------------------------------------------------------------------------------------------------------


def make_inputs(arguments: argparse.Namespace) -> int:
    """Build the inputs in a process that imports the package under test."""
    folder: Path = arguments.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    limit_processors(arguments.threads)
    with tempfile.TemporaryDirectory() as work:
        env = environment(arguments, Path(work), Path(work))
        command = [sys.executable, str(Path(__file__).resolve()), "_inputs", str(folder), str(arguments.package)]
        done = subprocess.run(command, cwd=arguments.package, env=env, stdout=subprocess.DEVNULL)
    if done.returncode == 0:
        total = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            total.update(f"{path.relative_to(folder)} {sha(path.read_bytes())}\n".encode())
        (folder / "complete").write_text(total.hexdigest()[:32] + "\n")
    return done.returncode


def build_inputs(folder: Path, package: Path) -> int:
    """Everything that the table names. Uses the builders of the package, of its scripts and of its tests."""
    build_media(folder)
    build_wav2lip(folder, package)
    build_synctalk2d(folder, package)
    build_gaussians(folder, package)
    build_artalk(folder, package)
    return 0


def build_media(folder: Path) -> None:
    from dataclasses import replace
    from fractions import Fraction

    import numpy as np
    import soxr
    from skimage.data import astronaut

    from talkinghead.assets import demo_speech_path
    from talkinghead.contracts import AudioClip
    from talkinghead.media import read_audio, write_png, write_video, write_wav

    speech = read_audio(demo_speech_path(), 16_000)
    rate = speech.sample_rate_hz

    def part(start_s: float, stop_s: float) -> Any:
        return speech.samples[round(start_s * rate) : round(stop_s * rate)]

    write_wav(folder / "hello.wav", replace(speech, samples=part(0, 0.8)))
    quiet = np.zeros(round(0.5 * rate), np.float32)
    write_wav(folder / "pause.wav", replace(speech, samples=np.concatenate([part(0.2, 0.6), quiet, part(1.2, 1.6)])))
    high = soxr.resample(part(1.3, 1.93), rate, 44_100, quality="HQ").astype(np.float32)
    write_wav(folder / "goodbye.wav", AudioClip(high, 44_100))
    portrait: Any = astronaut()  # type: ignore[no-untyped-call]
    photo = np.ascontiguousarray(portrait[:440, 40:480])
    write_png(folder / "me.png", photo)
    moving = [np.roll(photo, 2 * index, axis=1) for index in range(12)]
    write_video(folder / "me.mp4", moving, fps=Fraction(25), soundtrack=AudioClip(part(0, 0.48), rate))
    small = np.ascontiguousarray(photo[::2, ::2])
    write_video(folder / "two.mp4", [np.hstack([photo, photo[:, ::-1]])] * 4, fps=Fraction(25))
    write_png(folder / "small.png", small)
    (folder / "words.txt").write_text("This text comes from a file.\n", encoding="utf-8")


def test_module(package: Path, name: str) -> Any:
    """A module of the package's tests, by its path below tests."""
    if str(package) not in sys.path:
        sys.path.insert(0, str(package))
    return importlib.import_module(f"tests.{name}")


def save_torch(path: Path, arrays: Mapping[str, Any]) -> None:
    import numpy as np
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}, path)


def save_network(
    folder: Path, name: str, inputs: Mapping[str, Any], weights: Mapping[str, Any] | None = None, config: Any = None
) -> None:
    """The files of `reference run` for one network."""
    import numpy as np

    place = folder / "reference"
    place.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {key: np.asarray(value) for key, value in inputs.items()}
    np.savez(place / f"{name}.npz", **arrays)
    if weights is not None:
        from safetensors.numpy import save_file

        made = {key: np.ascontiguousarray(value) for key, value in weights.items()}
        save_file(made, place / f"{name}.safetensors")
    if config is not None:
        (place / f"{name}.json").write_text(json.dumps(config))


def build_wav2lip(folder: Path, package: Path) -> None:
    import numpy as np

    from talkinghead.media import write_png

    kit = test_module(package, "golden_files")
    weights = kit.network_weights("wav2lip/wav2lip96")
    save_torch(folder / "wav2lip_gan.pth", {f"module.{name}": value for name, value in weights.items()})
    save_torch(folder / "wav2lip256.pth", kit.network_weights("wav2lip/wav2lip256"))
    detector = kit.network_weights("wav2lip/s3fd")
    save_torch(folder / "s3fd.pth", detector)
    images = kit.Golden("wav2lip/s3fd_network")["images"]
    write_png(folder / "noise.png", np.ascontiguousarray(images[0, ..., ::-1]))
    save_network(folder, "wav2lip.s3fd", {"images": images}, detector)
    inputs = kit.Golden("wav2lip/wav2lip96_generator").inputs()
    inputs["face"][:, :3, 48:] = 0
    save_network(folder, "wav2lip.generator96", inputs, weights)


def build_synctalk2d(folder: Path, package: Path) -> None:
    import numpy as np
    import torch

    from talkinghead.cli.main import main

    kit = test_module(package, "golden_files")
    for size in ("328", "160"):
        drawn = ["synctalk2d", "demo", str(folder / f"may{size}"), "--frames", "6", "--width", "480", "--height", "270"]
        if main([*drawn, "--size", size]) != 0:
            raise SystemExit("no drawn person")
    for name in ("unet328_ave", "unet160_ave", "unet160_hubert", "unet160_wenet", "udh160_hubert_classic"):
        save_torch(folder / f"{name}.pth", kit.network_weights(f"synctalk2d/{name}"))
    save_torch(folder / "ave_encoder.pth", kit.network_weights("synctalk2d/ave_encoder"))
    rng = np.random.default_rng(0)
    np.save(folder / "aud_ave.npy", rng.uniform(0, 2, (30, 512)).astype(np.float32))
    np.save(folder / "aud_hu.npy", rng.uniform(-1, 1, (20, 2, 1024)).astype(np.float32))
    np.save(folder / "aud_wenet.npy", rng.uniform(-1, 1, (16, 16, 512)).astype(np.float32))
    for name, case in (("unet160.ave", "unet160_ave"), ("udh160.wenet", "udh160_wenet_classic"),
                       ("ave_encoder", "ave_encoder"), ("pfld", "pfld")):  # fmt: skip
        found = kit.Golden(f"synctalk2d/{case}")
        save_network(folder, f"synctalk2d.{name}", found.inputs(), found.weights())

    from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": (8,) * 7,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
    }  # fmt: skip
    HubertModel(HubertConfig(hidden_size=1024, **{**sizes, "num_hidden_layers": 2})).save_pretrained(folder / "hubert")
    Wav2Vec2ForCTC(Wav2Vec2Config(hidden_size=16, vocab_size=44, **sizes)).save_pretrained(folder / "esperanto")


def build_gaussians(folder: Path, package: Path) -> None:
    import numpy as np

    script = package / "scripts" / "make_gaussian_head.py"
    command = [sys.executable, str(script), str(folder / "head3d"), "--detail", "0.25", "--size", "128"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    features = np.load(folder / "head3d" / "data" / "aud_ds.npy")
    np.save(folder / "aud_ds.npy", features[:24])
    kit = test_module(package, "audio.encoders.test_deepspeech")
    kit.graph_file(folder / "deepspeech.pb", kit.small_graph())
    kit = test_module(package, "families.talkinggaussian.conftest")
    golden = test_module(package, "golden_files").Golden

    def inputs(case: str) -> dict[str, Any]:
        found: dict[str, Any] = golden(f"talkinggaussian/{case}").inputs()
        return found

    weights = kit.network_weights(kit.FACE, "deepspeech")
    save_network(folder, "talkinggaussian.face_motion", inputs("face_motion_deepspeech"), weights)
    weights = kit.network_weights(kit.MOUTH, "hubert")
    save_network(folder, "talkinggaussian.mouth_motion_hubert", inputs("mouth_motion_hubert"), weights)
    save_network(folder, "talkinggaussian.sh", inputs("sh_eval"))
    stored = golden("talkinggaussian/raster_96x96").arrays
    given = {name.removeprefix("in_"): stored[name] for name in stored.files if name.startswith("in_")}
    save_network(folder, "talkinggaussian.rasterize", given)


def build_artalk(folder: Path, package: Path) -> None:
    import numpy as np
    import torch

    kit = test_module(package, "golden_files")
    golden = kit.Golden("artalk/ar_small")
    assets = folder / "assets"
    (assets / "style_motion").mkdir(parents=True)
    save_torch(assets / "ARTalk_wav2vec.pt", golden.weights())
    sizes = golden.overrides
    config = {
        "AR_CONFIG": {"T_DEPTH": 2, "T_NUM_HEADS": 12, "PREV_RATIO": 1},
        "VAE_CONFIG": sizes["config"]["VAE_CONFIG"],
    }
    (assets / "config.json").write_text(json.dumps(config))
    torch.save(torch.from_numpy(golden.inputs()["style23"][0]), assets / "style_motion" / "natural_0.pt")
    (folder / "artalk_encoder.json").write_text(json.dumps(sizes["wav2vec2_config"]))
    head = package / "scripts" / "make_flame_head.py"
    subprocess.run([sys.executable, str(head), str(folder / "flame.pt")], check=True, stdout=subprocess.DEVNULL)
    shape = np.zeros(300, np.float32)
    shape[:3] = (1.0, -0.5, 0.5)
    np.save(folder / "shape.npy", shape)
    motion = np.zeros((16, 106), np.float32)
    phase = np.arange(16) / 4
    motion[:, 103], motion[:, 101], motion[:, 3] = 0.1 + 0.1 * np.sin(phase), 0.1 * np.sin(phase / 2), np.sin(phase)
    np.save(folder / "raw.npy", motion)
    np.save(folder / "raw4.npy", motion[3:7])

    def add(name: str, case: str, weights: str | None = None, **more: Any) -> None:
        found = kit.Golden(case, weights)
        inputs = {**found.inputs(), **more.pop("inputs", {})}
        state = more.pop("weights", None) or found.weights()
        save_network(folder, name, inputs, state, found.overrides.get("config", more.pop("config", None)))

    add("artalk.wav2vec", "artalk/wav2vec_small")
    add("artalk.style_encoder", "artalk/style_encoder_a", "artalk/style_encoder")
    add("artalk.vae", "artalk/vae_small")
    inputs = {"audio": golden.inputs()["audio23"], "style": golden.inputs()["style23"]}
    config = {"config": sizes["config"], "wav2vec2_config": sizes["wav2vec2_config"]}
    save_network(folder, "artalk.ar", inputs, golden.weights(), config)
    case = kit.Golden("artalk/flame_case", "artalk/flame_model")
    with np.load(kit.GOLDEN / "artalk" / "flame_model.npz") as arrays:
        model = {name: arrays[name] for name in arrays.files}
    given = case.inputs()
    given.pop("rotvec")
    save_network(folder, "artalk.flame", given, model)

    from talkinghead.families.artalk.procedural.head import procedural_head

    flame = procedural_head().flame
    save_network(folder, "artalk.mesh_render", {"verts": flame.motion_vertices(motion[:2]), "faces": flame.faces})
    add("gagavatar.dino", "gagavatar/dino_small")
    add("gagavatar.gaussians", "gagavatar/gs_conv")
    add("gagavatar.style_unet", "gagavatar/style_unet_small")
    raster = kit.Golden("gagavatar/raster_a")
    stored = {key: raster[key] for key in ("xyz", "opac", "quat", "bg", "size", "cam_matrix")}
    given = {key: value for key, value in raster.inputs().items() if key in ("colors", "scales")}
    save_network(folder, "gagavatar.rasterize", {**given, **stored})


# Command line ---------------------------------------------------------------------------------------------------------


def main() -> int:
    if sys.argv[1:2] == ["_child"]:
        return child(Path(sys.argv[2]), Path(sys.argv[3]))
    if sys.argv[1:2] == ["_inputs"]:
        return build_inputs(Path(sys.argv[2]), Path(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    root = Path(__file__).resolve().parent.parent
    shared.add_argument("--package", type=Path, default=root, help="repository whose package runs (default: this one)")
    shared.add_argument("--threads", type=int, default=2, help="processors to use (default: %(default)s)")
    part = parts.add_parser("inputs", parents=[shared], help="build the inputs into an empty folder")
    part.add_argument("folder", type=Path)
    part.set_defaults(run=make_inputs)
    part = parts.add_parser("record", parents=[shared], help="run the cases and write what they produce")
    part.add_argument("output", type=Path, help="JSON file")
    part.add_argument("--inputs", type=Path, required=True, help="folder that `inputs` made")
    part.add_argument(
        "--only", nargs="+", metavar="PATTERN", help="cases by name, with * and ?; the others of an older record stay"
    )
    part.add_argument("--work", type=Path, help="folder for what is made, kept afterwards (default: thrown away)")
    part.add_argument("--frames", type=Path, metavar="DIR", help="keep every frame, for `compare --frames`")
    part.add_argument("--timeout", type=float, default=1200, help="seconds for one case (default: %(default)s)")
    part.set_defaults(run=record)
    part = parts.add_parser("compare", help="say what differs; the exit status is 1 if anything unexpected does")
    part.add_argument("before", type=Path)
    part.add_argument("after", type=Path)
    part.add_argument(
        "--expected", nargs="+", default=[], metavar="NAME=REASON",
        help="a case, or CASE:FILE, with * and ?, that may differ, and why",
    )  # fmt: skip
    part.add_argument("--only", nargs="+", metavar="PATTERN", help="cases by name, with * and ?")
    part.add_argument("--frames", type=Path, nargs=2, metavar="DIR", help="the kept frames of both: say how far apart")
    part.add_argument("--notes", action="store_true", help="also name videos whose decoded pictures differ")
    part.set_defaults(run=compare)
    part = parts.add_parser("list", help="name the cases and their commands")
    part.set_defaults(run=show)
    arguments = parser.parse_args()
    if hasattr(arguments, "package"):
        arguments.package = arguments.package.resolve()
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def show(_: argparse.Namespace) -> int:
    for case in CASES:
        print(case.name)
        for line in case.lines or ("(python)",):
            print(f"    {line if isinstance(line, str) else ' | '.join(line)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
