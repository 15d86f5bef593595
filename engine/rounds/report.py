"""What the rounds came to: a table, JSON, and a picture of clicks a mask with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final

from engine.rounds.clicks import Clicks
from engine.rounds.plan import Plan
from evaluation.bootstrap import Interval

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 560, 300, 60, 40, 250
_STYLE: Final = "<style>text{font:12px sans-serif;fill:#333}.a{stroke:#999}.l{stroke-width:2;fill:none}</style>"
_LINES: Final = (("check", "the same pictures", "#00897b"), ("assisted", "new pictures", "#c2185b"))
Row = dict[str, Any]


def figures(measured: Sequence[Mapping[str, Any]], plan: Plan) -> dict[str, Any]:
    """Intervals of each round, and whether the clicks on the same pictures surely fell."""
    first = Clicks(measured[0]["check"])
    rows = [_row(one, first) for one in measured]
    last = rows[-1]["check_minus_shipped"]
    return {"plan": asdict(plan), "rounds": rows, "falls": bool(last is not None and last["high"] < 0)}


def _row(one: Mapping[str, Any], first: Clicks) -> Row:
    row: Row = {"weights": one["weights"]}
    for name in ("check", "assisted", "semi_automatic"):
        row[name] = _both(Clicks(one[name])) if name in one else None
    row["filled"] = one.get("filled")
    row["check_minus_shipped"] = asdict(Clicks(one["check"]).minus(first)) if one["weights"] else None
    return row


def _both(clicks: Clicks) -> Row:
    known = clicks.intervals()
    masks = sum(map(len, clicks.pictures))
    return {"pictures": len(clicks.pictures), "masks": masks} | {name: asdict(one) for name, one in known.items()}


def table(found: Mapping[str, Any]) -> str:
    """A Markdown table: a row for each set of weights."""
    lines = [
        "| Weights | Same pictures | Minus shipped | Accepted | New pictures | With fill-in | Filled in, right |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["rounds"]:
        weights = "shipped" if row["weights"] == 0 else f"after round {row['weights']}"
        check, filled = row["check"], row["filled"]
        told = f"{filled['masks']}, {filled['right']}" if filled else ""
        accepted = f"{check['accepted']['value']:.2f}"
        fields = (_said(check), _interval(row["check_minus_shipped"], "+"), accepted, _said(row["assisted"]))
        lines.append(f"| {weights} | " + " | ".join((*fields, _said(row["semi_automatic"]), told)) + " |")
    return "\n".join(lines)


def _said(of: Row | None) -> str:
    return _interval(of["clicks"]) if of else ""


def _interval(one: Mapping[str, float] | None, sign: str = "") -> str:
    return "" if one is None else "{:{s}.2f} ({:{s}.2f} to {:{s}.2f})".format(*_values(one), s=sign)


def _values(one: Mapping[str, float]) -> tuple[float, float, float]:
    known = Interval(**one)
    return known.value, known.low, known.high


def svg(found: Mapping[str, Any]) -> str:
    """Clicks a mask by the weights, with the intervals as bars."""
    plan, rows = found["plan"], found["rounds"]
    title = f"Clicks a mask to IoU {plan['target']:.2f}, {plan['family']}"
    lines = "".join(_line(rows, name, plan["most"], shift * 8 - 4) for shift, name in enumerate(_LINES))
    ticks = "".join(
        f'<text x="{LEFT - 8}" y="{_y(k, plan["most"]) + 4:.0f}" text-anchor="end">{k}</text>'
        for k in range(0, plan["most"] + 1, 2)
    )
    names = ("shipped", *(f"after round {row['weights']}" for row in rows[1:]))
    below = "".join(
        f'<text x="{_x(k, len(rows)):.0f}" y="{BOTTOM + 20}" text-anchor="middle">{name}</text>'
        for k, name in enumerate(names)
    )
    keys = "".join(
        f'<text x="{LEFT + 10 + 140 * k}" y="{HEIGHT - 8}" style="fill:{colour}">{name}</text>'
        for k, (_, name, colour) in enumerate(_LINES)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{_STYLE}<rect width='100%' height='100%' fill='#fff'/>"
        f'<text x="{LEFT}" y="20">{escape(title)}</text>{ticks}{below}{keys}{lines}'
        f'<path class="a" d="M{LEFT} {TOP}V{BOTTOM}H{WIDTH - 20}" fill="none"/></svg>\n'
    )


def _line(rows: Sequence[Row], name: tuple[str, str, str], most: int, shift: float) -> str:
    key, _, colour = name
    known = [(_x(k, len(rows)) + shift, _values(row[key]["clicks"])) for k, row in enumerate(rows) if row[key]]
    path = " ".join(f"{x:.1f},{_y(value[0], most):.1f}" for x, value in known)
    bars = "".join(f"M{x:.1f} {_y(low, most):.1f}V{_y(high, most):.1f}" for x, (_, low, high) in known)
    return f'<polyline class="l" stroke="{colour}" points="{path}"/><path stroke="{colour}" d="{bars}"/>'


def _x(place: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - 20) * (place + 0.5) / count


def _y(clicks: float, most: int) -> float:
    return BOTTOM - (BOTTOM - TOP) * clicks / most
