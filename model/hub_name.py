"""Names of models that transformers loads: `hf:owner/name`, or `hf:owner/name@revision`. Torch-free.

A name is the operator's: it stands in MASKWORKS_MODELS, and jobs may only choose among those.
"""

import re
from typing import Final

PREFIX: Final = "hf:"
FORM: Final = "hf:owner/name or hf:owner/name@revision"
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME: Final = re.compile(rf"hf:({_PART}/)?{_PART}(@{_PART})?")
_TAKEN: Final = re.compile(r".*\.(text|v\d+)")
"""Endings that the names of queues use (`db.queues`)."""


def is_hub_name(name: str) -> bool:
    """Whether the name has the form of a model that transformers loads."""
    return _NAME.fullmatch(name) is not None and _TAKEN.fullmatch(name) is None
