"""`python -m training --minutes N`: render scenes, train, stop and resume.

    python -m training render --scenes 20000     render scenes (about 200 ms each on a core)
    python -m training --minutes 360             train; SIGTERM saves and stops
    python -m training --minutes 720 --resume    go on, from the state before the learning rate fell

    python -m training --minutes 20 --start bundled --peak 1e-4      go on from the shipped weights

Scenes may show photographed things: PNGs whose alpha channel is the thing's mask, as in Debian's package
tuxpaint-stamps-default, before photographed grounds.

    python -m training render --scenes 3500 --things stamps --grounds wallpapers landscapes

These, and pictures that `python -m engine examples` put into the folder, take half of the steps.
--folder (default ~/.cache/maskworks/training) holds scenes, state, log, overlays and the best export.
"""

import argparse
import multiprocessing
import os
import socket
from pathlib import Path

from training.loop import Plan, train
from training.photographs import Photographs
from training.schedule import WARM_UP_STEPS
from training.store import CHUNK, HELD_OUT_SEED, PHOTOGRAPHED_SEED, default_folder, render


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=["train", "render"], default="train")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="scenes, state, log, exports")
    parser.add_argument("--minutes", type=float, default=360, help="active minutes in all, pauses not counted")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's state")
    parser.add_argument("--scenes", type=int, default=20_000, help="to render, or to use")
    parser.add_argument("--things", type=Path, help="render scenes with the cut-outs under this folder")
    parser.add_argument("--grounds", type=Path, nargs="*", default=[], help="folders of pictures to put behind them")
    parser.add_argument("--model", default="sam_tiny")
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="of one thread each")
    parser.add_argument("--images", type=int, default=6, help="a process and step")
    parser.add_argument("--measure-every", type=float, default=300, help="seconds between held-out figures")
    parser.add_argument("--start", help="go on from this checkpoint, or from the `bundled` one, at full resolution")
    parser.add_argument("--least-side", type=int, help="model pixels a side at the beginning, with --start")
    parser.add_argument("--peak", type=float, default=Plan.peak, help="learning rate; about 1e-4 with --start")
    parser.add_argument("--warm-up", type=int, default=WARM_UP_STEPS, help="steps; about 20 with --start")
    parser.add_argument("--steps", type=int, help="end after so many steps; the schedule goes by them, not by minutes")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _render(asked: argparse.Namespace) -> None:
    if asked.things is None:
        render(asked.folder / "scenes", asked.scenes)
    else:
        photographs = Photographs.of(asked.things, asked.grounds)
        render(asked.folder / "annotated", asked.scenes, PHOTOGRAPHED_SEED, photographs)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    asked = _arguments()
    if not (asked.folder / "held-out" / "images-0000.npy").exists():
        render(asked.folder / "held-out", min(CHUNK, asked.scenes), HELD_OUT_SEED)
    if asked.action == "render":
        _render(asked)
        return
    if not (asked.folder / "scenes" / "images-0000.npy").exists():
        render(asked.folder / "scenes", asked.scenes)
    plan = Plan(
        model=asked.model,
        folder=asked.folder,
        minutes=asked.minutes,
        images=asked.images,
        seed=asked.seed,
        resume=asked.resume,
        measure_every=asked.measure_every,
        scenes=asked.scenes,
        start=asked.start,
        least_side=asked.least_side,
        peak=asked.peak,
        warm_up=asked.warm_up,
        steps=asked.steps,
    )
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=train, args=(plan, rank, asked.processes, port), daemon=True)
        for rank in range(1, asked.processes)
    ]
    for process in others:
        process.start()
    train(plan, 0, asked.processes, port)
    for process in others:
        process.join(60)


if __name__ == "__main__":
    main()
