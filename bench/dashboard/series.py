"""Samples of the metrics of several processes over time, as Prometheus would keep them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Samples = list[tuple[float, float]]


@dataclass
class Series:
    """(time, value) by the labels of a series, by its name. `instance` is the address of the process."""

    by_name: dict[str, dict[Labels, Samples]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, text: str, instance: str, at: float) -> None:
        """What a scrape of /metrics answered."""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted({**sample.labels, "instance": instance}.items()))
                self.by_name[sample.name].setdefault(labels, []).append((at, sample.value))

    def scrape(self, addresses: Mapping[str, str], at: float) -> None:
        """Ask each process. One that does not answer has no samples at that time."""
        for address in addresses.values():
            try:
                with urlopen(f"http://{address}/metrics", timeout=5) as answer:
                    self.add(answer.read().decode(), address, at)
            except (URLError, ConnectionError, TimeoutError):
                continue

    def named(self, name: str) -> Iterator[tuple[dict[str, str], Samples]]:
        for labels, samples in self.by_name.get(name, {}).items():
            yield dict(labels), samples
