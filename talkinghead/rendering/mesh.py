"""A small mesh renderer: z-buffer, perspective-correct interpolation, Phong shading (reference: artalk.md, section 9).

Rows of vectors, camera X = v R + T; normalised device x points left and y up, z is depth. Pixel centres of a picture
of size S: u_i = 1 - (2 i + 1) / S, w_j = 1 - (2 j + 1) / S. No culling, no clipping; where two faces are equally far
the one with the lower number wins, whatever the number of threads.

`rasterize_mesh_reference` is the specification, one pixel row at a time in NumPy; `rasterize_mesh` is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray

MIN_AREA = 1e-8
MIN_DEPTH = 1e-8


def _published_rotation() -> FloatArray:
    return np.diag([-1.0, 1.0, -1.0]).astype(np.float32)


def _published_translation() -> FloatArray:
    return np.array([0.0, 0.0, 2.0], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class MeshCamera:
    """A perspective camera; the defaults look at a head of FLAME's size from two metres in front."""

    rotation: FloatArray = field(default_factory=_published_rotation)
    """[3, 3] float32, used as X = v R."""
    translation: FloatArray = field(default_factory=_published_translation)
    """[3] float32."""
    focal: float = 12.0
    """In half picture heights."""

    @property
    def position(self) -> FloatArray:
        """The eye in world coordinates, [3]."""
        eye: FloatArray = -self.translation @ self.rotation.T
        return eye

    def project(self, vertices: FloatArray) -> FloatArray:
        """[V, 3] world to [V, 3] float32 (u, w, depth)."""
        view = vertices @ self.rotation + self.translation
        depth = view[:, 2]
        safe = np.where(np.abs(depth) < MIN_DEPTH, np.float32(MIN_DEPTH), depth)
        projected = np.stack((self.focal * view[:, 0] / safe, self.focal * view[:, 1] / safe, depth), axis=1)
        return np.ascontiguousarray(projected, dtype=np.float32)


@dataclass(frozen=True)
class MeshShading:
    """Phong shading with one point light; the defaults are the published look."""

    light: tuple[float, float, float] = (0.0, 1.0, 3.0)
    """World position."""
    ambient: float = 0.5
    diffuse: float = 0.3
    specular: float = 0.12
    """Light's 0.2 times the material's 0.6."""
    shininess: int = 10
    colour: tuple[float, float, float] = (142 / 255, 179 / 255, 247 / 255)
    """Surface colour, RGB in [0, 1], where no colour per vertex is given."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    smooth: bool = True
    """Interpolate normals; False shows the facets."""


@dataclass(frozen=True, eq=False)
class MeshRaster:
    """What each pixel sees."""

    face: IntArray
    """[S, S] int32, face number or -1."""
    barycentric: FloatArray
    """[S, S, 3] float32, perspective-correct; -1 where no face is seen."""
    depth: FloatArray
    """[S, S] float32; -1 where no face is seen."""


def vertex_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Area-weighted normals: [V, 3] and [F, 3] to [V, 3] float32 unit vectors."""
    from talkinghead.rendering.mesh_kernels import face_normals, sum_normals

    faces = np.ascontiguousarray(faces, dtype=np.int32)
    of_faces = np.empty((len(faces), 3), dtype=np.float32)
    normals = np.empty((len(vertices), 3), dtype=np.float32)
    face_normals(0, len(faces), np.ascontiguousarray(vertices, dtype=np.float32), faces, of_faces)
    sum_normals(faces, of_faces, normals)
    return normals


def rasterize_mesh_reference(projected: FloatArray, faces: IntArray, size: int) -> MeshRaster:
    """Find the nearest face of every pixel, readably.

    Args:
        projected: [V, 3] (u, w, depth) of `MeshCamera.project`.
        faces: [F, 3] int32.
        size: pixels per side.
    """
    best_depth = np.full((size, size), np.inf)
    best_face = np.full((size, size), -1, dtype=np.int32)
    best_weights = np.full((size, size, 3), -1.0)
    centres = 1.0 - (2.0 * np.arange(size) + 1.0) / size
    u, w = centres[None, :], centres[:, None]
    points = projected.astype(np.float64)
    for number, (ia, ib, ic) in enumerate(faces):
        a, b, c = points[ia], points[ib], points[ic]
        area = _edge(c[0], c[1], a, b)
        if abs(area) <= MIN_AREA or min(a[2], b[2], c[2]) < MIN_DEPTH:
            continue
        flat = np.stack([_edge(u, w, b, c), _edge(u, w, c, a), _edge(u, w, a, b)], axis=-1) / (area + MIN_AREA)
        weights = flat * np.array([b[2] * c[2], a[2] * c[2], a[2] * b[2]])
        weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-8)
        depth = weights @ np.array([a[2], b[2], c[2]])
        nearer = (weights > 0).all(axis=-1) & (depth >= 0) & (depth < best_depth)
        best_depth[nearer] = depth[nearer]
        best_face[nearer] = number
        best_weights[nearer] = weights[nearer]
    seen = best_face >= 0
    return MeshRaster(best_face, best_weights.astype(np.float32), np.where(seen, best_depth, -1.0).astype(np.float32))


def _edge(
    x: NDArray[np.float64], y: NDArray[np.float64], s: NDArray[np.float64], t: NDArray[np.float64]
) -> NDArray[np.float64]:
    result: NDArray[np.float64] = (x - s[0]) * (t[1] - s[1]) - (y - s[1]) * (t[0] - s[0])
    return result


def rasterize_mesh(projected: FloatArray, faces: IntArray, size: int, *, threads: int | None = None) -> MeshRaster:
    """The same, compiled; bands of rows in parallel."""
    from talkinghead.rendering.jit import available_threads, chunks, spread
    from talkinghead.rendering.mesh_kernels import rasterize_rows

    threads = threads or available_threads()
    face = np.empty((size, size), dtype=np.int32)
    weights = np.empty((size, size, 3), dtype=np.float32)
    depth = np.empty((size, size), dtype=np.float32)
    pieces = [(start, stop, projected, faces, size, face, weights, depth) for start, stop in chunks(size, 4 * threads)]
    spread(rasterize_rows, pieces, threads)
    return MeshRaster(face, weights, depth)


def shade_mesh(
    raster: MeshRaster,
    vertices: FloatArray,
    faces: IntArray,
    camera: MeshCamera,
    shading: MeshShading | None = None,
    colours: FloatArray | None = None,
    *,
    threads: int | None = None,
) -> FloatArray:
    """Colour every pixel.

    Args:
        raster: of the same mesh and camera.
        vertices: [V, 3] float32, world.
        colours: [V, 3] float32 RGB in [0, 1] per vertex, or None for one colour.
    Returns:
        [S, S, 3] float32 RGB in [0, 1].
    """
    from talkinghead.rendering.jit import available_threads, chunks, spread
    from talkinghead.rendering.mesh_kernels import shade_rows

    shading = shading or MeshShading()
    threads = threads or available_threads()
    size = len(raster.face)
    image = np.empty((size, size, 3), dtype=np.float32)
    normals = vertex_normals(vertices, faces)
    colours = np.empty((0, 3), dtype=np.float32) if colours is None else colours.astype(np.float32)
    parameters = np.array(
        [
            *shading.light,
            *camera.position,
            shading.ambient,
            shading.diffuse,
            shading.specular,
            *shading.colour,
            *shading.background,
        ],
        dtype=np.float32,
    )
    pieces = [
        (
            start, stop, raster.face, raster.barycentric, vertices, faces, normals, colours, parameters,
            shading.shininess, shading.smooth, image,
        )
        for start, stop in chunks(size, 4 * threads)
    ]  # fmt: skip
    spread(shade_rows, pieces, threads)
    return image


def render_mesh(
    vertices: FloatArray,
    faces: IntArray,
    size: int = 512,
    *,
    camera: MeshCamera | None = None,
    shading: MeshShading | None = None,
    colours: FloatArray | None = None,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Render one mesh.

    Args:
        vertices: [V, 3] float32, world.
        faces: [F, 3] int32.
        size: pixels per side.
    Returns:
        image [S, S, 3] float32 RGB in [0, 1], and alpha [S, S] float32, 0 or 1.
    """
    camera = camera or MeshCamera()
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    raster = rasterize_mesh(camera.project(vertices), faces, size, threads=threads)
    image = shade_mesh(raster, vertices, faces, camera, shading, colours, threads=threads)
    return image, (raster.face >= 0).astype(np.float32)


def to_frame(image: FloatArray) -> Frame:
    """[S, S, 3] float32 in [0, 1] to uint8 by truncation, as published."""
    return (image * np.float32(255.0)).astype(np.uint8)


def orbit_camera(camera: MeshCamera, *, yaw: float = 0.0, pitch: float = 0.0, zoom: float = 1.0) -> MeshCamera:
    """The camera moved around the world's origin.

    Args:
        yaw: radians to the right of the picture. pitch: radians upwards. zoom: factor on the picture's scale.
    """
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    rotation = np.ascontiguousarray((turn @ camera.rotation).astype(np.float32))
    return MeshCamera(rotation, camera.translation, camera.focal * zoom)


@dataclass(frozen=True, eq=False)
class MeshRenderer:
    """Draws one mesh again and again."""

    faces: IntArray
    """[F, 3] int32."""
    size: int = 512
    """Pixels per side."""
    camera: MeshCamera = field(default_factory=MeshCamera)
    shading: MeshShading = field(default_factory=MeshShading)
    colours: FloatArray | None = None
    """[V, 3] float32 RGB in [0, 1], or None for one colour."""
    antialias: int = 1
    """Samples per pixel along each side; 1 is the published picture."""
    background: Frame | None = None
    """[S, S, 3] uint8 picture behind the mesh, or None for the shading's colour."""
    threads: int | None = None

    def frame(self, vertices: FloatArray) -> Frame:
        """[V, 3] world vertices to a picture, RGB uint8 [S, S, 3]."""
        from talkinghead.rendering.jit import available_threads, chunks, spread
        from talkinghead.rendering.mesh_kernels import resolve_rows

        threads = self.threads or available_threads()
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        fine = self.size * self.antialias
        raster = rasterize_mesh(self.camera.project(vertices), self.faces, fine, threads=threads)
        image = shade_mesh(raster, vertices, self.faces, self.camera, self.shading, self.colours, threads=threads)
        behind = np.empty((0, 0, 3), np.float32) if self.background is None else self.background / np.float32(255.0)
        out = np.empty((self.size, self.size, 3), dtype=np.uint8)
        pieces = [
            (start, stop, self.antialias, image, raster.face, behind, out)
            for start, stop in chunks(self.size, 4 * threads)
        ]
        spread(resolve_rows, pieces, threads)
        return out

    def with_alpha(self, vertices: FloatArray) -> Frame:
        """The same with transparency instead of a background: RGBA uint8 [S, S, 4], colours not premultiplied."""
        white = self._on(vertices, 1.0)
        black = self._on(vertices, 0.0)
        alpha = 1.0 - (white - black).mean(axis=2)
        colour = np.where(alpha[..., None] > 0, black / np.maximum(alpha[..., None], 1e-6), 0.0)
        stacked = np.concatenate([np.clip(colour, 0, 1), np.clip(alpha, 0, 1)[..., None]], axis=2)
        rgba: Frame = np.round(stacked * 255).astype(np.uint8)
        return rgba

    def _on(self, vertices: FloatArray, level: float) -> NDArray[np.float64]:
        shading = replace(self.shading, background=(level, level, level))
        plain: NDArray[np.float64] = replace(self, shading=shading, background=None).frame(vertices) / 255.0
        return plain
