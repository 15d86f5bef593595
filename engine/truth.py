"""Right masks of images in a bucket, from a COCO file, for the simulated annotator."""

from pathlib import Path

from evaluation.data.coco import annotated, mask_of
from training.clicks import Mask


def read_truth(path: Path, prefix: str) -> dict[str, list[Mask]]:
    """URI → masks. An image's URI is the prefix and its `file_name`. Raises GroundTruthError."""
    masks = {
        prefix + one.name: [mask_of(row["segmentation"], *one.size) for row in one.rows] for one in annotated(path)
    }
    return {uri: [mask for mask in each if mask.any()] for uri, each in masks.items()}
