"""Commands about one image: segment and overlay; and models."""

from pathlib import Path
from typing import Annotated

import typer

from maskworks.cli.jobs import JobId
from maskworks.cli.output import AsJson, counted, say, show_json, show_table
from maskworks.cli.server import connected
from maskworks.cli.submitting import prompts_of, task_of
from maskworks.overlay import drawn
from maskworks.records import Model


def segment(
    image: Annotated[str, typer.Argument(help="A local file, or a URI.")],
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A point on the object.")] = None,
    background: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A point beside it.")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="A box around it.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A JSON file of prompts.")] = None,
    multimask: Annotated[bool | None, typer.Option(help="Three masks for a prompt, or one.")] = None,
    task: Annotated[str | None, typer.Option(help="auto or prompted.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the task.")] = None,
    model: Annotated[str | None, typer.Option(help="One of `maskworks models`.")] = None,
    precision: Annotated[str | None, typer.Option(help="exact or fast.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Write the local image with its masks.")] = None,
    as_json: AsJson = False,
) -> None:
    """Segment one image now: what is at a point or in a box, or everything.

    \b
      maskworks segment cat.jpg --point 500,375 --save overlay.png
      maskworks segment s3://images/cat.jpg --box 100,10,400,250 --json
    """
    on, off = [numbers(each, 2) for each in point or []], [numbers(each, 2) for each in background or []]
    if save and "://" in image:
        raise typer.BadParameter("--save needs a local image; `overlay` draws the items of a job")
    if "://" not in image and not Path(image).is_file():
        raise typer.BadParameter(f"there is no file {image}")
    with connected() as client:
        found = client.segment(
            image,
            points=[*on, *off] or None,
            labels=[1] * len(on) + [0] * len(off) if on or off else None,
            box=numbers(box, 4) if box else None,
            multimask=multimask,
            prompts=prompts_of(prompts),
            task=task_of(task, param or []),
            model=model,
            precision=precision,
        )
    if save:
        drawn(image, found.masks).save(save)
        say(f"{counted(len(found.masks), 'mask')} in {save}")
    if as_json:
        show_json(found)
    elif not save:
        rows = [(m.id, m.prompt_id, m.area, *m.bbox, m.predicted_iou, m.stability_score) for m in found.masks]
        show_table(("id", "prompt", "area", "x", "y", "width", "height", "iou", "stability"), rows)


def overlay(
    job_id: JobId,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="An item's id: its index.")] = "0",
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="The file (default: JOB.ITEM.png here).")] = None,
) -> None:
    """Write the image of an item with its masks drawn over it. Prints the file.

    \b
      maskworks overlay JOB 7 --save masks.png
    """
    path = save or Path(f"{job_id}.{item}.png")
    with connected() as client:
        path.write_bytes(client.jobs.get(job_id).overlay(item))
    typer.echo(path)


def numbers(text: str, n: int) -> list[float]:
    """`500,375` → numbers. Raises typer.BadParameter."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != n:
        raise typer.BadParameter(f"{text!r} is not {n} numbers, such as {','.join(['10', '20', '400', '300'][:n])}")
    return found


def models(as_json: AsJson = False) -> None:
    """List the models that jobs may name, their workers, how many of these are busy, and images a second.

    \b
      maskworks models
    """
    with connected() as client:
        found = client.models()
    if as_json:
        show_json(found)
        return
    rows = [
        (
            *(m.name, "yes" if m.default else "", "yes" if m.loaded else "no", m.parameters, m.licence, len(m.workers)),
            *_working(m),
            " ".join(sorted({task for worker in m.workers for task in worker.tasks})) or None,
        )
        for m in found
    ]
    show_table(("name", "default", "loaded", "parameters", "licence", "workers", "busy", "images/s", "tasks"), rows)


def _working(model: Model) -> tuple[int | None, float | None]:
    """Busy workers, and images a second of all. A worker that has several models is counted with each."""
    found = [worker.status for worker in model.workers if worker.status is not None]
    if not found:
        return None, None
    return sum(status.busy for status in found), round(sum(status.images_per_second for status in found), 2)
