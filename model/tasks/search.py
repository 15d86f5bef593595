"""Search one crop: a grid of points, the networks, the filters, and suppression within the crop.

Two steps differ from the reference and give the same masks: predicted IoU filters before the up-convolutions, and
stability and boxes come from low-resolution logits.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.device import free_bytes
from model.masks.frames import to_model
from model.masks.nms import nms
from model.masks.upsample import stable
from model.networks.protocol import Network
from model.tasks.candidates import Candidates
from model.tasks.crops import Crop, grid, near_inner_edge
from model.tasks.parameters import Parameters

MOST_POINTS = 128  # at a time on a CPU, whatever a task asks for: 4 MB of cells each
LIVE_CELLS = 8  # decoding and upscaling hold at most this many times the cells of a prompt


def search(sam: Network, embedding: Tensor, crop: Crop, parameters: Parameters) -> Candidates:
    """One crop's masks after the filters and suppression within the crop; embedding (1, C, h, w)."""
    side = sam.row.image_size
    found = Candidates(crop.frame, side, (free_bytes(embedding.device) or 0) // 8)
    tall, wide = crop.frame.size
    points = grid(parameters, crop.layer) * np.asarray([wide, tall])
    step = points_at_a_time(embedding, parameters)
    for at in range(0, len(points), step):
        _try_points(sam, embedding, points[at : at + step], parameters, found)
    found.keep(nms(found.boxes, found.iou, parameters.box_nms_thresh))
    return found


def points_at_a_time(embedding: Tensor, parameters: Parameters) -> int:
    """How many points of an embedding (1, C, h, w) to decode together.

    The host waits for a device twice a batch, so a GPU takes as many as fit into half of its free memory. A CPU takes
    as many as the task asks for.
    """
    free = free_bytes(embedding.device)
    if free is None:
        return min(parameters.points_per_batch, MOST_POINTS)
    return min(max(free // 2 // (LIVE_CELLS * embedding[0].numel() * embedding.element_size()), 32), 4096)


def _try_points(
    sam: Network, embedding: Tensor, points: NDArray[np.float64], parameters: Parameters, found: Candidates
) -> None:
    """Decode three masks for each of (N, 2) crop points, and add those that pass the filters to `found`."""
    frame, device = found.frame, embedding.device
    xy = torch.from_numpy(to_model(points, frame)).to(device, torch.float32)[:, None]
    labels = torch.ones(len(points), 1, dtype=torch.int64, device=device)
    decoded = sam.decode_tokens(embedding, torch.zeros(len(points), dtype=torch.int64), xy, labels)
    iou = decoded.iou.cpu()
    wanted = iou > parameters.pred_iou_thresh if parameters.pred_iou_thresh > 0 else iou.isfinite()
    prompts, masks = wanted.nonzero(as_tuple=True)
    if len(prompts) == 0:
        return
    logits = sam.upscale(decoded, prompts, masks)
    good = stable(logits, frame, found.side, parameters.stability_score_offset, parameters.stability_score_thresh)
    x0, y0 = frame.crop[:2]
    boxes = good.boxes + np.asarray([x0, y0, x0, y0])
    whole = ~near_inner_edge(boxes, frame.crop, *frame.image)
    index = good.index[whole]
    chosen = torch.from_numpy(index)
    found.add(
        logits[chosen.to(device)],
        boxes[whole],
        iou[prompts[chosen], masks[chosen]].numpy(),
        good.stability[whole],
        points[prompts[chosen].numpy()] + np.asarray([x0, y0]),
    )
