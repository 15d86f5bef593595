"""Items of a claim that are segmented by windows: plan their tiles, and merge the masks of tiles that have ended.

The tiles of an item are the items of a job of their own (`db.statements.tiles`), which any worker takes chunks of. The
item's own chunk is parked meanwhile.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine

from db.georeference import Georeference
from db.ids import new_job_id
from db.limits import MAX_TILED_AT_ONCE, MAX_TILES, chunk_size
from db.statements import ingest, submit, tiles
from db.statements import lease as sql
from db.statements.leader import wake_dispatcher
from db.states import ItemReason, JobState
from exports.views import mask_views
from intake.fingerprint import tile_of
from model.masks.mask import Mask
from model.spec import Tiling
from model.tiles.automatic import tiling_of
from model.tiles.grid import Window
from model.tiles.merge import Merger, answers
from model.tiles.prompts import MOST_PARTS, TooManyParts
from workers.chunks.lease import Claim, Item, LeaseLost
from workers.chunks.tile_plan import Plan, task_of_tiles, windows_of
from workers.failures import Failure
from workers.pipeline.prompts import empty_masks
from workers.pipeline.ticket import Done, Failed, Large, Model
from workers.testing import crash_points

_AT_A_TIME: Final = 64
"""Tiles of prompts that are read at a time. Of automatic masks it is a row of windows."""
_MOST_BYTES: Final = 256 * 2**20
"""Of the run lengths of one image. One row of the database holds them."""
_STAGES: Final = ("fetch", "decode", "encode", "mask", "rle")


class Stopped(Exception):
    """The worker stops, or has lost its lease, in the middle of a merge."""


@dataclass(frozen=True)
class TileJob:
    """The job of an item's tiles."""

    id: UUID
    index: int
    state: JobState
    plan: Plan


class TiledItems:
    """Those of one claim. `waiting`: the items that can go on only once tiles have ended. `crowded`: none has tiles."""

    def __init__(self, engine: Engine, lease_seconds: float, claim: Claim, model: Model) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._claim = claim
        self._model = model
        self.waiting: set[int] = set()
        self.crowded = False

    def ended(self) -> list[TileJob]:
        """The jobs of tiles that have ended. The items of others wait, and without room all that are to be cut."""
        claim = self._claim
        if not claim.tiled or not claim.items:
            return []
        indexes = [item.index for item in claim.items]
        job_id = claim.fence.job_id
        with self._engine.connect() as connection:
            rows = connection.execute(*tiles.under_way(job_id, lo=min(indexes), hi=max(indexes) + 1)).all()
            n_open = len(connection.execute(*tiles.unfinished(job_id)).all())
        found = [TileJob(row.id, row.tile_index, row.state, Plan.read(row.input)) for row in rows]
        missing = {job.index: job for job in found if job.index in set(indexes)}
        ended = [job for job in missing.values() if job.state in _ENDED]
        self.waiting = set(missing) - {job.index for job in ended}
        self.crowded = not missing and n_open >= MAX_TILED_AT_ONCE
        if n_open >= MAX_TILED_AT_ONCE:
            cut = {item.index for item in claim.items if self.tile(item) is not None}
            self.waiting |= cut - set(missing)
        return ended

    def tile(self, item: Item) -> Literal["auto"] | Tiling | None:
        """How an item is cut if it is large; None where it is not to be cut."""
        return tile_of(self._claim.task, item.tile) if self._claim.tiled else None

    def plan(self, image: Large, inflight: set[int]) -> Failed | None:
        """Store the tiles of an image, in one transaction that checks the fence. Raises LeaseLost."""
        claim, item = self._claim, next(item for item in self._claim.items if item.index == image.index)
        tile = self.tile(item)
        assert tile is not None  # or the image would not have come here
        plan = Plan.of(image, tiling_of(tile, self._model.name), claim.depth, claim.bands)
        if len(plan.grid) > MAX_TILES:
            detail = f"has {len(plan.grid)} windows of {plan.size} pixels; at most {MAX_TILES}: give a larger tile.size"
            return _too_large(image, detail)
        try:
            windows = windows_of(plan.grid, image.task)
        except TooManyParts:
            detail = f"its prompts lie in windows of {plan.size} pixels more than {MOST_PARTS} times: "
            return _too_large(image, detail + "give a larger tile.size, or the item fewer prompts")
        crash_points.reach("planning", claim.fence.job_id)
        with self._engine.begin() as connection:
            admission = sql.admit(
                claim.fence, lease_seconds=self._lease_seconds, inflight=sorted(inflight), alone=False
            )
            if connection.execute(*admission).one_or_none() is None:
                raise LeaseLost
            self._store(connection, item, plan, windows)
            crash_points.reach("planned", claim.fence.job_id)
        self.waiting.add(image.index)
        return None

    def _store(self, connection: Connection, item: Item, plan: Plan, windows: Sequence[tuple[Window, Any]]) -> None:
        new, claim = new_job_id(), self._claim
        job = tiles.insert_job(
            new,
            of=claim.fence.job_id,
            index=item.index,
            task=task_of_tiles(claim.task),
            plan=plan.stored(),
            n_tiles=len(windows),
            chunk_size=chunk_size(len(windows), prompted=False),
        )
        if connection.execute(*job).one_or_none() is None:
            raise LeaseLost  # the item's job has ended
        numbers = list(range(len(windows)))
        columns: list[list[Any]] = [
            numbers,
            [str(number) for number in numbers],
            [item.image] * len(windows),
            [None if prompts is None else orjson.dumps(prompts).decode() for _, prompts in windows],
            [orjson.dumps({"window": [*window]}).decode() for window, _ in windows],
        ]
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute(submit.INSERT_ITEMS, (new, *columns))
        connection.execute(*ingest.cut_chunks(new))
        connection.execute(*wake_dispatcher())

    def merged(self, job: TileJob, stopped: Callable[[], bool]) -> Done | Failed | None:
        """The result of an item whose tiles have ended. None: its own job is about to end too. Raises Stopped."""
        if job.state == JobState.EXPIRED:
            self.waiting.add(job.index)
            return None
        if job.state != JobState.SUCCEEDED:
            return self._failed(job)
        started = time.perf_counter()
        crash_points.reach("merging", self._claim.fence.job_id)
        reading = _Reading(self._engine, job, stopped)
        masks = self._masks(job, reading)
        if masks is None:
            detail = f"its masks take more than {_MOST_BYTES >> 20} MiB: give min_mask_area or max_masks"
            failure = Failure(ItemReason.IMAGE_TOO_LARGE, detail, retryable=False)
            return Failed(job.index, failure, {})
        plan = job.plan
        timings = {stage: round(ms, 3) for stage, ms in reading.timings_ms.items()}
        timings |= {"queue": self._claim.queue_ms, "merge": round((time.perf_counter() - started) * 1000, 3)}
        return Done(
            index=job.index,
            height=plan.height,
            width=plan.width,
            orientation=plan.orientation,
            masks=masks,
            timings_ms=timings,
            frames=plan.frames,
            georeference=Georeference.of(plan.georeference),
            warnings=plan.warnings + empty_masks(masks),
            fingerprint=None if plan.fingerprint is None else bytes.fromhex(plan.fingerprint),
        )

    def _failed(self, job: TileJob) -> Failed:
        with self._engine.connect() as connection:
            row = connection.execute(*tiles.failed_tile(job.id)).one_or_none()
        if row is None:
            return Failed(job.index, Failure(ItemReason.INTERNAL, "its tiles were stopped", retryable=True), {})
        x, y, width, height = row.tile["window"]
        detail = f"tile {width}x{height} at x={x}, y={y}: {row.detail}"
        return Failed(job.index, Failure(ItemReason(row.reason), detail, row.retryable), {})

    def _masks(self, job: TileJob, reading: "_Reading") -> list[Mask] | None:
        """The masks of the image; None where they take too much room."""
        plan = job.plan
        if plan.masks_of is not None:
            found = answers(plan.grid, plan.masks_of, reading.by_prompt())
            return found if sum(len(mask.rle["counts"]) for mask in found) <= _MOST_BYTES else None
        kept = _Kept(self._claim.task)
        merger = Merger(plan.grid)
        for row in reading.rows():
            for mask in merger.add(row):
                kept.add(mask)
            if kept.n_bytes > _MOST_BYTES:
                return None
        for mask in merger.finish():
            kept.add(mask)
        return kept.best() if kept.n_bytes <= _MOST_BYTES else None


_ENDED: Final = frozenset(
    {JobState.SUCCEEDED, JobState.PARTIALLY_SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)


def _too_large(image: Large, detail: str) -> Failed:
    return Failed(image.index, Failure(ItemReason.IMAGE_TOO_LARGE, detail, retryable=False), image.timings_ms)


class _Reading:
    """The masks of an item's tiles, a few tiles at a time."""

    def __init__(self, engine: Engine, job: TileJob, stopped: Callable[[], bool]) -> None:
        self._engine = engine
        self._job = job
        self._stopped = stopped
        self.timings_ms: dict[str, float] = {}

    def rows(self) -> Iterator[list[list[Mask]]]:
        """Each row of windows, from the top."""
        grid = self._job.plan.grid
        for row in range(grid.rows):
            yield [masks for _, masks in self._read(row * grid.columns, (row + 1) * grid.columns, grid.columns)]

    def by_prompt(self) -> Iterator[tuple[Window, list[Mask]]]:
        lo = 0
        while found := self._read(lo, lo + _AT_A_TIME, None):
            yield from found
            lo += _AT_A_TIME

    def _read(self, lo: int, hi: int, expected: int | None) -> list[tuple[Window, list[Mask]]]:
        if self._stopped():
            raise Stopped
        with self._engine.connect() as connection:
            rows = connection.execute(*tiles.tiles_done(self._job.id, lo=lo, hi=hi)).all()
        if expected is not None and len(rows) != expected:
            raise RuntimeError(f"{len(rows)} of {expected} tiles from {lo} on have a result")
        for row in rows:
            for stage in _STAGES:
                self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + (row.timings_ms or {}).get(stage, 0.0)
        return [(Window(*row.tile["window"]), [_mask(mask) for mask in mask_views(row)]) for row in rows]


def _mask(view: dict[str, Any]) -> Mask:
    return Mask(
        rle=view["segmentation"],
        bbox=view["bbox"],
        area=view["area"],
        predicted_iou=view["predicted_iou"],
        stability_score=view["stability_score"],
        point_coords=view["point_coords"],
        crop_box=view["crop_box"],
        prompt_id=view["prompt_id"],
    )


class _Kept:
    """Automatic masks of an image, as its task wants them: within its areas, and the best ones."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._least = task.get("min_mask_area") or 0
        self._largest = task.get("max_mask_area")
        self._most = task.get("max_masks")
        self._masks: list[Mask] = []
        self.n_bytes = 0

    def add(self, mask: Mask) -> None:
        if mask.area < self._least or (self._largest is not None and mask.area > self._largest):
            return
        self._masks.append(mask)
        self.n_bytes += len(mask.rle["counts"])
        if self._most is not None and len(self._masks) > 2 * self._most:
            self._masks = self.best()
            self.n_bytes = sum(len(kept.rle["counts"]) for kept in self._masks)

    def best(self) -> list[Mask]:
        """By predicted IoU, descending."""
        return sorted(self._masks, key=lambda mask: -mask.predicted_iou)[: self._most]
