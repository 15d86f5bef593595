"""A network of transformers by folder or hub id. transformers is imported here, and only when one is asked for.

Weights are read from .safetensors files alone, and no code from the model's files is run. A network whose weights do
not cover it is refused: transformers would fill it with random ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from model.errors import CheckpointError, ModelError
from model.hub.families import FAMILIES, Family, grid, image_size
from model.hub.files import find
from model.hub.network import HubNetwork, HubRow
from model.words.load import Source, revision_of

_BILINEAR: Final = 2
"""The `resample` of a processor that interpolates linearly, as all families here do."""


def load(name: str, checkpoint: str | Path | None) -> tuple[HubNetwork, str]:
    """The network of that name, and its revision. Raises ModelError, and CheckpointError, which says what to do.

    `checkpoint`: a folder that stands for the name. Without one the name is looked up on the hub.
    """
    try:
        from transformers import AutoModelForMaskGeneration, PreTrainedConfig
    except ImportError as error:
        raise ModelError(f"{name} needs the package transformers: pip install 'maskworks[hf]'") from error
    source = find(name, checkpoint)
    try:
        told, _ = PreTrainedConfig.get_config_dict(source.place, revision=source.revision)
        family = _family(name, str(told.get("model_type")))
        network, report = source.read(
            AutoModelForMaskGeneration, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        _check_weights(name, source, report)
        row = _row(name, family, network.config, _processor(source))
        return HubNetwork(network, family, row), revision_of(source, network.config)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        ImportError,
        SafetensorError,
    ) as error:
        raise CheckpointError(f"{name} cannot be loaded from {source.place}: {error}") from error


def _family(name: str, model_type: str) -> Family:
    family = FAMILIES.get(model_type)
    if family is None:
        raise CheckpointError(
            f"{name} is a {model_type}, which takes no points and boxes; those that do are {', '.join(FAMILIES)}"
        )
    return family


def _check_weights(name: str, source: Source, report: Mapping[str, Any]) -> None:
    if missing := sorted(report["missing_keys"]):
        some = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise CheckpointError(f"the weights of {name} in {source.place} lack {len(missing)} tensors: {some}")


def _processor(source: Source) -> Mapping[str, Any]:
    """What the model's processor was saved with; nothing where no such file is there."""
    from transformers.utils.hub import cached_file

    for file in ("preprocessor_config.json", "processor_config.json"):
        path = cached_file(source.place, file, revision=source.revision, _raise_exceptions_for_missing_entries=False)
        if path is not None:
            told: dict[str, Mapping[str, Any]] = json.loads(Path(path).read_text())
            return told.get("image_processor", told)
    return {}


def _row(name: str, family: Family, config: Any, settings: Mapping[str, Any]) -> HubRow:
    side = image_size(config)
    sizes = {"its encoder": _seen_by(config.vision_config), "its processor": settings.get("size")}
    for part, given in sizes.items():
        if wrong := [length for length in _lengths(given) if length != side]:
            raise CheckpointError(
                f"{part} takes images of {wrong[0]} pixels, and the prompt encoder of {name} images of {side}: in "
                "config.json and preprocessor_config.json all sizes must be that with which the weights were trained"
            )
    if settings.get("resample", _BILINEAR) != _BILINEAR:
        raise CheckpointError(
            f"the processor of {name} resizes with Pillow's filter {settings['resample']}, and only {_BILINEAR} "
            "(bilinear) is built"
        )
    return HubRow(
        name=name,
        image_size=side,
        mask_size=4 * grid(config),
        stretched=family.stretched,
        mean=tuple(settings.get("image_mean", family.mean)),
        std=tuple(settings.get("image_std", family.std)),
        automatic=family.automatic,
    )


def _seen_by(vision: Any) -> Any:
    """The size that an encoder's configuration gives, where it does."""
    part = getattr(vision, "backbone_config", None) or vision
    return getattr(part, "image_size", None)


def _lengths(size: Any) -> list[int]:
    """1024, [1024, 1024] or {"longest_edge": 1024} as numbers."""
    if isinstance(size, Mapping):
        return list(size.values())
    return [] if size is None else list(size) if isinstance(size, list | tuple) else [size]
