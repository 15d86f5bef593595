"""What commands print: results on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def say(text: str) -> None:
    """For people: on stderr, so that stdout has the results alone."""
    typer.echo(text, err=True)


def counted(n: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def show_json(value: Any) -> None:
    """Records and plain values as JSON, on one line."""
    typer.echo(msgspec.json.encode(value).decode())


def show_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell. Nothing where there are no rows."""
    if not rows:
        return
    table = [[name.upper() for name in names], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        typer.echo("  ".join(map(str.ljust, line, widths)).rstrip())


def show_fields(fields: dict[str, Any]) -> None:
    """A line for each field that has a value."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            typer.echo(f"{name:{width}}  {_cell(value)}")


def on_terminal() -> bool:
    return sys.stderr.isatty()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
