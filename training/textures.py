"""Procedural surfaces: a bank of periodic grey tiles, and colour ramps that turn them into materials.

A tile is made once and used thousands of times: one affine warp scales, rotates and shifts it, and one table look-up
colours it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

TILE = 256  # px, a side; every tile repeats seamlessly


@dataclass(frozen=True)
class Palette:
    """The colours of a scene. Real scenes rarely have every hue at every saturation."""

    hue: float  # centre, 0-1
    hue_spread: float  # 1 = any hue
    saturation: float  # ceiling, 0 = grey
    value: tuple[float, float]


def blurred(image: Image, sigma: float) -> Image:
    """Gaussian blur, any number of channels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _normalise(field: NDArray[np.floating]) -> Image:
    """Stretch between the 1st and 99th percentile to 0-255."""
    low, high = np.percentile(field, (1, 99))
    scaled = (field - low) / max(float(high - low), 1e-9)
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


def spectral_noise(rng: np.random.Generator, slope: float, anisotropy: float = 1.0, low_cut: float = 0) -> Image:
    """1/f^slope noise; anisotropy stretches it along x (grain, fur, brushed metal)."""
    fy = np.fft.fftfreq(TILE)[:, None] * TILE
    fx = np.fft.rfftfreq(TILE)[None, :] * TILE * anisotropy
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    amplitude = np.where(radius < low_cut, 0, radius**-slope)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    return _normalise(np.fft.irfft2(amplitude * np.exp(1j * phase), s=(TILE, TILE)))


def cellular(rng: np.random.Generator, cells: int, style: str) -> Image:
    """Worley noise on a torus: pebbles (distance), flat tiles (one value a cell) or cracks (F2 - F1)."""
    side = max(2, int(cells**0.5))
    jitter = rng.uniform(0.05, 0.95, (side, side, 2))
    points = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) + jitter).reshape(-1, 2) * TILE / side
    axis = np.arange(TILE, dtype=np.float32)
    dx = np.abs(axis[None] - points[:, :1])
    dy = np.abs(axis[None] - points[:, 1:])
    dx, dy = np.minimum(dx, TILE - dx) ** 2, np.minimum(dy, TILE - dy) ** 2
    square = dy[:, :, None] + dx[:, None, :]  # (points, y, x)
    if style == "flat":
        shades: Image = rng.integers(0, 256, len(points)).astype(np.uint8)
        return np.asarray(shades[square.argmin(0)], np.uint8)
    nearest = np.sqrt(np.partition(square, 1, axis=0)[:2])
    if style == "cracks":
        return _normalise(np.minimum(nearest[1] - nearest[0], TILE / side / 6))
    return _normalise(-nearest[0])


def periodic(rng: np.random.Generator, kind: str) -> Image:
    """Stripes, checks, bricks, dots or weave, with edges softened and warped a little."""
    count = int(rng.integers(4, 24))
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    bend = float(rng.choice([0, 0, 0.01, 0.03]))
    x, y = x + bend * np.sin(2 * np.pi * y), y + bend * np.sin(2 * np.pi * x)
    duty = float(rng.uniform(0.15, 0.6))
    if kind == "stripes":
        field = (x * count % 1 < duty).astype(np.float32)
        if rng.random() < 0.4:
            field += 0.5 * (x * count * 2 % 1 < duty / 2)
    elif kind == "sine":
        field = np.sin(2 * np.pi * count * x) * (np.sin(2 * np.pi * count * y) if rng.random() < 0.5 else 1)
    elif kind == "checks":
        field = np.floor(x * count * 2) % 2 + (np.floor(y * count * 2) % 2) * float(rng.choice([1, -1, 0.5]))
    elif kind == "bricks":
        row = np.floor(y * count * 2)
        mortar = ((x * count + 0.5 * (row % 2)) % 1 < 0.08) | ((y * count * 2) % 1 < 0.16)
        field = 0.3 * np.sin(row * 12.9 + np.floor(x * count + 0.5 * (row % 2)) * 78.2) + 1 - 1.2 * mortar
    elif kind == "dots":
        field = -np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5).astype(np.float32)
        field = np.clip((field + duty * 0.6) * 12, 0, 1)
    else:  # weave
        field = np.where(
            (np.floor(x * count * 2) + np.floor(y * count * 2)) % 2 > 0,
            np.sin(2 * np.pi * count * 2 * x),
            np.sin(2 * np.pi * count * 2 * y),
        )
    return blurred(_normalise(field), float(rng.uniform(0.4, 1.6)))


def make_bank(rng: np.random.Generator, tiles: int = 192) -> Image:
    """(tiles, TILE, TILE) uint8: about half 1/f noise, the rest cellular, periodic and mixtures."""
    bank = []
    for _ in range(tiles):
        draw = rng.random()
        if draw < 0.42:
            tile = spectral_noise(rng, float(rng.uniform(0.6, 2.2)), float(rng.choice([1, 1, 1, 2, 5, 12])))
        elif draw < 0.55:
            tile = spectral_noise(rng, float(rng.uniform(1.0, 2.0)), 1.0, low_cut=float(rng.uniform(3, 14)))
            if rng.random() < 0.4:  # two-tone spots: cow, leopard, lichen
                tile = blurred(((tile > rng.integers(90, 180)) * 255).astype(np.uint8), 1)
        elif draw < 0.72:
            tile = cellular(
                rng, int(rng.choice([16, 36, 64, 144, 256])), str(rng.choice(["pebbles", "flat", "cracks"]))
            )
        else:
            kinds = ["stripes", "sine", "checks", "bricks", "dots", "weave"]
            tile = periodic(rng, str(rng.choice(kinds)))
        if rng.random() < 0.35:  # wear: real surfaces are not perfectly regular
            other = spectral_noise(rng, float(rng.uniform(0.8, 1.8)))
            share = float(rng.uniform(0.15, 0.5))
            tile = np.asarray(cv2.addWeighted(tile, 1 - share, other, share, 0), np.uint8)
        bank.append(tile)
    return np.stack(bank)


def random_palette(rng: np.random.Generator) -> Palette:
    low = float(rng.uniform(0.02, 0.35))
    return Palette(
        hue=float(rng.random()),
        hue_spread=float(rng.choice([0.08, 0.2, 0.5, 1, 1])),
        saturation=float(rng.choice([0.0, 0.15, 0.35, 0.6, 0.9], p=[0.06, 0.16, 0.28, 0.3, 0.2])),
        value=(low, float(rng.uniform(max(0.6, low + 0.3), 1))),
    )


def random_colour(rng: np.random.Generator, palette: Palette) -> Floats:
    """RGB, 0-255."""
    hue = (palette.hue + palette.hue_spread * (rng.random() - 0.5)) % 1
    saturation = palette.saturation * rng.random() ** 0.7
    value = rng.uniform(*palette.value)
    channel = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    mix = np.clip(np.minimum(channel, 4 - channel), 0, 1)
    return np.asarray(255 * value * (1 - saturation * mix), np.float32)


def ramp(rng: np.random.Generator, palette: Palette, base: Floats | None = None) -> Image:
    """(256, 3) look-up from grey to RGB. Mostly shades of one colour; sometimes two or three colours."""
    first = random_colour(rng, palette) if base is None else base
    steps = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
    if rng.random() < 0.68:
        strength = float(rng.choice([4, 12, 28, 60])) * float(rng.uniform(0.6, 1.4))
        tint = 1 + rng.normal(0, 0.15, 3).astype(np.float32)
        table = first + steps * strength * tint
    else:
        stops = np.stack([first, random_colour(rng, palette), random_colour(rng, palette)])
        if rng.random() < 0.6:
            stops = stops[:2]
        at = np.linspace(-1, 1, len(stops))
        table = np.stack([np.interp(steps[:, 0], at, stops[:, c]) for c in range(3)], 1)
    return np.clip(table, 0, 255).astype(np.uint8)


def surface(rng: np.random.Generator, bank: Image, table: Image, height: int, width: int) -> Image:
    """(height, width, 3) uint8: a random tile at a random scale, turn and shift, coloured by `table`."""
    tile = bank[rng.integers(len(bank))]
    scale = float(np.exp(rng.uniform(np.log(0.4), np.log(3.0))))
    angle = float(rng.choice([0, 0, np.pi / 2, rng.uniform(0, np.pi)]))
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    stretch = float(np.exp(rng.normal(0, 0.2)))
    shift = rng.uniform(0, TILE, 2)
    matrix = np.array([[cos, -sin * stretch, shift[0]], [sin, cos * stretch, shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = cv2.warpAffine(tile, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
    return np.asarray(table[grey], np.uint8)
