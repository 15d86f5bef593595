"""Commands about webhooks: webhook and webhook-secrets."""

from typing import Annotated

import typer

from maskworks.cli.jobs import JobId
from maskworks.cli.output import AsJson, say, show_json, show_table
from maskworks.cli.server import connected


def webhook(
    job_id: JobId,
    redeliver: Annotated[bool, typer.Option("--redeliver", help="Send the event again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the webhook of a job: how far its delivery is, and each try.

    \b
      maskworks webhook JOB --redeliver
    """
    with connected() as client:
        job = client.jobs.get(job_id)
        found = job.redeliver_webhook() if redeliver else job.webhook()
    if as_json:
        show_json(found)
        return
    say(f"{found.url} {found.state}")
    rows = [(each.number, each.time, each.status, each.error, each.duration_ms) for each in found.tries]
    show_table(("try", "time", "status", "error", "ms"), rows)


def webhook_secrets(
    create: Annotated[
        bool, typer.Option("--create", help="Make a new one. Earlier ones stay valid for a day.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the secrets that webhooks are signed with. A secret is shown once, when it is made.

    \b
      maskworks webhook-secrets --create
    """
    with connected() as client:
        found = [client.webhook_secrets.create()] if create else client.webhook_secrets.list()
    if as_json:
        show_json(found)
    elif create:
        typer.echo(found[0].secret)
    else:
        show_table(("id", "created", "expires"), [(each.id, each.create_time, each.expire_time) for each in found])
