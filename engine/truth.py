"""Right masks of images in a bucket, from a COCO file, for the simulated annotator."""

import json
from collections import defaultdict
from pathlib import Path

from evaluation.data.coco import mask_of, named
from evaluation.data.picture import GroundTruthError
from training.clicks import Mask


def read_truth(path: Path, prefix: str) -> dict[str, list[Mask]]:
    """URI → masks. An image's URI is the prefix and its `file_name`. Raises GroundTruthError."""
    try:
        told = json.loads(path.read_text())
        images = {image["id"]: image for image in told["images"]}
        masks: dict[str, list[Mask]] = defaultdict(list)
        for row in told["annotations"]:
            image = images[row["image_id"]]
            mask = mask_of(row["segmentation"], image["height"], image["width"])
            if mask.any():
                masks[prefix + named(image)].append(mask)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundTruthError(f"{path} is no file of COCO annotations: {error!r}") from error
    return dict(masks)
