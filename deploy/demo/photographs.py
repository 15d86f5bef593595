"""The pictures of the demo, from the scikit-image package, and objects in them that a person pointed at.

Only files that the package itself contains: scikit-image fetches its others from the internet. All are free to use, see
the README beside them.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import StackError

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Object:
    """What to segment: a point (x, y) on it or a box (x0, y0, x1, y1) around it, in original pixels."""

    name: str
    point: tuple[int, int] | None = None
    box: Box | None = None

    def prompt(self) -> dict[str, object]:
        """As the API takes it; one mask each."""
        if self.box:
            return {"id": self.name, "box": list(self.box)}
        if self.point is None:
            raise ValueError(f"{self.name} has neither point nor box")
        return {"id": self.name, "points": [list(self.point)], "labels": [1], "multimask": False}


PHOTOGRAPHS: dict[str, tuple[Object, ...]] = {
    "astronaut.png": (
        Object("helmet", box=(283, 345, 510, 511)),
        Object("shuttle", box=(372, 2, 455, 283)),
        Object("face", point=(220, 130)),
    ),
    "camera.png": (
        Object("coat", point=(123, 300)),
        Object("camera", box=(252, 134, 330, 215)),
    ),
    "chelsea.png": (
        Object("left eye", point=(172, 116)),
        Object("right eye", point=(318, 132)),
        Object("nose", box=(238, 215, 296, 272)),
    ),
    "coffee.png": (
        Object("cup", box=(170, 14, 428, 240)),
        Object("spoon", point=(364, 280)),
        Object("saucer", point=(110, 290)),
    ),
    "coins.png": (
        Object("first coin", point=(46, 53)),
        Object("large coin", point=(346, 186)),
        Object("worn coin", box=(15, 232, 78, 292)),
    ),
    "hubble_deep_field.jpg": (),
    "motorcycle_left.png": (
        Object("front wheel", box=(507, 254, 686, 456)),
        Object("tank", point=(409, 195)),
    ),
    "rocket.jpg": (Object("rocket", box=(302, 126, 342, 410)),),
}


def folder() -> Path:
    """Where they are installed. Raises StackError if one is missing."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("scikit-image, whose photographs the demo uses, is not installed. Run `make install`.")
    found = Path(spec.submodule_search_locations[0]) / "data"
    missing = [name for name in PHOTOGRAPHS if not (found / name).is_file()]
    if missing:
        raise StackError(f"The installed scikit-image does not contain {', '.join(missing)}.")
    return found
