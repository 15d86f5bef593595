"""`python -m evaluation --images DIR --ground-truth DIR`: measure the masks of prompts beside classical methods.

Prints a table. With --json it writes the row of every region. ground_truth.py describes the label maps.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from evaluation.ground_truth import pictures
from evaluation.measure import Row, measure_picture, summary
from model.sizes import size
from model.weights.checkpoint import load

TABLE = (
    ("1 click, top-predicted", "top", "flood best tolerance", "felzenszwalb best scale"),
    ("1 click, oracle of 3", "oracle", "flood best of 3", "felzenszwalb best of 3"),
    ("box", "box", "grabcut", "filled box"),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--ground-truth", type=Path, required=True)
    parser.add_argument("--model", default="sam_tiny")
    parser.add_argument("--checkpoint", type=Path, help="default: the model's own")
    parser.add_argument(
        "--min-share", type=float, default=0.005, help="leave out regions below this share of a picture"
    )
    parser.add_argument("--limit", type=int, help="use only the first so many pictures")
    parser.add_argument("--no-classical", action="store_true")
    parser.add_argument("--no-clicks", action="store_true", help="leave out NoC, the slowest part")
    parser.add_argument("--json", type=Path, help="write the figures and every region here")
    return parser.parse_args()


def table(found: dict[str, float]) -> str:
    """The figures as text: mean IoU by prompt, the model first."""
    lines = [f"{round(found['regions'])} regions; predicted against true IoU: r = {found['correlation']:.3f}"]
    for title, ours, *others in TABLE:
        rivals = [f"{name} {found[name]:.3f}" for name in others if name in found]
        lines.append("   ".join([f"{title:24}{found[ours]:.3f}", *rivals]))
    clicks = [f"{name.upper()[:3]}@{name[3:]} {found[name]:.2f}" for name in ("noc85", "noc90") if name in found]
    return "\n".join([*lines, *(["   ".join(clicks)] if clicks else [])])


def main() -> None:
    asked = _arguments()
    sam, revision = load(size(asked.model), asked.checkpoint)
    rows: list[Row] = []
    for number, picture in enumerate(pictures(asked.images, asked.ground_truth, asked.min_share)):
        if asked.limit is not None and number >= asked.limit:
            break
        rows += measure_picture(sam.eval(), picture, not asked.no_classical, not asked.no_clicks)
    if not rows:
        raise SystemExit("no picture has a label map: NAME.ext wants NAME.png, NAME.npy or NAME.mat")
    found = summary(rows)
    print(table(found))
    if asked.json is not None:
        report = {"model": asked.model, "revision": revision, "figures": found, "regions": [asdict(r) for r in rows]}
        asked.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
