"""What automatic generation needs to know of each full-size mask before deciding to keep it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Measures:
    """Of N masks, in pixels of their crop; tensors on the masks' device.

    `above` and `below`: int64 (N,) pixels with logit > +offset and > −offset. `boxes`: int64 (N, 4) x0, y0, x1, y1
    of logit > 0, inclusive ends, zeros for an empty mask.
    """

    above: Tensor
    below: Tensor
    boxes: Tensor

    @property
    def stability(self) -> Tensor:
        """above / below, float32 (N,); NaN where no pixel lies above −offset."""
        return self.above / self.below
