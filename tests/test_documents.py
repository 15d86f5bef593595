"""The documents say what the code says."""

import re

import pytest

from db.states import CHUNK_TRANSITIONS, JOB_TRANSITIONS
from tools.documents import PAGES
from tools.layout import PACKAGES, ROOT, files_of, first_line
from tools.settings_table import rows_of_settings

README = (ROOT / "README.md").read_text()
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()


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


def test_the_state_diagram_has_every_transition() -> None:
    for name, transitions in (("job", JOB_TRANSITIONS), ("chunk", CHUNK_TRANSITIONS)):
        diagram = CONCEPTS.split(f"%% {name}\n")[1].split("```")[0]
        drawn = set(re.findall(r"(\w+) --> (\w+)", diagram))
        assert drawn == {(str(a), str(b)) for a, to in transitions.items() for b in to}
