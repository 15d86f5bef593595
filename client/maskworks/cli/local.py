"""Commands that run programs: `up` and `keys` those of the server, which must be installed too, and `mcp`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from maskworks.cli.exits import Exit
from maskworks.cli.output import say
from maskworks.config import STACK_FILE, find_stack


def up(
    data: Annotated[Path, typer.Option(help="The folder of its data.")] = STACK_FILE.parent,
    port: Annotated[int, typer.Option(help="The port of the API; 0 is any free one.")] = 8000,
    workers: Annotated[int, typer.Option(help="How many workers.")] = 1,
) -> None:
    """Run the whole service on this machine until Ctrl-C. Other commands find it by themselves.

    \b
      maskworks up
      maskworks up --port 9000 --workers 2
    """
    _need("deploy.local")
    words = ("up", "--data", str(data), "--port", str(port), "--workers", str(workers))
    # It takes the place of this process, so that Ctrl-C and signals reach it alone.
    os.execv(sys.executable, [sys.executable, "-m", "deploy.local", *words])


def keys(context: typer.Context) -> None:
    """Make, list, rotate and revoke API keys. Needs the database: of the local stack, or MASKWORKS_DATABASE_URL.

    \b
      maskworks keys create --name laptop
      maskworks keys list --json
      maskworks keys revoke PREFIX
    """
    _need("db.keys")
    environment = dict(os.environ)
    if "MASKWORKS_DATABASE_URL" not in environment:
        environment |= find_stack(environment).get("env", {})
    done = subprocess.run([sys.executable, "-m", "db.keys", *context.args], env=environment, check=False)
    raise typer.Exit(done.returncode)


def mcp() -> None:
    """Serve assistants by the Model Context Protocol, over stdin and stdout: they submit, follow, and look at masks.

    \b
      claude mcp add maskworks -- maskworks mcp
    """
    from maskworks.mcp_server import run

    run()


def _need(module: str) -> None:
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        say("The server is not installed in this Python. Run `make install` in its repository, and use .venv/bin.")
        raise typer.Exit(Exit.ERROR)
