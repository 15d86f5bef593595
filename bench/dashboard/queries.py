"""Evaluate the part of PromQL that the dashboard uses, as Prometheus does.

Selectors, `rate`, `increase`, `histogram_quantile`, aggregations `by` labels, division, `>` a number.
The rest is refused.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import promql_parser as promql

from bench.dashboard.series import Labels, Samples, Series

Vector = dict[Labels, float]
AGGREGATIONS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "count": len,
    "avg": lambda values: math.fsum(values) / len(values),
}


class Unsupported(Exception):
    """The dashboard uses a part of PromQL that is not evaluated here."""


@dataclass(frozen=True)
class Query:
    """An expression at any time of a run. A series without a sample for `stale` seconds has ended."""

    series: Series
    stale: float

    def at(self, expression: str, time: float) -> Vector:
        return self._value(promql.parse(expression), time)

    def _value(self, node: Any, time: float) -> Vector:
        match node:
            case promql.VectorSelector():
                return self._instant(node, time)
            case promql.AggregateExpr():
                return _aggregate(node, self._value(node.expr, time))
            case promql.Call() if node.func.name in ("rate", "increase"):
                return self._growth(node.args[0], time, per_second=node.func.name == "rate")
            case promql.Call() if node.func.name == "histogram_quantile":
                return _quantiles(node.args[0].val, self._value(node.args[1], time))
            case promql.BinaryExpr() if str(node.op) == "/" and node.modifier is None:
                return _ratio(self._value(node.lhs, time), self._value(node.rhs, time))
            case promql.BinaryExpr() if str(node.op) == ">" and isinstance(node.rhs, promql.NumberLiteral):
                return {labels: value for labels, value in self._value(node.lhs, time).items() if value > node.rhs.val}
        raise Unsupported(str(node))

    def _instant(self, selector: Any, time: float) -> Vector:
        found = {}
        for labels, samples in self._selected(selector):
            index = bisect_right(samples, (time, math.inf)) - 1
            if index >= 0 and time - samples[index][0] < self.stale:
                found[_key(labels)] = samples[index][1]
        return found

    def _growth(self, selector: Any, time: float, per_second: bool) -> Vector:
        span = selector.range.total_seconds()
        found = {}
        for labels, samples in self._selected(selector.vector_selector):
            first = bisect_right(samples, (time - span, math.inf))
            window = samples[first : bisect_left(samples, (time, math.inf))]
            if len(window) > 1:
                found[_key(labels)] = _increase(window, time - span, time) / (span if per_second else 1)
        return found

    def _selected(self, selector: Any) -> list[tuple[dict[str, str], Samples]]:
        wanted = selector.matchers.matchers
        return [
            (labels, samples)
            for labels, samples in self.series.named(selector.name)
            if all(_matches(matcher, labels.get(matcher.name, "")) for matcher in wanted)
        ]


def _increase(window: Samples, start: float, end: float) -> float:
    """How much a counter grew from `start` to `end`, where samples lie between (Prometheus' `extrapolatedRate`)."""
    grown = window[-1][1] - window[0][1]
    grown += sum(before for (_, before), (_, after) in pairwise(window) if after < before)
    sampled = window[-1][0] - window[0][0]
    between = sampled / (len(window) - 1)
    to_start, to_end = window[0][0] - start, end - window[-1][0]
    to_start = to_start if to_start < between * 1.1 else between / 2
    to_end = to_end if to_end < between * 1.1 else between / 2
    if grown > 0:  # a counter is not taken below zero
        to_start = min(to_start, sampled * window[0][1] / grown)
    return grown * (sampled + to_start + to_end) / sampled


def _aggregate(node: Any, values: Vector) -> Vector:
    if node.modifier is not None and node.modifier.type != promql.AggModifierType.By:
        raise Unsupported(str(node))
    kept = set(node.modifier.labels) if node.modifier else set()
    groups: dict[Labels, list[float]] = defaultdict(list)
    for labels, value in values.items():
        groups[tuple(pair for pair in labels if pair[0] in kept)].append(value)
    combine = AGGREGATIONS.get(str(node.op))
    if combine is None:
        raise Unsupported(str(node))
    return {labels: float(combine(group)) for labels, group in groups.items()}


def _quantiles(wanted: float, buckets: Vector) -> Vector:
    groups: dict[Labels, Samples] = defaultdict(list)
    for labels, value in buckets.items():
        edge = float(dict(labels)["le"])
        groups[tuple(pair for pair in labels if pair[0] != "le")].append((edge, value))
    return {labels: _quantile(wanted, sorted(group)) for labels, group in groups.items()}


def _quantile(wanted: float, buckets: Samples) -> float:
    """Linear within a bucket, and the edge below it in the last."""
    rank = wanted * buckets[-1][1]
    if not rank:
        return math.nan
    place = next(i for i, (_, below) in enumerate(buckets) if below >= rank)
    edge, below = buckets[place]
    low, before = buckets[place - 1] if place else (0.0, 0.0)
    return low if math.isinf(edge) else low + (edge - low) * (rank - before) / (below - before)


def _ratio(above: Vector, below: Vector) -> Vector:
    return {
        labels: value / below[labels] if below[labels] else math.nan
        for labels, value in above.items()
        if labels in below
    }


def _matches(matcher: Any, value: str) -> bool:
    kind = str(matcher.op).rpartition(".")[2]
    if kind in ("Equal", "NotEqual"):
        return bool(value == matcher.value) == (kind == "Equal")
    return bool(re.fullmatch(matcher.value, value)) == (kind == "Re")


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))
