"""Seeded scenes: textured grounds, things with parts, shadows, and the faults of a camera.

A scene is an image and its right masks. Every pixel has a leaf number, and a table says to which object, part and fine
detail a leaf belongs. Scenes are drawn by code alone, unless photographs are given, whose things then stand among the
drawn ones.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.figures import make_figure
from training.photographs import Photographs
from training.shapes import Mask
from training.sprites import Sprite, blend, make_sprite
from training.textures import (
    Floats,
    Image,
    Palette,
    blurred,
    make_bank,
    ramp,
    random_colour,
    random_palette,
    surface,
)

SIDE = 448  # px; training crops it, and crops are as sharp as a photograph at 384
UNIT = SIDE / 320  # sizes below are for a picture of 320 px
MAX_LEAVES = 255
NOWHERE = 255  # the leaf of pixels that belong to nothing; no row of the table is theirs
PHOTOGRAPHED, PHOTOGRAPHED_GROUND = 0.75, 0.6  # shares of things and grounds, where there are photographs
FIGURES, FIGURE_FROM = 0.3, 45.0  # share of things with limbs, and the least px of one
BANK_SEED = 20_260_101  # all scenes share one bank of surfaces and differ by their own seeds


@dataclass(frozen=True)
class Scene:
    image: Image  # (SIDE, SIDE, 3) RGB
    leaves: NDArray[np.uint8]  # (SIDE, SIDE), index into table
    table: NDArray[np.uint8]  # (256, 4): object, part (0 none), fine (0 none), 1 = ground rather than a thing


@dataclass
class Stage:
    """A scene being built, back to front."""

    rng: np.random.Generator
    bank: Image
    palette: Palette
    image: Image
    leaves: NDArray[np.uint8]
    rows: list[tuple[int, int, int, int]]
    photographs: Photographs | None = None
    objects: int = 0
    parts: int = 0
    fines: int = 0

    def add_ground(self, mask: Mask, over: Image) -> None:
        blend(self.image, over, mask)
        self.objects += 1
        self.leaves[mask > 127] = len(self.rows)
        self.rows.append((self.objects, 0, 0, 1))

    def add(self, sprite: Sprite, cx: float, cy: float, shadow: tuple[float, float, float, float] | None) -> None:
        """Paint a shadow, then a sprite centred at (cx, cy), and give its leaves new numbers."""
        h, w = sprite.alpha.shape
        x, y = round(cx - w / 2), round(cy - h / 2)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, SIDE), min(y + h, SIDE)
        if x1 - x0 < 4 or y1 - y0 < 4:
            return
        view = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        solid = sprite.alpha[view] > 127
        code = sprite.parts[view].astype(np.int32) * 256 + sprite.fines[view]
        codes = np.unique(code[solid])
        if len(codes) == 0 or len(self.rows) + len(codes) > MAX_LEAVES or self.objects >= 250:
            return
        if shadow is not None:
            self._cast(sprite.alpha, x, y, shadow)
        blend(self.image[y0:y1, x0:x1], sprite.rgb[view], sprite.alpha[view])
        self.objects += 1
        area = self.leaves[y0:y1, x0:x1]
        numbers: dict[tuple[str, int], int] = {}
        for value in codes:
            part, fine = divmod(int(value), 256)
            if part and ("part", part) not in numbers:
                self.parts += 1
                numbers["part", part] = self.parts
            if fine and ("fine", fine) not in numbers:
                self.fines += 1
                numbers["fine", fine] = self.fines
            area[solid & (code == value)] = len(self.rows)
            self.rows.append(
                (self.objects, numbers.get(("part", part), 0) % 256, numbers.get(("fine", fine), 0) % 256, 0)
            )

    def _cast(self, alpha: Mask, x: int, y: int, shadow: tuple[float, float, float, float]) -> None:
        """Darken the pixels under the blurred and shifted silhouette."""
        dx, dy, blur, strength = shadow
        rim = int(2 * blur) + 2
        soft = cv2.GaussianBlur(cv2.copyMakeBorder(alpha, rim, rim, rim, rim, cv2.BORDER_CONSTANT), (0, 0), blur)
        x, y = x + int(dx) - rim, y + int(dy) - rim
        h, w = soft.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, SIDE), min(y + h, SIDE)
        if x1 <= x0 or y1 <= y0:
            return
        keep = (256 - soft[y0 - y : y1 - y, x0 - x : x1 - x].astype(np.uint16) * strength).astype(np.uint16)
        under = self.image[y0:y1, x0:x1]
        under[:] = ((under * keep[..., None]) >> 8).astype(np.uint8)


def _lit(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Uneven light: an enlarged random field of low resolution."""
    field = rng.normal(0, strength, (3, 3)).astype(np.float32)
    gain = np.asarray(cv2.resize(field, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC))
    return np.asarray(np.clip(image * (1 + gain)[..., None], 0, 255), np.uint8)


def _skyline(rng: np.random.Generator, level: float) -> Floats:
    """y of a wavy line for each x, from flat like a table's edge to rough like hills."""
    rough = float(rng.choice([0, 0.01, 0.05, 0.12]))
    x = np.linspace(0, 1, SIDE, dtype=np.float32)
    line = np.full(SIDE, level, np.float32) + float(rng.normal(0, 0.06)) * (x - 0.5)
    for k in range(1, 12):
        line += rough / k**1.2 * float(rng.normal()) * np.cos(np.pi * 2 * (k * x * 0.7 + float(rng.random())))
    return line * SIDE


def _grounds(stage: Stage) -> None:
    """The ground: one surface, layers with a skyline, or a few large patches."""
    rng = stage.rng
    whole = np.full((SIDE, SIDE), 255, np.uint8)

    def fresh() -> Image:
        table = ramp(rng, stage.palette, random_colour(rng, stage.palette))
        return _lit(rng, surface(rng, stage.bank, table, SIDE, SIDE), float(rng.uniform(0, 0.25)))

    if stage.photographs and rng.random() < PHOTOGRAPHED_GROUND:
        photograph = stage.photographs.ground(rng, SIDE)
        if photograph is not None:
            stage.image, stage.leaves = photograph, np.full_like(stage.leaves, NOWHERE)
            return
    stage.add_ground(whole, fresh())
    kind = rng.random()
    if kind < 0.5:
        return
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    if kind < 0.85:
        for level in np.sort(rng.uniform(0.2, 0.9, int(rng.integers(1, 4)))):
            below = np.clip((y - _skyline(rng, float(level))[None]) * 255 + 127, 0, 255).astype(np.uint8)
            stage.add_ground(below, fresh())
        return
    bend = surface(rng, stage.bank[:40], np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1), SIDE, SIDE)
    bent = blurred(bend, 6).astype(np.float32)
    points = rng.uniform(0, SIDE, (int(rng.integers(2, 6)), 2))
    warp = float(rng.uniform(0, 0.5))
    square = np.stack([np.hypot(x + warp * bent[..., 0] - px, y + warp * bent[..., 1] - py) for px, py in points])
    nearest = square.argmin(0)
    for k in range(1, len(points)):
        stage.add_ground(((nearest == k) * 255).astype(np.uint8), fresh())


def _size(rng: np.random.Generator, low: float, high: float, power: float = 1.6) -> float:
    """Power-law sizes: density ∝ size^-power."""
    a, b = low ** (1 - power), high ** (1 - power)
    return float((a + (b - a) * rng.random()) ** (1 / (1 - power)))


def _shadow(rng: np.random.Generator, size: float, light: tuple[float, float]) -> tuple[float, float, float, float]:
    reach = size * float(rng.uniform(0.02, 0.12)) + 1
    return (
        light[0] * reach,
        light[1] * reach,
        max(0.6, reach * float(rng.uniform(0.2, 0.9))),
        float(rng.uniform(0.2, 0.75)),
    )


def _place(stage: Stage, size: float, light: tuple[float, float], shadows: float, centre: tuple[float, float]) -> None:
    """Add one thing. One in seven takes its colour from the ground."""
    rng = stage.rng
    base = None
    if rng.random() < 0.14:
        at = stage.image[int(np.clip(centre[1], 0, SIDE - 1)), int(np.clip(centre[0], 0, SIDE - 1))]
        base = np.clip(at.astype(np.float32) + rng.normal(0, 22, 3), 0, 255).astype(np.float32)
    palette = stage.palette if rng.random() < 0.6 else random_palette(rng)
    if stage.photographs and rng.random() < PHOTOGRAPHED:
        sprite = stage.photographs.thing(rng, size)
    else:
        make = make_figure if size > FIGURE_FROM and rng.random() < FIGURES else make_sprite
        sprite = make(rng, stage.bank, palette, size, base)
    stage.add(sprite, *centre, _shadow(rng, size, light) if rng.random() < shadows else None)


def _cluster(stage: Stage, light: tuple[float, float], shadows: float) -> None:
    """One design many times, in rows or in a heap, like coins on a table or windows on a wall."""
    rng = stage.rng
    count = int(rng.integers(6, 40))
    columns = int(np.ceil(np.sqrt(count * rng.uniform(0.5, 2))))
    pitch = float(rng.uniform(0.6, 1.0)) * SIDE / max(columns, -(-count // columns))
    fill = float(rng.uniform(0.55, 1.05))
    loose = float(rng.choice([0.0, 0.1, 0.35]))
    kind = str(rng.choice(["ellipse", "ellipse", "ellipse", "rounded", "rectangle", "blob", "leaf", "polygon", "ring"]))
    round_kind = kind == "ellipse" and rng.random() < 0.7
    origin = rng.uniform(-0.1, 0.3, 2) * SIDE
    turn = float(rng.choice([0, rng.normal(0, 0.15), rng.uniform(0, np.pi)]))
    palette = stage.palette
    designs = [_cluster_sprite(stage, palette, pitch * fill, kind, round_kind) for _ in range(int(rng.integers(1, 5)))]
    same = rng.random() < 0.5
    cast = _shadow(rng, pitch, light) if rng.random() < shadows else None
    for k in range(count):
        gx, gy = k % columns, k // columns
        px = (gx + 0.5 + loose * rng.normal()) * pitch
        py = (gy + 0.5 + loose * rng.normal()) * pitch
        cx = origin[0] + px * np.cos(turn) - py * np.sin(turn)
        cy = origin[1] + px * np.sin(turn) + py * np.cos(turn)
        if not (0 <= cx < SIDE and 0 <= cy < SIDE):
            continue
        sprite = designs[0 if same else int(rng.integers(len(designs)))]
        stage.add(_vary(rng, sprite), float(cx), float(cy), cast)


def _cluster_sprite(stage: Stage, palette: Palette, size: float, kind: str, round_kind: bool) -> Sprite:
    rng = stage.rng
    if stage.photographs and rng.random() < PHOTOGRAPHED:
        return stage.photographs.thing(rng, size)
    base = None
    if rng.random() < 0.4:  # low contrast against the ground, as old coins on felt
        at = stage.image[SIDE // 2, SIDE // 2].astype(np.float32)
        base = np.clip(at + rng.normal(0, 40), 0, 255).astype(np.float32)
    return make_sprite(rng, stage.bank, palette, size, base, "circle" if round_kind else kind)


def _vary(rng: np.random.Generator, sprite: Sprite) -> Sprite:
    """Another instance of a design: mirrored, turned by quarters, resized, and lit a little differently."""
    turns, flip, scale = int(rng.integers(4)), bool(rng.integers(2)), float(rng.uniform(0.75, 1.1))
    gain = float(rng.uniform(0.8, 1.15))

    def move(array: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        turned = np.rot90(array, turns)
        turned = np.ascontiguousarray(turned[:, ::-1] if flip else turned)
        h, w = turned.shape[:2]
        size = (max(4, round(w * scale)), max(4, round(h * scale)))
        return np.asarray(cv2.resize(turned, size, interpolation=interpolation), np.uint8)

    rgb = np.clip(move(sprite.rgb, cv2.INTER_LINEAR) * gain, 0, 255).astype(np.uint8)
    return Sprite(
        rgb,
        move(sprite.alpha, cv2.INTER_LINEAR),
        move(sprite.parts, cv2.INTER_NEAREST),
        move(sprite.fines, cv2.INTER_NEAREST),
    )


def _populate(stage: Stage) -> None:
    rng = stage.rng
    angle = float(rng.uniform(0, 2 * np.pi))
    light = (float(np.cos(angle)), float(abs(np.sin(angle)) if rng.random() < 0.7 else np.sin(angle)))
    shadows = float(rng.choice([0, 0.5, 0.95]))
    kind = rng.random()
    if kind < 0.35:  # a portrait: one to three large things, small ones around and in front
        sizes = [float(rng.uniform(110, 300)) for _ in range(int(rng.integers(1, 5)))]
        sizes += [_size(rng, 14, 120, 1.3) for _ in range(int(rng.integers(2, 10)))]
    elif kind < 0.8:  # a scatter
        sizes = sorted((_size(rng, 16, 280, 1.2) for _ in range(int(rng.integers(6, 24)))), reverse=True)
        if rng.random() < 0.3:
            rng.shuffle(sizes)
    else:
        sizes = [_size(rng, 20, 200) for _ in range(int(rng.integers(0, 5)))]
    if kind >= 0.8 and rng.random() < 0.6:
        _cluster(stage, light, shadows)
    for size in sizes:
        spread = 0.25 if size > 180 else 0.0
        size *= UNIT
        centre = (float(rng.uniform(spread, 1 - spread)) * SIDE, float(rng.uniform(spread, 1 - spread)) * SIDE)
        _place(stage, size, light, shadows, centre)
    if kind >= 0.8:
        _cluster(stage, light, shadows)


def _camera(rng: np.random.Generator, image: Image) -> Image:
    """The effects of light, lens, sensor and JPEG, in this order."""
    if rng.random() < 0.6:
        image = _lit(rng, image, float(rng.uniform(0.02, 0.2)))
    if rng.random() < 0.15:
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        image = np.repeat(grey[..., None], 3, -1)
    draw = rng.random()
    if draw < 0.55:
        image = blurred(image, float(rng.uniform(0.4, 1.3)))
    elif draw < 0.65:
        small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    if rng.random() < 0.6:
        spread = np.full(3, float(rng.uniform(1, 10)))
        noise = cv2.randn(np.empty((SIDE, SIDE, 3), np.int16), np.zeros(3), spread)
        image = np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)
    contrast, lift = float(rng.uniform(0.75, 1.2)), float(rng.normal(0, 10))
    curve = np.clip((np.arange(256) - 128) * contrast + 128 + lift, 0, 255).astype(np.uint8)
    image = curve[image]
    if rng.random() < 0.6:
        quality = int(rng.integers(35, 96))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return image


def _separate(stage: Stage) -> None:
    """Make fragments of covered things into things of their own, unless the main piece is most of the thing.

    A person who sees a click on a distant fragment would outline the fragment.
    """
    owner = _table(stage)[:, 0][stage.leaves]
    for number in range(1, stage.objects + 1):
        mask = (owner == number).astype(np.uint8)
        if not mask.any():
            continue
        x, y, w, h = cv2.boundingRect(mask)
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask[y : y + h, x : x + w], connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if count <= 2 or areas.max() >= 0.75 * areas.sum():
            continue
        main = 1 + int(areas.argmax())
        view = stage.leaves[y : y + h, x : x + w]
        for k in range(1, count):
            if k == main or areas[k - 1] < 60 or stage.objects >= 250:
                continue
            stage.objects += 1
            inside = pieces == k
            for leaf in np.unique(view[inside]):
                if len(stage.rows) >= MAX_LEAVES:
                    return
                ground = stage.rows[leaf][3]
                view[inside & (view == leaf)] = len(stage.rows)
                stage.rows.append((stage.objects, 0, 0, ground))  # the parts stay with the main piece


def _table(stage: Stage) -> NDArray[np.uint8]:
    table = np.zeros((256, 4), np.uint8)
    table[: len(stage.rows)] = stage.rows or np.zeros((0, 4))
    return table


def render_scene(seed: int, bank: Image, photographs: Photographs | None = None) -> Scene:
    """The scene of this seed: image, leaves and table. The same seed, bank and photographs give the same scene."""
    rng = np.random.default_rng(seed)
    cv2.setRNGSeed(seed % 2**31)
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    stage = Stage(rng, bank, random_palette(rng), blank, np.zeros((SIDE, SIDE), np.uint8), [], photographs)
    _grounds(stage)
    if rng.random() < 0.35:  # depth of field: only the ground is out of focus
        stage.image = blurred(stage.image, float(rng.uniform(1, 5)))
    _populate(stage)
    _separate(stage)
    return Scene(_camera(rng, stage.image), stage.leaves, _table(stage))


def scene_bank() -> Image:
    """The bank of surfaces every scene draws from."""
    return make_bank(np.random.default_rng(BANK_SEED))
