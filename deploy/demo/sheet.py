"""`python -m deploy.demo.sheet`: make docs/masks.jpg, the picture of the README, from four pictures of `make demo`."""

import sys
from pathlib import Path

from PIL import Image

OVERLAYS = ("automatic-astronaut", "automatic-coins", "prompted-chelsea", "prompted-coffee")
HEIGHT = 300
GAP = 6


def sheet(folder: Path) -> Image.Image:
    """The overlays of that folder in a row, all of one height, on white."""
    pictures = [Image.open(folder / f"{name}.png").convert("RGB") for name in OVERLAYS]
    scaled = [p.resize((round(p.width * HEIGHT / p.height), HEIGHT), Image.Resampling.LANCZOS) for p in pictures]
    row = Image.new("RGB", (sum(p.width + GAP for p in scaled) - GAP, HEIGHT), "white")
    x = 0
    for picture in scaled:
        row.paste(picture, (x, 0))
        x += picture.width + GAP
    return row


def main() -> int:
    out = Path("docs/masks.jpg")
    out.parent.mkdir(exist_ok=True)
    sheet(Path("demo-out")).save(out, quality=88)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
