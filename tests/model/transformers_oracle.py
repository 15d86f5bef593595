"""`transformers.SamModel` with our weights, to compare our networks with."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from model.networks.sam import Sam
from model.sizes import Size

RENAMES = (
    (r"image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"image_encoder\.blocks\.(\d+)\.norm(\d)", r"vision_encoder.layers.\1.layer_norm\2"),
    (r"image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"image_encoder\.neck\.0", "vision_encoder.neck.conv1"),
    (r"image_encoder\.neck\.1", "vision_encoder.neck.layer_norm1"),
    (r"image_encoder\.neck\.2", "vision_encoder.neck.conv2"),
    (r"image_encoder\.neck\.3", "vision_encoder.neck.layer_norm2"),
    (r"image_encoder\.", "vision_encoder."),
    (r"prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
     "prompt_encoder.shared_embedding.positional_embedding"),
    (r"prompt_encoder\.point_embeddings", "prompt_encoder.point_embed"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"transformer\.norm_final_attn", "transformer.layer_norm_final_attn"),
    (r"transformer\.layers\.(\d)\.norm(\d)", r"transformer.layers.\1.layer_norm\2"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0", r"\1.proj_in"),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.1", r"\1.layers.0"),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.2", r"\1.proj_out"),
)  # fmt: skip


def oracle(sam: Sam) -> SamModel:
    """The same network in `transformers`, with our weights, in eval mode."""
    model: SamModel = SamModel(_config(sam.row)).eval()
    state = {_rename(name): tensor for name, tensor in sam.state_dict().items()}
    state["shared_image_embedding.positional_embedding"] = state["prompt_encoder.shared_embedding.positional_embedding"]
    model.load_state_dict(state, strict=True)
    return model


def _rename(name: str) -> str:
    for pattern, new in RENAMES:
        name = re.sub(pattern, new, name)
    return name


def _config(row: Size) -> SamConfig:
    vision = SamVisionConfig(
        hidden_size=row.embed_dim,
        output_channels=row.out_chans,
        num_hidden_layers=row.depth,
        num_attention_heads=row.num_heads,
        image_size=row.image_size,
        patch_size=row.patch_size,
        mlp_ratio=row.mlp_ratio,
        mlp_dim=int(row.embed_dim * row.mlp_ratio),
        window_size=row.window_size,
        global_attn_indexes=list(row.global_attn_indexes),
        num_pos_feats=row.out_chans // 2,
    )
    prompt = SamPromptEncoderConfig(
        hidden_size=row.out_chans,
        image_size=row.image_size,
        patch_size=row.patch_size,
        mask_input_channels=row.mask_in_chans,
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=row.out_chans,
        mlp_dim=row.decoder_mlp_dim,
        num_hidden_layers=row.decoder_depth,
        num_attention_heads=row.decoder_heads,
        iou_head_depth=row.iou_head_depth,
        iou_head_hidden_dim=row.iou_head_hidden_dim,
        layer_norm_eps=1e-5,  # as in the published networks, unlike this configuration's default
    )
    return SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


def decode(
    model: SamModel,
    embeddings: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    boxes: Tensor | None,
    masks: Tensor | None,
    multimask: bool,
) -> tuple[Tensor, Tensor]:
    """n prompts in our shapes on one embedding (1, C, h, w) -> logits (n, M, 4h, 4w), IoU (n, M)."""
    with torch.inference_mode():
        out = model(
            image_embeddings=embeddings,
            input_points=None if points is None else points[None],
            input_labels=None if labels is None else labels[None],
            input_boxes=None if boxes is None else boxes[None],
            input_masks=masks,
            multimask_output=multimask,
        )
    return out.pred_masks[0], out.iou_scores[0]
