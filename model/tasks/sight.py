"""What the first step of a task has of an image, and the models it may use."""

from dataclasses import dataclass

from model.masks.frames import Frame, Pixels, whole
from model.networks.protocol import Row
from model.words.protocol import Words


@dataclass(frozen=True)
class Sight:
    """An image of `size` (H, W) before a network of scales `row`.

    `pixels`: uint8 (H, W, 3), or None where only the embedding is there. `words`: the model for text, if there is one.
    """

    size: tuple[int, int]
    row: Row
    pixels: Pixels | None = None
    words: Words | None = None

    @property
    def frame(self) -> Frame:
        """Where the whole image lies in the network's input."""
        return whole(*self.size, self.row.image_size, self.row.stretched)
