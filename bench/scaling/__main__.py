"""`python -m bench.scaling`: compare the scaling rule with queue length, over ten million images and up to 200 workers.

It prints a table, writes bench/results/scaling.json and draws docs/scaling.svg. The dispatch policy and the scaling
rule are the service's own, in a real Postgres. Time, nodes and the work of images are simulated.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench.scaling.autoscaler import Behaviour
from bench.scaling.plot import svg
from bench.scaling.simulate import Plan, Run, simulate
from bench.scaling.workload import workload
from db.engine import sync_engine
from db.migrate import migrate
from deploy.local.stores import stores

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "bench/results/scaling.json"
PLOT: Final = ROOT / "docs/scaling.svg"
SHIPPED: Final = "work, target 1800 s (shipped)"
PLAIN: Final = "queue length"
PLANS: Final[dict[str, Plan]] = {
    PLAIN: Plan("queue"),
    f"{PLAIN}, down after 300 s": Plan("queue", behaviour=replace(Behaviour(), stabilisation=300)),
    "work, target 600 s": Plan(drain=600),
    "work, target 1200 s": Plan(drain=1200),
    SHIPPED: Plan(),
    "work, target 3600 s": Plan(drain=3600),
    "work, down after 300 s": Plan(behaviour=replace(Behaviour(), stabilisation=300)),
}
HEAD: Final = ("policy", "wait p50", "wait p95", "small jobs p95", "all jobs p95", "late", "peak", "idle", "cost")


def main() -> int:
    given = _arguments()
    runs: dict[str, Run] = {}
    print(_row(HEAD), _row(["---"] * len(HEAD)), sep="\n", flush=True)
    for name, plan in PLANS.items():
        if given.only and given.only not in name:
            continue
        runs[name] = _run(plan, given.images, given.hours)
        print(_row(_cells(name, runs[name].summary())), flush=True)
    if not given.only:
        figures = {name: run.summary() for name, run in runs.items()}
        inputs = {"images": given.images, "hours": given.hours, "jobs": len(runs[SHIPPED].jobs)}
        RESULTS.write_text(json.dumps({"inputs": inputs, "policies": figures}, indent=1) + "\n")
        title = f"{given.images:,} images: workers (line) and work left (area) over time"
        PLOT.write_text(svg({name: runs[name].lines for name in (PLAIN, SHIPPED)}, title))
    return 0


def _run(plan: Plan, images: int, hours: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="maskworks-scaling-") as folder:
        Path(folder).chmod(0o711)
        with stores(Path(folder) / "stores", fast=True) as running:
            migrate(running.database_url)
            engine = sync_engine(running.database_url)
            try:
                return simulate(engine, workload(images, hours), plan)
            finally:
                engine.dispose()


def _cells(name: str, found: dict[str, Any]) -> list[str]:
    seconds = [f"{found[key]:,} s" for key in ("wait_median", "wait_p95", "small_p95", "finish_p95")]
    late = f"{found['late']} of {found['due']}"
    idle, cost = f"{found['idle_share']:.0%}", f"{found['cost']:.2f}"
    return [name, *seconds, late, str(found["peak_workers"]), idle, cost]


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000_000, help="images of all jobs together")
    parser.add_argument("--hours", type=float, default=12, help="time in which the jobs come")
    parser.add_argument("--only", help="plans whose name has this; nothing is written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
