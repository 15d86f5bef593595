"""`maskworks`: the command line."""

import sys
from typing import Annotated

import typer

from maskworks.cli import annotations, doctor, jobs, local, one_image, uploading, webhooks
from maskworks.cli.exits import Exit, of_error
from maskworks.cli.output import say
from maskworks.errors import APIError, MaskworksError
from maskworks.version import VERSION

app = typer.Typer(
    name="maskworks",
    help="Segment every image in a bucket.",
    epilog="Set MASKWORKS_URL and MASKWORKS_API_KEY, or run `maskworks up`. Exit codes: see docs/client.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app.command()(local.up)
app.command()(jobs.submit)
app.command()(jobs.watch)
app.command()(jobs.jobs)
app.command()(jobs.show)
app.command()(jobs.results)
app.command()(jobs.retry)
app.command()(jobs.cancel)
app.command()(jobs.delete)
app.command()(one_image.segment)
app.command()(one_image.overlay)
app.command()(one_image.models)
app.command()(uploading.upload)
app.command()(webhooks.webhook)
app.command(name="webhook-secrets")(webhooks.webhook_secrets)
app.add_typer(annotations.app, name="annotations")
app.command(context_settings=_REST)(local.keys)
app.command()(doctor.doctor)
app.command()(local.mcp)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Segment every image in a bucket."""


def main() -> None:
    """Run the command. An error is a line on stderr and an exit code."""
    try:
        app(prog_name="maskworks")
    except MaskworksError as error:
        say(f"error: {error}")
        if isinstance(error, APIError):
            for each in error.errors[1:10]:
                say(f"  {each.get('pointer')}: {each.get('detail')}")
        sys.exit(of_error(error))
    except (OSError, ValueError) as error:
        say(f"error: {error}")
        sys.exit(Exit.ERROR)
