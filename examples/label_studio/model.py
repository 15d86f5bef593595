"""Label Studio: an ML backend that answers clicks and boxes with brush masks.

    pip install git+https://github.com/HumanSignal/label-studio-ml-backend    # the release on PyPI is too old
    label-studio-ml create maskworks_backend
    cp model.py maskworks_backend/
    label-studio-ml start maskworks_backend

The labelling configuration needs a BrushLabels control, and KeyPointLabels or RectangleLabels with smart="true".
"""

from typing import Any

from label_studio_ml.model import LabelStudioMLBase
from label_studio_sdk.converter.brush import mask2rle

from maskworks import Client, Mask


class MaskworksBackend(LabelStudioMLBase):
    """One client for all requests of the process."""

    def setup(self) -> None:
        self.set("model_version", "maskworks")
        self.client = Client()

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any) -> list[Any]:
        """The best mask for what was drawn last."""
        if not context or not context.get("result"):
            return []
        prompt, size = read_prompt(context["result"])
        name, to_name, field = self.get_first_tag_occurence("BrushLabels", "Image")
        image = self.get_local_path(tasks[0]["data"][field], task_id=tasks[0]["id"])
        masks = self.client.segment(image, **prompt).masks
        best = max(masks, key=lambda mask: mask.predicted_iou)
        value = context["result"][-1]["value"]
        label = value.get("keypointlabels") or value.get("rectanglelabels") or ["object"]
        return [{"result": [region(best, name, to_name, label, size)], "score": best.predicted_iou}]


def read_prompt(drawn: list[dict[str, Any]]) -> tuple[dict[str, Any], tuple[int, int]]:
    """Label Studio's shapes, in percent of the image → a prompt in pixels, and (width, height)."""
    width, height = drawn[-1]["original_width"], drawn[-1]["original_height"]
    points, labels, box = [], [], None
    for shape in drawn:
        value = shape["value"]
        x, y = value["x"] * width / 100, value["y"] * height / 100
        if "width" in value and "rectanglelabels" in value:
            box = [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]
        else:
            points.append([x, y])
            labels.append(int(shape.get("is_positive", True)))
    given = {"points": points or None, "labels": labels or None, "box": box}
    return {name: part for name, part in given.items() if part is not None}, (width, height)


def region(mask: Mask, name: str, to_name: str, label: list[str], size: tuple[int, int]) -> dict[str, Any]:
    """A mask in Label Studio's own run lengths."""
    rle = mask2rle(mask.to_numpy().astype("uint8") * 255)
    value = {"format": "rle", "rle": rle, "brushlabels": label}
    common = {"from_name": name, "to_name": to_name, "type": "brushlabels", "value": value}
    return {**common, "original_width": size[0], "original_height": size[1], "image_rotation": 0}
