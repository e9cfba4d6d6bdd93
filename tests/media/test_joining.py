"""Parts joined without encoding again: every picture, every timestamp, every sample as in the file made at once."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkinghead.contracts import AudioClip, Frame
from talkinghead.errors import Cancelled, OptionError, OutputError, UnreadableMedia
from talkinghead.media import EncodeOptions, open_frames, probe, read_audio, write_video
from talkinghead.media.encoders import encoder_status
from talkinghead.media.joining import join_videos
from tests.synthetic_media import coded_frame, read_code, speech_like

NTSC = Fraction(30_000, 1001)
SIZE = (96, 64)


def coded(count: int) -> list[Frame]:
    return [coded_frame(i, *SIZE) for i in range(count)]


def speech(seconds: float) -> AudioClip:
    return AudioClip(speech_like(seconds), 16_000)


def split(folder: Path, frames: list[Frame], cuts: list[int], suffix: str, fps: Fraction, **options: Any) -> list[Path]:
    """Files of the frames between cuts."""
    paths = []
    for start, stop in itertools.pairwise([0, *cuts, len(frames)]):
        paths.append(folder / f"part {start}{suffix}")
        write_video(paths[-1], frames[start:stop], fps=fps, options=EncodeOptions(audio_codec="none", **options))
    return paths


def packets(path: Path) -> list[tuple[Any, Any]]:
    """Presentation and decoding time of the pictures, in order of decoding."""
    with av.open(str(path)) as file:
        return [(packet.pts, packet.dts) for packet in file.demux(file.streams.video[0]) if packet.size]


def facts(path: Path) -> dict[str, Any]:
    """What a player is told."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        sound = file.streams.audio[0] if file.streams.audio else None
        return {
            "begins": (file.start_time, video.start_time, sound and sound.start_time),
            "lasts": (file.duration, video.duration, sound and sound.duration),
            "rate": (video.time_base, video.average_rate, video.frames),
            "tag": video.codec_context.codec_tag,
            "colours": (video.codec_context.colorspace, video.codec_context.color_range),
            "comment": file.metadata.get("comment"),
        }


def check_as_one(joined: Path, whole: Path, parts: list[Path]) -> None:
    """The pictures of the parts at the times of the whole, with the sound of the whole."""
    assert facts(joined) == facts(whole)
    assert sorted(pts for pts, _ in packets(joined)) == sorted(pts for pts, _ in packets(whole))
    decoded = [dts for _, dts in packets(joined) if dts is not None]
    assert all(before < after for before, after in itertools.pairwise(decoded))
    assert all(dts is None or dts <= pts for pts, dts in packets(joined))
    shown = list(open_frames(joined).read())
    np.testing.assert_array_equal(shown, [frame for part in parts for frame in open_frames(part).read()])
    np.testing.assert_array_equal(read_audio(joined).samples, read_audio(whole).samples)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.sets(st.integers(1, 39), min_size=1, max_size=3), fps=st.sampled_from([Fraction(25), NTSC]))
def test_h264_with_reordered_pictures(tmp_path_factory: pytest.TempPathFactory, cuts: set[int], fps: Fraction) -> None:
    """Parts of one frame, too, whose encoder reorders nothing."""
    folder, frames = tmp_path_factory.mktemp("join"), coded(40)
    sound = speech(float(40 / fps))
    write_video(folder / "whole.mp4", frames, fps=fps, soundtrack=sound)
    parts = split(folder, frames, sorted(cuts), ".mp4", fps)
    info = join_videos(folder / "joined.mp4", parts, fps=fps, soundtrack=sound)
    assert (info.num_frames, info.fps, info.width, info.video_codec) == (40, fps, 96, "h264")
    assert info.num_samples == round(40 / fps * 16_000)
    check_as_one(folder / "joined.mp4", folder / "whole.mp4", parts)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mov", "h264"), (".mkv", "h264"), (".mp4", "hevc"), (".webm", "vp9"), (".mp4", "vp9"), (".mp4", "av1"),
        (".webm", "av1"), (".mov", "prores"), (".mkv", "prores"),
    ],
)  # fmt: skip
def test_other_codecs_and_containers(tmp_path: Path, suffix: str, codec: str) -> None:
    names = {"hevc": "libx265", "av1": "libsvtav1"}
    if codec in names and not encoder_status(names[codec]).works:
        pytest.skip(f"{names[codec]} does not work here")
    frames, sound, options = coded(24), speech(1.0), {"codec": names.get(codec, codec)}
    write_video(tmp_path / f"whole{suffix}", frames, fps=NTSC, soundtrack=sound, options=EncodeOptions(**options))
    parts = split(tmp_path, frames, [5, 6, 17], suffix, NTSC, **options)
    joined = tmp_path / f"joined{suffix}"
    join_videos(joined, parts, fps=NTSC, soundtrack=sound, options=EncodeOptions(**options))
    check_as_one(joined, tmp_path / f"whole{suffix}", parts)


def test_it_plays_from_any_point(tmp_path: Path) -> None:
    """Seeking finds each frame alone, in whatever order, also across the joints."""
    frames = coded(60)
    parts = split(tmp_path, frames, [20, 41], ".mp4", NTSC, gop_s=0.3)
    join_videos(tmp_path / "joined.mp4", parts, fps=NTSC)
    assert probe(tmp_path / "joined.mp4").audio == ()
    for index in (59, 41, 40, 20, 19, 0, 42, 21):
        (frame,) = open_frames(tmp_path / "joined.mp4").read(index, index + 1)
        assert read_code(frame) == index


def test_transparency_stays(tmp_path: Path) -> None:
    """In WebM it stands beside each packet."""
    alpha = np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1))
    frames = [np.dstack((frame, alpha)) for frame in coded(6)]
    parts = split(tmp_path, frames, [2], ".webm", Fraction(25))
    info = join_videos(tmp_path / "joined.webm", parts, fps=Fraction(25))
    with av.open(str(tmp_path / "joined.webm")) as file:
        assert file.streams.video[0].metadata["alpha_mode"] == "1"
        pictures = [packet for packet in file.demux(video=0) if packet.size]
        assert all(packet.has_sidedata("matroska_block_additional") for packet in pictures)
    assert info.pixel_format == "yuva420p"


def test_folders_of_pictures(tmp_path: Path) -> None:
    """Numbers go on, and the sound is one file beside them; the parts stay."""
    frames, sound = coded(7), speech(7 / 25)
    write_video(tmp_path / "whole", frames, fps=Fraction(25), soundtrack=sound)
    parts = split(tmp_path, frames, [3], "", Fraction(25))
    info = join_videos(tmp_path / "joined", parts, fps=Fraction(25), soundtrack=sound)
    assert (info.num_frames, info.width, info.container) == (7, 96, "folder")
    whole = {item.name: item.read_bytes() for item in (tmp_path / "whole").iterdir()}
    assert {item.name: item.read_bytes() for item in (tmp_path / "joined").iterdir()} == whole
    assert len(list(parts[1].iterdir())) == 4


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    """And nothing is left behind; an older result stays."""
    frames, out = coded(8), tmp_path / "joined.mp4"
    out.write_bytes(b"older")
    parts = split(tmp_path, frames, [4], ".mp4", Fraction(25))
    write_video(tmp_path / "small.mp4", [frame[:32, :32] for frame in frames], fps=Fraction(25))
    write_video(tmp_path / "main.mp4", frames, fps=Fraction(25), options=EncodeOptions(pixel_format="yuv444p"))
    write_video(tmp_path / "slow.mp4", frames, fps=Fraction(12))
    with pytest.raises(OutputError, match=r"small\.mp4 has h264 32x32"):
        join_videos(out, [parts[0], tmp_path / "small.mp4"], fps=Fraction(25))
    with pytest.raises(OutputError, match="yuv444p, not"):
        join_videos(out, [parts[0], tmp_path / "main.mp4"], fps=Fraction(25))
    with pytest.raises(OutputError, match=r"slow.mp4 has a frame at 0\.0833 s"):
        join_videos(out, [parts[0], tmp_path / "slow.mp4"], fps=Fraction(25))
    with pytest.raises(OptionError, match="cannot be made in parts"):
        join_videos(tmp_path / "joined.gif", parts, fps=Fraction(25))
    with pytest.raises(OptionError, match="no parts"):
        join_videos(out, [], fps=Fraction(25))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(parts[1].read_bytes()[:700])
    with pytest.raises(UnreadableMedia):
        join_videos(out, [parts[0], cut], fps=Fraction(25))

    def stopped() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        join_videos(out, parts, fps=Fraction(25), check=stopped)
    assert out.read_bytes() == b"older"
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        "cut.mp4", "joined.mp4", "main.mp4", "part 0.mp4", "part 4.mp4", "slow.mp4", "small.mp4",
    ]  # fmt: skip
