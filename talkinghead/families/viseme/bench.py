"""What `talkinghead bench viseme` measures besides the stages: whole commands, detail that is kept, and a mouth that
keeps its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkinghead.contracts import Frame
from talkinghead.engine.head import LoadOptions, PrepareOptions
from talkinghead.face import FaceOptions
from talkinghead.families.viseme.animator import VisemeAvatar, animate_frame, head_pose
from talkinghead.families.viseme.bench_commands import commands_table
from talkinghead.families.viseme.compose import Pose
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.geometry import FaceGeometry, Region
from talkinghead.families.viseme.idle import idle_motion
from talkinghead.families.viseme.pipeline import VisemeHead
from talkinghead.families.viseme.warp import MouthPose
from talkinghead.measure.cases import BenchSettings, BenchTable, portrait
from talkinghead.measure.detail import detail_kept
from talkinghead.measure.sliding import measure_sliding, moved, swaying

FRAMES = 50
FPS = Fraction(25)
SWAY = 0.35
"""Eye distances that the head of the moving portrait goes to the side."""
SPOKEN = MouthPose(jaw=0.6, lips=0.6)
"""The mouth that is held while the head moves."""


def tables(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> Sequence[BenchTable]:
    """Whole commands, sharpness of a picture in idle motion, and the place of the mouth on a head that sways."""
    from talkinghead.media import open_frames

    if settings.source is None:
        picture, _, faces = portrait(settings.width, settings.height)
    else:
        picture, faces = next(iter(open_frames(settings.source).read(0, 1))), None
    tell("sharpness")
    avatar = prepared(picture, faces)
    detail = detail_table(picture, avatar, folder)
    tell("sliding")
    sliding = sliding_table(picture, avatar.path.at(0), faces, folder)
    return [commands_table(settings, folder, tell), detail, sliding]


def prepared(source: Frame | Path, faces: FaceOptions | None) -> VisemeAvatar:
    """A face made ready, with nothing taken from the cache."""
    from talkinghead.engine.cache import NullCache

    head = VisemeHead(LoadOptions())
    return head.prepare(source, PrepareOptions(faces=faces, cache=NullCache()))


def idle_frames(picture: Frame, avatar: VisemeAvatar, num_frames: int) -> Iterator[Frame]:
    """The picture in idle motion as while it speaks, without blinks and with the mouth at rest."""
    config = VisemeConfig(blinks_per_minute=0)
    ones = np.ones(num_frames, np.float32)
    motion = idle_motion(num_frames, FPS, config, ones, 0 * ones)
    for index in range(num_frames):
        yield animate_frame(picture, avatar.face(0), Pose(head=head_pose(motion, index)), config)


def upper_face(face: FaceGeometry, size: tuple[int, int]) -> Region:
    """Brows, eyes and nose: what moves with the head alone."""
    return Region.around(face.mouth.centre - 1.1 * face.eye_distance * face.mouth.down, 0.8 * face.eye_distance, size)


def detail_table(picture: Frame, avatar: VisemeAvatar, folder: Path) -> BenchTable:
    """How sharp the upper face stays in idle motion, as it is drawn and as it is encoded."""
    from talkinghead.media import open_frames, write_video

    part = upper_face(avatar.path.at(0), avatar.size).slices
    drawn, encoded = folder / "idle.mp4", folder / "resting.mp4"
    write_video(drawn, idle_frames(picture, avatar, FRAMES), fps=FPS)
    write_video(encoded, (picture for _ in range(FRAMES)), fps=FPS)
    resting = next(iter(open_frames(encoded).read(FRAMES // 2, FRAMES // 2 + 1)))
    kept = {
        "drawn": detail_kept(idle_frames(picture, avatar, FRAMES), picture, part),
        "encoded": detail_kept(open_frames(drawn).read(), resting, part),
    }
    return BenchTable(
        "Fine detail of the upper face in idle motion",
        ("picture", "mean", "softest", "sharpest", "swing"),
        tuple(
            (name, f"{row.mean:.2f}", f"{row.lowest:.2f}", f"{row.highest:.2f}", f"{row.swing:.1%}")
            for name, row in kept.items()
        ),
        "Energy of the Laplacian, as a share of the picture's at rest; encoded: of the picture encoded at rest.",
    )


def sliding_table(picture: Frame, face: FaceGeometry, faces: FaceOptions | None, folder: Path) -> BenchTable:
    """How far a held mouth strays on a head whose movement is known exactly."""
    from talkinghead.media import open_frames, write_video

    size = (picture.shape[1], picture.shape[0])
    moves = swaying(FRAMES, size, SWAY * face.eye_distance)
    clip = folder / "swaying.mp4"
    write_video(clip, moved(picture, moves), fps=FPS)
    avatar = prepared(clip, faces)
    source = list(open_frames(clip).read())
    config = VisemeConfig()
    spoken = (animate_frame(frame, avatar.face(i), Pose(SPOKEN), config) for i, frame in enumerate(source))
    middle = face.mouth.centre + 0.15 * face.eye_distance * face.mouth.down
    box = Region.around(middle, 0.6 * face.eye_distance, size)
    corners = (box.x1, box.y1, box.x2, box.y2)
    unit = 100 / face.eye_distance
    rows = [
        (name, f"{unit * row.farthest_px:.2f}", f"{unit * row.tremble_px:.2f}")
        for name, row in (
            ("source", measure_sliding(source, moves, corners)),
            ("spoken", measure_sliding(spoken, moves, corners)),
        )
    ]
    return BenchTable(
        "A held mouth on a head that sways",
        ("frames", "farthest from its place %", "frame to frame %"),
        tuple(rows),
        "Percent of the distance between the eyes, after the head's own movement is taken back.",
    )
