"""One thing on a canvas of its own: an outline with parts and fine details, painted and shaded.

A sprite says which pixel belongs to which part and detail, so that a click on it has up to three right masks: whole,
part and fine. Texture, shading and highlights are no parts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training import shapes
from training.shapes import Mask
from training.textures import Floats, Image, Palette, ramp, random_colour, surface

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sprite:
    rgb: Image  # (h, w, 3)
    alpha: Mask  # (h, w), 0-255
    parts: Labels  # (h, w), 0 = the body itself
    fines: Labels  # (h, w), 0 = no detail; a detail's number is unique in the sprite


@dataclass
class Canvas:
    """A sprite being painted."""

    rng: np.random.Generator
    bank: Image
    palette: Palette
    rgb: Image
    alpha: Mask
    parts: Labels
    fines: Labels
    n_parts: int = 0
    n_fines: int = 0

    def paint(self, mask: Mask, base: Floats | None = None) -> None:
        """Cover `mask` with a fresh surface."""
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            return
        table = ramp(self.rng, self.palette, base)
        fresh = surface(self.rng, self.bank, table, h, w)
        blend(self.rgb[y : y + h, x : x + w], fresh, mask[y : y + h, x : x + w])


def blend(under: Image, over: Image, alpha: Mask) -> None:
    """under ← alpha·over + (1 - alpha)·under, in place, 8-bit; alpha (h, w)."""
    weight = (alpha.astype(np.uint16) + (alpha >> 7))[..., None]
    under[:] = ((over * weight + under * (256 - weight)) >> 8).astype(np.uint8)


def stamp(shape: tuple[int, int], mask: Mask, cx: float, cy: float) -> Mask:
    """`mask` centred at (cx, cy) on an empty canvas of `shape` (h, w), clipped to it."""
    out = np.zeros(shape, np.uint8)
    h, w = mask.shape
    x, y = round(cx - w / 2), round(cy - h / 2)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, shape[1]), min(y + h, shape[0])
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = mask[y0 - y : y1 - y, x0 - x : x1 - x]
    return out


def begin(rng: np.random.Generator, bank: Image, palette: Palette, mask: Mask, base: Floats | None) -> Canvas:
    canvas = Canvas(
        rng, bank, palette, np.zeros((*mask.shape, 3), np.uint8), mask.copy(), np.zeros_like(mask), np.zeros_like(mask)
    )
    canvas.paint(mask, base)
    return canvas


def _attach(canvas: Canvas, size: float) -> None:
    """Add limbs, handles, ears or wheels: shapes centred on the outline, behind or in front, sometimes mirrored."""
    rng = canvas.rng
    contours, _ = cv2.findContours((canvas.alpha > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    outline = max(contours, key=len)[:, 0]
    for _ in range(int(rng.integers(1, 4))):
        limb = shapes.draw(rng, size * float(rng.uniform(0.2, 0.5)))
        at = outline[rng.integers(len(outline))]
        spots = [(at[0], at[1], limb)]
        if rng.random() < 0.5:
            spots.append((canvas.alpha.shape[1] - 1 - at[0], at[1], np.ascontiguousarray(limb[:, ::-1])))
        colour = random_colour(rng, canvas.palette) if rng.random() < 0.7 else None
        behind = rng.random() < 0.5
        for x, y, mask in spots:
            placed = stamp((canvas.alpha.shape[0], canvas.alpha.shape[1]), mask, x, y)
            if behind:
                placed = np.asarray(cv2.subtract(placed, canvas.alpha), np.uint8)
            canvas.paint(placed, colour)
            canvas.n_parts += 1
            canvas.parts[placed > 127] = canvas.n_parts
            canvas.alpha = np.maximum(canvas.alpha, placed)


def _bands(rng: np.random.Generator, h: int, w: int) -> Labels:
    """A partition of the canvas: bent parallel bands, or cells around a few points."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    if rng.random() < 0.65:
        angle = float(rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]))
        field = (x / w - 0.5) * np.cos(angle) + (y / h - 0.5) * np.sin(angle)
        across = (y / h - 0.5) * np.cos(angle) - (x / w - 0.5) * np.sin(angle)
        field += float(rng.normal(0, 0.5)) * across**2
        cuts = np.sort(rng.uniform(-0.4, 0.4, int(rng.integers(1, 4))))
        return np.asarray(np.searchsorted(cuts, field.ravel()).reshape(h, w), np.uint8)
    points = rng.uniform(0.1, 0.9, (int(rng.integers(2, 6)), 2)) * (w, h)
    square = (x[None] - points[:, 0, None, None]) ** 2 + (y[None] - points[:, 1, None, None]) ** 2
    return np.asarray(square.argmin(0), np.uint8)


def _divide(canvas: Canvas) -> None:
    """Cut the body into parts. A part may keep the colour and show only its seam."""
    rng = canvas.rng
    h, w = canvas.alpha.shape
    labels = _bands(rng, h, w)
    seam = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    body = (canvas.alpha > 127) & (canvas.parts == 0)
    for k in range(int(labels.max()) + 1):
        region = body & (labels == k)
        if region.sum() < 30:
            continue
        if rng.random() < 0.75:
            canvas.paint((region * 255).astype(np.uint8), random_colour(rng, canvas.palette))
        canvas.n_parts += 1
        canvas.parts[region] = canvas.n_parts
    if rng.random() < 0.5:
        canvas.rgb[seam] = (canvas.rgb[seam] * rng.uniform(0.3, 0.8)).astype(np.uint8)


def _inset(canvas: Canvas) -> None:
    """Add a part in the middle, like a wheel's hub: the body shrunk by a share of its thickness."""
    depth = cv2.distanceTransform((canvas.alpha > 127).astype(np.uint8), cv2.DIST_L2, 3)
    inner = depth > depth.max() * float(canvas.rng.uniform(0.12, 0.6))
    if inner.sum() < 40:
        return
    mask = (inner * 255).astype(np.uint8)
    canvas.paint(mask, random_colour(canvas.rng, canvas.palette))
    canvas.n_parts += 1
    canvas.parts[inner] = canvas.n_parts


def decals(canvas: Canvas, region: NDArray[np.bool_], size: float, fine: bool) -> None:
    """Add small shapes inside `region`, like buttons or windows: one design repeated, or all different."""
    rng = canvas.rng
    ys, xs = np.nonzero(region)
    if len(ys) < 60:
        return
    colour = random_colour(rng, canvas.palette)
    design = shapes.draw(rng, size * float(rng.uniform(0.12, 0.4)))
    repeated = rng.random() < 0.5
    for _ in range(int(rng.integers(1, 5))):
        if not repeated:
            design = shapes.draw(rng, size * float(rng.uniform(0.12, 0.45)))
            colour = random_colour(rng, canvas.palette)
        at = rng.integers(len(ys))
        placed = stamp((canvas.alpha.shape[0], canvas.alpha.shape[1]), design, xs[at], ys[at])
        placed[~region] = 0
        inside = placed > 127
        if inside.sum() < 16:
            continue
        canvas.paint(placed, colour)
        if fine:
            canvas.n_fines += 1
            canvas.fines[inside] = canvas.n_fines
        else:
            canvas.n_parts += 1
            canvas.parts[inside] = canvas.n_parts


def shade(canvas: Canvas) -> None:
    """Light from one side over a domed or flat body, and sometimes a highlight. Neither makes a boundary."""
    rng = canvas.rng
    h, w = canvas.alpha.shape
    light = rng.normal(0, 1, 2)
    light /= np.linalg.norm(light) + 1e-6
    strength = float(rng.uniform(0, 0.5))
    if rng.random() < 0.5:
        ball = cv2.GaussianBlur(canvas.alpha, (0, 0), max(1.0, min(h, w) * float(rng.uniform(0.05, 0.2)))).astype(
            np.float32
        )
        dx, dy = cv2.Sobel(ball, cv2.CV_32F, 1, 0), cv2.Sobel(ball, cv2.CV_32F, 0, 1)
        slope = dx * light[0] + dy * light[1]
        gain = 1 + strength * slope / (float(np.abs(slope).max()) + 1e-6)
    else:
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        gain = 1 + strength * (x * light[0] + y * light[1]) * 0.7
    shaded = canvas.rgb * gain[..., None]
    if rng.random() < 0.25:
        cx, cy = w * rng.uniform(0.25, 0.75), h * rng.uniform(0.25, 0.75)
        y, x = np.mgrid[0:h, 0:w].astype(np.float32)
        radius = min(h, w) * rng.uniform(0.04, 0.15)
        shaded += (rng.uniform(60, 220) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)))[..., None]
    canvas.rgb = np.clip(shaded, 0, 255).astype(np.uint8)


def make_sprite(
    rng: np.random.Generator,
    bank: Image,
    palette: Palette,
    size: float,
    base: Floats | None = None,
    kind: str | None = None,
) -> Sprite:
    """A thing of about `size` px. From 26 px it may have parts, from 40 px details."""
    attach = kind is None and size > 30 and rng.random() < 0.35
    mask = shapes.draw(rng, size * (0.65 if attach else 1.0), kind)
    if attach:
        side = int(size * 1.1) + 4
        mask = stamp((side, side), mask, side / 2, side / 2)
    if kind is None and size > 24 and rng.random() < 0.25:
        grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
        mask = shapes.roughen(rng, mask, surface(rng, bank, grey, *mask.shape)[..., 0])
    canvas = begin(rng, bank, palette, mask, base)
    if attach:
        _attach(canvas, size)
    if size > 26 and rng.random() < 0.6:
        draw = rng.random()
        if draw < 0.4:
            _divide(canvas)
        elif draw < 0.6:
            _inset(canvas)
        else:
            decals(canvas, (canvas.alpha > 127) & (canvas.parts == 0), size, fine=False)
    if size > 40 and rng.random() < 0.55:
        number = int(rng.integers(0, canvas.n_parts + 1))
        region = (canvas.parts == number) & (canvas.alpha > 127)
        decals(canvas, region, float(np.sqrt(region.sum())) if region.any() else 0.0, fine=True)
    shade(canvas)
    return Sprite(canvas.rgb, canvas.alpha, canvas.parts, canvas.fines)
