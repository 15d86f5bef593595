"""A folder of labels for YOLO segmentation: `labels/NAME.txt` for each image, `images.txt`, `data.yaml`."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from maskworks.masks import Mask
from maskworks.records import Result

_CLASS = "object"


class YoloFolder:
    """Takes results one by one. Needs the extra `shapely`.

    A line is a class and one polygon, with coordinates as shares of the width and height. Holes and further parts are
    reached by edges that are walked forth and back, so that filling the polygon by the even-odd rule gives the mask.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        self._classes: dict[str, int] = {}
        self._names: set[PurePosixPath] = set()
        self._images: list[str] = []

    def add(self, result: Result) -> None:
        """Of an item that succeeded. An image without masks has an empty file, as YOLO wants."""
        if result.size is None:
            return
        height, width = result.size
        lines = [self._line(mask, width, height) for mask in result.masks if mask.area]
        name = self._name(result)
        path = self._folder / "labels" / name.with_name(f"{name.name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        self._images.append(f"{name}\t{result.image}\n")

    def finish(self) -> None:
        """Write the list of images and the names of the classes."""
        (self._folder / "images.txt").write_text("".join(self._images))
        names = self._classes or {_CLASS: 0}
        entries = "".join(f"  {number}: {_quoted(name)}\n" for name, number in names.items())
        (self._folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{entries}")

    def _line(self, mask: Mask, width: int, height: int) -> str:
        number = self._classes.setdefault(mask.phrase or _CLASS, len(self._classes))
        corners = (f"{x / width:.6f} {y / height:.6f}" for x, y in walk(mask.to_shapely()))
        return f"{number} {' '.join(corners)}"

    def _name(self, result: Result) -> PurePosixPath:
        """Where the image would lie below `images/`, without its suffix. No other image has the same."""
        custom = PurePosixPath(result.custom_id)
        known = custom if custom.suffix else PurePosixPath(result.image.partition("://")[2])
        path = PurePosixPath(*(part for part in known.parts if part not in ("/", "..", "."))).with_suffix("")
        if path in self._names:
            path = path.with_name(f"{path.name}-{result.index}")
        self._names.add(path)
        return path


def walk(shape: Any) -> list[tuple[float, float]]:
    """All rings of a Polygon or MultiPolygon in one: from the first corner to each ring, around it, and back."""
    polygons: Sequence[Any] = getattr(shape, "geoms", [shape])
    rings = [list(ring.coords) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    first, *others = rings
    if not others:
        return first[:-1]
    return [*first, *(corner for ring in others for corner in (*ring, first[0]))]


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
