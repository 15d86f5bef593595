"""Where the files of a model of transformers are. Torch-free, and nothing is fetched here."""

from pathlib import Path

from model.errors import CheckpointError
from model.hub_name import PREFIX
from model.words.load import Source


def find(name: str, checkpoint: str | Path | None) -> Source:
    """The folder that the operator gave the name, else its place on the hub. Raises CheckpointError."""
    if checkpoint is None:
        place, _, revision = name.removeprefix(PREFIX).partition("@")
        return Source(place, revision or None)
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {checkpoint}: MASKWORKS_CHECKPOINTS must give {name} a local folder")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json: {name} needs a folder that `save_pretrained` wrote")
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no .safetensors file, and weights in other formats are not read: load {name} with "
            "transformers once and write it again by `save_pretrained`"
        )
    return Source(str(folder))
