"""Check prompts against the size of their image. The item's warnings name those that were clipped or left out."""

from collections import Counter
from typing import Any

from db.states import WarningCode
from model.masks.mask import Mask
from model.spec import Embed, Wanted
from model.tasks.bounds import cannot_be_answered, check_served, fit
from workers.pipeline.ticket import Ticket, warning


def answerable(ticket: Ticket) -> Wanted:
    """The task of a decoded ticket, without the prompts that its image cannot answer.

    Adds a warning for each of those and for each clipped box. Raises PromptOutOfBounds where no prompt is left, and
    TaskNotServed where the model cannot do it.
    """
    if isinstance(ticket.task, Embed):
        return ticket.task
    check_served(ticket.task, ticket.model.tasks)
    fitted = fit(ticket.task, ticket.height, ticket.width)
    if fitted.task is None:
        raise cannot_be_answered(fitted)
    for code, notes in ((WarningCode.BOX_CLIPPED, fitted.clipped), (WarningCode.PROMPT_FAILED, fitted.failed)):
        ticket.warnings += [warning(code, note.detail, note.prompt_id) for note in notes]
    return fitted.task


def empty_masks(masks: list[Mask]) -> list[dict[str, Any]]:
    """A warning for each prompt with empty masks. Automatic masks and those of phrases are never empty."""
    given = Counter(mask.prompt_id for mask in masks)
    empty = Counter(mask.prompt_id for mask in masks if mask.area == 0)
    return [
        warning(WarningCode.EMPTY_MASK, f"{n} of {given[prompt]} masks of this prompt have no pixel", prompt)
        for prompt, n in empty.items()
    ]
