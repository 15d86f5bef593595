"""`python -m engine.rounds --out FOLDER`: rounds of clicking and training, and whether the clicks become fewer.

Everything runs here: a local stack, an annotator that clicks from right masks, and training on two cores. Each round
clicks new pictures (assisted), lets a job fill in others (semi-automatic), trains on all masks that were accepted so
far, and gives the new weights to the worker. After each round the same other pictures are clicked too, which training
never sees. It writes `rounds.json` and `rounds.svg`. A run that was stopped goes on.
"""

import argparse
import json
import sys
import time
from dataclasses import fields
from pathlib import Path
from subprocess import CalledProcessError

from deploy.local.errors import StackError
from engine.rounds.pictures import FAMILIES
from engine.rounds.plan import OtherRun, Plan
from engine.rounds.report import figures, svg, table
from engine.rounds.run import run
from engine.rounds.training import TrainingError
from maskworks import MaskworksError

_ABOUT = {
    "rounds": "of clicking and training",
    "assisted": "new pictures that are clicked in a round",
    "semi_automatic": "new pictures in which a job fills in masks first; 0: none",
    "checked": "pictures that are clicked with the weights of every round",
    "target": "IoU from which on a mask is accepted",
    "most": "clicks, after which a mask is rejected",
    "steps": "of training in a round",
    "peak": "learning rate",
    "warm_up": "steps until the learning rate is reached",
}


def _plan(words: list[str] | None) -> tuple[Path, Plan]:
    parser = argparse.ArgumentParser(
        prog="python -m engine.rounds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--family", choices=tuple(FAMILIES), default=Plan.family, help="of drawn pictures")
    for field in fields(Plan):
        if field.name in _ABOUT:
            name = "--" + field.name.replace("_", "-")
            parser.add_argument(
                name, type=type(field.default), default=field.default, help=f"{_ABOUT[field.name]}; {field.default}"
            )
    asked = vars(parser.parse_args(words))
    return asked.pop("out"), Plan(**asked)


def main(words: list[str] | None = None) -> int:
    out, plan = _plan(words)
    began = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {step}", file=sys.stderr, flush=True)

    try:
        found = figures(run(out, plan, say), plan)
    except (MaskworksError, OtherRun, StackError, TrainingError, CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on.", file=sys.stderr)
        return 1
    (out / "rounds.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "rounds.svg").write_text(svg(found))
    print(table(found))
    print(f"\nThe clicks {'fell' if found['falls'] else 'did not surely fall'} from the first weights to the last.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
