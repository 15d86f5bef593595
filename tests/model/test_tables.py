"""The tables of tasks and of families are complete."""

from typing import get_args

import pytest

from model.backends import null
from model.errors import UnknownModel
from model.load import load
from model.protocol import Options
from model.spec import Embed, Task
from model.tasks.table import TASKS

TYPES = set(get_args(get_args(Task)[0]))


def test_every_type_of_task_has_its_steps() -> None:
    assert set(TASKS) == TYPES | {Embed}


def test_the_null_model_answers_every_type_of_task() -> None:
    assert set(null.RECTANGLES) == TYPES


@pytest.mark.parametrize("name", ["sam_tiny", "null"])
def test_a_name_finds_its_family(name: str) -> None:
    assert load(name, Options(precision="exact")).name == name


def test_an_unknown_name_lists_those_that_are_known() -> None:
    with pytest.raises(UnknownModel, match=r"'sam_vit_z'; there are .*sam_tiny, null"):
        load("sam_vit_z")
