"""The public functions: load, listen, say, prepare, render, frames, live, generate.

    head = load("wav2lip", checkpoint="wav2lip_gan.pth")
    avatar = head.prepare("me.mp4")
    result = head.render(avatar, listen("hello.wav"), "out.mp4")

`generate` is the three in one call.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.contracts import AudioClip, FaceSource, Frame, Phone, Result, Speech
from talkinghead.engine import speech_input
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.engine.head import AnyHead, Avatar, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.manifest import Manifest
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES
from talkinghead.service.request import Request, SoundFile
from talkinghead.service.run import load as load_head
from talkinghead.service.run import run

if TYPE_CHECKING:
    from talkinghead.engine.live import LiveOptions, LiveSession


def models() -> Mapping[str, Manifest]:
    """The model families by name, with what each one needs.

    Models of other packages that cannot be used are left out with a warning.
    """
    for row in FAMILIES.broken:
        warnings.warn(f"{row}\nTry: {row.remedy}", stacklevel=2)
    return FAMILIES


def load(
    model: str = DEFAULT_FAMILY,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    compat: bool = False,
    **family_options: Any,
) -> AnyHead:
    """Load a model.

    Args:
        model: a name from `models()`.
        checkpoint: the model's weights, where it has any; never unpickled. A name of the model store is accepted, and
            None takes the first installed one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto" (fast where it keeps 45 dB), "parity" (float32) or "fast".
        backend: "auto", "torch", "onnx" or "openvino".
        compat: the published script's behaviour everywhere, quirks included.
        family_options: fields of the model's own configuration.
    Raises:
        OptionError: unknown model or option. CheckpointError: the file is not a checkpoint of this model or is unsafe.
        MissingDependency: the extra that the model needs is not installed.
    """
    general = {"checkpoint": checkpoint, "device": device, "precision": precision, "backend": backend, "compat": compat}
    return load_head(model, LoadOptions.of({**family_options, **general}))


def listen(
    sound: str | Path | AudioClip,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    phones: tuple[Phone, ...] | None = None,
    face: str | Path | Frame | None = None,
) -> Speech:
    """Read speech: 16 kHz mono for the networks, and the original sound for the finished file.

    Args:
        sound: any audio or video file that FFmpeg reads, or samples.
        start_s, duration_s: the part to use, in seconds.
        phones: exact phone times, if known (text to speech knows them).
        face: the file whose pictures will be shown. Where it is the sound's own file, or a copy, pictures and sound
            stay as far apart as they begin in it; elsewhere the sound begins with its first sample. `prepare` and
            `render` find out by themselves too.
    Raises:
        MediaError: the file cannot be read, has no sound or no samples.
    """
    return speech_input.listen(sound, start_s=start_s, duration_s=duration_s, phones=phones, face=face)


def say(text: str, *, lang: str = "auto", voice: str | None = None, engine: str = "auto", speed: float = 1.0) -> Speech:
    """Speak a text; what comes out can be given to `render`, `frames` and `generate` as the audio.

    Args:
        text: what to say; long texts are spoken sentence by sentence.
        lang: language, such as "en", "de" or "zh"; "auto" goes by the text's letters, and Latin ones are English.
        voice: a variant of espeak-ng ("f2"), or a Piper voice file (.onnx).
        engine: "auto", "espeak" (offline), "gtts" (online: the text is sent to Google) or "piper".
        speed: pace; 2 is double.
    Returns:
        The sound, and with espeak-ng the exact time of every phone, which the built-in animator then follows.
    Raises:
        OptionError: no such language, voice or engine. InputError: nothing to say, or too long.
        MissingDependency: the engine is not installed. BackendError: it failed, or is forbidden offline.
    """
    from talkinghead.engine.options import build_config
    from talkinghead.speech import SpeechOptions

    values = {"lang": lang, "voice": voice, "engine": engine, "speed": speed}
    return speech_input.say(text, build_config(SpeechOptions, values, owner="Speech"))


def prepare(head: AnyHead, source: FaceSource, options: PrepareOptions | None = None) -> Avatar:
    """`head.prepare(source, options)`."""
    avatar: Avatar = head.prepare(source, options)
    return avatar


def render(
    head: AnyHead, avatar: Avatar, speech: Speech, output: str | Path, options: RenderOptions | None = None
) -> Result:
    """`head.render(avatar, speech, output, options)`."""
    return head.render(avatar, speech, output, options)


def frames(head: AnyHead, avatar: Avatar, speech: Speech, options: RenderOptions | None = None) -> Iterator[Frame]:
    """`head.frames(avatar, speech, options)`."""
    return head.frames(avatar, speech, options)


def live(head: AnyHead, avatar: Avatar, options: LiveOptions | None = None) -> LiveSession[Any]:
    """`head.live(avatar, options)`: a session that speaks while the sound still arrives."""
    session: LiveSession[Any] = head.live(avatar, options)
    return session


def generate(
    face: str | Path | Frame | Avatar,
    audio: str | Path | AudioClip | Speech,
    output: str | Path,
    *,
    model: str | AnyHead = DEFAULT_FAMILY,
    prepare_options: PrepareOptions | None = None,
    render_options: RenderOptions | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    **load_options: Any,
) -> Result:
    """Make one talking-head video.

    Args:
        face: what the model's `face_source` names: a picture or video, a template folder, a scene, an avatar; or a
            face that this head has prepared.
        audio: the speech.
        output: the video to write; its suffix chooses the container.
        model: a name, or a head that is already loaded.
        load_options: as for `load`, when `model` is a name.
    Returns:
        The result; its report covers loading, preparing, listening and rendering.
    """
    request = Request(
        source=None if isinstance(face, Avatar) else face,
        speech=SoundFile(Path(audio)) if isinstance(audio, str | Path) else audio,
        output=Path(output),
        model=model if isinstance(model, str) else None,
        load=LoadOptions.of(load_options) if isinstance(model, str) else LoadOptions(),
        prepare=replace(prepare_options or PrepareOptions(), speech=None, render=None),
        render=render_options or RenderOptions(),
    )
    return run(
        request,
        head=None if isinstance(model, str) else model,
        avatar=face if isinstance(face, Avatar) else None,
        progress=progress,
        cancel=cancel,
    )
