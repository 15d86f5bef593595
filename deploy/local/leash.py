"""Run a program that dies with whoever started it: `python -I -S leash.py PARENT SIGNAL USER NICE -- program …`.

It runs between fork and exec, as a process of its own. The alternative, `Popen(preexec_fn=…)`, runs Python in a forked
copy of a threaded process. It replaces itself by the program, so the pid stays the same. It imports only the standard
library, because it must start within milliseconds.

PARENT is the pid that the program must not outlive. SIGNAL is what it gets when PARENT dies. USER is `uid:gid`, or `-`
for no change. NICE is its niceness. The kernel forgets the signal when the user changes. So the user
changes first, then the signal is set, and then it checks that the parent still lives.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent: int, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def stand_back(nice: int) -> None:
    """Run at low priority. Some desktops group processes by session, and niceness then counts only within a group, so
    the group's is set as well."""
    os.nice(nice)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        with open("/proc/self/autogroup", "w") as group:  # noqa: PTH123  pathlib takes 20 ms to import
            group.write(str(nice))
    except OSError:  # this kernel has no such groups
        pass


def main(arguments: list[str]) -> None:
    parent, number, user, nice, _, *program = arguments
    if nice != "0":
        stand_back(int(nice))
    if user != "-":
        become(user)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    die_with(int(parent), int(number))
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
