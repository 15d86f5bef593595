"""The image encoder beside OpenVINO's, transformers' and the straightforward one, on the same weights, turn by turn."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import straightforward
from bench.clock import Clock
from model.backends.sam import Segmenter
from model.masks.frames import Pixels
from model.networks import image_encoder
from model.networks.layers import Mlp
from tests.model.transformers_oracle import oracle

ROUNDS = 3
Table = dict[str, Any]
Work = Callable[[], Tensor]


def encoders(ours: dict[str, Segmenter], clock: Clock, image: Pixels) -> Iterator[Table]:
    """A row for each precision: median seconds of each, and ours over OpenVINO's."""
    for precision, s in ours.items():
        pixels = straightforward.prepare(s.sam.row, image, s.device).to(s.sam.dtype)
        with torch.inference_mode():
            works = dict(_works(s, pixels))
            expected = works["ours"]()
            apart = {f"{name} apart": _apart(work(), expected) for name, work in works.items() if name != "ours"}
            rounds = [{name: clock.seconds(work)[0] for name, work in works.items()} for _ in range(ROUNDS)]
        middle = {name: statistics.median(r[name] for r in rounds) for name in works}
        ratio = {f"ours / {name}": round(middle["ours"] / v, 3) for name, v in middle.items() if name != "ours"}
        yield (
            {"what": "encode", "precision": precision, "dtype": str(s.sam.dtype).removeprefix("torch.")}
            | {f"{name} s": round(v, 3) for name, v in middle.items()}
            | ratio
            | apart
        )


def _works(s: Segmenter, pixels: Tensor) -> Iterator[tuple[str, Work]]:
    yield "ours", lambda: s.sam.encode(pixels)
    if s.sam.row.encoder == "vit":
        theirs: Any = oracle(s.sam)
        theirs = theirs.to(s.sam.dtype)
        yield "transformers", lambda: theirs.get_image_embeddings(pixels)
    graph = openvino(s, pixels)
    if graph is not None:
        values = pixels.float().numpy()
        yield "OpenVINO", lambda: torch.from_numpy(graph([values])[0])


def _apart(answer: Tensor, expected: Tensor) -> float:
    return round((answer.float() - expected.float()).abs().max().item(), 6)


def openvino(s: Segmenter, pixels: Tensor) -> Any:
    """The encoder compiled by OpenVINO for these shapes, or None where that is not installed."""
    try:
        import openvino as ov
    except ImportError:
        return None
    encoder = copy.deepcopy(s.sam.image_encoder).float()
    for module in encoder.modules():
        if isinstance(module, Mlp):
            module.act = F.gelu  # OpenVINO has no rule for the one in place
    with patch.object(image_encoder, "attend_sliced", attend_at_once), torch.no_grad():
        traced = torch.jit.trace(encoder, pixels.float(), check_trace=False)
        graph = ov.convert_model(traced, example_input=pixels.float())
    graph.reshape(list(pixels.shape))
    hint = "bf16" if s.sam.dtype == torch.bfloat16 else "f32"
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": hint}
    return ov.Core().compile_model(graph, "CPU", settings)


def attend_at_once(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Attention with all positions as one tensor, which OpenVINO takes as one operation."""
    bias = (rel_h[..., None] + rel_w[..., None, :]).flatten(4).flatten(2, 3)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)
