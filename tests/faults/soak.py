"""`python -m tests.faults.soak --items 10000 --faults 200`: random jobs under random, overlapping faults.

The seed is printed and replays the same jobs and the same faults in the same order (not the same timing). Afterwards
everything heals and drains, and the invariants I1-I8 are held against the whole history. The last line is
`N passed, N failed`.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError

from db.ids import show_job_id
from tests.faults.cluster import Cluster, TooLate, until
from tests.faults.cluster import cluster as run_cluster
from tests.faults.oracle import VIOLATIONS, drain, violations
from tests.faults.proxies import Fault, S3Proxy, s3_proxy
from workers.broker import list_name, message

WORKERS = ("worker-1", "worker-2", "worker-3")
OVERLAP = 3
OUTAGES = (SQLAlchemyError, psycopg.Error, redis.RedisError, httpx.TransportError, OSError)
"""What the driver itself may run into while the stores are down; it tries again, as any client would."""


@dataclass
class Soak:
    cluster: Cluster
    proxy: S3Proxy
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    busy: dict[str, threading.Lock] = field(default_factory=dict)

    def lock(self, name: str) -> threading.Lock:
        return self.busy.setdefault(name, threading.Lock())


@dataclass(frozen=True)
class Plan:
    """One fault, drawn before it happens, so that the seed alone decides it."""

    kind: str
    target: str
    seconds: float


def kill_worker(soak: Soak, plan: Plan) -> None:
    soak.cluster.restart(plan.target)


def end_worker(soak: Soak, plan: Plan) -> None:
    started = time.monotonic()
    soak.cluster.restart(plan.target, hurry=False)
    took = time.monotonic() - started
    if took > 12:
        soak.failed.append(f"{plan.target} took {took:.1f} s to leave after SIGTERM")


def freeze(soak: Soak, plan: Plan) -> None:
    with soak.cluster.frozen(plan.target):
        time.sleep(plan.seconds)


def crash(soak: Soak, plan: Plan) -> None:
    """One more worker, which dies at a point of the protocol (the target names it)."""
    name = soak.cluster.stack.add_worker({"MASKWORKS_CRASH_AT": plan.target}, keep=False)
    with suppress(TooLate):  # when no work comes its way
        until("a crash", 25, lambda: soak.cluster.stack.supervisor.exit_code(name) is not None)
    soak.cluster.stack.supervisor.stop(name, hurry=True)


def restart(soak: Soak, plan: Plan) -> None:
    soak.cluster.stack.stop_child(plan.target, hurry=True)
    time.sleep(plan.seconds)
    soak.cluster.stack.start_child(plan.target)


def flush(soak: Soak, _: Plan) -> None:
    soak.cluster.redis.flushall()


def fill_redis(soak: Soak, plan: Plan) -> None:
    soak.cluster.redis.config_set("maxmemory", "1mb")
    time.sleep(plan.seconds)
    soak.cluster.redis.config_set("maxmemory", "0")


def double(soak: Soak, _: Plan) -> None:
    """Messages for chunks that are anywhere in their lives."""
    sql = "SELECT array_agg(job_id::text || ' ' || chunk_no) FROM (SELECT * FROM chunks ORDER BY random() LIMIT 20) c"
    for line in soak.cluster.ask(sql) or []:
        job, chunk = line.split()
        soak.cluster.redis.lpush(list_name("null", 0), message(UUID(job), int(chunk)))


def terminate(soak: Soak, _: Plan) -> None:
    with soak.cluster.admin.connect() as connection:
        connection.exec_driver_sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'maskworks'"
        )


def sicken_s3(soak: Soak, plan: Plan) -> None:
    fault = Fault("/plain/", plan.target, seconds=1.0)
    soak.proxy.faults.append(fault)
    time.sleep(plan.seconds)
    soak.proxy.faults.remove(fault)


# kind → (weight, what it hurts, possible targets, longest seconds, how)
CATALOGUE: dict[str, tuple[int, str, tuple[str, ...], float, Callable[[Soak, Plan], None]]] = {
    "kill worker": (6, "", WORKERS, 0, kill_worker),
    "end worker": (4, "", WORKERS, 0, end_worker),
    "freeze worker": (5, "", WORKERS, 7, freeze),
    "crash point": (4, "crash", ("claimed", "computing", "writing", "done"), 0, crash),
    "kill dispatcher": (3, "", ("dispatcher",), 0, restart),
    "freeze dispatcher": (2, "", ("dispatcher",), 5, freeze),
    "kill redis": (3, "", ("redis",), 2, restart),
    "freeze redis": (2, "", ("redis",), 4, freeze),
    "flush redis": (4, "redis", ("redis",), 0, flush),
    "fill redis": (2, "redis", ("redis",), 3, fill_redis),
    "double messages": (5, "redis", ("redis",), 0, double),
    "cut connections": (4, "postgres", ("postgres",), 0, terminate),
    "kill postgres": (2, "", ("postgres",), 1, restart),
    "kill s3": (2, "", ("s3",), 1.5, restart),
    "sick s3": (5, "proxy", ("503", "slow", "truncated", "reset"), 2, sicken_s3),
}


def draw_faults(rng: random.Random, count: int) -> list[Plan]:
    kinds = rng.choices(list(CATALOGUE), [row[0] for row in CATALOGUE.values()], k=count)
    plans = []
    for kind in kinds:
        _, _, targets, longest, _ = CATALOGUE[kind]
        plans.append(Plan(kind, rng.choice(targets), longest * (0.3 + 0.7 * rng.random())))
    return plans


@dataclass(frozen=True)
class JobPlan:
    images: int
    size: int
    absent: int
    poison: bytes | None
    cancel_after: float | None
    deadline: float | None


def draw_jobs(rng: random.Random, items: int) -> list[JobPlan]:
    plans: list[JobPlan] = []
    while items > 0:
        images = min(items, rng.choice((1, 5, 20, 60, 200, 500)))
        plans.append(
            JobPlan(
                images=images,
                size=rng.choice((1, 4, 16, 16, 64)),
                absent=rng.choice((0, 0, 0, 1, 3)) if images > 4 else 0,
                poison=rng.choice((b"mod", b"dec", b"oom", b"big")) if images > 4 and rng.random() < 0.12 else None,
                cancel_after=rng.random() * 4 if rng.random() < 0.08 else None,
                deadline=1 + rng.random() * 10 if rng.random() < 0.05 else None,
            )
        )
        items -= images
    return plans


def submit(soak: Soak, plan: JobPlan) -> UUID:
    images = soak.cluster.images(plan.images)
    for place in range(plan.absent):
        images[place + 1] = f"s3://{soak.cluster.stack.bucket}/absent/{place}.jpg"
    if plan.poison is not None:
        images[-1] = soak.cluster.poisoned(plan.poison)
    columns = {"deadline": datetime.now(UTC) + timedelta(seconds=plan.deadline)} if plan.deadline else {}
    job = soak.cluster.submit(images, size=plan.size, **columns)
    if plan.cancel_after is not None:
        threading.Timer(plan.cancel_after, _stubbornly, args=(lambda: cancel(soak, job),)).start()
    return job


def cancel(soak: Soak, job: UUID) -> None:
    with soak.cluster.stack.client() as client:
        answer = client.post(f"/v1/jobs/{show_job_id(job)}:cancel")
    if answer.status_code == 503:
        raise httpx.TransportError("the front door asks to come again")
    if answer.status_code != 200:
        soak.failed.append(f"cancel answered {answer.status_code}: {answer.text}")


def _stubbornly(do: Callable[[], Any], seconds: float = 60) -> Any:
    """Again and again while stores are down."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return do()
        except OUTAGES:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def inject(soak: Soak, plan: Plan, slots: threading.Semaphore) -> None:
    _, hurts, _, _, how = CATALOGUE[plan.kind]
    try:
        with soak.lock(hurts or plan.target):  # two at a time never hold the same program
            how(soak, plan)
        soak.done[plan.kind] += 1
    except OUTAGES:
        soak.done[f"{plan.kind} (its target was down)"] += 1
    except Exception as error:  # noqa: BLE001  reported as a failure of the run
        soak.failed.append(f"{plan}: {type(error).__name__}: {error}")
    finally:
        slots.release()


def storm(soak: Soak, jobs: list[JobPlan], faults: list[Plan]) -> None:
    """Faults one after the other, at most OVERLAP at once; jobs come in step with them."""
    slots = threading.Semaphore(OVERLAP)
    total, sent = sum(job.images for job in jobs), 0
    waiting = list(reversed(jobs))
    threads = []
    for number, plan in enumerate(faults):
        while waiting and sent <= total * number / len(faults):
            job = waiting.pop()
            _stubbornly(partial(submit, soak, job))
            sent += job.images
        slots.acquire()
        print(f"{number + 1:4d} {plan.kind} {plan.target} {plan.seconds:.1f}", flush=True)
        threads.append(threading.Thread(target=inject, args=(soak, plan, slots), daemon=True))
        threads[-1].start()
        time.sleep(0.2 + soak.random.random() * 2.5)
    for job in reversed(waiting):
        _stubbornly(partial(submit, soak, job))
    for thread in threads:
        thread.join(120)


def verdict(soak: Soak) -> tuple[int, int]:
    """Every rule, and every job's counts as the front door shows them."""
    passed, failed = 0, 0
    found = violations(soak.cluster)
    for rule in VIOLATIONS:
        if rule in found:
            failed += 1
            print(f"FAILED {rule}: {found[rule][:5]}")
        else:
            passed += 1
    with soak.cluster.stack.client() as client:
        for job in soak.cluster.jobs:
            counts = client.get(f"/v1/jobs/{show_job_id(job)}").json()["counts"]
            settled = counts["succeeded"] + counts["failed"] + counts["cancelled"] + counts["expired"]
            if settled == counts["total"]:
                passed += 1
            else:
                failed += 1
                print(f"FAILED counts of {job}: {counts}")
    for line in soak.failed:
        failed += 1
        print(f"FAILED {line}")
    return passed, failed


def run(items: int, faults: int, seed: int) -> tuple[int, int]:
    rng = random.Random(seed)
    jobs, plans = draw_jobs(rng, items), draw_faults(rng, faults)
    started = time.monotonic()
    with ExitStack() as stack:
        proxy = stack.enter_context(s3_proxy())
        env = {
            "MASKWORKS_LEASE_SECONDS": "3",
            "MASKWORKS_NULL_DELAY": "0.02",
            "MASKWORKS_S3_ENDPOINT_URL": proxy.url,
        }
        cluster = stack.enter_context(run_cluster(workers=len(WORKERS), env=env))
        proxy.target = cluster.stack.stores.s3.endpoint_url
        soak = Soak(cluster, proxy, random.Random(seed + 1))
        storm(soak, jobs, plans)
        print(f"{faults} faults in {time.monotonic() - started:.0f} s; healing and draining", flush=True)
        try:
            _stubbornly(lambda: drain(cluster, 300))
        except TooLate as error:
            soak.failed.append(str(error))
        passed, failed = verdict(soak)
        _report(soak, time.monotonic() - started)
    return passed, failed


def _report(soak: Soak, seconds: float) -> None:
    for kind, count in sorted(soak.done.items()):
        print(f"{count:5d} {kind}")
    counts = "SELECT string_agg(state || ' ' || n, ', ') FROM (SELECT state::text, count(*) AS n FROM {} GROUP BY 1) s"
    for table in ("jobs", "chunks", "results"):
        print(f"{table}: {soak.cluster.ask(counts.format(table))}")
    print(f"claims: {soak.cluster.ask('SELECT sum(fence) FROM chunks')} fences; {seconds:.0f} s in all")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}: {given.items} items, {given.faults} faults", flush=True)
    passed, failed = run(given.items, given.faults, seed)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
