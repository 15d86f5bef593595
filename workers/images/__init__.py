"""Bytes → upright RGB pixels, with every limit checked before the memory is spent."""

from workers.images.decode import Upright, decode
from workers.images.formats import FORMATS

__all__ = ["FORMATS", "Upright", "decode"]
