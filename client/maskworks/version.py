"""The version of this package, as its metadata has it."""

from typing import Final

VERSION: Final = "0.1.0"
