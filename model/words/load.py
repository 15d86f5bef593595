"""A model for text by path or hub id. transformers is imported here, and only when one is asked for."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, Final

from model.errors import CheckpointError, ModelError
from model.words.protocol import Words

FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "grounding-dino": "model.words.grounding_dino:GroundingDino",
        "owlv2": "model.words.owlv2:Owlv2",
        "clip": "model.words.clip:Clip",
        "sam3": "model.words.sam3:Sam3",
    }
)
"""The `model_type` in a model's config.json → the class that loads it."""
OFFLINE: Final = "offline"
"""Names the ranker that is made of packages from the Python index."""
_REVISION_DIGITS: Final = 12


@dataclass(frozen=True)
class Source:
    """Where the files of a model for text are: a folder, or an id on the hub with a revision.

    The hub's own cache keeps what is fetched. `HF_HUB_OFFLINE=1` forbids fetching.
    """

    place: str
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> "Source":
        """`/folder`, `owner/name` or `owner/name@revision`."""
        if Path(text).expanduser().is_dir():
            return cls(str(Path(text).expanduser()))
        if text.startswith(("/", "./", "../", "~")):
            raise CheckpointError(f"there is no folder {text}: MASKWORKS_TEXT names a folder or a model of the hub")
        place, _, revision = text.partition("@")
        return cls(place, revision or None)

    def read(self, reader: Any, **more: Any) -> Any:
        """What a class of transformers reads from these files. Runs no code from them."""
        return reader.from_pretrained(self.place, revision=self.revision, trust_remote_code=False, **more)


def load(text: str, device: str) -> Words:
    """The model for text that `text` names. Raises ModelError, or CheckpointError for files that cannot be used."""
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ModelError("text jobs need the package transformers: pip install 'maskworks[text]'") from error
    try:
        if text == OFFLINE:
            offline: Words = resolve_name("model.words.offline:Offline").load(device)
            return offline
        source = Source.of(text)
        config = source.read(AutoConfig)
        family = FAMILIES.get(config.model_type)
        if family is None:
            known = ", ".join(FAMILIES)
            raise CheckpointError(f"{text} is a {config.model_type}; models for text are {known}")
        words: Words = resolve_name(family).load(source, config, device)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"the model for text {text} cannot be loaded: {error}") from error
    return words


def revision_of(source: Source, config: Any) -> str:
    """The hub's commit, or a digest of the weights in a folder."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)[:_REVISION_DIGITS]
    return digest(sorted(Path(source.place).glob("*.safetensors")))


def digest(paths: Iterable[Path]) -> str:
    """A revision made from files."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:_REVISION_DIGITS]
