"""The command that uploads images through the server."""

from pathlib import Path
from typing import Annotated

import typer

from maskworks.cli.output import AsJson, show_json
from maskworks.cli.server import connected
from maskworks.uploads import pictures


def upload(
    sources: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Images, or folders of them.")],
    as_json: AsJson = False,
) -> None:
    """Upload images through the server. Prints the URI of each, which a job may name.

    \b
      maskworks upload cat.jpg photos/
    """
    files = [file for source in sources for file in (pictures(source) if source.is_dir() else [source])]
    with connected() as client:
        for file in files:
            stored = client.upload(file)
            if as_json:
                show_json(stored)
            else:
                typer.echo(stored.image)
