"""What the first step of a task has of an image, and the models it may use."""

from dataclasses import dataclass

from model.masks.frames import Pixels
from model.sizes import Size
from model.words.protocol import Words


@dataclass(frozen=True)
class Sight:
    """An image of `size` (H, W) before a SAM of size `row`.

    `pixels`: uint8 (H, W, 3), or None where only the embedding is there. `words`: the model for text, if there is one.
    """

    size: tuple[int, int]
    row: Size
    pixels: Pixels | None = None
    words: Words | None = None
