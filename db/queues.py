"""Queues of chunks: one for each model, and one more for the text jobs of each model.

A worker that does not serve text must not get their chunks, and one of an older release does not know that there are
any. It takes from the queue of its model alone.
"""

from typing import Final

TEXT_SUFFIX: Final = ".text"


def text_queue(model: str) -> str:
    """The queue of a model's text jobs. That of its other jobs has the model's own name."""
    return model + TEXT_SUFFIX
