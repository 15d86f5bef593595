"""Draw workers and work over time as SVG: one panel for each policy."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

Line = Sequence[tuple[float, int, float]]
WIDTH: Final = 760
PANEL: Final = 170
LEFT: Final = 60
TOP: Final = 40
_STYLE: Final = (
    "<style>text{font:12px sans-serif;fill:#333}.a{stroke:#333;opacity:.35}"
    ".w{fill:none;stroke:#00897b;stroke-width:1.5}.l{fill:#f5a623;opacity:.35}</style>"
)


def svg(panels: Mapping[str, Line], title: str) -> str:
    """`panels`: (seconds, workers, seconds of work left) by what to write above."""
    end = max(line[-1][0] for line in panels.values()) or 1.0
    most = max(workers for line in panels.values() for _, workers, _ in line) or 1
    work = max(left for line in panels.values() for _, _, left in line) or 1.0
    drawn = [_panel(name, line, i, end, most, work) for i, (name, line) in enumerate(panels.items())]
    height = TOP + len(panels) * (PANEL + 40)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title>{_STYLE}<rect width='100%' height='100%' fill='#fff'/>"
        f'<text x="{LEFT}" y="18">{escape(title)}</text>{"".join(drawn)}</svg>\n'
    )


def _panel(name: str, line: Line, number: int, end: float, most: int, work: float) -> str:
    top = TOP + number * (PANEL + 40)
    bottom, wide = top + PANEL, WIDTH - LEFT - 20

    def points(values: Sequence[tuple[float, float]], highest: float) -> str:
        kept = values[:: max(1, len(values) // 700)]
        return " ".join(f"{LEFT + wide * x / end:.1f},{bottom - PANEL * y / highest:.1f}" for x, y in kept)

    workers = points([(at, n) for at, n, _ in line], most)
    left = points([(line[0][0], 0), *((at, n) for at, _, n in line), (line[-1][0], 0)], work)
    hours = "".join(
        f'<text x="{LEFT + wide * hour * 3600 / end:.0f}" y="{bottom + 15}" text-anchor="middle">{hour} h</text>'
        for hour in range(0, int(end // 3600) + 1, 2)
    )
    return (
        f'<text x="{LEFT}" y="{top - 6}">{escape(name)}</text>'
        f'<polygon class="l" points="{left}"/><polyline class="w" points="{workers}"/>'
        f'<path class="a" d="M{LEFT} {top}V{bottom}H{LEFT + wide}" fill="none"/>'
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>{hours}'
    )
