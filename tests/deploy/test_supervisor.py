"""Children that die, hang and outlive their welcome."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.children import Child, Command, run_to_end
from deploy.local.errors import ChildFailed, StackError, tail
from deploy.local.supervisor import Supervisor


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    running = Supervisor()
    yield running
    running.close()


def _command(tmp_path: Path, script: str, name: str = "child", patience: float = 5) -> Command:
    return Command(
        name=name,
        argv=("/bin/sh", "-c", script),
        log=tmp_path / f"{name}.log",
        cwd=tmp_path,
        environment={"PATH": os.defpath},
        ending=((signal.SIGTERM, patience),),
    )


def _eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_child_comes_back_and_others_are_told(tmp_path: Path) -> None:
    told: list[int] = []
    supervisor = Supervisor(changed=lambda: told.append(1))
    try:
        supervisor.start(_command(tmp_path, "exec sleep 60"))
        supervisor.keep("child")
        first = supervisor.pid("child")
        os.kill(first, signal.SIGKILL)
        _eventually(lambda: supervisor.pid("child") != first)
        _eventually(lambda: told == [1])
        second = supervisor.pid("child")
        assert _alive(second)
    finally:
        supervisor.close()
    assert not _alive(second)


def test_five_deaths_in_a_minute_are_the_end_and_show_the_log(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(_command(tmp_path, "echo cannot go on; exit 3"))
    supervisor.keep("child")
    with pytest.raises(ChildFailed, match=r"child died 5 times.*exit code 3(?s:.*)cannot go on"):
        supervisor.wait_for_failure(30)
    assert tail(tmp_path / "child.log").count("cannot go on") == 5


def test_a_child_that_is_not_kept_stays_dead(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(_command(tmp_path, "exit 0"))
    _eventually(lambda: supervisor.exit_code("child") == 0)
    supervisor.wait_for_failure(0.5)
    assert supervisor.exit_code("child") == 0


def test_ending_escalates_to_kill_and_reaches_grandchildren(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    child = Child(_command(tmp_path, script, patience=0.3))
    _eventually(lambda: tail(tmp_path / "child.log") != "")
    grandchild = int(tail(tmp_path / "child.log"))
    child.end()
    assert child.exit_code() == -signal.SIGKILL
    _eventually(lambda: not _alive(grandchild))


def test_a_graceful_child_is_not_killed(tmp_path: Path) -> None:
    child = Child(_command(tmp_path, "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"))
    _eventually(lambda: tail(tmp_path / "child.log") == "up")
    child.end()
    assert child.exit_code() == 7


def test_ctrl_c_cannot_reach_a_child(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(_command(tmp_path, "exec sleep 60"))
    pid = supervisor.pid("child")
    _eventually(lambda: os.getsid(pid) == pid)
    assert os.getpgid(pid) != os.getpgrp()


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from deploy.local.children import Command
from deploy.local.supervisor import Supervisor
supervisor = Supervisor()
supervisor.start(Command("child", ("/bin/sleep", "60"), Path({str(tmp_path / "log")!r}), Path("/")))
print(supervisor.pid("child"), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        _eventually(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0])
        parent.kill()
    _eventually(lambda: not _alive(child))


def test_a_program_that_is_not_there_is_a_clear_error(supervisor: Supervisor, tmp_path: Path) -> None:
    command = Command("child", ("/bin/true",), tmp_path / "log", tmp_path / "nowhere")
    with pytest.raises(StackError, match=r"child .*cannot be started: .*nowhere"):
        supervisor.start(command)


def test_run_to_end_gives_the_exit_code_or_none_when_too_slow(tmp_path: Path) -> None:
    assert run_to_end(_command(tmp_path, "exit 4"), 10) == 4
    assert run_to_end(_command(tmp_path, "sleep 60"), 0.2) is None
