"""What `maskworks submit` makes of its words: a source, a task, labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from maskworks.cli.output import counted, say
from maskworks.exports import FORMATS
from maskworks.submission import read_items
from maskworks.uploads import SUFFIXES, others

_NAMED = 10
_MANIFESTS = (".jsonl", ".csv", ".jsonl.gz", ".csv.gz")


def source_of(words: Sequence[str]) -> dict[str, Any]:
    """The words → arguments of `jobs.submit`. Raises typer.BadParameter."""
    if len(words) > 1:
        return {"images": [_image(word) for word in words]}
    (word,) = words
    if word.startswith("s3://"):
        if word.lower().endswith(_MANIFESTS):
            return {"manifest": word}
        return {"images": [word]} if Path(word).suffix.lower() in SUFFIXES else {"prefix": word}
    path = _image(word)
    if isinstance(path, Path) and path.suffix.lower() == ".jsonl":
        return {"items": read_items(path)}
    return {"images": [path]}


def format_of(name: str | None) -> str | None:
    """The value of `--export`, checked before a job runs for it. Raises typer.BadParameter."""
    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name} is none of {', '.join(FORMATS)}")
    return name


def check_waiting(wait: bool, timeout: float | None, export: str | None, to: Path | None) -> None:
    """Refuse options that would do nothing. Raises typer.BadParameter."""
    if to is not None and not export:
        raise typer.BadParameter("--to needs --export")
    if timeout is not None and not (wait or export):
        raise typer.BadParameter("--timeout needs --wait or --export")


def _image(word: str) -> str | Path:
    if "://" in word:
        return word
    if not Path(word).exists():
        raise typer.BadParameter(f"there is no file or folder {word}")
    if left_out := others(Path(word)):
        names = ", ".join(path.relative_to(word).as_posix() for path in left_out[:_NAMED])
        more = " …" if len(left_out) > _NAMED else ""
        say(f"left out {counted(len(left_out), 'file')} (no picture by name): {names}{more}")
    return Path(word)


def task_of(name: str | None, parameters: Sequence[str]) -> dict[str, Any] | str | None:
    """`--task` and `--param name=value`; values are JSON, or text where they are none."""
    if not parameters:
        return name
    return {"type": name or "auto", **{key: _json(value) for key, value in pairs(parameters, "--param").items()}}


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` words. Raises typer.BadParameter."""
    for word in words:
        if "=" not in word:
            raise typer.BadParameter(f"{option} takes name=value, and not {word}")
    return dict(word.split("=", 1) for word in words)


def prompts_of(file: Path | None) -> list[dict[str, Any]] | None:
    """Prompts for every image, from a file with a JSON list of them. Raises typer.BadParameter."""
    if file is None:
        return None
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from error
    return found if isinstance(found, list) else [found]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
