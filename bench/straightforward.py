"""A straightforward SAM, in the order of the paper and the reference: the baseline of bench/compare.py.

The published weights as a plain dict, one function per module, nothing shared, folded, skipped or fused; automatic
masks 64 points at a time, every mask upsampled to full size, filtered afterwards, run-length encoded one by one.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.masks import rle
from model.masks.frames import resize, whole
from model.masks.nms import nms
from model.masks.rle import RLE
from model.networks.sam import ENCODERS
from model.sizes import Size
from model.tasks.parameters import Parameters

Weights = dict[str, Tensor]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w: Weights, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def norm2d(w: Weights, name: str, x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    spread = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(spread + 1e-6)
    return w[f"{name}.weight"][:, None, None] * x + w[f"{name}.bias"][:, None, None]


def relative(table: Tensor, side: int) -> Tensor:
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at[None, :] + side - 1]


def vit_attention(w: Weights, name: str, x: Tensor, heads: int) -> Tensor:
    """Positions as one tensor, through the stock call: as `transformers` does it, which is faster than the reference's
    own product, sum and softmax."""
    b, h, width, _ = x.shape
    qkv = linear(w, f"{name}.qkv", x).reshape(b, h * width, 3, heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.reshape(3, b * heads, h * width, -1).unbind(0)
    grid = q.reshape(b * heads, h, width, -1)
    rows = torch.einsum("bhwc,hkc->bhwk", grid, relative(w[f"{name}.rel_pos_h"], h)).contiguous()
    columns = torch.einsum("bhwc,wkc->bhwk", grid, relative(w[f"{name}.rel_pos_w"], width)).contiguous()
    bias = (rows[..., None] + columns[..., None, :]).view(1, -1, h * width, h * width)
    seen = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias)
    seen = seen.view(b, heads, h, width, -1).permute(0, 2, 3, 1, 4).reshape(b, h, width, -1)
    return linear(w, f"{name}.proj", seen)


def vit_block(w: Weights, name: str, x: Tensor, heads: int, window: int) -> Tensor:
    side = x.shape[1]
    y = norm(w, f"{name}.norm1", x, 1e-6)
    if window:
        pad = -side % window
        y = F.pad(y, (0, 0, 0, pad, 0, pad))
        n = y.shape[1] // window
        y = y.view(len(x), n, window, n, window, -1).permute(0, 1, 3, 2, 4, 5).reshape(-1, window, window, y.shape[-1])
    y = vit_attention(w, f"{name}.attn", y, heads)
    if window:
        y = y.view(len(x), n, n, window, window, -1).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(len(x), n * window, n * window, -1)[:, :side, :side]
    x = x + y
    y = norm(w, f"{name}.norm2", x, 1e-6)
    return x + linear(w, f"{name}.mlp.lin2", F.gelu(linear(w, f"{name}.mlp.lin1", y)))


def encode(w: Weights, row: Size, pixels: Tensor) -> Tensor:
    """(B, 3, S, S) → (B, C, S/p, S/p). Only the ViT has a reference order to speak of: any other encoder is ours."""
    e = "image_encoder"
    if row.encoder != "vit":
        out: Tensor = own_encoder(w, row)(pixels)
        return out
    patch = f"{e}.patch_embed.proj"
    x = F.conv2d(pixels, w[f"{patch}.weight"], w[f"{patch}.bias"], stride=row.patch_size)
    x = x.permute(0, 2, 3, 1) + w[f"{e}.pos_embed"]
    for i in range(row.depth):
        window = 0 if i in row.global_attn_indexes else row.window_size
        x = vit_block(w, f"{e}.blocks.{i}", x, row.num_heads, window)
    x = norm2d(w, f"{e}.neck.1", F.conv2d(x.permute(0, 3, 1, 2), w[f"{e}.neck.0.weight"]))
    return norm2d(w, f"{e}.neck.3", F.conv2d(x, w[f"{e}.neck.2.weight"], padding=1))


def own_encoder(w: Weights, row: Size) -> nn.Module:
    encoder = ENCODERS[row.encoder](row).eval().to(w["image_encoder.neck.0.weight"].device)
    encoder.load_state_dict({k.removeprefix("image_encoder."): v for k, v in w.items() if k.startswith("image_enc")})
    return encoder


def positions(w: Weights, unit: Tensor) -> Tensor:
    at = (2 * unit - 1) @ w["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] * (2 * torch.pi)
    return torch.cat([at.sin(), at.cos()], -1)


def attention(w: Weights, name: str, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)

    q, k, v = (split(linear(w, f"{name}.{p}_proj", x)) for p, x in (("q", q), ("k", k), ("v", v)))
    seen = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return linear(w, f"{name}.out_proj", seen.transpose(1, 2).flatten(2))


def perceptron(w: Weights, name: str, x: Tensor) -> Tensor:
    for i in range(3):
        x = linear(w, f"{name}.layers.{i}", x)
        x = F.relu(x) if i < 2 else x
    return x


def point_tokens(w: Weights, row: Size, points: Tensor, labels: Tensor) -> Tensor:
    """(N, P, 2) model pixels, labels 1 or 0 → (N, P + 1, C), the last a padding point."""
    p = "prompt_encoder"
    kinds = torch.stack([w[f"{p}.point_embeddings.{i}.weight"][0] for i in (0, 1)])
    tokens = positions(w, (points + 0.5) / row.image_size) + kinds[labels]
    return torch.cat([tokens, w[f"{p}.not_a_point_embed.weight"].expand(len(points), 1, -1)], 1)


def decode(w: Weights, row: Size, embedding: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Three masks for each of N points on one image (1, C, h, w) → logits (N, 3, 4h, 4w), IoU (N, 3)."""
    d, heads = "mask_decoder", row.decoder_heads
    sparse = point_tokens(w, row, points, labels)
    own = torch.cat([w[f"{d}.iou_token.weight"], w[f"{d}.mask_tokens.weight"]])
    prompt = torch.cat([own.expand(len(sparse), -1, -1), sparse], 1)
    grid = (torch.arange(row.grid, device=points.device) + 0.5) / row.grid
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    pe = positions(w, torch.stack([x, y], -1)).flatten(0, 1).repeat(len(sparse), 1, 1)
    source = (
        torch.repeat_interleave(embedding, len(sparse), 0) + w["prompt_encoder.no_mask_embed.weight"][..., None, None]
    )
    cells, tokens = source.flatten(2).permute(0, 2, 1), prompt
    for i in range(row.decoder_depth):
        t = f"{d}.transformer.layers.{i}"
        if i == 0:
            tokens = attention(w, f"{t}.self_attn", tokens, tokens, tokens, heads)
        else:
            q = tokens + prompt
            tokens = tokens + attention(w, f"{t}.self_attn", q, q, tokens, heads)
        tokens = norm(w, f"{t}.norm1", tokens)
        tokens = tokens + attention(w, f"{t}.cross_attn_token_to_image", tokens + prompt, cells + pe, cells, heads)
        tokens = norm(w, f"{t}.norm2", tokens)
        tokens = tokens + linear(w, f"{t}.mlp.lin2", F.relu(linear(w, f"{t}.mlp.lin1", tokens)))
        tokens = norm(w, f"{t}.norm3", tokens)
        cells = cells + attention(w, f"{t}.cross_attn_image_to_token", cells + pe, tokens + prompt, tokens, heads)
        cells = norm(w, f"{t}.norm4", cells)
    last = f"{d}.transformer.final_attn_token_to_image"
    tokens = tokens + attention(w, last, tokens + prompt, cells + pe, cells, heads)
    tokens = norm(w, f"{d}.transformer.norm_final_attn", tokens)
    up = f"{d}.output_upscaling"
    image = cells.transpose(1, 2).view(source.shape)
    image = F.conv_transpose2d(image, w[f"{up}.0.weight"], w[f"{up}.0.bias"], stride=2)
    image = F.gelu(norm2d(w, f"{up}.1", image))
    image = F.gelu(F.conv_transpose2d(image, w[f"{up}.3.weight"], w[f"{up}.3.bias"], stride=2))
    hyper = torch.stack([perceptron(w, f"{d}.output_hypernetworks_mlps.{i}", tokens[:, 1 + i]) for i in range(4)], 1)
    logits = (hyper @ image.flatten(2)).view(len(sparse), 4, 4 * row.grid, 4 * row.grid)
    iou = perceptron(w, f"{d}.iou_prediction_head", tokens[:, 0])
    return logits[:, 1:], iou[:, 1:]


@dataclass
class Batch:
    """What 64 points left: run lengths, boxes x0 y0 x1 y1, predicted IoU."""

    runs: list[np.ndarray]
    boxes: Tensor
    iou: Tensor


def prepare(row: Size, image: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 (H, W, 3) → (1, 3, S, S)."""
    small = resize(image, whole(image.shape[0], image.shape[1], row.image_size))
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (row.pixel_mean, row.pixel_std))
    pixels = (torch.from_numpy(small).to(device).permute(2, 0, 1) - mean) / std
    pad = row.image_size - small.shape[1], row.image_size - small.shape[0]
    return F.pad(pixels, (0, pad[0], 0, pad[1]))[None]


def upsample(row: Size, logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, M, low, low) → (N, M, H, W)."""
    tall, wide = whole(*size, row.image_size).resized
    big = F.interpolate(logits, (row.image_size,) * 2, mode="bilinear", align_corners=False)
    return F.interpolate(big[..., :tall, :wide], size, mode="bilinear", align_corners=False)


def automatic(
    w: Weights, row: Size, image: np.ndarray, given: Parameters, device: str = "cpu"
) -> list[tuple[RLE, float]]:
    """(RLE, predicted IoU) of each mask, by predicted IoU descending; no crops, no small regions."""
    size = image.shape[0], image.shape[1]
    embedding = encode(w, row, prepare(row, image, device))
    steps = (np.arange(given.points_per_side) + 0.5) / given.points_per_side
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    points = torch.from_numpy(grid * np.asarray(whole(*size, row.image_size).resized[::-1])).float().to(device)
    parts = [_batch(w, row, embedding, p, size, given) for p in torch.split(points, 64)]
    boxes, iou = torch.cat([p.boxes for p in parts]).cpu(), torch.cat([p.iou for p in parts]).cpu()
    lengths = [r for p in parts for r in p.runs]
    kept = nms(boxes.numpy(), iou.numpy(), given.box_nms_thresh)
    return [({"size": list(size), "counts": rle.compress([lengths[i]])[0]}, float(iou[i])) for i in kept]


def _batch(w: Weights, row: Size, embedding: Tensor, points: Tensor, size: tuple[int, int], given: Parameters) -> Batch:
    logits, iou = decode(w, row, embedding, points[:, None], points.new_ones(len(points), 1, dtype=torch.int64))
    full, iou = upsample(row, logits, size).flatten(0, 1), iou.flatten()
    keep = iou > (given.pred_iou_thresh or -torch.inf)  # a threshold of 0 does not filter
    full, iou = full[keep], iou[keep]
    above, below = (
        (full > t).sum(-1, dtype=torch.int16).sum(-1, dtype=torch.int32)
        for t in (given.stability_score_offset, -given.stability_score_offset)
    )
    keep = (above / below).nan_to_num() >= given.stability_score_thresh
    masks, iou = full[keep] > 0, iou[keep]
    return Batch([_runs(m) for m in masks], _boxes(masks), iou)


def _boxes(masks: Tensor) -> Tensor:
    """bool (N, H, W) → (N, 4) inclusive."""
    found = []
    for on in (masks.any(1), masks.any(2)):
        at = torch.arange(on.shape[1], device=on.device)
        found.append((torch.where(on, at, on.shape[1]).amin(1), torch.where(on, at, -1).amax(1)))
    (x0, x1), (y0, y1) = found
    return torch.stack([x0, y0, x1, y1], 1).float() * (x1 >= 0)[:, None]


def _runs(mask: Tensor) -> np.ndarray:
    flat = mask.T.flatten()
    changes = (flat[1:] != flat[:-1]).nonzero()[:, 0] + 1
    return rle.from_changes(changes.cpu().numpy(), bool(flat[0]), flat.numel())


def prompted(w: Weights, row: Size, image: np.ndarray, points: np.ndarray, device: str = "cpu") -> list[RLE]:
    """Three masks for each lone point (N, 2), one prompt after another, as a predictor is called."""
    size = image.shape[0], image.shape[1]
    embedding = encode(w, row, prepare(row, image, device))
    tall, wide = whole(*size, row.image_size).resized
    scaled = torch.from_numpy(points * np.asarray([wide / size[1], tall / size[0]])).float().to(device)
    found: list[RLE] = []
    for point in scaled:
        one = torch.ones(1, 1, dtype=torch.int64, device=device)
        logits, _ = decode(w, row, embedding, point[None, None], one)
        for mask in upsample(row, logits, size)[0] > 0:
            found.append({"size": list(size), "counts": rle.compress([_runs(mask)])[0]})
    return found
