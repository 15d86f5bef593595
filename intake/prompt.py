"""A prompt as a request gives it: as the model takes it, or with the name of an earlier mask in the mask's place."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from model.spec import Prompt

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_CONFIG)
class MaskName:
    """A mask of an item that has succeeded, by the ids of `GET /v1/jobs/{job_id}/items/{item_id}/masks`."""

    job_id: Annotated[str, Field(pattern="^job_[0-9a-f]{32}$")]
    item_id: Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,9})$")]
    mask_id: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, config=_CONFIG)
class PromptRequest(Prompt):
    """One prompt for one image: any mix of points, a box and a mask.

    `labels`: 1 foreground, 0 background, one per point. `box`: four numbers in the task's `box_format`. `mask`: the
    RLE of a mask of the image's size. `mask_from`: an earlier mask in its place. `multimask`: three masks instead of
    one. Null means three for a single point, else one.
    """

    mask_from: MaskName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "PromptRequest":
        if self.mask is not None and self.mask_from is not None:
            raise ValueError("a prompt takes mask or mask_from, not both")
        if not self.points and self.box is None and self.mask is None and self.mask_from is None:
            raise ValueError("a prompt needs at least one of points, box, mask, mask_from")
        return self
