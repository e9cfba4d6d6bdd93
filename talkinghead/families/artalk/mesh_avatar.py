"""A head as a mesh: its colours, camera and background, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from talkinghead.contracts import FloatArray, Frame, NetworkRun, Picture
from talkinghead.cores import available_cores
from talkinghead.engine.runner import Stage
from talkinghead.families.artalk.avatar import LivePose, batches, bursts, moments
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.flame import FlameModel
from talkinghead.families.artalk.look import TRANSPARENT, backdrop, read_shape, read_texture, region_colours
from talkinghead.families.artalk.motion.config import MotionRow
from talkinghead.families.artalk.procedural.head import procedural_head
from talkinghead.rendering.mesh import MeshCamera, MeshRenderer, MeshShading, orbit_camera

VERTEX_BATCH = 32
"""Frames whose vertices are computed at once."""
NATURAL_LIGHT = MeshShading(
    light=(1.0, 1.1, 2.4), ambient=0.42, diffuse=0.62, specular=0.05, wrap=0.35, sky=0.07, rim=0.10
)
PORTRAIT = MeshCamera(translation=np.array([0.0, 0.040, 2.0], np.float32), focal=9.8)
"""Shows our own head with its shoulders."""


@dataclass(frozen=True, eq=False)
class PosedMesh:
    """The mesh of one frame."""

    vertices: FloatArray
    """[V, 3] metres."""
    pause: bool
    """See `avatar.Paced`."""


@dataclass(frozen=True, eq=False)
class MeshDrawer:
    """Draws a mesh."""

    flame: FlameModel
    renderer: MeshRenderer
    shape: FloatArray | None = None
    """[1, 300] identity, or None for the mean head."""
    transparent: bool = False
    """Leave the background out."""

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        return (NetworkRun("rasteriser", "numba"),)

    @property
    def antialias(self) -> int:
        return self.renderer.antialias

    def with_shape(self, shape: FloatArray) -> MeshDrawer:
        return replace(self, shape=shape)

    def vertices(self, motion: FloatArray) -> FloatArray:
        """[n, 106] to [n, V, 3] float32 metres."""
        return self.flame.motion_vertices(motion, self.shape)

    def stages(self, motion: Sequence[MotionRow]) -> Sequence[Stage]:
        def pose(indices: Iterator[int]) -> Iterator[PosedMesh]:
            for batch in batches(moments(indices, motion), VERTEX_BATCH):
                meshes = self.vertices(np.stack([moment.row for moment in batch]))
                for moment, vertices in zip(batch, meshes, strict=True):
                    yield PosedMesh(vertices, moment.pause)

        def draw(posed: Iterator[PosedMesh]) -> Iterator[Frame | Picture]:
            for burst in bursts(posed):  # several are drawn at once, but none waits for motion that is not known yet
                meshes = (mesh.vertices for mesh in burst)
                for picture in self.renderer.frames(meshes, transparent=self.transparent):
                    yield _with_alpha(picture) if self.transparent else picture

        return [Stage("pose", pose), Stage("draw", draw)]

    @property
    def group(self) -> int:
        return VERTEX_BATCH

    @property
    def at_once(self) -> int:
        return self.renderer.threads or available_cores()

    def begin(self) -> None:
        """A mesh remembers nothing."""

    def draw(self, poses: Sequence[LivePose]) -> list[Frame | Picture]:
        meshes = self.vertices(np.stack([pose.row for pose in poses]))
        if len(meshes) == 1:
            pictures = [self.renderer.frame(meshes[0], transparent=self.transparent)]
        else:
            pictures = list(self.renderer.frames(meshes, transparent=self.transparent))
        return [_with_alpha(picture) if self.transparent else picture for picture in pictures]


def mesh_drawer(config: ARTalkConfig, flame: FlameModel, *, procedural: bool, compat: bool) -> MeshDrawer:
    """The head as the options want it seen.

    Args:
        procedural: `flame` is our own head.
        compat: as published where the options leave it open.
    Raises:
        OptionError: the background, texture or identity is none.
    """
    natural = config.look == "natural" or (config.look == "auto" and procedural and not compat)
    shading = NATURAL_LIGHT if natural else MeshShading()
    colours, texture = None, None
    if natural:
        colours = procedural_head().colours if procedural else region_colours(flame)
        texture = procedural_head().texture if procedural else None
    if config.texture is not None:
        texture = read_texture(config.texture, flame)
    colour, picture = backdrop(config.background, config.image_size, natural=natural)
    camera = PORTRAIT if procedural and natural else MeshCamera()
    if (config.yaw, config.pitch, config.zoom) != (0, 0, 1):
        camera = orbit_camera(camera, yaw=np.radians(config.yaw), pitch=np.radians(config.pitch), zoom=config.zoom)
    if texture is not None:
        texture = texture.for_size(flame.faces, camera.project(flame.template), config.image_size)
    renderer = MeshRenderer(
        faces=flame.faces,
        size=config.image_size,
        camera=camera,
        shading=replace(shading, background=colour, smooth=config.smooth_shading),
        colours=colours,
        texture=texture,
        antialias=1 if compat else config.antialias,
        background=picture,
        threads=config.threads or None,
    )
    shape = read_shape(config.shape) if config.shape is not None else None
    return MeshDrawer(flame, renderer, shape, transparent=config.background == TRANSPARENT)


def _with_alpha(rgba: Frame) -> Picture:
    """The renderer's colours are not multiplied by alpha."""
    return Picture(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]))
