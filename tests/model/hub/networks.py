"""Small random networks of the real classes of transformers, saved as their users save them. Nothing is fetched."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

SIDE = {"sam": 128, "sam_hq": 128, "sam2": 128, "sam3_tracker": 112, "edgetam": 128}
FAMILIES = tuple(SIDE)
SERVED = ("sam", "sam_hq", "sam2", "sam3_tracker")
"""Those that another process can load. EdgeTAM's own backbone needs the package timm."""


def save(family: str, folder: Path, side: int | None = None) -> Any:
    """The network, saved to the folder beside the settings of its processor, as the hub has them."""
    torch.manual_seed(0)
    network = _MADE[family]().eval()
    _enliven(network)
    network.save_pretrained(folder)
    side = side or SIDE[family]
    size = {"longest_edge": side} if family in ("sam", "sam_hq") else {"height": side, "width": side}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size, "resample": 2}))
    return network


def _enliven(network: torch.nn.Module) -> None:
    """Larger weights than those of the start of training, with which the image would hardly matter."""
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 1.6 / parameter[0].numel() ** 0.5)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.1)


_VIT: Mapping[str, Any] = {
    "hidden_size": 48, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 128,
    "patch_size": 16, "mlp_dim": 64, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 16,
}  # fmt: skip
_PROMPT: Mapping[str, Any] = {"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 8}
_DECODER: Mapping[str, Any] = {
    "hidden_size": 32, "mlp_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
}  # fmt: skip
_LEVELS = [[32, 32], [16, 16], [8, 8]]


def _sam() -> Any:
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

    parts = SamVisionConfig(**_VIT), SamPromptEncoderConfig(**_PROMPT), SamMaskDecoderConfig(**_DECODER)
    return SamModel(SamConfig(vision_config=parts[0], prompt_encoder_config=parts[1], mask_decoder_config=parts[2]))


def _sam_hq() -> Any:
    from transformers import (
        SamHQConfig,
        SamHQMaskDecoderConfig,
        SamHQModel,
        SamHQPromptEncoderConfig,
        SamHQVisionConfig,
    )

    parts = (
        SamHQVisionConfig(**_VIT),
        SamHQPromptEncoderConfig(**_PROMPT),
        SamHQMaskDecoderConfig(**_DECODER, vit_dim=48),
    )
    return SamHQModel(SamHQConfig(vision_config=parts[0], prompt_encoder_config=parts[1], mask_decoder_config=parts[2]))


def _sam2() -> Any:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=_LEVELS,
        fpn_hidden_size=32,
    )  # fmt: skip
    prompt, decoder = Sam2PromptEncoderConfig(**_PROMPT), Sam2MaskDecoderConfig(**_DECODER)
    return Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))


def _sam3_tracker() -> Any:
    from transformers import (
        Sam3TrackerConfig,
        Sam3TrackerMaskDecoderConfig,
        Sam3TrackerModel,
        Sam3TrackerPromptEncoderConfig,
        Sam3VisionConfig,
        Sam3ViTConfig,
    )

    backbone = Sam3ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=112,
        patch_size=14, window_size=4, global_attn_indexes=[1], pretrain_image_size=112,
    )  # fmt: skip
    vision = Sam3VisionConfig(backbone_config=backbone, fpn_hidden_size=32, backbone_feature_sizes=_LEVELS)
    prompt = Sam3TrackerPromptEncoderConfig(**{**_PROMPT, "image_size": 112, "patch_size": 14})
    decoder = Sam3TrackerMaskDecoderConfig(**_DECODER)
    config = Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    return Sam3TrackerModel(config)


class BackboneConfig(PreTrainedConfig):
    """Stands for the backbone of EdgeTAM."""

    model_type = "backbone_of_tests"


class Backbone(PreTrainedModel):
    """Four maps, each of half the side of the one before."""

    config_class = BackboneConfig

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        channels = ((3, 8, 4), (8, 16, 2), (16, 32, 2), (32, 64, 2))
        self.steps = torch.nn.ModuleList(torch.nn.Conv2d(a, b, stride, stride) for a, b, stride in channels)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> Any:
        maps = [pixel_values]
        for step in self.steps:
            maps.append(step(maps[-1]).tanh())
        return BaseModelOutput(last_hidden_state=maps[1:])  # type: ignore[arg-type]


AutoConfig.register(BackboneConfig.model_type, BackboneConfig)
AutoModel.register(BackboneConfig, Backbone)


def _edgetam() -> Any:
    from transformers import (
        EdgeTamConfig,
        EdgeTamMaskDecoderConfig,
        EdgeTamModel,
        EdgeTamPromptEncoderConfig,
        EdgeTamVisionConfig,
    )

    vision = EdgeTamVisionConfig(
        backbone_config=BackboneConfig(), backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=_LEVELS,
        fpn_hidden_size=32,
    )  # fmt: skip
    prompt, decoder = EdgeTamPromptEncoderConfig(**_PROMPT), EdgeTamMaskDecoderConfig(**_DECODER)
    return EdgeTamModel(EdgeTamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))


_MADE: Mapping[str, Callable[[], Any]] = {
    "sam": _sam,
    "sam_hq": _sam_hq,
    "sam2": _sam2,
    "sam3_tracker": _sam3_tracker,
    "edgetam": _edgetam,
}
