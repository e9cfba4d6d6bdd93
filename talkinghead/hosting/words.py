"""What options are called on a page: in words, with a hint, and with an automatic default where there is none.

The command line has the names of fields and the whole of their help. A field that is not here, as those of models that
other packages bring, is called by its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from talkinghead.registry import FAMILIES

AUTOMATIC = "automatic"
"""What an empty input stands for."""


@dataclass(frozen=True)
class Words:
    """How a field is called."""

    label: str
    hint: str = ""
    """A sentence; empty: the first of the field's help."""
    empty: Any = None
    """The value that stands for an automatic choice, and is shown as an empty input."""
    names: tuple[tuple[str, str], ...] = ()
    """Values and what they are called; others go by themselves."""
    absent: str = AUTOMATIC
    """What an empty input shows."""


_ON_AUTO = (("auto", "Automatic"),)

WORDS: dict[str, Words] = {
    # Every model that moves a mouth
    "strength": Words("Expressiveness", "How far the mouth moves: 0.5 mumbles, 1.3 articulates."),
    "jaw": Words("Jaw", "How far the jaw and the chin drop."),
    "width": Words("Lips", "How much the lips round and spread."),
    "teeth": Words("Teeth", "Teeth are shown inside the mouth."),
    "idle_motion": Words("Blinking and head movement", "A still picture blinks and moves its head a little."),
    "head_motion": Words("Head movement", "How much the head of a still picture moves."),
    "blinks_per_minute": Words("Blinks per minute", "How often the eyes blink; 0 never."),
    "seed": Words("Variation", "Another number gives other moments of blinks and other movements of the head."),
    "enhance": Words("Sharpen with", "A network that sharpens the face.", names=(("off", "Nothing"),)),
    "enhance_strength": Words("How much is sharpened", "0 leaves the frames as they are."),
    "enhance_area": Words(
        "What is sharpened", "All of the face changes the eyes and the skin, too.",
        names=(("lower", "Below the nose"), ("face", "All of the face")),
    ),
    "enhance_frames": Words(
        "When it is sharpened", "While the mouth moves, or always.",
        names=(("speaking", "While speaking"), ("all", "Always")),
    ),
    # Wav2Lip
    "pads": Words("More around the face", "Pixels at the top, bottom, left and right, so that the chin is inside."),
    "align": Words(
        "Timing of the mouth", "A frame earlier, as the network learned it, or as the published program has it.",
        names=(("training", "As it was trained"), ("published", "As published")),
    ),
    "paste": Words(
        "What is replaced", "The lower face with soft borders, or the whole box with hard ones.",
        names=(("lower", "The lower face"), ("box", "The whole box")),
    ),
    "feather": Words("Softness of the border", "Width of the soft border as a share of the face."),
    "colour_match": Words("Match colours", "The new mouth gets the colours of the frame around it."),
    "silence_gate": Words("Rest in pauses", "Where nothing is said the mouth is that of your picture or video."),
    "windows": Words(
        "How the sound is cut", "Into windows of one spectrogram, or in steps as LiveTalking does.",
        names=(("sound", "In one piece"), ("livetalking", "As LiveTalking")),
    ),
    "step_frames": Words("Frames of a step", "Of the steps of LiveTalking."),
    "face_index": Words("Which face", "Counted from the left, from 0; empty takes the largest."),
    "static": Words("First frame only", "A video is taken as a still picture."),
    "mel_padding": Words(
        "Ends of the sound", "How the spectrogram goes on at the ends of the sound.",
        names=(("zeros", "Silence"), ("reflect", "Mirrored")),
    ),
    "latency": Words("First frames early", "Works in small steps."),
    "reuse": Words("Compute repeats once", "What repeats is computed once."),
    "keep_features": Words(
        "Keep what is known of the face", "The next video of the same face starts faster.",
        names=(("pictures", "Of pictures"), ("loops", "Of pictures and loops"), ("never", "Never")),
    ),
    "threads": Words("Processor cores", "How many work on it; empty takes all.", empty=0),
    "compile": Words("Compile the network", "Takes a while at first and is faster then, with PyTorch."),
    # Heads that are rendered
    "yaw": Words("Camera to the side", "Degrees around the head; positive to the right."),
    "pitch": Words("Camera up", "Degrees over the head; positive upwards."),
    "zoom": Words("Zoom", "2 shows the head twice as large."),
    "torso": Words("Shoulders", "The shoulders of the recording lie over the background."),
    "dilate": Words("Hide seams of the mouth", "Widens the place that is cut out for the mouth."),
    "audio_extractor": Words("How the head listens", "What the head was trained with.", names=_ON_AUTO),
    "audio_features": Words(
        "What the head listens to", "The speech network that it was trained with, or recognised speech sounds.",
        names=(*_ON_AUTO, ("trained", "Its speech network"), ("phones", "Recognised speech sounds")),
    ),
    "iteration": Words("Step of the training", "Which of the saved steps; empty takes the latest.", empty=-1),
    "mode": Words("How the network listens", "What the network was trained with.", names=_ON_AUTO),
    "start_frame": Words("First frame of the recording", "Earlier ones are not used."),
    "parsing": Words("Keep torso and background", "Where pictures of the recording say so."),
    "hubert_convention": Words("Way of HuBERT", "How the sound was prepared when the network was trained."),
    "window_edges": Words(
        "Before and after the speech", "What the network hears there.",
        names=(("zeros", "Nothing"), ("repeat", "The first and the last sound")),
    ),
    "smooth_features": Words("Smooth listening", "What is heard is averaged over three frames."),
    "crop_filter": Words(
        "How the face is resized", "As published, or as the network was trained.",
        names=(("published", "As published"), ("bicubic", "Bicubic"), ("bilinear", "Bilinear"), ("area", "Area")),
    ),
    "cache_mb": Words("Memory for the recording", "Megabytes."),
    "driver": Words(
        "What moves the head", "The head's own network where it is installed, else recognised speech sounds."
    ),
    "fix_pose": Words("Keep the head still"),
    "clip_length": Words("Longest video", "In frames, 25 a second; empty takes the whole speech.", empty=0),
    "smooth": Words("Smooth movements"),
    "image_size": Words("Size of the picture", "Pixels of a side."),
    "look": Words(
        "Colours", "Of skin, lips and eyes, or plain as published.",
        names=(*_ON_AUTO, ("plain", "Plain"), ("natural", "Natural")),
    ),
    "smooth_shading": Words("Round surfaces", "Else the facets are to be seen."),
    "antialias": Words("Smoothness of edges", "1 has hard edges."),
    "watermark": Words("Watermark", "The published mark of Gaussian avatars."),
    "noise": Words(
        "Fine grain", "The same in every frame, or another in each.",
        names=(("stored", "The same"), ("random", "Another in each frame")),
    ),
    "style": Words("Speaking style"),
    # The face, the video, the machine
    "start_s": Words("Begin at", "Seconds into the video of the face."),
    "duration_s": Words("Use so many seconds", "Of the video of the face; empty takes all."),
    "crop": Words("Cut out a part", "Top, bottom, left and right in pixels, separated by commas."),
    "rotate": Words("Turn", "Degrees clockwise: 0, 90, 180 or 270."),
    "resize_factor": Words("Make smaller", "Width and height are divided by it."),
    "detector": Words("How faces are found", "The lightest good way, or one of these.", names=_ON_AUTO),
    "select": Words("Which face", "The largest one, or index:0 for the first from the left."),
    "box": Words("Place of the face", "Left, top, right and bottom in pixels; then no face is looked for."),
    "padding": Words("More around the face", "Pixels at the top, bottom, left and right."),
    "smoothing": Words("Steadiness of the face", "Frames over which its place is averaged."),
    "every": Words("Look for faces every so many frames", "1 looks at each; empty as needed."),
    "no_face": Words(
        "Frames without a face", "They stay as they are, or the last place of the face is used for half a second.",
        names=(("hold", "Use the last place"), ("pass", "Leave them as they are"), ("fail", "Stop")),
    ),
    "min_score": Words("How sure a face must be", "From 0 to 1; empty as usual."),
    "max_side": Words("Size in which faces are looked for", "Pixels of the longer side; empty as usual."),
    "fps": Words("Frames per second", "Such as 25 or 30000/1001; empty as the model or the face has it."),
    "loop": Words(
        "When the speech is longer than the video", "The video of the face is continued.",
        names=(("pingpong", "Forwards and backwards"), ("loop", "Start again"), ("hold", "Hold the last frame"),
               ("trim", "End with the video")),
    ),
    "crf": Words("Compression", "A lower number is better and larger, about 18 to 28; empty takes the usual one."),
    "audio_bitrate": Words("Sound quality", "Bits per second; empty takes 96000 for each channel."),
    "gop_s": Words("Seeking", "Players can jump to a moment every so many seconds."),
    "even": Words(
        "Odd sizes", "Most videos need an even width and height.",
        names=(("crop", "Leave one row out"), ("pad", "Repeat one row")),
    ),
    "mark": Words("Mark in the picture", "Words in every frame, such as AI-generated; empty: none.", absent="none"),
    "mark_place": Words(
        "Place of the mark", "The corner in which it is.",
        names=(("bottom-right", "Bottom right"), ("bottom-left", "Bottom left"), ("top-right", "Top right"),
               ("top-left", "Top left")),
    ),
    "mark_opacity": Words("Strength of the mark", "How much of it is seen, from 0.6 to 1."),
    "device": Words(
        "Runs on", "The graphics card where there is one.",
        names=(*_ON_AUTO, ("cpu", "Processor"), ("cuda", "Graphics card")),
    ),
    "precision": Words(
        "Precision", "As published, or faster with small differences.",
        names=(*_ON_AUTO, ("parity", "As published"), ("fast", "Fast")),
    ),
    "backend": Words(
        "Runs with", "The program that computes networks.",
        names=(*_ON_AUTO, ("torch", "PyTorch"), ("onnx", "ONNX Runtime"), ("openvino", "OpenVINO")),
    ),
    "compat": Words("As the published program", "With everything that is peculiar about it."),
}  # fmt: skip
"""By the name of the field."""


def label_of(name: str) -> str:
    """What a field is called: "Blinks per minute"."""
    if name in WORDS:
        return WORDS[name].label
    text = re.sub(r"_s$", "", name).replace("_", " ")
    return text[:1].upper() + text[1:] + (" (seconds)" if name.endswith("_s") else "")


def hint_of(name: str, help_text: str) -> str:
    """A sentence for beside a field: what is written here, or the first of its help."""
    known = WORDS.get(name)
    if known is not None and known.hint:
        return known.hint
    first = re.match(r".*?[.;:](?= |$)", help_text.strip(), re.DOTALL)
    text = (first[0] if first else help_text).rstrip(";:. ").replace("`", "")
    return f"{text}." if text and "--" not in text else ""


def called(name: str, value: str) -> str:
    """What a value of a field is called; names of models by their titles."""
    known = dict(WORDS[name].names) if name in WORDS else {}
    if value in known:
        return known[value]
    return "Automatic" if value == "auto" else FAMILIES[value].title if value in FAMILIES else value
