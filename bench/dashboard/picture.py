"""Draw the panels of a Grafana dashboard as SVG, each where the dashboard has it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any, Final

from bench.dashboard.queries import Query
from bench.dashboard.series import Labels

COLUMN: Final = 50
ROW: Final = 29
HEAD: Final = 40
MARGIN: Final = 46
LEGEND: Final = 15
COLOURS: Final = ("#00897b", "#f5a623", "#3f6fd1", "#c2410c", "#8e44ad", "#6b7280", "#b7950b", "#d6336c")
_STYLE: Final = (
    "<style>text{font:11px sans-serif;fill:#444}.h{font-weight:600;fill:#111}.e{text-anchor:end}"
    ".n{text-anchor:middle;fill:#999}.l{fill:none;stroke-width:1.5}.b{fill:#fff;stroke:#ddd}"
    ".g{stroke:#eee}</style>"
)
_SIZES: Final = (("G", 1e9), ("M", 1e6), ("k", 1e3))


@dataclass(frozen=True)
class Line:
    """A series of a panel: (seconds since the begin, value), NaN where there is none."""

    label: str
    points: list[tuple[float, float]]


def lines(panel: Mapping[str, Any], query: Query, times: Sequence[float], interval: float) -> list[Line]:
    """What the panel shows at these times, as Grafana would ask for it."""
    found: dict[str, dict[float, float]] = {}
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", f"{interval:.0f}s")
        for time in times:
            for labels, value in query.at(expression, time).items():
                found.setdefault(_label(target["legendFormat"], labels), {})[time] = value
    drawn = [Line(name, [(time - times[0], got.get(time, math.nan)) for time in times]) for name, got in found.items()]
    return [line for line in drawn if any(math.isfinite(value) for _, value in line.points)]


def svg(panels: Sequence[tuple[Mapping[str, Any], list[Line]]], title: str) -> str:
    height = HEAD + ROW * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each, _ in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" role="img">'
        f"<title>{escape(title)}</title>{_STYLE}<rect width='100%' height='100%' fill='#f4f5f7'/>"
        f'<text class="h" x="10" y="24">{escape(title)}</text>'
        f"{''.join(_panel(panel, drawn) for panel, drawn in panels)}</svg>\n"
    )


def _panel(panel: Mapping[str, Any], drawn: Sequence[Line]) -> str:
    place, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
    x, y = place["x"] * COLUMN + 5, HEAD + place["y"] * ROW
    wide, high = place["w"] * COLUMN - 10, place["h"] * ROW - 8
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    columns = _columns(drawn)
    rows = math.ceil(len(drawn) / columns)
    box = (x + MARGIN, y + 30, x + wide - 10, y + high - 24 - LEGEND * max(rows, 1))
    if not drawn:
        inside = f'<text class="n" x="{x + wide / 2:.0f}" y="{y + high / 2:.0f}">no data</text>'
    else:
        inside = _plot(_stacked(drawn) if stacked else drawn, box, defaults["unit"], stacked)
        inside += _legend(drawn, x + 12, box[3] + 32, (wide - 20) / columns, columns)
    return (
        f'<rect class="b" x="{x}" y="{y}" width="{wide}" height="{high}" rx="4"/>'
        f'<text class="h" x="{x + 12}" y="{y + 18}">{escape(panel["title"])}</text>{inside}'
    )


def _plot(drawn: Sequence[Line], box: tuple[float, float, float, float], unit: str, stacked: bool) -> str:
    left, top, right, bottom = box
    end = drawn[0].points[-1][0] or 1.0
    most = _round_up(max(value for line in drawn for _, value in line.points if math.isfinite(value)))
    heights = [(most * share, bottom - (bottom - top) * share) for share in (0, 0.5, 1)]
    axes = "".join(
        f'<path class="g" d="M{left} {y:.1f}H{right}"/>'
        f'<text class="e" x="{left - 6}" y="{y + 4:.1f}">{_shown(value, unit)}</text>'
        for value, y in heights
    )
    axes += "".join(
        f'<text class="n" x="{left + (right - left) * minute * 60 / end:.1f}" y="{bottom + 15}">{minute} min</text>'
        for minute in range(int(end // 60) + 1)
    )

    def path(run: Sequence[tuple[float, float]], close: bool) -> str:
        at = [f"{left + (right - left) * t / end:.1f} {bottom - (bottom - top) * v / most:.1f}" for t, v in run]
        first, last = (each.split()[0] for each in (at[0], at[-1]))
        return f"M{'L'.join(at)}" + (f"L{last} {bottom}L{first} {bottom}Z" if close else "h0.1")

    shapes = []
    for number, line in reversed(list(enumerate(drawn))):
        colour = COLOURS[number % len(COLOURS)]
        runs = [list(run) for there, run in groupby(line.points, lambda p: math.isfinite(p[1])) if there]
        if stacked:  # the lines below cover the rest
            area = "".join(path(run, close=True) for run in runs)
            shapes.append(f'<path d="{area}" fill="#fff"/><path d="{area}" fill="{colour}" opacity=".35"/>')
        shapes.append(f'<path class="l" stroke="{colour}" d="{"".join(path(run, close=False) for run in runs)}"/>')
    return axes + "".join(shapes)


def _stacked(drawn: Sequence[Line]) -> list[Line]:
    """Each line on top of those before it."""
    found: list[Line] = []
    below = [0.0] * len(drawn[0].points)
    for line in drawn:
        below = [b + (v if math.isfinite(v) else 0.0) for b, (_, v) in zip(below, line.points, strict=True)]
        found.append(Line(line.label, [(t, v) for (t, _), v in zip(line.points, below, strict=True)]))
    return found


def _columns(drawn: Sequence[Line]) -> int:
    """Of the legend. A letter is about six wide."""
    longest = max((len(line.label) for line in drawn), default=0)
    return max(1, min(3, 380 // (6 * longest + 20)))


def _legend(drawn: Sequence[Line], x: float, y: float, wide: float, columns: int) -> str:
    places = [(x + wide * (number % columns), y + LEGEND * (number // columns)) for number in range(len(drawn))]
    return "".join(
        f'<rect x="{left:.0f}" y="{top - 8}" width="9" height="9" fill="{COLOURS[number % len(COLOURS)]}"/>'
        f'<text x="{left + 14:.0f}" y="{top}">{escape(line.label)}</text>'
        for number, (line, (left, top)) in enumerate(zip(drawn, places, strict=True))
    )


def _label(form: str, labels: Labels) -> str:
    values = dict(labels)
    return re.sub(r"{{(\w+)}}", lambda found: values.get(found[1], ""), form)


def _round_up(value: float) -> float:
    """The end of an axis: 1, 2, 4 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * 0.999))


def _shown(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.0%}"
    sign = " s" if unit == "s" else ""
    for letter, size in _SIZES:
        if value >= size:
            return f"{value / size:g} {letter}{sign.strip()}"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1e3:g} ms"
    return f"{value:g}{sign}"
