"""The rounds one after another, each on a local stack whose worker has the weights of the round before."""

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from deploy.local.put import put
from deploy.local.s3 import s3_client
from deploy.local.stack import BUCKET, Stack, stack
from engine.annotator import Simulated
from engine.rounds.clicks import Clicks, counted
from engine.rounds.pictures import FAMILIES, write_pictures
from engine.rounds.plan import KEY, Folder, Plan
from engine.rounds.training import train
from engine.stages import Tally, assisted, semi_automatic
from engine.truth import read_truth
from maskworks import Client, Config
from model.masks.rle import decode
from training.clicks import Mask, iou

CHECK: Final = "check"
_ROOM: Final = 1000  # seeds of a part
_AUTOMATIC: Final = {"type": "auto", "points_per_side": 16}
_MODEL: Final = "sam_tiny"
Say = Callable[[str], None]


def run(path: Path, plan: Plan, say: Say) -> list[dict[str, Any]]:
    """Returns what was measured with the weights of each round, the shipped ones first. A stopped run goes on."""
    folder = Folder(path)
    folder.begin(plan)
    say("drawing the pictures")
    _draw(folder, plan)
    for number in range(plan.rounds + 1):
        if not folder.measured(number).exists():
            with _served(folder, number, say) as client:
                _measure(folder, plan, client, number, say)
        if number < plan.rounds and not folder.weights(number + 1).exists():
            say(f"round {number + 1}: training for {plan.steps} steps")
            train(folder, plan, number + 1, _masks(folder, number + 1))
    return [json.loads(folder.measured(number).read_text()) for number in range(plan.rounds + 1)]


def parts(plan: Plan) -> dict[str, int]:
    """The folders of pictures, and how many each has."""
    found = {CHECK: plan.checked}
    for number in range(1, plan.rounds + 1):
        found |= {f"round-{number}": plan.assisted, f"round-{number}-more": plan.semi_automatic}
    return {name: count for name, count in found.items() if count}


def _draw(folder: Folder, plan: Plan) -> None:
    for place, (name, count) in enumerate(parts(plan).items()):
        seeds = range(place * _ROOM, place * _ROOM + count)
        write_pictures(FAMILIES[plan.family], seeds, folder.pictures(name), folder.truth(name))


@contextmanager
def _served(folder: Folder, number: int, say: Say) -> Any:
    """A client of a stack with the weights of this round."""
    env = {"MASKWORKS_REQUESTS_PER_MINUTE": "1000000"}
    if number:
        env["MASKWORKS_CHECKPOINTS"] = f"{_MODEL}={folder.weights(number).resolve()}"
    with stack(folder.path / "stack", models=_MODEL, env=env, say=say) as running:
        _upload(running, folder)
        with Client(config=Config(running.api_url, running.api_key)) as client:
            yield client


def _upload(running: Stack, folder: Folder) -> None:
    access = running.stores.s3
    client = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    put(client, running.bucket, folder.bucket)
    client.close()


def _measure(folder: Folder, plan: Plan, client: Client, number: int, say: Say) -> None:
    """The check with these weights, then the stages of the next round, whose masks are exported for training."""
    found: dict[str, Any] = {"weights": number, "check": _asked(folder, plan, client, CHECK, number, say).pictures}
    following = number + 1
    if following <= plan.rounds:
        found["assisted"] = _asked(folder, plan, client, f"round-{following}", number, say).pictures
        if plan.semi_automatic:
            found["semi_automatic"], found["filled"] = _filled(folder, plan, client, f"round-{following}-more", say)
        masks = _masks(folder, following)
        masks.parent.mkdir(parents=True, exist_ok=True)
        client.annotations.export("coco", masks, image_prefix=_prefix("round-"))
    file = folder.measured(number)
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(file)


def _asked(folder: Folder, plan: Plan, client: Client, part: str, number: int, say: Say) -> Clicks:
    """The assisted stage over a part. The annotator is named after the weights, so that each round asks again."""
    prefix = _prefix(f"{part}/")
    truth = read_truth(folder.truth(part), prefix)
    who = Simulated(truth, plan.target, plan.most, f"simulated, weights {number}")
    assisted(client, prefix, sorted(truth), who, _told(say, part))
    stored = (one for one in client.annotations.list(image_prefix=prefix) if one.annotator == who.name)
    return counted(stored, truth, plan.most, asked=True)


def _filled(folder: Folder, plan: Plan, client: Client, part: str, say: Say) -> tuple[Any, dict[str, int]]:
    """The semi-automatic stage over a part, and how many masks it filled in, and how many of them are an object."""
    prefix = _prefix(f"{part}/")
    truth = read_truth(folder.truth(part), prefix)
    who = Simulated(truth, plan.target, plan.most)
    semi_automatic(client, prefix, sorted(truth), who, _told(say, part), task=dict(_AUTOMATIC))
    stored = list(client.annotations.list(image_prefix=prefix))
    filled = [(one.image, _decoded(one.segmentation)) for one in stored if one.source is not None]
    right = sum(max(iou(mask, wanted) for wanted in truth[image]) >= plan.target for image, mask in filled)
    clicks = counted(stored, truth, plan.most, asked=False)
    return clicks.pictures, {"masks": len(filled), "right": right}


def _told(say: Say, part: str) -> Callable[[str, Tally], None]:
    return lambda image, tally: say(f"{part}: {image}, {tally.clicks_a_mask:.2f} clicks a mask so far")


def _decoded(rle: Any) -> Mask:
    return decode({"size": list(rle.size), "counts": rle.counts})


def _masks(folder: Folder, number: int) -> Path:
    return folder.path / f"round-{number}" / "masks.coco.json"


def _prefix(part: str) -> str:
    return f"s3://{BUCKET}/{KEY}/{part}"
