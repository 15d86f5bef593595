"""The text of a `mask_row[]` against Postgres, which must read back what was given."""

import random
from collections.abc import Iterator
from itertools import product

import pytest
from sqlalchemy import Engine, bindparam, func, select, text

from db.engine import sync_engine
from db.mask_row import MaskRow, MaskRows


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


def _row(prompt: str | None = None, point: tuple[float | None, float | None] = (None, None)) -> MaskRow:
    return MaskRow(2**31 - 1, 0, 1, 2, 3, 0.1234567, 0.75, *point, 4, 5, 6, 7, prompt, 8, 9)


def _read_back(engine: Engine, rows: list[MaskRow] | None) -> list[MaskRow] | None:
    statement = select(func.to_json(bindparam("rows", type_=MaskRows)))
    with engine.connect() as connection:
        found = connection.execute(statement, {"rows": rows}).scalar_one()
    return None if found is None else [MaskRow(**row) for row in found]


@pytest.mark.parametrize("rows", [None, [], [_row()], [_row(point=(10.5, 0.0)), _row("p"), _row("")]])
def test_what_was_given_is_read_back(engine: Engine, rows: list[MaskRow] | None) -> None:
    assert _read_back(engine, rows) == rows


def test_a_prompt_may_have_any_name(engine: Engine) -> None:
    """Every string of up to three of the characters that mean something to Postgres, and noise around them."""
    special = ["\\", '"', ",", "(", ")", "{", "}", " ", "'", "\n", "NULL", "ü漢"]
    names = ["".join(letters) for n in (1, 2, 3) for letters in product(special, repeat=n)]
    noise = random.Random(1)
    names += ["".join(noise.choices([*special, "x", "\t", "%", ":", "$1"], k=20)) for _ in range(500)]
    rows = [_row(name) for name in names]
    assert _read_back(engine, rows) == rows


def test_the_fields_are_the_composites_in_its_order(engine: Engine) -> None:
    composite = text(
        "SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relname = 'mask_row' "
        "AND relkind = 'c' ORDER BY attnum"
    )
    with engine.connect() as connection:
        assert tuple(connection.execute(composite).scalars()) == MaskRow._fields


def test_the_view_shows_every_field(engine: Engine) -> None:
    """With the bytes that `offset` and `length` stand for in their place, and the phrase of a text job."""
    with engine.connect() as connection:
        shown = tuple(connection.execute(text("SELECT * FROM masks")).keys())
    fields = tuple(name for name in MaskRow._fields if name not in ("offset", "length"))
    assert shown == ("job_id", "index", "mask_id", "height", "width", *fields, "counts", "phrase", "score", "pixels")
