"""Commands about jobs: submit, watch, jobs, show, results, retry, cancel, delete."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from maskworks.cli.exits import Exit, of_state
from maskworks.cli.following import ended, leaving, submitting, summary, wait_for
from maskworks.cli.output import AsJson, counted, on_terminal, say, show_fields, show_json, show_table
from maskworks.cli.server import connected
from maskworks.cli.submitting import check_waiting, format_of, pairs, prompts_of, source_of, task_of
from maskworks.exports import FORMATS
from maskworks.progress import shown
from maskworks.sync.job import Job

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job is done.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most; the job goes on after them.")]
Export = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help=f"Write the results into a file: {', '.join(FORMATS)}.",
        callback=format_of,
        autocompletion=lambda: list(FORMATS),
    ),
]
To = Annotated[Path | None, typer.Option(metavar="PATH", help="The file for --export (default: JOB.FORMAT here).")]
PageSize = Annotated[
    int | None, typer.Option(help="Make a folder of files of so many items; an interrupted export goes on.")
]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="May be given several times.")]


def submit(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="A folder, files, an s3:// prefix or manifest, or a .jsonl.")
    ],
    wait: Wait = False,
    timeout: Timeout = None,
    export: Export = None,
    to: To = None,
    glob: Annotated[str | None, typer.Option(help="Only keys that match, below a prefix.")] = None,
    task: Annotated[str | None, typer.Option(help="auto (finds everything), prompted, or text.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the task.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A JSON file of prompts for every image.")] = None,
    model: Annotated[str | None, typer.Option(help="One of `maskworks models`.")] = None,
    precision: Annotated[str | None, typer.Option(help="exact or fast.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    label: Labels = None,
    priority: Annotated[int | None, typer.Option(help="0 to 9; a higher one gets a larger share.")] = None,
    deadline: Annotated[str | None, typer.Option(help="A time, such as 2030-01-01T00:00:00Z.")] = None,
    max_failure_ratio: Annotated[float | None, typer.Option(help="Stop at this share of failed items.")] = None,
    reuse: Annotated[bool, typer.Option("--reuse", help="Take over results of earlier jobs.")] = False,
    output: Annotated[str | None, typer.Option(help="An s3:// folder for the results.")] = None,
    output_format: Annotated[list[str] | None, typer.Option(help="A format of --output (default: coco).")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key and job make one job.")] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job. Prints its id.

    \b
      maskworks submit ./photos --wait --export coco
      maskworks submit s3://images/photos/ --glob '**/*.jpg' --label run=7
      maskworks submit s3://images/tiles.jsonl.gz --task prompted
      maskworks submit ./photos --param points_per_side=16 --model sam_vit_b
    """
    fields: dict[str, Any] = {
        "model": model,
        "precision": precision,
        "name": name,
        "labels": pairs(label or [], "--label") or None,
        "priority": priority,
        "deadline": deadline,
        "max_failure_ratio": max_failure_ratio,
        "reuse": reuse or None,
        "output": {"uri": output, "formats": output_format or ["coco"]} if output else None,
    }
    check_waiting(wait, timeout, export, to)
    source = source_of(sources)
    with connected() as client:
        with submitting():
            job = client.jobs.submit(
                **source,
                glob=glob,
                task=task_of(task, param or []),
                prompts=prompts_of(prompts),
                idempotency_key=idempotency_key,
                on_upload=lambda n: say(f"{counted(n, 'file')} in S3"),
                **fields,
            )
        finish(job, wait, timeout, export, to, as_json)


def finish(job: Job, wait: bool, timeout: float | None, export: str | None, to: Path | None, as_json: bool) -> None:
    """What follows a submit and a retry. Raises typer.Exit with the code for the job's end."""
    if not as_json:
        typer.echo(job.id)
    try:
        code = wait_for(job, timeout, export) if wait or export else Exit.OK
        path = job.export(export, to) if export else None
    finally:
        if as_json:
            show_json(job.record)
    if path is not None:
        say(f"{export} in {path}")
    raise typer.Exit(code)


def watch(job_id: JobId, as_json: AsJson = False) -> None:
    """Follow a job until it is done: its rate, the time left, and its failures by reason.

    With --json each change is a line. The exit code says how the job ended.

    \b
      maskworks watch job_0198a3c2f0b47d21a5e94c0b6f3d8e17
    """
    with connected() as client:
        job = client.jobs.get(job_id)
        with leaving(job), shown(on_terminal() and not as_json) as show:
            for event in job.events():
                show(event.job)
                if as_json:
                    show_json(event.job)
        raise typer.Exit(of_state(job.state) if as_json else ended(job))


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    label: Labels = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    \b
      maskworks jobs --state running --label run=7
    """
    with connected() as client:
        found = client.jobs.list(state=state, labels=pairs(label or [], "--label"), page_size=min(limit, 1000) or 1)
        records = [job.record for job in islice(found, limit)]
    if as_json:
        show_json(records)
        return
    rows = [
        (r.id, r.state, f"{r.progress.fraction:.0%}", r.counts.total, r.counts.failed, r.create_time, r.name)
        for r in records
    ]
    show_table(("id", "state", "done", "items", "failed", "created", "name"), rows)


def show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show a job.

    \b
      maskworks show job_0198a3c2f0b47d21a5e94c0b6f3d8e17 --json
    """
    with connected() as client:
        record = client.jobs.get(job_id).record
    if as_json:
        show_json(record)
        return
    fields = msgspec.structs.asdict(record)
    for name in ("counts", "progress", "links", "done", "passed_over"):
        del fields[name]
    fields["failures"] = ", ".join(f"{each.count} {each.reason}" for each in record.failures)
    fields["error"] = record.error and str(record.error)
    fields["output"] = record.output and f"{record.output.state}: {record.output.uri}"
    counted = msgspec.structs.asdict(record.counts) | msgspec.structs.asdict(record.progress)
    show_fields(fields | counted)


def results(
    job_id: JobId,
    export: Export = None,
    to: To = None,
    page_size: PageSize = None,
    state: Annotated[str | None, typer.Option(help="Only items in this state.")] = None,
    limit: Annotated[int, typer.Option(help="How many items at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List a job's items, or write all results into a file. It works in every state of the job.

    \b
      maskworks results JOB --export coco --to masks.json
      maskworks results JOB --state failed
    """
    with connected() as client:
        job = client.jobs.get(job_id)
        if export:
            path = job.export(export, to, page_size=page_size)
            if as_json:
                show_json({"job": job.record, "path": str(path)})
            else:
                typer.echo(path)
            return
        items = list(islice(job.items(state, page_size=min(limit, 1000) or 1), limit))
    if as_json:
        show_json(items)
        return
    rows = [(i.id, i.custom_id, i.state, i.mask_count, i.error and i.error.reason, i.image) for i in items]
    show_table(("id", "custom id", "state", "masks", "reason", "image"), rows)


def retry(
    job_id: JobId,
    item: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this item; may be repeated.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="cancelled or expired items too.")] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    export: Export = None,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """Make a new job from the failed items of a job that is done. Prints its id.

    \b
      maskworks retry JOB --include cancelled --wait
    """
    check_waiting(wait, timeout, export, to)
    with connected() as client:
        job = client.jobs.get(job_id).retry(items=item, include=include or ())
        finish(job, wait, timeout, export, to, as_json)


def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """End a job now. Finished items keep their results.

    \b
      maskworks cancel JOB
    """
    with connected() as client:
        job = client.jobs.get(job_id).cancel()
    if as_json:
        show_json(job.record)
    else:
        say(summary(job))


def delete(job_id: JobId) -> None:
    """Delete a job that is done, with its results.

    \b
      maskworks delete JOB
    """
    with connected() as client:
        client.jobs.get(job_id).delete()
    say(f"{job_id} is deleted")
