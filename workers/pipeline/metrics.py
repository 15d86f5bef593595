"""What the pipeline measures: batches, and how busy the device is."""

from typing import Final

from prometheus_client import Counter, Histogram

BATCH_IMAGES: Final = Histogram(
    "maskworks_batch_images", "Images of a GPU batch.", ["model"], buckets=(1, 2, 4, 6, 8, 12, 16, 24, 32)
)
BATCH_SECONDS: Final = Counter(
    "maskworks_batch_seconds", "Seconds in which a GPU batch was computed; each thread of a CPU counts.", ["model"]
)
