"""What can go wrong inside `model`, typed where it is known; callers map these, nothing here maps them.

ModelError
├── CheckpointError       weights cannot be found, read, verified or fitted to a row
├── UnknownModel          no row of that name
└── PromptOutOfBounds     a prompt does not fit its image (also a ValueError)
"""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot do what was asked."""


class CheckpointError(ModelError):
    """The weights cannot be used; the message says which file, why, and what to do."""


class UnknownModel(ModelError, LookupError):
    """No row of `model.sizes.SIZES` has that name; the message lists those that exist."""


class PromptOutOfBounds(ModelError, ValueError):
    """A prompt's point or box lies outside the upright image, or its mask is of another size."""


class OutOfMemory(ModelError):
    """One image alone does not fit into the device's memory; smaller batches were tried before."""


class DeviceLost(ModelError):
    """A sticky device error (illegal access, device assert): every later call fails too. End the process."""
