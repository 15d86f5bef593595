"""`make mutants`: take one mechanism of the protocol away, in a copy of the tree, and show that a named test goes red.

A mutant is a replacement of text that must occur exactly once. First every named test runs on the tree as it is and
must be green; a mutant that no test notices fails the run.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = (
    "api",
    "bench",
    "db",
    "deploy",
    "exports",
    "intake",
    "model",
    "tests",
    "workers",
    "pyproject.toml",
    "README.md",
)
SECONDS = 400


@dataclass(frozen=True)
class Mutant:
    mechanism: str
    path: str
    text: str
    instead: str
    test: str


MUTANTS = (
    Mutant(
        "the fence",
        "db/statements/lease.py",
        '    chunks.c.fence == bindparam("of_fence"),\n',
        "",
        "tests/workers/chunks/test_chunk.py::test_a_lost_fence_writes_nothing",
    ),
    Mutant(
        "the reaper",
        "workers/dispatcher/leader.py",
        '        self._step("taking back leases", lambda: reaper.reap_leases(self._engine, self._errors))\n',
        "",
        "tests/faults/test_quick.py::test_a_killed_worker_costs_its_lease",
    ),
    Mutant(
        "the finaliser",
        "workers/dispatcher/leader.py",
        '        self._step("finishing jobs", lambda: reaper.finish_jobs(self._engine, self._errors))\n',
        "",
        "tests/faults/test_crashes.py::test_a_worker_that_dies_at[done]",
    ),
    Mutant(
        "the suspect rule",
        "workers/dispatcher/reaper.py",
        "        connection.execute(*reap.suspect(row.job_id, list(row.inflight)))\n",
        "        log.info('nobody is suspected')\n",
        "tests/faults/test_poison.py::test_it_ends_the_process[mod]",
    ),
    Mutant(
        "the give-back",
        "workers/chunks/lease.py",
        "                held = connection.execute(*statement).one_or_none() is not None\n",
        "                held = True\n",
        "tests/workers/chunks/test_chunk.py::test_stopping_gives_the_lease_back_uncharged",
    ),
    Mutant(
        "the second announcement",
        "workers/dispatcher/leader.py",
        '        self._step("announcing again", self._lost.send_again)\n',
        "",
        "tests/faults/test_quick.py::test_flushed_redis_is_announced_again",
    ),
    Mutant(
        "the heartbeat",
        "workers/chunks/lease.py",
        "            if self._healthy() and not self._renew(claim):\n",
        "            if False:\n",
        "tests/faults/test_s3.py::test_slower_than_a_lease",
    ),
    Mutant(
        "the resume (a claim leaves out what has a result)",
        "db/statements/lease.py",
        "    .where(_here(items), results.c.index.is_(None))\n",
        "    .where(_here(items))\n",
        "tests/workers/chunks/test_chunk.py::test_a_second_claim_resumes_behind_the_first",
    ),
    Mutant(
        "the ingestion's own thread",
        "workers/dispatcher/ingest/ingester.py",
        "        self._asked.set()\n",
        "        for found in ingesting_jobs(self._engine):\n            self._page(found, _Progress())\n",
        "tests/faults/test_s3.py::test_a_slow_listing_holds_nobody_up",
    ),
    Mutant(
        "the fence of an output",
        "db/statements/output.py",
        "outputs.c.fence == fence, ",
        "",
        "tests/db/test_output.py::test_an_old_writer_changes_nothing",
    ),
    Mutant(
        "the resume of an output behind its last file",
        "workers/dispatcher/output/writer.py",
        "(0, 0) if last is None else (last.stop, last.number + 1)",
        "(0, 0)",
        "tests/faults/test_outputs.py::test_a_writer_that_dies_at[uploaded:3]",
    ),
    Mutant(
        "turns among the outputs of tenants",
        "workers/dispatcher/output/writer.py",
        "if self._written and self._yields():",
        "if False:",
        "tests/workers/dispatcher/output/test_outputs.py::test_tenants_take_turns",
    ),
)


def copy(into: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif source.exists():
            shutil.copy(source, into / name)


def mutate(tree: Path, mutant: Mutant) -> None:
    path = tree / mutant.path
    text = path.read_text()
    if text.count(mutant.text) != 1:
        raise SystemExit(f"{mutant.mechanism}: its text occurs {text.count(mutant.text)} times in {mutant.path}")
    path.write_text(text.replace(mutant.text, mutant.instead))


def passes(tree: Path, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "", "--timeout=120", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=SECONDS, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run {tests}:\n{ended.stdout[-3000:]}\n{ended.stderr[-1000:]}")
    if ended.returncode == 0 and " passed" not in ended.stdout:
        raise SystemExit(f"no test ran: {tests}")
    return ended.returncode == 0


def main() -> int:
    chosen = [m for m in MUTANTS if not sys.argv[1:] or any(word in m.mechanism for word in sys.argv[1:])]
    missed = 0
    for mutant in (None, *chosen):
        with tempfile.TemporaryDirectory(prefix="maskworks-mutant-") as folder:
            tree = Path(folder)
            tree.chmod(0o711)
            copy(tree)
            if mutant is None:
                if not passes(tree, sorted({m.test for m in chosen})):
                    raise SystemExit("a named test is red without any mutation")
                print("unchanged: green", flush=True)
                continue
            mutate(tree, mutant)
            survived = passes(tree, [mutant.test])
            missed += survived
            print(
                f"without {mutant.mechanism}: {'NOT NOTICED by' if survived else 'red, by'} {mutant.test}", flush=True
            )
    print(f"{len(chosen) - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
