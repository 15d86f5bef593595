"""`python -m deploy.local up | down | put | env | reset`: the local stack from the command line."""

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from deploy.local.errors import NotRunning, StackError
from deploy.local.folder import DEFAULT, DataFolder
from deploy.local.put import put
from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        code: int = options.run(options, console)
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"error: {error}")
        return 1
    return code


def up(options: argparse.Namespace, console: Console) -> int:
    """Run the stack in the foreground until a signal or a failure."""
    stop_at_signals()
    say = progress(console)
    try:
        with stack(options.data, options.workers, port=options.port, say=say) as running:
            _summary(running, console)
            while True:
                running.supervisor.wait_for_failure(3600)
    except KeyboardInterrupt:
        words = DataFolder(options.data).words
        console.print(
            f"Stopped. `make up{words}` continues with the same data. `make reset{words}` deletes it.",
            markup=False,
        )
    return 0


def down(options: argparse.Namespace, console: Console) -> int:
    folder = DataFolder(options.data)
    try:
        pid = folder.end_holder()
    except NotRunning as error:
        folder.stack_file.unlink(missing_ok=True)  # a crash may have left it
        console.print(str(error), markup=False)
        return 0
    console.print(f"Stopped the stack (pid {pid}).")
    return 0


def reset(options: argparse.Namespace, console: Console) -> int:
    folder = DataFolder(options.data)
    folder.forget()
    console.print(f"Deleted the data in {folder.path}.", markup=False)
    return 0


def upload(options: argparse.Namespace, console: Console) -> int:
    description = running_stack(options.data)
    access = description["s3"]
    client = s3_client(access["endpoint_url"], access["access_key"], access["secret_key"])
    done = put(client, access["bucket"], options.folder)
    prefix = f"s3://{access['bucket']}/{done.keys[0].split('/', 1)[0]}/"
    for name, why in done.left_out.items():
        console.print(f"Left out {name}: {why}.", markup=False)
    objects = "1 object" if len(done.keys) == 1 else f"{len(done.keys)} objects"
    console.print(f"Uploaded {objects} to {prefix}. To segment all of them:\n", markup=False)
    console.print(submit_line(description["api_url"], description["api_key"], prefix), markup=False)
    return 0


def env(options: argparse.Namespace, console: Console) -> int:
    """Print variables for a shell to evaluate: the address and the key of the running stack."""
    description = running_stack(options.data)
    console.print(f"export MASKWORKS_URL={shlex.quote(description['api_url'])}", markup=False)
    console.print(f"export MASKWORKS_API_KEY={shlex.quote(description['api_key'])}", markup=False)
    return 0


def running_stack(data: Path) -> dict[str, Any]:
    """stack.json of a stack that runs."""
    folder = DataFolder(data)
    if folder.holder() is None:
        raise NotRunning(f"No stack runs in {folder.path}. Start one with `make up{folder.words}`.")
    if not folder.stack_file.exists():
        raise NotRunning(f"The stack in {folder.path} is not ready yet. Try again in a few seconds.")
    loaded: dict[str, Any] = json.loads(folder.stack_file.read_text())
    return loaded


def submit_line(api_url: str, api_key: str, prefix: str) -> str:
    body = json.dumps({"task": {"type": "auto"}, "input": {"prefix": prefix}})
    return (
        f"curl {api_url}/v1/jobs -H 'Authorization: Bearer {api_key}' \\\n"
        f"     -H 'Content-Type: application/json' -d '{body}'"
    )


def stop_at_signals() -> None:
    """Stop in order on Ctrl-C, `kill` or a closed terminal. A second signal changes nothing."""
    stopping = False

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    for each in STOPPING_SIGNALS:
        signal.signal(each, interrupt)


def progress(console: Console) -> Callable[[str], None]:
    """Print each step on a line of its own, with the seconds since the start."""
    start = time.monotonic()

    def say(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - start:6.1f} s[/]  {step} …")

    return say


def _summary(running: Stack, console: Console) -> None:
    url, key = running.api_url, running.api_key
    console.print(
        f"\n[bold green]maskworks is up[/]   {url}\n"
        f"  pages     {url}/#key={key}\n"
        f"  docs      {url}/docs\n"
        f"  API key   {key}\n"
        f"  logs      {running.folder.logs}\n"
        f"  details   {running.folder.stack_file}\n\n"
    )
    console.print(
        "Segment a folder of pictures, in another terminal:\n"
        f"  {_found_by(running)}.venv/bin/maskworks submit photos --wait --export coco\n\n"
        "Or put them into the bucket, and submit over REST:\n"
        f"  make put DIR=photos{running.folder.words}\n"
        + submit_line(url, key, f"s3://{running.bucket}/photos/")
        + "\n\nCtrl-C stops everything.",
        markup=False,
    )


def _found_by(running: Stack) -> str:
    """What the client needs to find this stack. It looks into the default folder by itself."""
    if not running.folder.words:
        return ""
    return f"MASKWORKS_STACK={shlex.quote(str(running.folder.stack_file))} "


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace, Console], int], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help)
        added.add_argument("--data", type=Path, default=Path(DEFAULT), help=f"data folder (default {DEFAULT})")
        added.set_defaults(run=run)
        return added

    started = command("up", up, "run the stack in the foreground")
    started.add_argument("--port", type=int, default=8000, help="port of the API (default 8000); 0 is any free one")
    started.add_argument("--workers", type=int, default=1, help="number of workers (default 1)")
    command("env", env, "print the address and the API key of the running stack for a shell")
    command("down", down, "stop the stack that another terminal started")
    command("reset", reset, "delete the data of a stopped stack")
    added = command("put", upload, "upload the pictures of a folder into the bucket")
    added.add_argument("folder", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
