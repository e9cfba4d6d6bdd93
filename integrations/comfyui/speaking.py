"""The nodes that let a face speak: into frames, and into a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from talkinghead.contracts import Frame, Picture, Speech
from talkinghead.engine.head import AnyHead, Avatar, RenderOptions
from talkinghead.engine.timeline import LOOP_POLICIES
from talkinghead.media.options import EncodeOptions
from talkinghead.provenance.signing import configured

from . import host, values
from .faces import FACE, PreparedFace
from .heads import HEAD, LoadedHead
from .options import CATEGORY, VIDEO_OPTIONS, Widget, manner_widgets
from .words import NodeError

SHARE = 0.5
"""How much of the free memory the frames of Speak may take: what comes after it needs some, too."""
VALUE_BYTES = 4
FORMATS = ("mp4", "webm", "mov", "mkv", "gif")


def _common_inputs() -> dict[str, dict[str, Widget]]:
    return {
        "required": {
            "head": (HEAD, {"tooltip": "From Load Head."}),
            "face": (FACE, {"tooltip": "From Prepare Face, with the same head."}),
            "audio": ("AUDIO", {"tooltip": "What is said."}),
            **manner_widgets(),
            "fps": (
                "FLOAT",
                {
                    "default": 0.0,
                    "min": 0.0,
                    "max": 240.0,
                    "step": 0.01,
                    "round": False,
                    "tooltip": "Frames per second; 0 takes the model's, else the face's, else 25.",
                },
            ),
            "loop": (
                list(LOOP_POLICIES),
                {
                    "default": "pingpong",
                    "tooltip": "When a video of a face is shorter than the sound: forwards and backwards, from its "
                    "beginning, its last frame held, or ending with it.",
                },
            ),
        },
        "optional": {},
    }


@dataclass(frozen=True, eq=False)
class Job:
    """Who says what, and how."""

    head: AnyHead
    avatar: Avatar
    speech: Speech
    options: RenderOptions

    @staticmethod
    def of(
        loaded: LoadedHead,
        face: PreparedFace,
        speech: Speech,
        *,
        fps: float,
        loop: str,
        manner: Mapping[str, Any],
        encode: EncodeOptions | None = None,
    ) -> Job:
        """All that is needed to begin.

        Raises:
            NodeError: what does not go together.
        """
        rate = values.rate_of(fps) if fps else None
        only = loaded.head.facts.fps
        if only is not None and rate not in (None, only):
            raise NodeError(
                f"fps is {fps:g}, and the model {loaded.model} makes {only} frames per second.",
                accepted=f"{only}, or 0",
            )
        options = RenderOptions(fps=rate, loop=loop, encode=encode)  # type: ignore[arg-type] # one of the list
        return Job(loaded.speaking(manner), face.avatar_for(loaded), speech, options)

    @property
    def length(self) -> tuple[int, Fraction]:
        """Frames in all, and frames per second."""
        plan = self.head.plan(self.avatar, self.speech, self.options)
        return len(plan), plan.fps

    def pictures(self, work: host.Work) -> Iterator[Frame | Picture]:
        """The frames one by one."""
        head, options = self.head, self.options
        made = head.pictures(self.avatar, self.speech, options, progress=work.progress, cancel=work.cancel)
        with closing(made):
            for picture in made:
                work.cancel.check()
                yield picture


def check_memory(count: int, size: tuple[int, int]) -> None:
    """Refuse what does not fit before it is made.

    Raises:
        NodeError: the frames take too much.
    """
    width, height = size
    wanted, free = count * width * height * 3 * VALUE_BYTES, host.free_bytes()
    if wanted > SHARE * free:
        raise NodeError(
            f"The {count:,} frames of {width}x{height} take {wanted / 1e9:.1f} GB as IMAGE, and {free / 1e9:.1f} GB "
            "of memory are free.",
            accepted=f"at most {SHARE * free / 1e9:.1f} GB, so that the nodes after this one have room",
            remedy="Speak to Video, which writes frames into a file as they are made; or a smaller face, or less sound",
        )


class Speak:
    """A face speaks: frames and sound for other nodes."""

    TITLE = "Speak (talkinghead)"
    DESCRIPTION = (
        "A face says a sound: frames, the sound as long as they are, and their rate. All frames are in memory; for "
        "long sounds take Speak to Video."
    )
    CATEGORY = CATEGORY
    FUNCTION = "speak"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", "MASK")
    RETURN_NAMES = ("images", "audio", "fps", "mask")
    OUTPUT_TOOLTIPS = (
        "The frames.",
        "The sound, cut or followed by silence to the length of the frames.",
        "Frames per second.",
        "Where nothing is drawn: 1 is transparent. All 0 but for avatars on a transparent background.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        return _common_inputs()

    def speak(
        self,
        head: LoadedHead,
        face: PreparedFace,
        audio: Mapping[str, Any],
        fps: float,
        loop: str,
        **manner: Any,
    ) -> tuple[torch.Tensor, dict[str, Any], float, torch.Tensor]:
        with host.Work() as work, values.speech_of(audio) as speech:
            job = Job.of(head, face, speech, fps=fps, loop=loop, manner=manner)
            count, rate = job.length
            check_memory(count, job.avatar.size)
            images, mask = _collected(job, count, work)
        return images, values.cut_to(audio, count / rate), float(rate), mask


def _collected(job: Job, count: int, work: host.Work) -> tuple[torch.Tensor, torch.Tensor]:
    """All frames, [count, H, W, 3], and what is transparent, [count, H, W]."""
    images: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    for index, picture in enumerate(job.pictures(work)):
        frame = picture.frame if isinstance(picture, Picture) else picture
        if images is None:
            images = torch.empty((count, *frame.shape), dtype=torch.float32)
            see_through = isinstance(picture, Picture)
            mask = torch.zeros((count if see_through else 1, *frame.shape[:2]))
        assert mask is not None
        values.put_frame(images, index, frame)
        if isinstance(picture, Picture):
            mask[index] = 1 - torch.from_numpy(picture.alpha).to(torch.float32) / 255
        work.at(index + 1, count, frame)
    assert images is not None
    assert mask is not None
    return images, mask.expand(count, -1, -1)


class SpeakToVideo:
    """A face speaks into a file, however long."""

    TITLE = "Speak to Video (talkinghead)"
    DESCRIPTION = (
        "A face says a sound, straight into a video file in ComfyUI's output folder: memory does not grow with its "
        "length, and the file says in its metadata that it is synthetic. It appears when it is complete, or not at all."
    )
    CATEGORY = CATEGORY
    FUNCTION = "speak"
    RETURN_TYPES = ("VIDEO", "STRING")
    RETURN_NAMES = ("video", "path")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        inputs = _common_inputs()
        inputs["required"] |= {
            "filename_prefix": (
                "STRING",
                {"default": "video/talkinghead", "tooltip": "Name below the output folder; a number is added."},
            ),
            "format": (list(FORMATS), {"default": "mp4", "tooltip": "mp4 plays everywhere; gif has no sound."}),
        }
        inputs["optional"]["video_options"] = (VIDEO_OPTIONS, {"tooltip": "How the file is written."})
        return inputs

    def speak(
        self,
        head: LoadedHead,
        face: PreparedFace,
        audio: Mapping[str, Any],
        fps: float,
        loop: str,
        filename_prefix: str,
        format: str,
        video_options: EncodeOptions | None = None,
        **manner: Any,
    ) -> dict[str, Any]:
        with host.Work() as work, values.speech_of(audio) as speech:
            job = Job.of(head, face, speech, fps=fps, loop=loop, manner=manner, encode=video_options)
            path, shown = host.next_output(filename_prefix, f".{format}", job.avatar.size)
            count, done = job.length[0], 0

            def look(picture: Frame | Picture) -> None:
                nonlocal done
                done += 1
                work.at(done, count, picture.frame if isinstance(picture, Picture) else picture)

            result = job.head.render(
                job.avatar,
                speech,
                path,
                job.options,
                progress=lambda event: None if event.stage == "render" and not event.note else work.progress(event),
                cancel=work.cancel,
                signer=configured(),
                look=look,
            )
            work.tell((*result.report.fallbacks, *result.report.warnings))
        return {
            "ui": {"images": [shown], "animated": (True,)},
            "result": (host.video_from_file(path), str(path)),
        }
