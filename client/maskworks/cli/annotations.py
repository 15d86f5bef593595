"""Commands about annotations: annotations list, export, delete."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from maskworks.cli.output import AsJson, counted, say, show_json, show_table
from maskworks.cli.server import connected

app = typer.Typer(
    help="Masks with who made them, and what became of them in review.", no_args_is_help=True, rich_markup_mode=None
)
FORMATS = ("jsonl", "coco", "sa1b")
State = Annotated[str | None, typer.Option(help="accepted, rejected or corrected.")]
Stage = Annotated[str | None, typer.Option(help="assisted, semi_automatic or automatic.")]
Prefix = Annotated[str | None, typer.Option("--image-prefix", metavar="URI", help="Only images whose URI begins so.")]


@app.command(name="list")
def list_annotations(
    state: State = None,
    stage: Stage = None,
    image_prefix: Prefix = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List annotations, by id.

    \b
      maskworks annotations list --state rejected --image-prefix s3://images/photos/
    """
    with connected() as client:
        chosen = client.annotations.list(state=state, stage=stage, image_prefix=image_prefix, page_size=min(limit, 200))
        found = list(islice(chosen, limit))
    if as_json:
        show_json(found)
        return
    rows = [(one.id, one.state, one.stage, one.annotator, one.clicks, one.area, one.image) for one in found]
    show_table(("id", "state", "stage", "annotator", "clicks", "area", "image"), rows)


def _format_of(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}")
    return name


@app.command()
def export(
    format: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="jsonl, coco or sa1b.", callback=_format_of, autocompletion=lambda: list(FORMATS)
        ),
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write.")],
    state: State = None,
    stage: Stage = None,
    image_prefix: Prefix = None,
) -> None:
    """Write annotations into a file.

    \b
      maskworks annotations export coco masks.json --stage assisted
    """
    with connected() as client:
        client.annotations.export(format, path, state=state, stage=stage, image_prefix=image_prefix)
    say(f"wrote {path}")


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Annotations by their ids.")] = None,
    state: State = None,
    stage: Stage = None,
    image_prefix: Prefix = None,
    all: Annotated[bool, typer.Option("--all", help="Every annotation that you have.")] = False,
) -> None:
    """Delete annotations: those with these ids, or those that the filters choose.

    \b
      maskworks annotations delete 0198a3c2f0b47d21a5e94c0b6f3d8e17
      maskworks annotations delete --state rejected
    """
    filtered = all or any((state, stage, image_prefix))
    if bool(ids) == filtered:
        raise typer.BadParameter("give ids, or filters, or --all")
    with connected() as client:
        if ids:
            for id in ids:
                client.annotations.delete(id)
            return
        gone = client.annotations.delete_many(state=state, stage=stage, image_prefix=image_prefix, all=all)
    say(f"deleted {counted(gone, 'annotation')}")
