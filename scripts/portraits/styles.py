"""From the buffers of a rendered head to a finished picture: a sculpture in soft light, a painting, a drawing."""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from portraits.light import Buffers, Image
from portraits.shape import CLOTH, EYE, HAIR, SKIN, njit

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def blur(image: NDArray[Any], sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), sigma), np.float32)


def smooth(v: NDArray[Any]) -> Image:
    """0 below 0, 1 above 1."""
    t = np.clip(v, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def encode(linear: NDArray[Any]) -> Image:
    """Linear light to sRGB in [0, 1], highlights rolled off."""
    x = np.clip(linear, 0, None) * 1.04
    x = np.where(x < 0.6, x, 0.6 + 0.4 * (1 - np.exp(-(x - 0.6) / 0.4)))
    return np.asarray(np.where(x < 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055), np.float32)


def backdrop(size: int, colors: tuple[NDArray[Any], NDArray[Any]], rng: np.random.Generator, rough: float) -> Image:
    """A lit wall: lighter behind the head, darker at the corners, with soft clouds of colour."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size * 2 - 1
    glow = np.exp(-(((x + 0.25) / 1.0) ** 2) - ((y + 0.35) / 1.0) ** 2)
    cloud = np.zeros((size, size), np.float32)
    for cells, weight in ((3, 1.0), (6, 0.5), (12, 0.3)):
        grid = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        cloud += weight * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    t = np.clip(1 - glow + rough * 0.10 * cloud, 0, 1)[..., None]
    return np.asarray(colors[0] * (1 - t) + colors[1] * t, np.float32)


def under_skin(buffers: Buffers) -> Image:
    """The light on skin after it went through it: blurred, red farthest."""
    size = len(buffers.what)
    mask = (buffers.what == SKIN).astype(np.float32)
    light = buffers.light.copy()
    for channel, radius in enumerate((0.0105, 0.0048, 0.0030)):
        weight = blur(mask, radius * size)
        spread = blur(buffers.light[..., channel] * mask, radius * size) / np.maximum(weight, 1e-3)
        light[..., channel] = np.where(
            mask > 0, 0.25 * buffers.light[..., channel] + 0.75 * spread, light[..., channel]
        )
    return light


def lit(buffers: Buffers, behind: Image) -> Image:
    """The head before its backdrop, linear."""
    size = len(buffers.what)
    color = buffers.albedo * under_skin(buffers) + buffers.shine
    there = (buffers.what > 0)[..., None]
    shadow = blur((buffers.what > 0).astype(np.float32), 0.05 * size)
    shift = np.array([[1, 0, 0.035 * size], [0, 1, 0.03 * size]], np.float32)
    shadow = np.asarray(cv2.warpAffine(shadow, shift, (size, size), borderMode=cv2.BORDER_REPLICATE), np.float32)
    shaded = behind * (1 - 0.38 * shadow)[..., None]
    picture = np.where(there, color, shaded).astype(np.float32)
    glow = blur(np.clip(picture - 0.75, 0, 1.5), 0.012 * size)
    return np.asarray(picture + 0.35 * glow, np.float32)


def reduce(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def graded(image: Image, *, warmth: float = 0.0, contrast: float = 0.10, saturation: float = 1.05) -> Image:
    """A photographer's last touch, on sRGB values."""
    grey = (image @ LUMA)[..., None]
    toned = grey + (image - grey) * saturation
    toned = toned + contrast * (toned - 0.5) * (1 - np.abs(2 * toned - 1))
    return np.asarray(np.clip(toned + warmth * np.array([0.02, 0.005, -0.02], np.float32), 0, 1), np.float32)


# Sculpted -----------------------------------------------------------------------------------------------------------


def sculpted(buffers: Buffers, colors: tuple[Any, Any], side: int, rng: np.random.Generator) -> Image:
    picture = lit(buffers, backdrop(len(buffers.what), colors, rng, 0.3))
    return graded(reduce(encode(picture), side), warmth=0.5)


# Painted ------------------------------------------------------------------------------------------------------------


@njit
def kuwahara(image, angle, stretch, radius, out):
    """Anisotropic Kuwahara filter: of eight overlapping sectors along the strokes, the even ones count most."""
    height, width = image.shape[0], image.shape[1]
    mean = np.zeros((8, 3))
    square = np.zeros((8, 3))
    total = np.zeros(8)
    for row in range(height):
        for column in range(width):
            r = radius[row, column]
            c, s = math.cos(angle[row, column]), math.sin(angle[row, column])
            long = r * stretch[row, column]
            short = r / stretch[row, column]
            reach = math.ceil(long)
            mean[:] = 0
            square[:] = 0
            total[:] = 0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    u, v = (c * dx + s * dy) / long, (-s * dx + c * dy) / short
                    rho = u * u + v * v
                    if rho > 1:
                        continue
                    y = min(max(row + dy, 0), height - 1)
                    x = min(max(column + dx, 0), width - 1)
                    fade = math.exp(-2.2 * rho)
                    turn = math.atan2(v, u) / (2 * math.pi) * 8
                    for k in range(8):
                        away = abs((turn - k + 12) % 8 - 4)
                        share = max(0.0, 1 - away / 1.25)
                        if rho < 1e-9:
                            share = 0.25
                        weight = fade * share
                        if weight <= 0:
                            continue
                        total[k] += weight
                        for ch in range(3):
                            value = image[y, x, ch]
                            mean[k, ch] += weight * value
                            square[k, ch] += weight * value * value
            weights = 0.0
            a, b, d = 0.0, 0.0, 0.0
            for k in range(8):
                if total[k] <= 0:
                    continue
                spread = 0.0
                for ch in range(3):
                    m = mean[k, ch] / total[k]
                    spread += max(square[k, ch] / total[k] - m * m, 0.0)
                w = 1 / (1 + (255 * math.sqrt(spread) / 3.0) ** 6)
                w = max(w, 1e-12)
                weights += w
                a += w * mean[k, 0] / total[k]
                b += w * mean[k, 1] / total[k]
                d += w * mean[k, 2] / total[k]
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = a / weights, b / weights, d / weights


@njit
def along_strokes(texture, angle, length, out):
    """Line integral convolution: a texture smeared along the strokes."""
    height, width = texture.shape
    for row in range(height):
        for column in range(width):
            total, count = texture[row, column], 1.0
            for way in (-1.0, 1.0):
                x, y = column + 0.5, row + 0.5
                px, py = way * math.cos(angle[row, column]), way * math.sin(angle[row, column])
                for _ in range(length):
                    i, j = int(y), int(x)
                    if i < 0 or j < 0 or i >= height or j >= width:
                        break
                    tx, ty = math.cos(angle[i, j]), math.sin(angle[i, j])
                    if tx * px + ty * py < 0:
                        tx, ty = -tx, -ty
                    total += texture[i, j]
                    count += 1
                    x, y, px, py = x + tx, y + ty, tx, ty
            out[row, column] = total / count


def stroke_field(image: Image, sigma: float) -> tuple[Image, Image]:
    """(angle of the strokes, how sure it is in [0, 1]) from the smoothed structure tensor."""
    grey = blur(image @ LUMA, 1.0)
    gx, gy = cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1)
    xx, yy, xy = (blur(v, sigma) for v in (gx * gx, gy * gy, gx * gy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    root = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    return np.asarray(angle, np.float32), np.asarray(root / (xx + yy + 1e-6), np.float32)


def painted(buffers: Buffers, colors: tuple[Any, Any], side: int, rng: np.random.Generator) -> Image:
    """Oil on canvas: strokes follow the forms, broad on clothes and backdrop, fine around eyes and mouth."""
    size = len(buffers.what)
    image = reduce(encode(lit(buffers, backdrop(size, colors, rng, 2.2))), side)
    image = graded(image, contrast=0.20, saturation=1.06, warmth=0.3)
    what = cv2.resize(buffers.what, (side, side), interpolation=cv2.INTER_NEAREST)
    # the painter's hand: each stroke takes a little more or less of a colour
    blots = np.zeros((side, side, 3), np.float32)
    for sigma, weight in ((2.0, 0.5), (5.0, 1.0)):
        blots += weight * sigma * blur(rng.normal(0, 1, (side, side, 3)), sigma)
    loose = np.where(what == 0, 1.5, np.where(what == CLOTH, 0.9, np.where(what == HAIR, 0.6, 0.40)))[..., None]
    image = np.clip(image + 0.022 * blots * loose, 0, 1).astype(np.float32)
    fine = blur(np.maximum(what == EYE, blur(cv2.resize(buffers.mark, (side, side)), 1.0) > 0.2).astype(np.float32), 7)
    fine = np.clip(fine * 2.2, 0, 1)
    radius = np.where(what == 0, 8.0, np.where(what == CLOTH, 6.5, np.where(what == HAIR, 4.6, 4.6)))
    radius = blur(radius, 4) * (1 - fine) + 2.0 * fine
    for _ in range(2):
        angle, sure = stroke_field(image, 4.0)
        swirl = np.asarray(2.4 * blur(rng.normal(0, 1, (side, side)), 22) * 22, np.float32)
        angle = np.where((what == 0) & (sure < 0.75), 0.7 + swirl, angle).astype(np.float32)
        stretch = (1 + 0.75 * sure).astype(np.float32)
        out = np.zeros_like(image)
        kuwahara(np.ascontiguousarray(image), angle, stretch, np.asarray(radius, np.float32), out)
        image = out
        radius = radius * 0.55
    bristles = np.zeros((side, side), np.float32)
    along_strokes(rng.normal(0, 1, (side, side)).astype(np.float32), angle, 11, bristles)
    relief = bristles - np.roll(np.roll(bristles, 1, axis=0), 1, axis=1)  # paint that stands up catches light
    amount = np.where(what == 0, 0.070, np.where(what == SKIN, 0.026, np.where(what == EYE, 0.006, 0.060)))
    amount = blur(amount, 2) * (1 - 0.75 * fine)
    image = image * (1 + (amount * (0.8 * bristles + 0.9 * relief))[..., None])
    y, x = np.mgrid[0:side, 0:side]
    weave = np.sin(2.1 * x) * np.sin(2.1 * y)
    image = image + (0.006 * weave)[..., None]
    sharp = image + 0.35 * (image - blur(image, 1.6))
    return np.asarray(np.clip(sharp, 0, 1), np.float32)


# Drawn --------------------------------------------------------------------------------------------------------------


def outlines(buffers: Buffers) -> Image:
    """How strongly a pen would draw here, 0 to 1: contours, creases, and the marked lines."""
    size = len(buffers.what)
    what = buffers.what
    edge = np.zeros((size, size), np.float32)
    depth = np.where(what > 0, buffers.place[..., 2], -3.0)
    for axis in (0, 1):
        ahead, back = np.roll(what, 1, axis=axis), what
        jump = np.abs(np.roll(depth, 1, axis=axis) - depth)
        other = (ahead != back) & ~((ahead == EYE) | (back == EYE))
        edge = np.maximum(edge, (other & (jump > 0.012)) | (jump > 0.055))
        edge = np.maximum(edge, other & ((ahead == HAIR) | (back == HAIR)))
    edge[:2], edge[:, :2] = 0, 0  # `roll` comes back from the other side
    return np.asarray(edge, np.float32)


def drawn(buffers: Buffers, colors: tuple[Any, Any], side: int, rng: np.random.Generator) -> Image:
    """Ink and flat colours: two tones of each, lines of a soft pen."""
    size = len(buffers.what)
    what = buffers.what
    scale = size / 1024
    light = under_skin(buffers) @ LUMA
    near = (what == SKIN).astype(np.float32)
    soft = blur(light * near, 15 * scale) / np.maximum(blur(near, 15 * scale), 1e-3)
    light = np.where(what == SKIN, 0.85 * soft + 0.15 * light, light)
    albedo = buffers.albedo.copy()
    for part in (CLOTH, HAIR):
        inside = (what == part).astype(np.float32)
        spread = blur(albedo * inside[..., None], 14 * scale) / np.maximum(blur(inside, 14 * scale), 1e-3)[..., None]
        albedo = np.where(inside[..., None] > 0, spread, albedo)
    inside = ((what == SKIN) & (buffers.mark < 0.25)).astype(np.float32)
    spread = blur(albedo * inside[..., None], 4 * scale) / np.maximum(blur(inside, 4 * scale), 1e-3)[..., None]
    albedo = np.where(inside[..., None] > 0, spread, albedo)
    albedo = np.where(((what == SKIN) & (buffers.mark >= 0.25))[..., None], spread, albedo)
    # tones
    edge = 0.06
    bright = smooth((light - 0.48) / edge)
    mid = smooth((light - 0.26) / edge)
    shade = np.array([0.74, 0.56, 0.56], np.float32)
    deep = np.array([0.46, 0.33, 0.40], np.float32)
    tone = deep + (shade - deep) * mid[..., None]
    tone = tone + (1.0 - tone) * bright[..., None]
    soft_tone = np.clip(0.30 + 0.85 * blur(light, 6 * scale), 0.4, 1.12)[..., None]
    tone = np.where((what == SKIN)[..., None], 0.72 * tone + 0.28 * soft_tone, tone)
    eye = (what == EYE)[..., None]
    tone = np.where(eye, 0.35 + 0.65 * np.clip(light / 0.8, 0, 1)[..., None], tone)
    flat = albedo * tone * 1.02
    gleam = smooth((blur(buffers.shine @ LUMA, 1.5 * scale) - 0.075) / 0.02) * (what == HAIR)
    flat = flat + (albedo * 1.3 + 0.04) * (0.6 * gleam)[..., None]
    spark = smooth((buffers.shine @ LUMA - 0.5) / 0.2) * (what == EYE)
    flat = flat * (1 - spark[..., None]) + spark[..., None]
    nose = smooth((buffers.shine @ LUMA - 0.16) / 0.03) * (what == SKIN) * (buffers.mark < 0.1)
    flat = flat + 0.16 * blur(nose, 2 * scale)[..., None]
    behind = backdrop(size, colors, rng, 0.0)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size * 2 - 1
    disc = smooth((0.86 - np.hypot(x, y - 0.02)) / 0.006)[..., None]
    behind = colors[1] * (1 - disc) + colors[0] * disc
    picture = np.where((what > 0)[..., None], flat, behind).astype(np.float32)
    # ink
    wobble = 1 + 0.35 * blur(rng.normal(0, 1, (size, size)), 12) * 24
    lines = blur(outlines(buffers), 2.1 * scale) * 4.6 * wobble
    pen = np.maximum(smooth(lines - 0.35), smooth(blur(buffers.mark, 1.2 * scale) * 1.35 - 0.15))
    locks = hair_lines(buffers, scale)
    pen = np.maximum(pen, 0.75 * locks)
    ink = np.array([0.030, 0.016, 0.020], np.float32)
    tint = np.where((what == SKIN)[..., None], ink + 0.05 * albedo, ink)
    picture = picture * (1 - 0.93 * pen[..., None]) + tint * 0.93 * pen[..., None]
    image = reduce(encode(picture), side)
    grain = blur(rng.normal(0, 1, (side, side)), 0.8)
    return np.asarray(np.clip(image * (1 + 0.012 * grain[..., None]), 0, 1), np.float32)


def hair_lines(buffers: Buffers, scale: float) -> Image:
    """Lines between the locks: where the surface turns inwards."""
    n = np.stack([blur(buffers.normal[..., k], 2.0 * scale) for k in range(3)], axis=-1)
    bend = np.gradient(n[..., 0], axis=1) - np.gradient(n[..., 1], axis=0)
    inner = cv2.erode((buffers.what == HAIR).astype(np.uint8), np.ones((5, 5), np.uint8))
    return smooth((-bend / 0.030 * scale - 0.9) / 0.8) * inner


STYLES = {"sculpted": sculpted, "painted": painted, "drawn": drawn}
