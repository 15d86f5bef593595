"""The documents say what the code says."""

import re
from collections.abc import Mapping
from enum import StrEnum

import pytest

from db.states import CHUNK_TRANSITIONS, JOB_TRANSITIONS
from tools.diagrams import chunk_states, job_states
from tools.documents import PAGES
from tools.layout import PACKAGES, ROOT, files_of, first_line
from tools.settings_table import rows_of_settings

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run `python -m tools.documents`"


def test_every_setting_has_a_meaning() -> None:
    assert [variable for variable, _, _, meaning in rows_of_settings() if not meaning] == []


def test_every_file_says_in_its_first_line_what_it_is() -> None:
    files = [path for package in PACKAGES for path in files_of(package)]
    assert [str(path) for path in files if not first_line(path).endswith((".", "?"))] == []


def test_commands_of_the_readme_are_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert named and named <= targets


def test_files_that_the_readme_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("picture", "transitions"), [(job_states(), JOB_TRANSITIONS), (chunk_states(), CHUNK_TRANSITIONS)]
)
def test_a_diagram_has_every_transition(picture: str, transitions: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    drawn = set(re.findall(r"(\w+) to (\w+)", picture.partition("<desc>")[2].partition("</desc>")[0]))
    assert drawn == {(str(a), str(b)) for a, to in transitions.items() for b in to}
    assert all(f">{state}</text>" in picture for state in transitions)
