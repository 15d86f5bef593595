"""`python -m bench.mosaic`: a synthetic mosaic of 40,000 x 40,000 pixels through the whole service, by windows.

The picture has known objects on black: ellipses, of which many lie across seams, and bars that span many windows. It is
written tile by tile. Two workers segment it with a null model that finds connected regions, or with `--model sam_tiny`;
after a while one of them is killed. Each object must come out once. It prints the figures as JSON, among them the peak
memory of each worker, and writes bench/results/mosaic.json.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from bench.protocol import RESULTS, service
from db.engine import sync_engine
from deploy.local.stack import Stack

_CELL: Final = 250
_STORED: Final = 512
_BAR_EVERY: Final = 10
"""Every so many rows of cells, one has bars in place of ellipses."""
_BAR: Final = 12
"""Cells that a bar spans."""
Box = tuple[int, int, int, int]


class Mosaic:
    """The truth: objects by their cell. Nothing has the size of the picture."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.cells = side // _CELL

    def object_of(self, row: int, column: int) -> tuple[Box, NDArray[np.bool_]] | None:
        """x, y, width and height of the object that begins in a cell, and its pixels; None where none does."""
        if row % _BAR_EVERY == _BAR_EVERY - 1:
            if column % _BAR or column + _BAR > self.cells:
                return None
            return (column * _CELL + 20, row * _CELL + 100, _BAR * _CELL - 40, 60), np.ones(
                (60, _BAR * _CELL - 40), np.bool_
            )
        rng = np.random.default_rng([row, column])
        a, b = (int(v) for v in rng.integers(20, 100, 2))
        x, y = (int(v) for v in rng.integers(105, 145, 2))
        rows, columns = np.ogrid[-b : b + 1, -a : a + 1]
        box = column * _CELL + x - a, row * _CELL + y - b, 2 * a + 1, 2 * b + 1
        return box, (columns / a) ** 2 + (rows / b) ** 2 <= 1

    def objects(self) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
        for row in range(self.cells):
            for column in range(self.cells):
                if (one := self.object_of(row, column)) is not None:
                    yield one

    def part(self, x: int, y: int, size: int) -> NDArray[np.uint8]:
        """The pixels of a square."""
        pixels = np.zeros((size, size, 3), np.uint8)
        for row in range(y // _CELL, min((y + size - 1) // _CELL + 1, self.cells)):
            for column in range(max(x // _CELL - _BAR, 0), min((x + size - 1) // _CELL + 1, self.cells)):
                if (one := self.object_of(row, column)) is not None:
                    _draw(pixels, x, y, *one, colour=(200, 60 + row % 180, 60 + column % 180))
        return pixels


def _draw(
    pixels: NDArray[np.uint8], x: int, y: int, box: Box, inside: NDArray[np.bool_], colour: tuple[int, int, int]
) -> None:
    size = len(pixels)
    left, top = max(box[0], x), max(box[1], y)
    right, bottom = min(box[0] + box[2], x + size), min(box[1] + box[3], y + size)
    if left < right and top < bottom:
        shown = inside[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]
        pixels[top - y : bottom - y, left - x : right - x][shown] = colour


def write(mosaic: Mosaic, path: Path) -> None:
    """A tiled, compressed TIFF, in the memory of a few tiles."""
    steps = range(0, mosaic.side, _STORED)
    tiles = (mosaic.part(x, y, _STORED) for y in steps for x in steps)
    shape = (mosaic.side, mosaic.side, 3)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            tiles,
            shape=shape,
            dtype=np.uint8,
            tile=(_STORED, _STORED),
            compression="zlib",
            photometric="rgb",
            maxworkers=1,
        )


def run(running: Stack, mosaic: Mosaic, model: str, kill: bool) -> dict[str, Any]:
    path = running.folder.path / "s3" / running.bucket / "mosaic.tif"
    started = time.monotonic()
    write(mosaic, path)
    found: dict[str, Any] = {"model": model, "side": mosaic.side, "written_s": round(time.monotonic() - started)}
    found["file_mb"] = round(path.stat().st_size / 1e6, 1)
    time.sleep(3)  # the S3 server looks at its folder every other second
    engine = sync_engine(running.stores.database_url, pool_size=1)
    started = time.monotonic()
    body = {
        "model": model,
        "task": {"type": "auto", "tile": {"size": 1024}},
        "input": {"items": [{"image": f"s3://{running.bucket}/mosaic.tif"}]},
    }
    with running.client(timeout=120) as client:
        answer = client.post("/v1/jobs", json=body)
        answer.raise_for_status()
        job = answer.json()["id"]
        peaks: dict[int, float] = {}
        while not (shown := client.get(f"/v1/jobs/{job}").json())["done"]:
            _note_peaks(running, peaks)
            tiles = shown["progress"]["tiles"]
            if tiles is not None:
                found["tiles"] = tiles["total"]
                if kill and tiles["done"] * 4 > tiles["total"]:
                    found["killed"] = _kill(running, engine)
                    kill = False
                print(f"{tiles['done']} of {tiles['total']} windows, {time.monotonic() - started:.0f} s", flush=True)
            time.sleep(2)
    found |= {"state": shown["state"], "seconds": round(time.monotonic() - started), "failures": shown["failures"]}
    found["workers_peak_mb"] = sorted((round(peak) for peak in peaks.values()), reverse=True)
    found |= _compared(engine, mosaic)
    engine.dispose()
    return found


def _note_peaks(running: Stack, peaks: dict[int, float]) -> None:
    for pid in running.pids()["workers"]:  # type: ignore[union-attr]
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # gone meanwhile
            continue
        peaks[pid] = int(status.split("VmHWM:")[1].split()[0]) / 1024


def _kill(running: Stack, engine: Engine) -> dict[str, int]:
    """SIGKILL for one worker. How many tiles it held then, and how many were written."""
    pid = running.pids()["workers"][0]  # type: ignore[index]
    query = "SELECT count(*) FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.tile_of IS NOT NULL"
    held = "SELECT coalesce(sum(cardinality(inflight)), 0) FROM chunks WHERE state = 'leased' AND worker LIKE :pid"
    os.kill(pid, signal.SIGKILL)
    with engine.connect() as connection:
        written = connection.execute(text(query)).scalar_one()
        return {"written": written, "held": connection.execute(text(held), {"pid": f"%-{pid}"}).scalar_one()}


def _compared(engine: Engine, mosaic: Mosaic) -> dict[str, Any]:
    """Each object is to be one mask: the same box and area, or of a real model a box of an IoU of at least 0.5."""
    query = "SELECT m.*, length(counts) AS n FROM masks m JOIN jobs j ON j.id = m.job_id WHERE j.tile_of IS NULL"
    with engine.connect() as connection:
        rows = [*connection.execute(text(query))]
    exact: dict[tuple[int, ...], int] = {}
    for row in rows:
        exact[row.x, row.y, row.w, row.h, row.pixels] = exact.get((row.x, row.y, row.w, row.h, row.pixels), 0) + 1
    by_cell: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        by_cell.setdefault(((row.x + row.w // 2) // _CELL, (row.y + row.h // 2) // _CELL), []).append(row)
    once = objects = alike = twice = across = 0
    for box, inside in mosaic.objects():
        objects += 1
        across += any(at // 800 != (at + length) // 800 for at, length in ((box[0], box[2]), (box[1], box[3])))
        once += exact.get((*box, int(inside.sum())), 0) == 1
        cell = (box[0] + box[2] // 2) // _CELL, (box[1] + box[3] // 2) // _CELL
        near = [r for dx in (-1, 0, 1) for dy in (-1, 0, 1) for r in by_cell.get((cell[0] + dx, cell[1] + dy), [])]
        good = sum(_iou(box, (row.x, row.y, row.w, row.h)) >= 0.5 for row in near)
        alike, twice = alike + (good >= 1), twice + (good > 1)
    figures = {"objects": objects, "across_seams_about": across, "masks": len(rows), "exactly_once": once}
    return figures | {
        "found_by_box": alike,
        "found_twice_by_box": twice,
        "rle_mb": round(sum(r.n for r in rows) / 1e6, 1),
    }


def _iou(one: Box, other: Box) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    tall = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--model", default="null", choices=["null", "sam_tiny"])
    parser.add_argument("--no-kill", action="store_true")
    given = parser.parse_args(words)
    with service({"MASKWORKS_NULL_REGIONS": "1", "MASKWORKS_THREADS": "1"}, given.model) as running:
        running.add_worker()
        found = run(running, Mosaic(given.side), given.model, not given.no_kill)
    print(json.dumps(found, indent=1))
    (RESULTS / "mosaic.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
