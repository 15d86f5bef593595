"""Whether prompts fit the image they came with. Torch-free."""

from collections.abc import Iterable

import numpy as np

from model.errors import PromptOutOfBounds
from model.spec import Prompt


def check_prompts(prompts: Iterable[Prompt], height: int, width: int) -> None:
    """Raises PromptOutOfBounds naming the first prompt that reaches outside height x width pixels.

    Points and box corners may lie on the outer edge (x = width, y = height). A mask given as RLE has the
    image's size exactly.
    """
    for prompt in prompts:
        corners = [prompt.box[:2], prompt.box[2:]] if prompt.box is not None else []
        for x, y in [*prompt.points, *corners]:
            if not (0 <= x <= width and 0 <= y <= height):
                reach = f"({x:g}, {y:g}) is outside {width}x{height} pixels"
                raise PromptOutOfBounds(f"prompt {prompt.id!r}: {reach}")
        mask = prompt.mask
        if mask is None or isinstance(mask, np.ndarray) or mask["size"] == [height, width]:
            continue
        sizes = f"a mask of size {mask['size']} for an image of {[height, width]}"
        raise PromptOutOfBounds(f"prompt {prompt.id!r}: {sizes}")
