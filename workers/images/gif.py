"""Count the pictures of a GIF without decoding them."""

from workers.images.raster import MAX_FRAMES

_EXTENSION, _PICTURE = 0x21, 0x2C


def count_frames(data: bytes) -> int:
    """Pictures up to the end of the data or MAX_FRAMES; at least 1."""
    at = 13 + _table_bytes(data[10:11])
    frames = 0
    while at < len(data) and frames < MAX_FRAMES:
        if data[at] == _EXTENSION:
            at += 2
        elif data[at] == _PICTURE:
            frames += 1
            at += 11 + _table_bytes(data[at + 9 : at + 10])
        else:
            break
        while at < len(data) and data[at]:  # sub-blocks, each with its length; an empty one ends them
            at += 1 + data[at]
        at += 1
    return max(1, frames)


def _table_bytes(flags: bytes) -> int:
    """The size of the colour table that a flag byte announces."""
    return 3 * (2 << (flags[0] & 7)) if flags and flags[0] & 0x80 else 0
