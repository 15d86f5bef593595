"""The families of networks in transformers that take points and boxes, as rows: how each encodes and decodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor

from model.sizes import PUBLISHED_AUTOMATIC
from model.words.pixels import IMAGENET_MEAN, IMAGENET_STD

Maps = tuple[Tensor, ...]
HALF: Final = (0.5, 0.5, 0.5)
_SAM_2_AUTOMATIC: Final = MappingProxyType({**PUBLISHED_AUTOMATIC, "pred_iou_thresh": 0.8})
"""The published generator of SAM 2 asks for less than that of SAM."""


@dataclass(frozen=True)
class Family:
    """One family.

    `stretched`: images are stretched to the square that the encoder sees; otherwise padded. `maps`: the network and
    normalised pixels (B, 3, S, S) → what its decoder needs of each image. `shapes`: the same for one image, by the
    network's configuration. `given`: the arguments of the network's `forward` that these maps become. `mean`, `std`:
    of channels from 0 to 1, where the model's files do not say.
    """

    stretched: bool
    maps: Callable[[Any, Tensor], Maps]
    shapes: Callable[[Any], tuple[tuple[int, ...], ...]]
    given: Callable[[Maps], dict[str, Any]]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    automatic: Mapping[str, float] = field(default_factory=lambda: PUBLISHED_AUTOMATIC)


def image_size(config: Any) -> int:
    """Side of the square that the network sees, in pixels."""
    return int(config.prompt_encoder_config.image_size)


def grid(config: Any) -> int:
    """Side of the embedding, in cells."""
    return image_size(config) // int(config.prompt_encoder_config.patch_size)


def _one_map(network: Any, pixels: Tensor) -> Maps:
    return (network.get_image_embeddings(pixels),)


def _one_shape(config: Any) -> tuple[tuple[int, ...], ...]:
    return ((config.prompt_encoder_config.hidden_size, grid(config), grid(config)),)


def _with_early(network: Any, pixels: Tensor) -> Maps:
    """The embedding, and the output of the first block with global attention, which is all that the decoder reads."""
    embedding, early = network.get_image_embeddings(pixels)
    return embedding, early[0]


def _shapes_with_early(config: Any) -> tuple[tuple[int, ...], ...]:
    return *_one_shape(config), (grid(config), grid(config), config.vision_config.hidden_size)


def _pyramid(network: Any, pixels: Tensor) -> Maps:
    """Two finer maps, then the embedding."""
    return tuple(network.get_image_embeddings(pixels))


def _pyramid_shapes(config: Any) -> tuple[tuple[int, ...], ...]:
    channels = config.mask_decoder_config.hidden_size
    sizes = [tuple(size) for size in config.vision_config.backbone_feature_sizes]
    return tuple((width, *size) for width, size in zip((channels // 8, channels // 4, channels), sizes, strict=True))


_SAM: Final = Family(
    stretched=False,
    maps=_one_map,
    shapes=_one_shape,
    given=lambda maps: {"image_embeddings": maps[0]},
)
_SAM_HQ: Final = Family(
    stretched=False,
    maps=_with_early,
    shapes=_shapes_with_early,
    given=lambda maps: {"image_embeddings": maps[0], "intermediate_embeddings": [maps[1]]},
)
_SAM_2: Final = Family(
    stretched=True,
    maps=_pyramid,
    shapes=_pyramid_shapes,
    given=lambda maps: {"image_embeddings": list(maps)},
    automatic=_SAM_2_AUTOMATIC,
)
_SAM_3: Final = Family(
    stretched=True,
    maps=_pyramid,
    shapes=_pyramid_shapes,
    given=_SAM_2.given,
    mean=HALF,
    std=HALF,
    automatic=_SAM_2_AUTOMATIC,
)

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "sam": _SAM,
        "sam_hq": _SAM_HQ,
        "sam2": _SAM_2,
        "sam2_video": _SAM_2,
        "edgetam": _SAM_2,
        "edgetam_video": _SAM_2,
        "sam3_tracker": _SAM_3,
        "sam3_video": _SAM_3,
    }
)
"""The `model_type` in a model's config.json → its row. A configuration for video holds the network for images too."""
