"""People, animals and dolls: a trunk, a head and jointed limbs in a few colours of clothing or fur.

A figure is many outlines that move together, and most photographs show one. A part is what shares a colour: jacket,
trousers, head. A detail is hair or print.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training import shapes
from training.shapes import Mask
from training.sprites import Canvas, Sprite, begin, decals, shade
from training.textures import Floats, Image, Palette, random_colour

Point = NDArray[np.float64]  # (2,) xy in canvas pixels
BODY, LEGS, HEAD = 1, 2, 3  # parts


@dataclass(frozen=True)
class Piece:
    """The coverage of a tapered limb, and its part."""

    mask: Mask
    part: int


def taper(side: int, a: Point, b: Point, wide: float, narrow: float) -> Mask:
    """The convex hull of a circle of radius `wide` at `a` and one of `narrow` at `b`, on a square canvas."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.concatenate([a + wide * ring, b + narrow * ring]).astype(np.float32)
    mask = np.zeros((side, side), np.uint8)
    shapes.fill(mask, cv2.convexHull(points)[:, 0].astype(np.float64))
    return mask


def _limb(rng: np.random.Generator, side: int, root: Point, angle: float, length: float, part: int) -> list[Piece]:
    """Two tapered segments with a joint, and sometimes a hand or hoof in the head's colour."""
    radius = length * float(rng.uniform(0.09, 0.2))
    bend = angle + float(rng.normal(0, 0.6))
    knee = root + 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    end = knee + 0.5 * length * np.array([np.cos(bend), np.sin(bend)])
    pieces = [
        Piece(taper(side, root, knee, radius, 0.8 * radius), part),
        Piece(taper(side, knee, end, 0.8 * radius, 0.55 * radius), part),
    ]
    if rng.random() < 0.6:
        tip = end + 0.7 * radius * np.array([np.cos(bend), np.sin(bend)])
        pieces.append(Piece(taper(side, end, tip, 0.7 * radius, 0.6 * radius), HEAD))
    return pieces


def _pieces(rng: np.random.Generator, side: int, size: float) -> list[Piece]:
    """Back to front: far limbs, trunk, near limbs, head."""
    animal = rng.random() < 0.4
    lean = float(rng.normal(0, 0.15)) + (float(rng.choice([0.0, np.pi])) if animal else -np.pi / 2)
    along = np.array([np.cos(lean), np.sin(lean)])
    trunk = size * float(rng.uniform(0.3, 0.45))
    hip = np.array([side / 2, side / 2]) - 0.5 * trunk * along
    neck = hip + trunk * along
    wide, narrow = trunk * float(rng.uniform(0.2, 0.38)), trunk * float(rng.uniform(0.2, 0.36))
    down = np.pi / 2
    legs = [
        _limb(rng, side, hip, down + float(rng.normal(0, 0.25)), size * float(rng.uniform(0.32, 0.48)), LEGS)
        for _ in range(2)
    ]
    arms = [
        _limb(rng, side, neck - 0.1 * trunk * along, down + float(rng.normal(0, 0.3 if animal else 0.9)), reach, BODY)
        for reach in size * rng.uniform(0.25, 0.42, 2)
    ]
    head = size * float(rng.uniform(0.06, 0.12))
    up = lean + float(rng.normal(0, 0.5))
    face = neck + (narrow + 0.7 * head) * np.array([np.cos(up), np.sin(up)])
    nose = face + head * float(rng.uniform(0, 1.2)) * np.array([np.cos(up + 1), np.sin(up + 1)])
    far, near = legs[0] + arms[0], legs[1] + arms[1]
    middle = [Piece(taper(side, hip, neck, wide, narrow), BODY)]
    return far + middle + near + [Piece(taper(side, face, nose, head, 0.7 * head), HEAD)]


def _hair(canvas: Canvas) -> None:
    """A detail: the upper side of the head in another colour."""
    head = canvas.parts == HEAD
    ys, _ = np.nonzero(head)
    if len(ys) < 60:
        return
    line = np.quantile(ys, canvas.rng.uniform(0.25, 0.6))
    region = head & (np.arange(head.shape[0])[:, None] < line)
    canvas.paint((region * 255).astype(np.uint8), random_colour(canvas.rng, canvas.palette))
    canvas.n_fines += 1
    canvas.fines[region] = canvas.n_fines


def make_figure(
    rng: np.random.Generator, bank: Image, palette: Palette, size: float, base: Floats | None = None
) -> Sprite:
    """A figure of about `size` px. It is one object, whatever the colours of its parts."""
    side = int(1.3 * size) + 8
    pieces = _pieces(rng, side, size)
    whole = np.maximum.reduce([piece.mask for piece in pieces])
    canvas = begin(rng, bank, palette, whole, base)  # parts that are not repainted keep this surface
    own = {part: rng.random() < chance for part, chance in ((BODY, 0.4), (LEGS, 0.6), (HEAD, 0.85))}
    colours = {part: random_colour(rng, palette) for part in own}
    canvas.n_parts = HEAD
    for piece in pieces:
        solid = piece.mask > 127
        if own[piece.part]:
            canvas.paint(piece.mask, colours[piece.part])
        else:
            shadow = (canvas.alpha > 0)[..., None] & (cv2.dilate(piece.mask, np.ones((3, 3))) > 127)[..., None]
            canvas.rgb = np.where(shadow & ~solid[..., None], canvas.rgb * 0.8, canvas.rgb).astype(np.uint8)
        canvas.parts[solid] = piece.part if own[piece.part] else 0
    if own[HEAD] and rng.random() < 0.6:
        _hair(canvas)
    if size > 60 and rng.random() < 0.4:
        decals(canvas, (canvas.parts == (BODY if own[BODY] else 0)) & (canvas.alpha > 127), size / 3, fine=True)
    shade(canvas)
    return _trimmed(canvas)


def _trimmed(canvas: Canvas) -> Sprite:
    x, y, w, h = cv2.boundingRect(canvas.alpha)
    view = (slice(y, y + h), slice(x, x + w))
    return Sprite(canvas.rgb[view], canvas.alpha[view], canvas.parts[view], canvas.fines[view])
