"""The figures of GPUs. Most machines have none: a library of the same functions stands in for NVML."""

from types import SimpleNamespace
from typing import Any

import pytest

from workers.gpu import GpuCollector, GpuMemory, Gpus


class Nvml:
    """Three GPUs. The last is a part of one and has no utilisation."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return ["GPU-a", "GPU-b", "MIG-c"].index(uuid)

    def nvmlDeviceGetName(self, device: int) -> str:
        return f"GPU {device}"

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(used=device * 10, total=100)

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        if device == 2:
            raise self.NVMLError
        return SimpleNamespace(gpu=50 + device)


@pytest.mark.parametrize(
    ("visible", "used", "utilisation"),
    [(None, [0, 10, 20], [0.5, 0.51]), ("1", [10], [0.51]), ("MIG-c, GPU-a", [20, 0], [0.5]), ("", [], [])],
)
def test_figures_are_of_the_visible_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, used: list[int], utilisation: list[float]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    memory, busy = GpuCollector(Gpus(Nvml())).collect()
    assert [s.value for s in memory.samples if s.labels["kind"] == "used"] == used
    assert [s.value for s in busy.samples] == utilisation


def test_memory_is_that_of_the_named_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    gpus = Gpus(Nvml())
    assert gpus.memory(1) == GpuMemory("GPU 1", 10, 100) and gpus.memory(2) is None


def test_without_a_driver_there_are_none() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert [family.samples for family in GpuCollector(Gpus()).collect()] == [[], []]
