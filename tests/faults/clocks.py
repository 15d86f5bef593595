"""Programs that live in the past or the future: a `sitecustomize` shifts what Python reads of the wall clock.

Shifted are `time.time`, `time.time_ns`, `datetime.now` and `utcnow`: all that our programs and their libraries ask.
Monotonic clocks stay, as they do on a real machine whose date is wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults.cluster import Cluster

_SITECUSTOMIZE = '''
import datetime, os, pathlib, time

_seconds = {seconds}
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
time.time = lambda: _time() + _seconds
time.time_ns = lambda: _time_ns() + _seconds * 10**9


class _Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, _datetime)

    def __subclasscheck__(cls, kind):
        return issubclass(kind, _datetime)


class _Shifted(_datetime, metaclass=_Kind):
    """Makes real datetimes, but from a clock that is off."""

    def __new__(cls, *args, **named):
        return _datetime(*args, **named)

    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=_seconds)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)


datetime.datetime = _Shifted
(pathlib.Path({folder!r}) / str(os.getpid())).write_text(str(_Shifted.now().timestamp() - _datetime.now().timestamp()))
'''


def shifted(folder: Path, seconds: int) -> dict[str, str]:
    """The environment that shifts a program's clock; the program notes in `folder` that it did."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(seconds=seconds, folder=str(folder)))
    return {"PYTHONPATH": str(folder)}


def is_off(cluster: Cluster, name: str, folder: Path, seconds: int) -> bool:
    """Whether this program said that its clock is so far off."""
    note = folder / str(cluster.stack.supervisor.pid(name))
    return note.exists() and abs(float(note.read_text() or "nan") - seconds) < 1


@contextmanager
def living_elsewhen(cluster: Cluster, name: str, folder: Path, seconds: int) -> Iterator[None]:
    """A program of the stack restarted with its clock off, and as it was after the block."""
    command = cluster.stack.supervisor.command(name)
    cluster.stack.stop_child(name)
    changed = replace(command, environment={**command.environment, **shifted(folder, seconds)})
    cluster.stack.supervisor.start(changed)
    try:
        yield
    finally:
        cluster.stack.supervisor.stop(name)
        cluster.stack.start_child(name)
