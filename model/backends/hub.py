"""Networks of transformers as segmenters: the steps, the generator and the cache are those of our own SAM."""

from model.backends.sam import Prepared, Segmenter
from model.errors import TaskNotServed
from model.hub.encoder import HubEncoder
from model.hub.load import load
from model.hub.network import HubNetwork
from model.masks.frames import Pixels
from model.protocol import Options
from model.spec import Embed, Wanted


class HubSegmenter(Segmenter[HubNetwork]):
    """A segmenter with a network of transformers."""

    @classmethod
    def load(cls, name: str, options: Options) -> "HubSegmenter":  # type: ignore[override]
        """By the name `hf:…`. Raises ModelError, and CheckpointError for files that cannot be used."""
        network, revision = load(name, options.checkpoint)
        return cls(
            network,
            revision,
            options.device,
            options.precision,
            bfloat16=options.bfloat16,
            words=options.words,
            encoder=HubEncoder,
        )

    def pre(self, image: Pixels, wanted: Wanted) -> Prepared:
        """As for any segmenter. Raises TaskNotServed for an embedding of several maps, which has no shape to tell."""
        if isinstance(wanted, Embed) and not self.sam.one_map:
            raise TaskNotServed(f"embeddings of {self.name} are several maps of an image, and are not given away")
        return super().pre(image, wanted)
