"""Outlines: closed contours, strokes and glyphs drawn as uint8 coverage on a canvas of their own size.

Coordinates are xy in canvas pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]  # 0-255 coverage
Points = NDArray[np.float64]  # (n, 2) xy, roughly within [-1, 1]

SUBPIXEL = 4  # fractional bits of cv2's fixed-point coordinates

KINDS = (
    "ellipse",
    "blob",
    "polygon",
    "rectangle",
    "rounded",
    "star",
    "smooth",
    "ring",
    "capsule",
    "stroke",
    "glyph",
    "leaf",
    "mast",
)
ODDS = np.array([0.18, 0.17, 0.09, 0.1, 0.09, 0.03, 0.11, 0.02, 0.05, 0.05, 0.03, 0.04, 0.04])
THIN = {"capsule": (0.15, 0.4), "mast": (0.05, 0.25)}  # range of width to length; a mast stands upright
FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnprstuwxyz0123456789&?@#"


def _superellipse(power: float, n: int = 64) -> Points:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    return np.stack([np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power], 1)


def _blob(rng: np.random.Generator) -> Points:
    """A radius of a few random harmonics. Roughness leads from pebble to amoeba."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(t)
    rough = rng.uniform(0.1, 0.45)
    for k in range(2, 9):
        radius += rough / k**1.1 * rng.normal() * np.cos(k * t + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.2)
    radius /= radius.max()
    return np.stack([radius * np.cos(t), radius * np.sin(t)], 1)


def _polygon(rng: np.random.Generator) -> Points:
    n = int(rng.integers(3, 9))
    t = np.sort((np.arange(n) + rng.uniform(-0.35, 0.35, n)) * 2 * np.pi / n)
    radius = rng.uniform(0.55, 1, n)
    return np.stack([radius * np.cos(t), radius * np.sin(t)], 1)


def _smooth(rng: np.random.Generator) -> Points:
    """A polygon with its corners cut three times (Chaikin), which gives organic shapes with concavities."""
    points = _polygon(rng) * rng.uniform(0.5, 1, (1, 1))
    n = len(points)
    points = points * np.where(rng.random(n) < 0.25, 0.45, 1)[:, None]
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return np.asarray(points / np.abs(points).max(), np.float64)


def _star(rng: np.random.Generator) -> Points:
    n = int(rng.integers(4, 10))
    t = np.arange(2 * n) * np.pi / n
    radius = np.where(np.arange(2 * n) % 2, rng.uniform(0.35, 0.75), 1.0)
    return np.stack([radius * np.cos(t), radius * np.sin(t)], 1)


def _leaf() -> Points:
    t = np.linspace(-1, 1, 40)
    width = 0.5 * (1 - t**2)
    return np.concatenate([np.stack([t, width], 1), np.stack([t[::-1], -width[::-1]], 1)])


def contour(rng: np.random.Generator, kind: str) -> Points:
    """A closed outline in the unit square [-1, 1]²."""
    if kind == "blob":
        return _blob(rng)
    if kind == "polygon":
        return _polygon(rng)
    if kind == "smooth":
        return _smooth(rng)
    if kind == "star":
        return _star(rng)
    if kind == "leaf":
        return _leaf()
    if kind == "mast":
        top = float(rng.uniform(0.2, 1))
        return np.array([[-1.0, -1], [1, -top], [1, top], [-1, 1]])
    if kind == "rectangle":
        skew = rng.normal(0, 0.08, (4, 2)) if rng.random() < 0.5 else 0
        return np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) + skew
    if kind in ("rounded", "capsule"):
        return _superellipse(float(rng.uniform(0.15, 0.5)))
    return _superellipse(1.0)


def fill(mask: Mask, points: Points, value: int = 255) -> None:
    """Draw a filled polygon in place; points (n, 2) in mask pixels, xy."""
    fixed = np.round(points * 2**SUBPIXEL).astype(np.int32)
    cv2.fillPoly(mask, [fixed], value, lineType=cv2.LINE_AA, shift=SUBPIXEL)


def _stroke(rng: np.random.Generator, mask: Mask) -> None:
    """A thick curved line, like a cable, branch, tail or road."""
    h, w = mask.shape
    knots = rng.uniform(0.12, 0.88, (int(rng.integers(2, 5)), 2)) * (w, h)
    knots[0], knots[-1] = (w * 0.1, h * rng.uniform(0.2, 0.8)), (w * 0.9, h * rng.uniform(0.2, 0.8))
    t = np.linspace(0, 1, 40)
    basis = [1.0 for _ in knots]
    n = len(knots) - 1
    for i in range(n + 1):
        basis[i] = float(np.prod([(n - j) / (j + 1) for j in range(i)]))
    curve = sum(basis[i] * (t**i * (1 - t) ** (n - i))[:, None] * knots[i] for i in range(n + 1))
    thickness = max(2, int(min(h, w) * rng.uniform(0.06, 0.22)))
    fixed = np.round(np.asarray(curve) * 2**SUBPIXEL).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, thickness, cv2.LINE_AA, SUBPIXEL)


def _glyph(rng: np.random.Generator, mask: Mask) -> None:
    h, w = mask.shape
    font = int(rng.choice(FONTS))
    text = "".join(rng.choice(list(LETTERS), int(rng.integers(1, 4)) if w > h else 1))
    (tw, th), _ = cv2.getTextSize(text, font, 1, 2)
    scale = 0.8 * min(w / tw, h / th)
    thickness = max(1, int(scale * rng.uniform(1.5, 5)))
    origin = (int((w - tw * scale) / 2), int((h + th * scale) / 2))
    cv2.putText(mask, text, origin, font, scale, 255, thickness, cv2.LINE_AA)


def roughen(rng: np.random.Generator, mask: Mask, noise: Mask) -> Mask:
    """Move the edge in and out with `noise` (0-255, the mask's shape), like fur, foliage or torn paper."""
    sigma = max(0.8, min(mask.shape) * float(rng.uniform(0.01, 0.05)))
    soft = cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32)
    reach = float(rng.uniform(0.3, 1.2))
    edge = 128 + (soft - 128 + (noise.astype(np.float32) - 128) * reach * (soft > 8) * (soft < 247)) * 3
    rough: Mask = np.where(soft > 8, np.clip(edge, 0, 255), 0).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((rough > 90).astype(np.uint8))
    if count <= 2:
        return rough
    main = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    near = np.asarray(cv2.dilate((pieces == main).astype(np.uint8), np.ones((3, 3), np.uint8)))
    return np.where(near > 0, rough, 0).astype(np.uint8)


def draw(rng: np.random.Generator, size: float, kind: str | None = None, aspect: float | None = None) -> Mask:
    """A random shape of about `size` px in its longest extent, on the smallest canvas with a rim of 2 px."""
    kind = str(rng.choice(KINDS, p=ODDS)) if kind is None else kind
    if kind == "circle":
        aspect = 1.0
    if aspect is None:
        aspect = float(rng.uniform(*THIN[kind])) if kind in THIN else float(np.exp(-np.abs(rng.normal(0, 0.5))))
    if kind in ("stroke", "glyph"):
        canvas = np.zeros((max(8, int(size * max(aspect, 0.5))), max(8, int(size))), np.uint8)
        (_stroke if kind == "stroke" else _glyph)(rng, canvas)
        if rng.random() < 0.3:
            canvas = np.ascontiguousarray(np.rot90(canvas))
        return canvas
    points = contour(rng, kind) * (size / 2, size / 2 * aspect)
    angle = float(rng.choice([0, rng.normal(0, 0.2), rng.uniform(0, np.pi)])) + (np.pi / 2 if kind == "mast" else 0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points @ turn
    low = points.min(0) - 2
    width, height = np.maximum(np.ceil(points.max(0) + 2 - low), 6).astype(int)
    mask = np.zeros((height, width), np.uint8)
    fill(mask, points - low)
    if kind == "ring":
        fill(mask, points * float(rng.uniform(0.45, 0.8)) - low, 0)
    return mask
