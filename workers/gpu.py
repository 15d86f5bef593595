"""Memory and utilisation of the GPUs that this process may use, from NVML. On other devices there is nothing."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import pynvml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

MEMORY: Final = "maskworks_gpu_memory_bytes"
UTILISATION: Final = "maskworks_gpu_utilisation_ratio"


class GpuCollector(Collector):
    """Asks NVML at each scrape. `library` is pynvml, or what stands in for it."""

    def __init__(self, library: Any = pynvml) -> None:
        self._nvml = library
        self._devices: list[Any] = []
        try:
            library.nvmlInit()
            self._devices = list(self._visible())
        except library.NVMLError as error:
            log.info("no figures of GPUs: %s", error)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory = GaugeMetricFamily(MEMORY, "Memory of the GPU, used by anybody and in total.", labels=["gpu", "kind"])
        busy = GaugeMetricFamily(UTILISATION, "Part of the time in which the GPU computed.", labels=["gpu"])
        for i, device in enumerate(self._devices):
            with suppress(self._nvml.NVMLError):
                found = self._nvml.nvmlDeviceGetMemoryInfo(device)
                memory.add_metric([str(i), "used"], found.used)
                memory.add_metric([str(i), "total"], found.total)
            with suppress(self._nvml.NVMLError):  # a part of a GPU (MIG) has no figure of its own
                busy.add_metric([str(i)], self._nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
        yield memory
        yield busy

    def _visible(self) -> Iterable[Any]:
        """The devices of CUDA_VISIBLE_DEVICES, numbers or UUIDs, in its order. A container sees its own GPUs only."""
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = [str(i) for i in range(self._nvml.nvmlDeviceGetCount())] if named is None else named.split(",")
        for name in filter(None, map(str.strip, names)):
            if name.isdigit():
                yield self._nvml.nvmlDeviceGetHandleByIndex(int(name))
            else:
                yield self._nvml.nvmlDeviceGetHandleByUUID(name)
