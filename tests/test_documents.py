"""README and env.example say what the code says."""

import re

import pytest

from deploy.documents import ROOT, documents, env_example, settings_rows

README = (ROOT / "README.md").read_text()
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()


@pytest.mark.parametrize("path", sorted(documents()), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path) -> None:
    assert path.read_text() == documents()[path], "run `python -m deploy.documents`"


def test_every_setting_has_a_meaning() -> None:
    assert all(meaning for *_, meaning in settings_rows()) and "MASKWORKS_DATABASE_URL=\n" in env_example()


def test_commands_of_the_readme_are_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert named and named <= targets


def test_files_that_the_readme_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_the_state_diagram_has_every_transition() -> None:
    from db.states import CHUNK_TRANSITIONS, JOB_TRANSITIONS

    for name, transitions in (("job", JOB_TRANSITIONS), ("chunk", CHUNK_TRANSITIONS)):
        diagram = CONCEPTS.split(f"%% {name}\n")[1].split("```")[0]
        drawn = set(re.findall(r"(\w+) --> (\w+)", diagram))
        assert drawn == {(str(a), str(b)) for a, to in transitions.items() for b in to}
