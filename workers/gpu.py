"""Memory and utilisation of the GPUs that this process may use, from NVML. On other devices there is nothing."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pynvml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

MEMORY: Final = "maskworks_gpu_memory_bytes"
UTILISATION: Final = "maskworks_gpu_utilisation_ratio"


@dataclass(frozen=True)
class GpuMemory:
    """The memory of a GPU: used by anybody, and in total."""

    name: str
    used: int
    total: int


class Gpus:
    """The GPUs of CUDA_VISIBLE_DEVICES, in its order. `library` is pynvml, or what stands in for it."""

    def __init__(self, library: Any = pynvml) -> None:
        self._nvml = library
        self._devices: list[Any] = []
        try:
            library.nvmlInit()
            self._devices = list(self._visible())
        except library.NVMLError as error:
            log.info("no figures of GPUs: %s", error)

    def __len__(self) -> int:
        return len(self._devices)

    def memory(self, i: int) -> GpuMemory | None:
        """None where there is no such GPU, or where it says nothing."""
        if i >= len(self._devices):
            return None
        with suppress(self._nvml.NVMLError):
            found = self._nvml.nvmlDeviceGetMemoryInfo(self._devices[i])
            return GpuMemory(self._nvml.nvmlDeviceGetName(self._devices[i]), found.used, found.total)
        return None

    def utilisation(self, i: int) -> float | None:
        """Part of the time in which it computed. A part of a GPU (MIG) has no figure of its own."""
        with suppress(self._nvml.NVMLError):
            return float(self._nvml.nvmlDeviceGetUtilizationRates(self._devices[i]).gpu) / 100
        return None

    def _visible(self) -> Iterable[Any]:
        """Numbers or UUIDs name them. A container sees its own GPUs only."""
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = [str(i) for i in range(self._nvml.nvmlDeviceGetCount())] if named is None else named.split(",")
        for name in filter(None, map(str.strip, names)):
            if name.isdigit():
                yield self._nvml.nvmlDeviceGetHandleByIndex(int(name))
            else:
                yield self._nvml.nvmlDeviceGetHandleByUUID(name)


class GpuCollector(Collector):
    """Asks NVML at each scrape."""

    def __init__(self, gpus: Gpus) -> None:
        self._gpus = gpus

    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory = GaugeMetricFamily(MEMORY, "Memory of the GPU, used by anybody and in total.", labels=["gpu", "kind"])
        busy = GaugeMetricFamily(UTILISATION, "Part of the time in which the GPU computed.", labels=["gpu"])
        for i in range(len(self._gpus)):
            if (found := self._gpus.memory(i)) is not None:
                memory.add_metric([str(i), "used"], found.used)
                memory.add_metric([str(i), "total"], found.total)
            if (part := self._gpus.utilisation(i)) is not None:
                busy.add_metric([str(i)], part)
        yield memory
        yield busy
