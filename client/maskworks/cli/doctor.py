"""The command `doctor`."""

import typer

from maskworks.checks import Finding, examine
from maskworks.cli.exits import Exit
from maskworks.cli.output import AsJson, show_json

_MARKS = {True: "ok  ", False: "FAIL", None: "-   "}


def doctor(as_json: AsJson = False) -> None:
    """Check everything that the client depends on, and say what to do. Exits with 1 if something is broken.

    \b
      maskworks doctor
    """
    found: list[Finding] = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            typer.echo(f"{_MARKS[finding.ok]}  {finding.name:14} {finding.detail}")
            if finding.todo:
                typer.echo(f"{'':20} → {finding.todo}")
    if as_json:
        show_json(found)
    raise typer.Exit(Exit.ERROR if any(finding.ok is False for finding in found) else Exit.OK)
