"""The picture of the dashboard: expressions are evaluated by the rules of Prometheus, and every panel can be drawn."""

import json
import math
from xml.etree import ElementTree

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from bench.dashboard.__main__ import DASHBOARD
from bench.dashboard.picture import lines, svg
from bench.dashboard.queries import Query, Unsupported
from bench.dashboard.series import Series

PANELS = json.loads(DASHBOARD.read_text())["panels"]


def at(series: Series, expression: str, time: float = 60) -> dict[str, float]:
    """Values by their labels, without names of labels."""
    found = Query(series, stale=25).at(expression, time)
    return {" ".join(value for _, value in labels): value for labels, value in found.items()}


@pytest.fixture
def series() -> Series:
    """A minute of two processes, scraped every ten seconds. The second begins anew after half of it."""
    series = Series()
    for instance, restarted in (("a", math.inf), ("b", 30)):
        registry = CollectorRegistry()
        items = Counter("items", "…", ["outcome"], registry=registry)
        seconds = Histogram("seconds", "…", buckets=(1, 2, 4), registry=registry)
        for time in range(0, 61, 10):
            if time > restarted:
                items.clear()
                restarted = math.inf
            items.labels("computed").inc(13)
            for value in (0.5, 1.5, 3, 3):
                seconds.observe(value)
            series.add(generate_latest(registry).decode(), instance, time)
    return series


def test_rates_are_those_of_prometheus(series: Series) -> None:
    assert at(series, "sum by (outcome) (rate(items_total[40s]))") == {"computed": pytest.approx(2.6)}
    # From 10 s on: 26, 39, 52, 13, 26, 39. What it grew in 50 s, and half a step at the left edge.
    assert at(series, "increase(items_total[1m])")["b computed"] == pytest.approx(78)
    assert at(series, 'sum(items_total{outcome!~"comp.*"})') == {}
    assert at(series, "max(items_total)", 90) == {}  # nothing was read for 25 seconds
    assert at(series, 'count(items_total{outcome="computed"} > 80)') == {"": 1}


def test_quantiles_lie_inside_their_buckets(series: Series) -> None:
    def quantile(share: float) -> float:
        (value,) = at(series, f"histogram_quantile({share}, sum by (le) (rate(seconds_bucket[40s])))").values()
        return value

    assert [quantile(share) for share in (0.25, 0.5, 0.75, 1)] == pytest.approx([1, 2, 3, 4])
    mean = "sum(rate(seconds_sum[40s])) / sum(rate(seconds_count[40s]))"
    assert at(series, mean) == {"": pytest.approx(2)}


def test_what_is_not_evaluated_is_refused(series: Series) -> None:
    for expression in ("topk(1, items_total)", "items_total + 1", "sum without (outcome) (items_total)"):
        with pytest.raises(Unsupported):
            at(series, expression)


def test_every_panel_is_evaluated_and_drawn(series: Series) -> None:
    times = [float(time) for time in range(0, 61, 10)]
    query = Query(series, stale=25)
    empty = [(panel, lines(panel, query, times, 40)) for panel in PANELS]
    assert [drawn for _, drawn in empty if drawn] == []
    for panel, _ in empty[:2]:  # the first is stacked, the second is not
        panel["targets"] = [{"expr": "sum by (instance) (items_total)", "legendFormat": "of <{{instance}}>"}]
    picture = svg([(panel, lines(panel, query, times, 40)) for panel, _ in empty], "a & b")
    texts = [each.text for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("text")]
    assert texts.count("of <a>") == texts.count("of <b>") == 2 and texts.count("no data") == len(PANELS) - 2
    assert (
        {panel["title"] for panel in PANELS} < set(texts) and "200" in texts and "100 s" in texts
    )  # their sum, and the larger
