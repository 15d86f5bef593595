"""`python -m model.export MODEL --output FILE`: write a model's mask decoder as ONNX.

python -m model.export sam_vit_b --output decoders/
python -m model.export sam_vit_b --checkpoint ours.pth --output decoder.onnx
"""

import argparse
import os
from pathlib import Path

from model.errors import ModelError
from model.export.onnx_file import export, file_name
from model.sizes import SIZES, size
from model.weights import checkpoint


def main(arguments: list[str] | None = None) -> None:
    """The command line. Weights are searched as a worker does, in MASKWORKS_CACHE and among those of the package."""
    parser = argparse.ArgumentParser(prog="python -m model.export", description="A model's mask decoder as ONNX.")
    parser.add_argument("model", choices=SIZES, metavar="MODEL", help=f"one of {', '.join(SIZES)}")
    parser.add_argument("--checkpoint", type=Path, help="a file of weights, as MASKWORKS_CHECKPOINTS names it")
    parser.add_argument("--cache", type=Path, default=os.environ.get("MASKWORKS_CACHE", "~/.cache/maskworks"))
    parser.add_argument(
        "--output", type=Path, required=True, help="a file, or a folder, where it gets the name that the API looks for"
    )
    given = parser.parse_args(arguments)
    try:
        sam, revision = checkpoint.load(size(given.model), given.checkpoint, cache=Path(given.cache).expanduser())
        path = given.output if given.output.suffix == ".onnx" else given.output / file_name(given.model, revision)
        export(sam, revision, path)
    except ModelError as error:
        raise SystemExit(str(error)) from error
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
