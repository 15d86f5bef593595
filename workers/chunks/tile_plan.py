"""What the tiles of an image have to know of it: kept as the `input` of their job."""

from dataclasses import asdict, dataclass
from typing import Any

from db.bands import Bands
from db.states import Depth
from model.spec import Prompt, Prompted, Task, Tiling
from model.tiles.grid import Grid, Window
from model.tiles.prompts import prompts_of_windows
from workers.pipeline.ticket import Large, Region

_OF_THE_WHOLE = frozenset({"tile", "min_mask_area", "max_mask_area", "max_masks"})
"""What a task says about masks of the image, and not about their pieces."""


@dataclass(frozen=True)
class Plan:
    """An image, its windows, and what its result says beside its masks.

    `masks_of`: of prompts, in their order, how many masks each has; None for automatic masks.
    """

    depth: str
    bands: list[int] | None
    height: int
    width: int
    size: int
    overlap: int
    orientation: int
    frames: int | None
    georeference: dict[str, Any] | None
    warnings: list[dict[str, Any]]
    tag: str | None
    fingerprint: str | None
    black_white: list[float] | None
    timings_ms: dict[str, float]
    masks_of: dict[str, int] | None

    @classmethod
    def of(cls, image: Large, tiling: Tiling, depth: Depth, bands: Bands | None) -> "Plan":
        task, picture, ends = image.task, image.picture, image.picture.black_white
        prompts = task.prompts if isinstance(task, Prompted) else None
        return cls(
            depth=depth.value,
            bands=None if bands is None else list(bands),
            height=picture.height,
            width=picture.width,
            size=tiling.size,
            overlap=tiling.shared,
            orientation=picture.orientation,
            frames=picture.frames,
            georeference=None if picture.georeference is None else picture.georeference.as_json(),
            warnings=image.warnings,
            tag=image.tag,
            fingerprint=None if image.fingerprint is None else image.fingerprint.hex(),
            black_white=None if ends is None else [v if isinstance(v, int) else float(v) for v in ends],
            timings_ms=image.timings_ms,
            masks_of=None if prompts is None else {p.id: 3 if p.three_masks else 1 for p in prompts},
        )

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "Plan":
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def grid(self) -> Grid:
        return Grid(self.height, self.width, self.size, self.overlap)

    def region(self, tile: dict[str, Any]) -> Region:
        """What a tile reads. `tile` is that of its item."""
        ends = None if self.black_white is None else (self.black_white[0], self.black_white[1])
        return Region(Window(*tile["window"]), self.tag, ends)


def task_of_tiles(task: dict[str, Any]) -> dict[str, Any]:
    """The task of each window, of a job's task as it is stored. Boxes have become corners."""
    kept = {name: value for name, value in task.items() if name not in _OF_THE_WHOLE}
    return kept | {"box_format": "xyxy"} if "box_format" in kept else kept


def windows_of(grid: Grid, task: Task) -> list[tuple[Window, list[dict[str, Any]] | None]]:
    """The windows that are segmented, row by row, and the prompts of each; None for automatic masks: all of them."""
    if isinstance(task, Prompted):
        of_windows = prompts_of_windows(grid, task.prompts)
        return [(window, [_stored(prompt) for prompt in prompts]) for window, prompts in of_windows.items()]
    return [(window, None) for row in range(grid.rows) for window in grid.row(row)]


def _stored(prompt: Prompt) -> dict[str, Any]:
    given = {"id": prompt.id, "points": prompt.points, "labels": prompt.labels, "multimask": prompt.multimask}
    return given if prompt.box is None else given | {"box": prompt.box}
