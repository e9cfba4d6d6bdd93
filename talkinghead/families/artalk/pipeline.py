"""ARTalk as a head: sound to FLAME motion, drawn as a mesh or as a Gaussian avatar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from talkinghead.contracts import FaceSource, FloatArray, Frame, Phone, Picture, Speech, StageTime
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.listener import Heard, Listener
from talkinghead.engine.live.face import Order
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, in_groups
from talkinghead.errors import MediaNotFound, MissingDependency, MissingWeights, OptionError
from talkinghead.families.artalk.assets import NO_STYLE, asset_folder
from talkinghead.families.artalk.avatar import MESH, HeadAvatar
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.drivers import Driver, PhoneDriver, load_network_driver
from talkinghead.families.artalk.flame import FlameModel, load_flame
from talkinghead.families.artalk.live import LiveHead
from talkinghead.families.artalk.manifest import MANIFEST
from talkinghead.families.artalk.mesh_avatar import MeshDrawer, mesh_drawer
from talkinghead.families.artalk.motion.config import MOTION_DIM, MOTION_FPS, MotionRow
from talkinghead.families.artalk.motion.counts import PUBLISHED_CLIP, VideoLength
from talkinghead.families.artalk.procedural.head import EXPRESSIONS, procedural_head
from talkinghead.families.artalk.viseme_driver import Liveliness, MouthShapes, fitted_shapes, procedural_shapes
from talkinghead.files import file_sha256

MOST_AT_ONCE = 8
"""Pictures of live sessions that are drawn together, where they are due."""
PRECISIONS = ("auto", "parity", "fast", "float32", "bfloat16")


def build(options: LoadOptions) -> ARTalkHead:
    """Load the head and what drives it."""
    return ARTalkHead(options)


class ARTalkHead(Head[HeadAvatar, MotionRow]):
    """A 3D head that speaks.

    Args:
        options: the checkpoint is ARTalk_wav2vec.pt; device and precision count for the networks.
    """

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(MANIFEST, options)
        self.config = build_config(ARTalkConfig, options.family, owner="The model artalk")
        if options.precision not in PRECISIONS:
            raise OptionError(f"There is no precision {options.precision!r} here.", accepted=", ".join(PRECISIONS))
        if options.backend not in ("auto", "torch"):
            raise OptionError(f"There is no backend {options.backend!r} here.", accepted="auto, torch")
        self.assets = asset_folder(self.config.assets, options.checkpoint)
        checkpoint = self._checkpoint()
        self.weights = checkpoint if self.config.driver != "viseme" else None
        """ARTalk_wav2vec.pt where its networks move the head."""
        if self.config.driver == "auto" and checkpoint is None:
            self.fallbacks = ("ARTalk's weights were not found: recognised phones move the head (--driver viseme).",)
        self.flame, self.is_procedural = self._flame()
        self.driver = self._driver()

    # Loading

    def _checkpoint(self) -> Path | None:
        given = self.options.checkpoint
        if given is not None and not given.is_file():
            raise MediaNotFound(f"There is no file {str(given)!r}.", accepted="--checkpoint ARTalk_wav2vec.pt")
        found = given or self.assets.find("artalk_wav2vec")
        if found is None and self.config.driver == "artalk":
            raise MissingWeights(
                f"The driver artalk needs {self.assets.path('artalk_wav2vec')}, and there is no such file.",
                remedy="get ARTalk_wav2vec.pt and config.json from huggingface.co/xg-chu/ARTalk and give their folder "
                "with --assets; or --driver viseme, which needs no files",
            )
        return found

    def _flame(self) -> tuple[FlameModel, bool]:
        """The head to render, and whether it is our own."""
        given = self.config.flame
        if given is not None and str(given) != "procedural":
            return load_flame(given), False
        found = self.assets.find("flame_with_eye") if given is None else None
        if found is not None:
            return load_flame(found), False
        return procedural_head().flame, True

    def _driver(self) -> Driver:
        style = self._style()
        head_motion = 0.0 if self.config.fix_pose else self.config.head_motion
        lively = Liveliness(head_motion, self.config.blinks_per_minute, self.config.seed)
        if self.weights is None:
            return PhoneDriver(self._mouth_shapes, lively, self.config.strength)
        beside = self.weights.with_name("config.json")
        return load_network_driver(
            self.weights,
            beside if beside.is_file() else self.assets.find("config"),
            self.config,
            self.options,
            style=style,
            expressive=not self.is_procedural,
            lively=lively,
        )

    def _style(self) -> FloatArray | None:
        name = self.config.style
        if name is None or name in NO_STYLE:
            return None
        if self.weights is None:
            raise OptionError(
                f"--style {name} belongs to the artalk driver, and this head is driven by recognised phones.",
                remedy="leave --style out, or give ARTalk's files with --assets",
            )
        from talkinghead.families.artalk.weights import load_style

        path = self.assets.style(name)
        return load_style(path) if path is not None else None

    def _mouth_shapes(self) -> MouthShapes | None:
        return procedural_shapes(EXPRESSIONS) if self.is_procedural else fitted_shapes(self.flame)

    # Preparing

    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> HeadAvatar:  # noqa: ARG002
        """Get an avatar ready.

        Args:
            source: "mesh", or the id of a tracked Gaussian avatar ("11.jpg" or "11").
        Raises:
            OptionError: no such avatar. MissingWeights: its files are not there.
        """
        if not isinstance(source, (str, Path)):
            raise OptionError(
                "The model artalk cannot make an avatar from a picture itself.",
                accepted='"mesh", or the id of a tracked avatar',
                remedy="run the GAGAvatar tracker on the picture and put its tracked.pt into the assets",
            )
        if str(source) == MESH:
            return self._mesh_avatar(run)
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise MissingDependency("torch", extra="models", purpose="Drawing Gaussian avatars") from error
        from talkinghead.families.artalk.gaussian_avatar import open_gaussian_avatar

        return open_gaussian_avatar(
            str(source), self.assets, self.config, self.options, self.flame, run, procedural=self.is_procedural
        )

    def _mesh_avatar(self, run: RunContext) -> HeadAvatar:
        started = time.perf_counter()
        run.tell("open-face", 0, 1)
        drawer = self.mesh()
        run.tell("open-face", 1, 1)
        return HeadAvatar(
            source=None,
            track=None,
            size=(self.config.image_size, self.config.image_size),
            fps=None,
            num_frames=1,
            times=(StageTime("open-face", time.perf_counter() - started, 0.0, 0.0, 1),),
            name=MESH,
            drawer=drawer,
        )

    def mesh(self) -> MeshDrawer:
        """What draws the mesh."""
        return mesh_drawer(self.config, self.flame, procedural=self.is_procedural, compat=self.compat)

    # Motion

    def output_fps(self, avatar: HeadAvatar, options: RenderOptions) -> Fraction:  # noqa: ARG002
        """25 unless another rate is asked for; motion is interpolated."""
        if self.compat and options.fps not in (None, MOTION_FPS):
            raise OptionError(f"With --compat the rate is {MOTION_FPS}, not {options.fps}.", remedy="leave --fps out")
        return options.fps or Fraction(MOTION_FPS)

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        """As many as the sound lasts; under `compat` the published count, which rounds up some exact multiples."""
        return self._length(fps).frames(len(speech.clip.samples))

    def _length(self, fps: Fraction) -> VideoLength:
        limit = self.config.clip_length or (PUBLISHED_CLIP if self.compat else 0)
        return VideoLength(fps, published=self.compat, most=int(limit * fps / MOTION_FPS) if limit else None)

    @property
    def hears_phones(self) -> bool:
        return isinstance(self.driver, PhoneDriver)

    def listener(
        self,
        avatar: HeadAvatar,  # noqa: ARG002 - the interface
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> Listener[MotionRow]:
        """With ARTalk's networks motion follows the sound by about 4 s; phones are recognised over the whole sound."""
        return self.driver.listener(self._length(fps), run, phones)

    def frames_to_make(self, avatar: HeadAvatar, plan: FramePlan, wanted: range) -> range:
        """Heads are posed, or drawn, several together."""
        return in_groups(wanted, avatar.drawer.group, len(plan))

    def motion_arrays(self, heard: Heard[MotionRow]) -> dict[str, FloatArray]:
        """ "motion": [n, 106], as the published program writes it."""
        return {"motion": np.asarray(heard.windows, np.float32).reshape(-1, MOTION_DIM)}

    # Live

    @cached_property
    def _live_shapes(self) -> MouthShapes | None:
        return self._mouth_shapes()

    @property
    def drawn_at_once(self) -> int:
        return MOST_AT_ONCE

    def live_listener(
        self,
        avatar: HeadAvatar,  # noqa: ARG002 - the interface
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> Listener[FloatArray]:
        """With ARTalk's networks as `listener`, 4 s behind the sound; the driver viseme hears as the animator does."""
        return self.driver.live_listener(self._length(fps), run, phones)

    def live_face(self, avatar: HeadAvatar, fps: Fraction, run: RunContext) -> LiveHead:  # noqa: ARG002
        face = self.driver.live_face(fps, self._live_shapes)
        face.memory = avatar.drawer.begin()
        return face

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame | Picture]:
        """The pictures of each avatar together, as many as its drawer likes at once."""
        pictures: dict[int, Frame | Picture] = {}
        for drawer in dict.fromkeys(order.avatar.drawer for order in orders):
            own = [place for place, order in enumerate(orders) if order.avatar.drawer is drawer]
            for start in range(0, len(own), drawer.at_once):
                places = own[start : start + drawer.at_once]
                pictures.update(zip(places, drawer.draw([orders[place].pose for place in places]), strict=True))
        return [pictures[place] for place in range(len(orders))]

    # Drawing

    def stages(
        self,
        avatar: HeadAvatar,
        heard: Heard[MotionRow],
        plan: FramePlan,  # noqa: ARG002
        run: RunContext,  # noqa: ARG002
    ) -> Sequence[Stage]:
        return avatar.drawer.stages(heard.windows)

    def describe(self, avatar: HeadAvatar, heard: Heard[MotionRow], run: RunContext) -> Description:  # noqa: ARG002
        return Description(
            networks=(*self.driver.networks, *avatar.drawer.networks),
            weights_sha256=file_sha256(self.weights) if self.weights is not None else None,
            model_details={
                "driver": heard.method,
                "avatar": avatar.name,
                "head": "procedural" if self.is_procedural else "FLAME",
                "vertices": self.flame.num_vertices,
                "style": self.config.style or "none",
                "antialias": avatar.drawer.antialias,
            },
        )
