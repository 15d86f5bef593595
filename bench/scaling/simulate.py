"""One run: jobs arrive, workers come and go, and it is written down what that costs and how long jobs wait."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from sqlalchemy import Engine

from bench.scaling.autoscaler import Autoscaler, Behaviour
from bench.scaling.cluster import Cluster, Machine
from bench.scaling.service import Chunk, Job, Service
from bench.scaling.workload import Arrival

_SLOTS = 2
_SMALL = 10_000


@dataclass(frozen=True)
class Plan:
    """What is compared. `policy`: work or queue."""

    policy: str = "work"
    drain: float | None = None
    """None: the default of the database."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    machine: Machine = field(default_factory=Machine)
    step: float = 10.0
    poll: float = 20.0


@dataclass
class Run:
    """What happened. `lines`: (time, workers, seconds of work left)."""

    jobs: list[Job]
    billed: float = 0.0
    work: float = 0.0
    lines: list[tuple[float, int, float]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The figures of the table. Times in seconds, cost in seconds of a GPU for each one that computed."""
        waits = [job.began - job.arrival.at for job in self.jobs if job.began is not None]
        small = [job for job in self.jobs if job.arrival.images <= _SMALL]
        due = [job for job in self.jobs if job.due is not None]
        return {
            "wait_median": round(_percentile(waits, 50)),
            "wait_p95": round(_percentile(waits, 95)),
            "small_p95": round(_percentile([_took(job) for job in small], 95)),
            "finish_p95": round(_percentile([_took(job) for job in self.jobs], 95)),
            "late": sum(_took(job) > (job.arrival.due or 0) for job in due),
            "due": len(due),
            "peak_workers": max(workers for _, workers, _ in self.lines),
            "idle_share": round(1 - self.work / self.billed, 3),
            "cost": round(self.billed / self.work, 3),
        }


def _took(job: Job) -> float:
    return (job.ended or 0.0) - job.arrival.at


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else sum(values)


def simulate(engine: Engine, arrivals: Sequence[Arrival], plan: Plan, seed: int = 0) -> Run:
    """Run until every job is done and the last node is gone."""
    service, autoscaler = Service(engine), Autoscaler(plan.behaviour)
    cluster = Cluster(plan.machine, random.Random(seed))
    waiting, lost, run = list(arrivals)[::-1], list[tuple[float, Chunk]](), Run([])
    at, polled = 0.0, -1e9
    while waiting or service.busy or cluster.workers:
        if not (service.busy or cluster.workers) and waiting[-1].at > at:
            at = max(at, waiting[-1].at - waiting[-1].at % plan.step)  # a night
        while waiting and waiting[-1].at <= at:
            run.jobs.append(service.submit(waiting.pop()))
        if at - polled >= plan.poll:
            polled = at
            wanted = service.wanted(plan.policy, plan.drain, at)
            service.give_back(cluster.scale(at, autoscaler.replicas(at, wanted)))
            total = sum(job.arrival.seconds for job in run.jobs)
            run.lines.append((at, len(cluster.workers), total - run.work))
        service.give_back(chunk for until, chunk in lost if until <= at)
        lost = [(until, chunk) for until, chunk in lost if until > at]
        _take(service, cluster, at)
        ended, gone = cluster.work(at, plan.step)
        lost += gone
        at += plan.step
        service.end(ended, at)
        run.work += sum(chunk.seconds for chunk in ended)
    run.billed = cluster.billed
    return run


def _take(service: Service, cluster: Cluster, at: float) -> None:
    """Fill the window, and give its chunks to free slots in turn."""
    ready = cluster.ready(at)
    service.fill(len(ready))
    free = [worker for n in range(_SLOTS) for worker in ready if len(worker.held) <= n]
    for worker, chunk in zip(free, service.claim(len(free), at), strict=False):
        worker.held.append(chunk)
