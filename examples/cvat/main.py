"""CVAT: an interactor for its serverless functions (Nuclio). Clicks go to /v1/segment, and a mask comes back.

Deploy it as CVAT's own functions: `function.yaml` with `kind: python`, `handler: main:handler`, `type: interactor`,
`min_pos_points: 1`, `pip install maskworks-client[numpy]`, and MASKWORKS_URL and MASKWORKS_API_KEY as variables.
"""

import base64
import json
from typing import Any

from maskworks import Client


def init_context(context: Any) -> None:
    """Nuclio calls it once for each worker."""
    context.user_data.client = Client()


def handler(context: Any, event: Any) -> Any:
    """One click or more → the best mask, as rows of 0 and 1."""
    body = answer(context.user_data.client, event.body)
    return context.Response(body=json.dumps(body), headers={}, content_type="application/json", status_code=200)


def answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """CVAT's request → its answer."""
    on, off = asked.get("pos_points") or [], asked.get("neg_points") or []
    box = [number for corner in asked.get("obj_bbox") or [] for number in corner]
    found = client.segment(
        base64.b64decode(asked["image"]),
        points=[*on, *off] or None,
        labels=[1] * len(on) + [0] * len(off) if on or off else None,
        box=box or None,
    )
    best = max(found.masks, key=lambda mask: mask.predicted_iou)
    return {"mask": best.to_numpy().astype(int).tolist()}
