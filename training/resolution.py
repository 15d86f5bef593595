"""Run the same weights at a lower resolution, which costs a fraction for each picture.

The decoder's positions are in the unit square, and the encoder is convolutional apart from its attention windows. So
only the windows change. Each divides the grid of its stage, because attention would include padding.
"""

from model.networks.lite_encoder import LiteEncoder
from model.networks.sam import Sam
from model.networks.tiny_vit import TinyVit, TinyVitBlock


def _window(grid: int, trained: int) -> int:
    """The largest window, up to the trained one, that tiles the grid."""
    return max(w for w in range(1, min(grid, trained) + 1) if grid % w == 0)


def set_side(sam: Sam, side: int) -> None:
    """Change `sam` in place to take (B, 3, side, side). `side` is a multiple of the patch size."""
    encoder, row = sam.image_encoder, sam.row
    assert isinstance(encoder, TinyVit | LiteEncoder)
    grid = side // row.patch_size
    sam.prompt_encoder.grid, sam.prompt_encoder.image_size = grid, side
    sam.mask_decoder.grid = grid
    if isinstance(encoder, LiteEncoder):
        for block in encoder.blocks:
            assert isinstance(block, TinyVitBlock)
            block.window = _window(grid, block.attn.window)
        return
    stride = 1
    for stage, layer in zip(row.stages, encoder.layers, strict=True):
        stride *= stage.stride
        for block in layer.blocks:  # type: ignore[union-attr]
            if isinstance(block, TinyVitBlock):
                block.window = _window(side // stride, stage.window_size)
