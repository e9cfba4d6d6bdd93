"""A small mesh renderer: z-buffer, perspective-correct interpolation, Phong shading (reference: artalk.md, section 9).

Rows of vectors, camera X = v R + T; normalised device x points left and y up, z is depth. Pixel centres of a picture
of size S: u_i = 1 - (2 i + 1) / S, w_j = 1 - (2 j + 1) / S. No culling, no clipping; where two faces are equally far
the one with the lower number wins, whatever the number of threads.

`rasterize_mesh_reference` is the specification, a face at a time in NumPy; `rasterize_mesh` is compiled. `MeshRenderer`
draws with the same kernels; with more than one sample per pixel, visibility is found per sample and shading computed
once per surface that a pixel sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.cores import available_cores

MIN_AREA = 1e-8
MIN_DEPTH = 1e-8
SAMPLE_PLACES: Mapping[int, NDArray[np.float64]] = {
    side: (np.array(order, dtype=np.float64) + 0.5) / side**2
    for side, order in {
        1: [0],
        2: [1, 3, 0, 2],
        3: [2, 6, 0, 4, 8, 1, 5, 3, 7],
        4: [5, 12, 2, 9, 15, 6, 0, 11, 3, 13, 8, 1, 10, 4, 14, 7],
    }.items()
}
"""Samples of a pixel by anti-aliasing: one per line of n = side^2 lines, each at a column of its own, so that nearly
level and nearly upright edges have n steps."""


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
    wrap: float = 0.0
    """How far diffuse light reaches around the edge of the shadow; 1 is all the way."""
    sky: float = 0.0
    """Light added where the surface looks up, taken away where it looks down."""
    rim: float = 0.0
    """White sheen where the surface is seen at a grazing angle."""


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
    from talkinghead.rendering.jit import chunks, spread
    from talkinghead.rendering.mesh_kernels import cover_rows, weigh_rows

    threads = threads or available_cores()
    face = np.empty((size, size), dtype=np.int32)
    nearest = np.empty((size, size), dtype=np.float64)
    weights = np.empty((size, size, 3), dtype=np.float32)
    edges, rows = _prepare(projected, faces, size)
    bands = chunks(size, 4 * threads)
    spread(
        cover_rows,
        [(a, b, size, SAMPLE_PLACES[1], edges, rows, face[a:b], nearest[a:b]) for a, b in bands],
        threads,
    )
    spread(weigh_rows, [(a, b, face, edges, projected, faces, weights) for a, b in bands], threads)
    depth = np.where(face >= 0, 1.0 / np.maximum(nearest, 1e-30), -1.0).astype(np.float32)
    return MeshRaster(face, weights, depth)


def _prepare(projected: FloatArray, faces: IntArray, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from talkinghead.rendering.mesh_kernels import EDGES, prepare_faces

    edges = np.zeros((len(faces), EDGES), dtype=np.float64)
    rows = np.empty((len(faces), 2), dtype=np.float64)
    prepare_faces(projected, faces, size, edges, rows)
    return edges, rows


@dataclass(frozen=True, eq=False)
class MeshTexture:
    """A picture on the surface."""

    picture: Frame
    """[H, W, 3] uint8 RGB."""
    points: FloatArray
    """[n, 2] float32 (u, v) in [0, 1]; v = 0 is the lowest row."""
    faces: IntArray
    """[F, 3] int32: the point of each corner of each face; -1 for faces that keep their colour."""

    def for_size(self, faces: IntArray, projected: FloatArray, size: int) -> MeshTexture:
        """The picture made smaller by powers of two until a texel is about a pixel of the drawing, so that it does not
        flicker."""
        import cv2

        height, width = self.picture.shape[:2]
        used = self.faces[:, 0] >= 0
        on_picture = _areas(self.points[self.faces[used]] * np.array([width, height], np.float32))
        on_drawing = _areas(projected[faces[used]][..., :2]) * (size / 2) ** 2
        ratio = float(np.sqrt(on_picture.sum() / max(float(on_drawing.sum()), 1e-9)))
        picture = self.picture
        while ratio > 2.0 and min(picture.shape[:2]) > 16:
            half = (picture.shape[1] // 2, picture.shape[0] // 2)
            picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA).astype(np.uint8)
            ratio /= 2.0
        return replace(self, picture=np.ascontiguousarray(picture))


def _areas(corners: FloatArray) -> FloatArray:
    """[F, 3, 2] to [F] areas of triangles."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas: FloatArray = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    return areas


def _parameters(shading: MeshShading, camera: MeshCamera) -> FloatArray:
    """What the kernels read of light and camera."""
    return np.array(
        [
            *shading.light,
            *camera.position,
            shading.ambient,
            shading.diffuse,
            shading.specular,
            *shading.colour,
            *shading.background,
            shading.wrap,
            shading.sky,
            shading.rim,
        ],
        dtype=np.float32,
    )


def _surface(colours: FloatArray | None, texture: MeshTexture | None) -> tuple[FloatArray, Frame, FloatArray, IntArray]:
    """Colours, texture, its points and faces as arrays, empty where there is none."""
    plain = np.empty((0, 3), np.float32) if colours is None else np.ascontiguousarray(colours, np.float32)
    if texture is None:
        return plain, np.empty((0, 0, 3), np.uint8), np.empty((0, 2), np.float32), np.empty((0, 3), np.int32)
    return (
        plain,
        np.ascontiguousarray(texture.picture),
        np.ascontiguousarray(texture.points, np.float32),
        np.ascontiguousarray(texture.faces, np.int32),
    )


def render_mesh(
    vertices: FloatArray,
    faces: IntArray,
    size: int = 512,
    *,
    camera: MeshCamera | None = None,
    shading: MeshShading | None = None,
    colours: FloatArray | None = None,
    texture: MeshTexture | None = None,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Render one mesh as published, one sample per pixel.

    Args:
        vertices: [V, 3] float32, world.
        faces: [F, 3] int32.
        size: pixels per side.
        colours: [V, 3] float32 RGB in [0, 1] per vertex, or None for one colour; a texture goes before it.
    Returns:
        image [S, S, 3] float32 RGB in [0, 1], and alpha [S, S] float32, 0 or 1.
    """
    from talkinghead.rendering.jit import chunks, spread
    from talkinghead.rendering.mesh_kernels import shade_rows

    camera, shading = camera or MeshCamera(), shading or MeshShading()
    threads = threads or available_cores()
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    raster = rasterize_mesh(camera.project(vertices), faces, size, threads=threads)
    image = np.empty((size, size, 3), dtype=np.float32)
    normals = vertex_normals(vertices, faces)
    surface, parameters = _surface(colours, texture), _parameters(shading, camera)
    pieces = [
        (
            start, stop, raster.face, raster.barycentric, vertices, faces, normals, *surface, parameters,
            shading.shininess, shading.smooth, image,
        )
        for start, stop in chunks(size, 4 * threads)
    ]  # fmt: skip
    spread(shade_rows, pieces, threads)
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
    texture: MeshTexture | None = None
    """Goes before the colours."""
    antialias: int = 1
    """Its square is the number of samples per pixel, 1 to 4; 1 is the published picture."""
    background: Frame | None = None
    """[S, S, 3] uint8 picture behind the mesh, or None for the shading's colour."""
    threads: int | None = None

    def frame(self, vertices: FloatArray, *, transparent: bool = False) -> Frame:
        """[V, 3] world vertices to a picture.

        Args:
            transparent: leave the background out: RGBA, colours not multiplied by alpha.
        Returns:
            uint8 [S, S, 3] RGB or [S, S, 4] RGBA.
        """
        return self._draw(vertices, self.threads or available_cores(), transparent)

    def frames(self, meshes: Iterable[FloatArray], *, transparent: bool = False) -> Iterator[Frame]:
        """Pictures of many meshes in order; several are drawn at once, each by one thread, with the same result."""
        from talkinghead.rendering.jit import in_order

        yield from in_order(
            lambda vertices: self._draw(vertices, 1, transparent), meshes, self.threads or available_cores()
        )

    def _draw(self, vertices: FloatArray, threads: int, transparent: bool) -> Frame:
        from talkinghead.rendering.jit import chunks, spread
        from talkinghead.rendering.mesh_kernels import draw_rows

        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        projected = self.camera.project(vertices)
        edges, rows = _prepare(projected, self.faces, self.size)
        normals = vertex_normals(vertices, self.faces)
        behind = np.empty((0, 0, 3), np.uint8) if self.background is None else self.background
        out = np.empty((self.size, self.size, 4 if transparent else 3), dtype=np.uint8)
        rest = (
            self.size, SAMPLE_PLACES[self.antialias], edges, rows, projected, vertices, self.faces, normals,
            *_surface(self.colours, self.texture), _parameters(self.shading, self.camera), self.shading.shininess,
            self.shading.smooth, behind, out,
        )  # fmt: skip
        pieces = [(start, stop, *rest) for start, stop in chunks(self.size, 4 * threads if threads > 1 else 1)]
        spread(draw_rows, pieces, threads)
        return out
