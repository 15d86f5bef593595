"""Torch's device errors come out as this package's own, and nothing else is touched."""

import pytest
import torch

from model.device import device_errors
from model.errors import DeviceLost, OutOfMemory


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(torch.OutOfMemoryError, OutOfMemory), (torch.AcceleratorError, DeviceLost), (ValueError, ValueError)],
)
def test_device_errors_are_ours(raised: type[Exception], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="told"), device_errors():
        raise raised("told")


def test_a_cpu_allocation_that_can_not_be_had_is_no_lost_device() -> None:
    with pytest.raises(RuntimeError), device_errors():
        torch.empty(1 << 60, dtype=torch.uint8)
