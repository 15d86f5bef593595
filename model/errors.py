"""Errors of the model.

ModelError
├── CheckpointError       weights cannot be found, read, verified or fitted to a row
├── UnknownModel          there is no model of that name (also a LookupError)
├── PromptOutOfBounds     a prompt does not fit its image (also a ValueError)
├── TaskNotServed         the segmenter has no model for this task
├── OutOfMemory           the batch does not fit into the device's memory
└── DeviceLost            the device fails until the process ends
"""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot do what was asked."""


class CheckpointError(ModelError):
    """The weights cannot be used; the message says which file, why, and what to do."""


class UnknownModel(ModelError, LookupError):
    """No model has that name; the message lists those that exist."""


class PromptOutOfBounds(ModelError, ValueError):
    """A prompt's point or box lies outside the upright image, or its mask is of another size."""


class TaskNotServed(ModelError):
    """The segmenter cannot do a task of this kind; the message says what is missing."""


class OutOfMemory(ModelError):
    """The batch does not fit into the device's memory; a smaller one may."""


class DeviceLost(ModelError):
    """The device has failed (illegal access, device assert), and every later call will fail too. End the process."""
