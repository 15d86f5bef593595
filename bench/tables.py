"""Write the table of docs/performance.md from the files in bench/results/.

    python -m bench.tables

A row for each file, part and precision, with the processor and the load of its run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
START, END = "<!-- Made by `python -m bench.tables`. -->\n", "<!-- End of what it made. -->\n"
HEAD = "| Model | What | Seconds before or beside | Ours | Ratio | Agreement | Processor, threads, load |\n"
RULE = "|---|---|---|---|---|---|---|\n"
Row = dict[str, Any]


def rows(name: str, report: dict[str, Any]) -> Iterator[str]:
    """Lines of the table for one file."""
    for part, tell in TELLERS.items():
        found = report.get(part, {})
        for row in found.get("rows", []):
            told = tell(row)
            if told:
                yield f"| {name} | {' | '.join(told)} | {machine(found['how'])} |\n"


def machine(how: Row) -> str:
    """The processor with its widest features, threads and load."""
    features = [f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f in how.get("features", [])][:2]
    return f"{how['device']} {' '.join(features)}, {how['threads']}, {how['load']}"


def _compare(row: Row) -> tuple[str, ...] | None:
    if "straightforward s" not in row:
        return None
    what = (
        f"{row['what']} points, {row['precision']}"
        if "automatic" in row["what"]
        else f"{row['what']}, {row['precision']}"
    )
    agree = f"{row['masks'][0]} and {row['masks'][1]} masks, least IoU {row['least IoU']}"
    return what, f"{row['straightforward s']} straightforward", str(row["ours s"]), str(row["ratio"]), agree


def _encoder(row: Row) -> tuple[str, ...] | None:
    beside = [f"{row[f'{n} s']} {n}" for n in ("OpenVINO", "transformers") if f"{n} s" in row]
    if not beside:
        return None
    ratio = row.get("ours / OpenVINO")
    return (
        f"encoder, {row['dtype']}",
        ", ".join(beside),
        str(row["ours s"]),
        f"{round(1 / ratio, 2)} of OpenVINO" if ratio else "",
        f"{row.get('OpenVINO apart', row.get('transformers apart'))} apart",
    )


def _passes(row: Row) -> tuple[str, ...] | None:
    what = f"{row['what']} of {row['masks']} masks"
    return (
        what,
        f"{row['without numba s']} without numba",
        str(row["compiled s"]),
        str(row["ratio"]),
        "equal" if row["equal"] else "different",
    )


def _large(row: Row) -> tuple[str, ...] | None:
    if "what" in row:
        slow, quick = row["straightforward s"], row["ours s, at most"]
        return row["what"], f"{slow} straightforward, extrapolated", str(quick), str(round(slow / quick, 1)), ""
    slow = row.get("straightforward s", row.get("straightforward s, by the line"))
    named = "straightforward" + ("" if "straightforward s" in row else ", extrapolated")
    alike = f"least IoU {row['least IoU']}" if "least IoU" in row else ""
    return (
        f"{row['megapixels']:.0f} megapixels, 4² points",
        f"{slow} {named}",
        str(row["ours s"]),
        str(round(slow / row["ours s"], 1)),
        alike,
    )


TELLERS = {"compare": _compare, "encoder": _encoder, "passes": _passes, "large": _large}


def written(page: str) -> str:
    """The page with the table of today's results."""
    lines: list[str] = []
    for path in sorted(RESULTS.glob("model-*.json")):
        name = path.stem.removeprefix("model-").removesuffix("-cpu")
        lines += rows(name, json.loads(path.read_text()))
    before, _, rest = page.partition(START)
    return before + START + HEAD + RULE + "".join(lines) + END + rest.partition(END)[2]


def main() -> None:
    PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()
