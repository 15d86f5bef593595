"""Prompt encoder and mask decoder as one network for one prompt, written with operations that ONNX has.

It has the weights of a `Sam` and gives the same values up to rounding. Nothing depends on the number of points, so
that one graph serves them all. Projections of attention apply to the tokens, which are few, as in
`model.networks.transformer`.

Shapes: T tokens, L = h*w cells, C the width, H heads of width d.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.layers import LayerNorm2d
from model.networks.mask_decoder import MASK_TOKENS, MaskDecoder
from model.networks.prompt_encoder import PromptEncoder
from model.networks.sam import Sam
from model.networks.transformer import Attention, TwoWayBlock


class OnePrompt(nn.Module):
    """From an embedding and one prompt to the logits of all four masks."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.prompts, self.masks = sam.prompt_encoder, sam.mask_decoder
        self.register_buffer("positions", sam.prompt_encoder.dense_pe().clone(), persistent=False)
        self.positions: Tensor

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits (1, 4, 4h, 4w) and predicted IoU (1, 4) of the mask for certain prompts, then three candidates.

        image_embeddings (1, C, h, w) float16; the rest float32. point_coords (1, N, 2) xy in model pixels 0..S (half a
        pixel is added here); point_labels (1, N): 1 foreground, 0 background, 2 and 3 the first and the second corner
        of a box, -1 padding, which a prompt without a box has once, at the end; mask_input (1, 1, 4h, 4w) logits of
        an earlier round, which count where has_mask_input (1,) is 1.
        """
        dense = torch.where(
            has_mask_input > 0,
            self.prompts.mask_downscaling(mask_input)[0].flatten(1).T,
            self.prompts.no_mask_embed.weight,
        )
        cells = image_embeddings.float()[0].flatten(1).T + dense
        prompt = self.masks.prompt(_points(self.prompts, point_coords[0], point_labels[0]))
        tokens, cells = self._transform(prompt, cells)
        logits = _logits(self.masks, tokens[1 : 1 + MASK_TOKENS], cells)
        return logits.unsqueeze(0), self.masks.iou_prediction_head(tokens[0]).unsqueeze(0)

    def _transform(self, prompt: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """prompt (T, C), cells (L, C) -> the IoU token and the mask tokens (5, C), cells (L, C)."""
        transformer, tokens = self.masks.transformer, prompt
        for block in transformer.layers:
            assert isinstance(block, TwoWayBlock)
            tokens, cells = _block(block, tokens, cells, prompt, self.positions)
        tokens, prompt = tokens[: 1 + MASK_TOKENS], prompt[: 1 + MASK_TOKENS]
        seen = _look(transformer.final_attn_token_to_image, tokens + prompt, cells + self.positions, cells)
        return transformer.norm_final_attn(tokens + seen), cells


def _points(encoder: PromptEncoder, xy: Tensor, labels: Tensor) -> Tensor:
    """xy (N, 2) and labels (N,) -> (N, C)."""
    position: Tensor = encoder.pe_layer((xy + 0.5) / encoder.image_size)
    embeddings = [encoder.not_a_point_embed, *encoder.point_embeddings]
    kinds = torch.cat([kind.weight for kind in embeddings if isinstance(kind, nn.Embedding)])
    return position * (labels >= 0).unsqueeze(-1) + kinds[labels.long() + 1]


def _block(
    block: TwoWayBlock, tokens: Tensor, cells: Tensor, prompt: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor]:
    query = tokens if block.first else tokens + prompt
    own = _attend(block.self_attn, query, tokens)
    tokens = block.norm1(own if block.first else tokens + own)
    seen = _look(block.cross_attn_token_to_image, tokens + prompt, cells + positions, cells)
    tokens = block.norm2(tokens + seen)
    tokens = block.norm3(tokens + block.mlp(tokens))
    told = _tell(block.cross_attn_image_to_token, cells + positions, tokens + prompt, tokens)
    return tokens, block.norm4(cells + told)


def _attend(attention: Attention, query: Tensor, values: Tensor) -> Tensor:
    """Tokens look at each other: (T, C) -> (T, C)."""
    q, k = (_split(attention, project(query)) for project in (attention.q_proj, attention.k_proj))
    weights = (q * attention.scale @ k.mT).softmax(-1)
    out: Tensor = attention.out_proj(_merge(weights @ _split(attention, attention.v_proj(values))))
    return out


def _look(attention: Attention, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Tokens (T, C) look at cells, keys and values (L, C): (T, C)."""
    queries = _split(attention, attention.q_proj(tokens)) * attention.scale
    folded = (queries @ _by_head(attention, attention.k_proj.weight)).flatten(0, 1)  # (H*T, C)
    seen = torch.unflatten((folded @ keys.T).softmax(-1) @ values, 0, (attention.heads, -1))  # (H, T, C)
    found = seen @ _by_head(attention, attention.v_proj.weight).mT
    out: Tensor = attention.out_proj(_merge(found) + attention.v_proj.bias)
    return out


def _tell(attention: Attention, cells: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What cells (L, C) learn from tokens, keys and values (T, C): (L, C)."""
    k = _split(attention, attention.k_proj(keys)) * attention.scale
    folded = (k @ _by_head(attention, attention.q_proj.weight)).flatten(0, 1)  # (H*T, C)
    offset = (k * attention.q_proj.bias.view(attention.heads, 1, -1)).sum(-1).flatten()
    weights = torch.unflatten(cells @ folded.T + offset, 1, (attention.heads, -1)).softmax(-1)  # (L, H, T)
    v = _split(attention, attention.v_proj(values)) @ _by_head(attention, attention.out_proj.weight.T)  # (H, T, C)
    return weights.flatten(1) @ v.flatten(0, 1) + attention.out_proj.bias


def _split(attention: Attention, x: Tensor) -> Tensor:
    """(T, H*d) -> (H, T, d)."""
    return torch.unflatten(x, -1, (attention.heads, -1)).transpose(0, 1)


def _merge(x: Tensor) -> Tensor:
    """(H, T, d) -> (T, H*d)."""
    return x.transpose(0, 1).flatten(1)


def _by_head(attention: Attention, weight: Tensor) -> Tensor:
    """(H*d, C) -> (H, d, C)."""
    return torch.unflatten(weight, 0, (attention.heads, -1))


def _logits(decoder: MaskDecoder, tokens: Tensor, cells: Tensor) -> Tensor:
    """Mask tokens (4, C) and cells (L, C) -> (4, 4h, 4w)."""
    hyper = torch.stack([mlp(tokens[i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)])
    first, norm, _, second, _ = decoder.output_upscaling
    assert isinstance(norm, LayerNorm2d)
    x = F.gelu(F.layer_norm(_per_cell(first, cells), norm.weight.shape, norm.weight, norm.bias, norm.eps))
    x = F.gelu(_per_cell(second, x)).flatten(0, 2)  # (L*16, C/8)
    by_cell = torch.unflatten((x @ hyper.T).T, 1, (decoder.grid, decoder.grid, 2, 2, 2, 2))  # 4 h w y1 x1 y2 x2
    return by_cell.permute(0, 1, 3, 5, 2, 4, 6).reshape(MASK_TOKENS, 4 * decoder.grid, 4 * decoder.grid)


def _per_cell(up: nn.Module, x: Tensor) -> Tensor:
    """A transposed convolution whose kernel equals its stride is a product per cell: (..., C) -> (..., 4, C')."""
    assert isinstance(up, nn.ConvTranspose2d) and up.bias is not None
    x = F.linear(x, up.weight.permute(2, 3, 1, 0).flatten(0, 2), up.bias.repeat(4))
    return torch.unflatten(x, -1, (4, -1))
