"""Decisions are short records of one form, and their index lists each."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("0*.md"))
MOST_LINES = 20


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_a_record_is_short_and_has_its_three_parts(path: Path) -> None:
    lines = path.read_text().splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert headings[1:] == ["## Context", "## Decision", "## Consequence"] and headings[0].startswith("# ")
    assert len(lines) <= MOST_LINES


def test_the_index_lists_every_record() -> None:
    titles = {path.name: path.read_text().splitlines()[0].removeprefix("# ") for path in RECORDS}
    expected = [f"- [{name[:4]} {title}]({name})" for name, title in titles.items()]
    listed = [line for line in (FOLDER / "index.md").read_text().splitlines() if line.startswith("- ")]
    assert RECORDS and listed == expected
    assert [name[:4] for name in titles] == [f"{number:04}" for number in range(1, len(titles) + 1)]
