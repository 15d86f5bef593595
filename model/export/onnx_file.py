"""`OnePrompt` → an ONNX file with its metadata. Needs the extra `export`."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from model.errors import ModelError
from model.export.network import OnePrompt
from model.networks.sam import Sam

if TYPE_CHECKING:
    from onnx import ModelProto

INPUTS: Final = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
OUTPUTS: Final = ("low_res_masks", "iou_predictions")
OPSET: Final = 20
_NEEDED: Final = "onnx and onnxscript are needed: pip install 'maskworks[worker,export]'"


def export(sam: Sam, revision: str, path: Path) -> None:
    """Write the decoder of `sam` to `path`. Raises ModelError where the extra is missing."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError(_NEEDED) from error
    model = _traced(OnePrompt(sam.float().eval()), _example(sam))
    halve(model)
    _forget_sources(model)
    facts = {"model": sam.row.name, "revision": revision, "licence": sam.row.licence}
    onnx.helper.set_model_props(model, facts | {"image_size": str(sam.row.image_size)})
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def file_name(model: str, revision: str) -> str:
    """The name under which the API looks for a decoder."""
    return f"{model}-{revision}.onnx"


def _example(sam: Sam) -> tuple[Tensor, ...]:
    """One prompt of three points, in the order of `INPUTS`."""
    row = sam.row
    return (
        torch.zeros(1, row.out_chans, row.grid, row.grid, dtype=torch.float16),
        torch.ones(1, 3, 2),
        torch.ones(1, 3),
        torch.zeros(1, 1, row.mask_size, row.mask_size),
        torch.zeros(1),
    )


def _traced(network: OnePrompt, example: tuple[Tensor, ...]) -> ModelProto:
    points = torch.export.Dim("points", min=1)
    shapes = dict.fromkeys(INPUTS) | {"point_coords": {1: points}, "point_labels": {1: points}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of operators of torchvision
    with warnings.catch_warnings():  # the exporter warns of its own deprecated parts
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            verbose=False,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            optimize=False,  # runtimes do it at the start
        )
    assert program is not None
    return program.model_proto


def _forget_sources(model: ModelProto) -> None:
    """The exporter notes for each node where the code stands: half a file of paths on the machine that wrote it."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.metadata_props[:]


def halve(model: ModelProto) -> None:
    """Store weights as float16 where that loses nothing, as with a checkpoint of float16. They are read as float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.float", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
