"""A simulated cluster: nodes that take minutes to come, are billed until they go, and may be lost at any time."""

import random
from dataclasses import dataclass, field

from bench.scaling.service import Chunk


@dataclass(frozen=True)
class Machine:
    """How nodes behave. Seconds."""

    cold: tuple[float, float] = (150.0, 330.0)
    """A new node with its image and weights, until its worker is ready; anything in between."""
    warm: float = 30.0
    """A node that is there still, until its worker is ready."""
    idle: float = 600.0
    """A node without a worker goes after this long."""
    lost_an_hour: float = 0.05
    """The part of spot nodes that is taken away in an hour."""
    lease: float = 30.0
    """A lost worker's chunks are free after this long."""
    stop_costs: float = 2.0
    """Work that a stopped worker has done and not recorded."""


@dataclass(eq=False)
class Worker:
    """One node with one worker. `held`: its chunks; it works on the first."""

    ready_at: float
    held: list[Chunk] = field(default_factory=list)


@dataclass
class Cluster:
    """Nodes by what they do: with a worker, or idle since when."""

    machine: Machine
    rng: random.Random
    workers: list[Worker] = field(default_factory=list)
    billed: float = 0.0
    _idle: list[float] = field(default_factory=list)

    def scale(self, at: float, replicas: int) -> list[Chunk]:
        """Start or stop workers. Returns the chunks that stopped ones give back."""
        given_back: list[Chunk] = []
        while len(self.workers) < replicas:
            warm = bool(self._idle)
            if warm:
                self._idle.pop()
            wait = self.machine.warm if warm else self.rng.uniform(*self.machine.cold)
            self.workers.append(Worker(at + wait))
        # Those that are not ready go first, as the autoscaler of Kubernetes does it.
        self.workers.sort(key=lambda worker: worker.ready_at)
        while len(self.workers) > replicas:
            stopped = self.workers.pop()
            for chunk in stopped.held:
                chunk.left = min(chunk.seconds, chunk.left + self.machine.stop_costs)
            given_back += stopped.held
            self._idle.append(at)
        return given_back

    def work(self, at: float, seconds: float) -> tuple[list[Chunk], list[tuple[float, Chunk]]]:
        """Let every worker work. Returns the chunks that ended, and those of lost workers with their lease's end."""
        ended: list[Chunk] = []
        lost: list[tuple[float, Chunk]] = []
        self._idle = [since for since in self._idle if at - since < self.machine.idle]
        self.billed += seconds * (len(self.workers) + len(self._idle))
        for worker in list(self.workers):
            if self.rng.random() < self.machine.lost_an_hour * seconds / 3600:
                lost += [(at + self.machine.lease, chunk) for chunk in worker.held]
                self.workers.remove(worker)  # the deployment makes another at the next poll
                continue
            left = max(0.0, at + seconds - max(at, worker.ready_at))
            while worker.held and left > 0:
                chunk = worker.held[0]
                done = min(left, chunk.left)
                chunk.left -= done
                left -= done
                if chunk.left <= 1e-9:
                    ended.append(worker.held.pop(0))
        return ended, lost

    def ready(self, at: float) -> list[Worker]:
        return [worker for worker in self.workers if worker.ready_at <= at]
