"""`python -m engine STAGE s3://bucket/prefix/`: make masks of a bucket's images, with less and less help.

    python -m engine assisted s3://images/round1/ --truth masks.json
    python -m engine semi-automatic s3://images/round2/ --truth masks.json
    python -m engine automatic s3://images/rest/ --out shards/
    python -m engine examples --images photos/ --ground-truth masks.coco.json --folder run/

Each stage uses the service that `maskworks doctor` finds. In the first two an annotator clicks. Here that is ground
truth, a COCO file whose `file_name` is the key after the prefix: it clicks as evaluation does, until the IoU is at
least --target. A person's tool is a class with the methods of `engine.annotator.Annotator`. What is decided is stored
as annotations: `GET /v1/annotations/export?format=coco` is what `examples` reads, for
`python -m training --folder run/ --start bundled`. docs/data-engine.md has more.
"""

import argparse
import sys
from pathlib import Path

from engine.annotator import Simulated
from engine.examples import add_examples
from engine.stages import Sure, Tally, assisted, automatic, semi_automatic
from engine.truth import read_truth
from evaluation.data.picture import GroundTruthError
from evaluation.data.table import FORMATS, Place
from maskworks import Client, MaskworksError


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m engine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    one = stages.add_parser("assisted", help="an annotator clicks, SAM answers; goes on where it was stopped")
    two = stages.add_parser(
        "semi-automatic", help="a job fills in what it is sure of, an annotator does the rest; goes on too"
    )
    three = stages.add_parser("automatic", help="a job with the settings of SA-1B, written as its shards")
    for stage in (one, two, three):
        stage.add_argument("prefix", help="s3://bucket/prefix/ of the images")
        stage.add_argument("--model", help="one of the service's models; its default without")
    for stage in (one, two):
        stage.add_argument("--truth", type=Path, required=True, help="COCO file of right masks, for the clicks")
        stage.add_argument("--target", type=float, default=0.9, help="IoU from which on a mask is accepted")
        stage.add_argument("--most", type=int, default=10, help="clicks, after which a mask is rejected")
        stage.add_argument("--annotator", default="simulated", help="the name that annotations have")
    two.add_argument("--predicted-iou", type=float, default=0.88, help="a mask is filled in from here on")
    two.add_argument("--stability-score", type=float, default=0.95, help="and from here on")
    three.add_argument("--out", type=Path, required=True, help="folder of the shards")
    four = stages.add_parser("examples", help="accepted masks, with their pictures, for python -m training")
    four.add_argument("--format", choices=("coco", "sa1b"), default="coco")
    four.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    four.add_argument("--ground-truth", type=Path, help="the export of the annotations, or a folder of SA-1B's files")
    four.add_argument("--folder", type=Path, required=True, help="of the training run")
    return parser.parse_args(words)


def _told(image: str, tally: Tally) -> None:
    print(f"{tally.images:6} {image}: {tally.clicks_a_mask:.2f} clicks a mask so far", file=sys.stderr, flush=True)


def run(asked: argparse.Namespace, client: Client) -> str:
    """One stage. Returns a line about it."""
    if asked.stage == "automatic":
        return f"{automatic(client, asked.prefix, asked.out, model=asked.model)}: shards in {asked.out}"
    truth = read_truth(asked.truth, asked.prefix)
    who = Simulated(truth, asked.target, asked.most, asked.annotator)
    if asked.stage == "assisted":
        tally = assisted(client, asked.prefix, sorted(truth), who, _told, asked.model)
    else:
        sure = Sure(asked.predicted_iou, asked.stability_score)
        tally = semi_automatic(client, asked.prefix, sorted(truth), who, _told, sure, model=asked.model)
    return (
        f"{tally.images} images, {tally.failed} failed, {tally.accepted} masks accepted, {tally.rejected} rejected, "
        f"{tally.filled} filled in, {tally.clicks_a_mask:.2f} clicks a mask"
    )


def main(words: list[str] | None = None) -> int:
    asked = _arguments(sys.argv[1:] if words is None else words)
    try:
        if asked.stage == "examples":
            data = FORMATS[asked.format](Place(asked.images, asked.ground_truth))
            print(f"{add_examples(asked.folder, data)} new pictures in {asked.folder / 'annotated'}")
            return 0
        with Client() as client:
            print(run(asked, client))
    except (MaskworksError, GroundTruthError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
