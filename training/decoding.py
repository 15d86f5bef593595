"""The mask decoder in training: all four tokens, an early exit for deep supervision, a quarter of the pixels.

It runs the modules that `Sam.decode` runs, not copies of them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.layers import LayerNorm2d
from model.networks.mask_decoder import MASK_TOKENS, MaskDecoder
from model.networks.prompt_encoder import PromptEncoder
from model.networks.sam import Sam

TOKENS = list(range(1 + MASK_TOKENS))  # the IoU token, then the mask tokens
Phase = tuple[int, int] | None  # which of the last up-convolution's 2x2 pixels; None: all of them


@dataclass(frozen=True)
class Prediction:
    logits: Tensor  # (B, n, 4, P)
    iou: Tensor  # (B, n, 4) predicted


def sparse_tokens(encoder: PromptEncoder, points: Tensor, kinds: Tensor) -> Tensor:
    """points (…, T, 2) xy in model pixels, kinds (…, T) → (…, T, C), with clicks and boxes in one batch."""
    kinds_of = [encoder.not_a_point_embed.weight, *encoder.point_embeddings.parameters()]
    table = torch.cat(kinds_of)
    position: Tensor = encoder.pe_layer((points + 0.5) / encoder.image_size)
    return position * (kinds >= 0).unsqueeze(-1) + table[kinds + 1]


def upscaled(decoder: MaskDecoder, source: Tensor, phase: Phase) -> Tensor:
    """source (N, h·w, C) → features (N, P, C/8). A phase takes every second pixel of the 4h x 4w grid, row by row."""
    if phase is None:
        features = decoder.upscale(source)  # (N, L, y1, x1, y2, x2, c)
        g = decoder.grid
        cells = features.view(len(features), g, g, *features.shape[2:])
        whole: Tensor = cells.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(1, 6)
        return whole
    first, norm, _, second, _ = decoder.output_upscaling
    assert isinstance(first, nn.ConvTranspose2d) and isinstance(second, nn.ConvTranspose2d)
    assert isinstance(norm, LayerNorm2d) and first.bias is not None
    x = F.linear(source, first.weight.permute(2, 3, 1, 0).flatten(0, 2), first.bias.repeat(4))
    x = x.view(*x.shape[:-1], 2, 2, -1)  # (N, L, y1, x1, c)
    x = F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
    x = F.gelu(F.linear(x, second.weight[:, :, phase[0], phase[1]].mT, second.bias))
    g = decoder.grid
    out: Tensor = x.view(len(x), g, g, *x.shape[2:]).permute(0, 1, 3, 2, 4, 5).flatten(1, 4)
    return out


def pick_phase(masks: Tensor, phase: Phase) -> Tensor:
    """(…, 4h, 4w) → (…, P) in the order of `upscaled`."""
    return masks.flatten(-2) if phase is None else masks[..., phase[0] :: 2, phase[1] :: 2].flatten(-2)


def _read(decoder: MaskDecoder, tokens: Tensor, prompt: Tensor, cells: Tensor, pe: Tensor, phase: Phase) -> Prediction:
    seen = decoder.transformer.last_look(tokens[:, :, TOKENS], prompt[:, :, TOKENS], cells, pe)
    groups, prompts = seen.shape[:2]
    decoded = decoder.read_out(seen, cells.expand(groups, prompts, -1, -1), list(range(MASK_TOKENS)))
    features = upscaled(decoder, decoded.source, phase)
    logits = torch.matmul(decoded.hyper, features.mT)
    return Prediction(logits.view(groups, prompts, *logits.shape[1:]), decoded.iou.view(groups, prompts, -1))


def predict(
    sam: Sam, embedding: Tensor, points: Tensor, kinds: Tensor, masks: Tensor | None, phase: Phase, deep: bool
) -> list[Prediction]:
    """The decoder's prediction; with `deep`, the early exit's before it.

    embedding (B, C, h, w), points (B, n, T, 2), kinds (B, n, T), masks (B, n, 4h, 4w): logits of a previous round.
    """
    decoder, prompts = sam.mask_decoder, points.shape[1]
    prompt = decoder.prompt(sparse_tokens(sam.prompt_encoder, points, kinds))
    cells = embedding.flatten(2).mT.unsqueeze(1)  # (B, 1, L, C)
    if masks is None:
        cells = cells + sam.prompt_encoder.dense(None).unsqueeze(0)
    else:
        dense = sam.prompt_encoder.dense(masks.flatten(0, 1).unsqueeze(1))
        cells = cells + dense.view(len(cells), prompts, *dense.shape[1:])
    pe = sam.prompt_encoder.dense_pe()
    tokens, states = prompt, []
    for layer in decoder.transformer.layers:
        tokens, cells = layer(tokens, cells, prompt, pe)
        states.append((tokens, cells))
    wanted = states if deep else states[-1:]
    return [_read(decoder, t, prompt, c, pe, phase) for t, c in wanted]
