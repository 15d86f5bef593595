"""`python -m tests.faults.restart`: replace every process in turn under load, as a rolling update does.

Two workers, two dispatchers and two API processes. Each is ended by SIGTERM and started anew while clients submit jobs
and follow them. What an update in Kubernetes does for us is played here: no client is sent to an API process that is
about to end, and that process gets a moment before its SIGTERM (`preStop`). Requests that it has begun must end well.
It prints one line for each process that was replaced, and ends with 1 if a request, an item or a lease was lost.
"""

import argparse
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count

import httpx
from sqlalchemy import text

from deploy.local import services
from tests.faults import oracle
from tests.faults.cluster import Cluster, cluster, until

PRE_STOP = 0.5
SETTLE_SECONDS = 3.0
CLIENTS = 6
ITEMS = 20


@dataclass
class Door:
    """The API processes that take new requests, as a load balancer knows them."""

    clients: dict[str, httpx.Client] = field(default_factory=dict)
    _turn: Iterator[int] = field(default_factory=count)

    def next(self) -> httpx.Client:
        open_now = list(self.clients.values())
        return open_now[next(self._turn) % len(open_now)]


@dataclass
class Load:
    """Clients that submit jobs and follow them to their end, until they are told to stop."""

    cluster: Cluster
    door: Door
    requests: int = 0
    slowest: float = 0.0
    failed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        images = [{"image": image} for image in self.cluster.images(ITEMS)]
        body = {"model": "null", "task": {"type": "auto"}, "input": {"items": images}, "name": f"client {number}"}
        while not self._stop.is_set():
            job = self._ask("POST", "/v1/jobs", 202, json=body)
            while job and not job["done"]:
                patient = number % 2  # in the others' place an answer comes at once
                job = self._ask("GET", f"/v1/jobs/{job['id']}", 200, params={"wait": 5 * patient})
                time.sleep(0.2 * (1 - patient))
            if job:
                self._ask("GET", f"/v1/jobs/{job['id']}/items", 200)

    def _ask(self, method: str, path: str, wanted: int, **more: object) -> dict[str, object]:
        """The answer's body; {} where the request failed, which is noted."""
        started = time.monotonic()
        try:
            answer = self.door.next().request(method, path, **more)  # type: ignore[arg-type]
            said = "" if answer.status_code == wanted else f"{answer.status_code} {answer.text[:200]}"
        except httpx.TransportError as error:
            said = repr(error)
        with self._lock:
            self.requests += 1
            self.slowest = max(self.slowest, time.monotonic() - started)
            if said:
                self.failed.append(f"{method} {path}: {said}")
        return {} if said else answer.json()


class Processes:
    """The processes of the cluster that are replaced, and how."""

    def __init__(self, running: Cluster, door: Door) -> None:
        self._stack, self._door, self._cluster = running.stack, door, running
        self._urls = {"api": running.stack.api_url}

    @contextmanager
    def doubled(self) -> Iterator[None]:
        """A second API and a second dispatcher beside those of the stack."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._urls["api-2"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            folder, settings = self._stack.folder, self._stack.environment
            api = services.api(folder, settings, listener.fileno())
            dispatcher = services.dispatcher(folder, settings)
            extras = [replace(api, name="api-2"), replace(dispatcher, name="dispatcher-2")]
            for command in extras:
                self._stack.supervisor.start(command)
            for name in self._urls:
                self._open(name)
            try:
                yield
            finally:
                for client in self._door.clients.values():
                    client.close()
                for command in extras:
                    self._stack.supervisor.stop(command.name)

    def replace(self, name: str) -> None:
        """End it by SIGTERM, start it anew, and wait until it is ready."""
        client = self._door.clients.pop(name, None)
        if client is not None:
            time.sleep(PRE_STOP)
        self._cluster.restart(name, hurry=False)
        if client is not None:
            client.close()
            self._open(name)
        elif name.startswith("worker"):
            self._cluster.wait_registered(name)

    def _open(self, name: str) -> None:
        headers = {"Authorization": f"Bearer {self._stack.api_key}"}
        client = httpx.Client(base_url=self._urls[name], headers=headers, timeout=30)
        until(f"{name} is ready", 30, lambda: _is_ready(client))
        self._door.clients[name] = client


def _is_ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/readyz").status_code == httpx.codes.OK
    return False


LOST = {
    "failed items": "SELECT count(*) FROM results WHERE state <> 'succeeded'",
    "charged attempts": "SELECT coalesce(sum(attempts - 1), 0) FROM chunks WHERE attempts > 1",
}


def rehearse(running: Cluster, rounds: int = 1, say: bool = False) -> list[str]:
    """Replace each process `rounds` times. Returns what was lost, in words; none, if all is as it must be."""
    door = Door()
    load, processes = Load(running, door), Processes(running, door)
    with processes.doubled(), load.running():
        usual = _rate(running, 5.0)
        if say:
            print(f"before            {usual:6.1f} images/s")
        for _ in range(rounds):
            for name in ("dispatcher", "api", "worker-1", "worker-2", "api-2", "dispatcher-2"):
                started, before = time.monotonic(), load.requests
                with _slowest_seconds(running) as dip:
                    processes.replace(name)
                    time.sleep(SETTLE_SECONDS)
                if say:
                    took, asked = time.monotonic() - started, load.requests - before
                    print(f"{name:14} {took:5.1f} s {asked:6} requests {min(dip):6.1f} images/s at least")
    oracle.drain(running)
    if say:
        print(f"{load.requests} requests, the slowest took {load.slowest:.1f} s")
    counts = {what: running.ask(sql) for what, sql in LOST.items()}
    broken = [f"{rule}: {rows}" for rule, rows in oracle.violations(running).items()]
    return [*load.failed, *(f"{n} {what}" for what, n in counts.items() if n), *broken]


def _rate(running: Cluster, seconds: float) -> float:
    before = running.ask("SELECT count(*) FROM results")
    time.sleep(seconds)
    return float(running.ask("SELECT count(*) FROM results") - before) / seconds


@contextmanager
def _slowest_seconds(running: Cluster) -> Iterator[list[float]]:
    """The list that it yields holds the rate of each two seconds of the block (which takes longer), once that ends."""
    rates: list[float] = []
    with running.engine.connect() as connection:
        began = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    yield rates
    sql = text(
        "SELECT (SELECT count(*) FROM results r WHERE r.created_at >= t AND r.created_at < t + interval '2 s') / 2.0 "
        "FROM generate_series(CAST(:began AS timestamptz), clock_timestamp() - interval '2 s', interval '1 s') t"
    )
    with running.engine.connect() as connection:
        rates.extend(float(rate) for rate in connection.execute(sql, {"began": began}).scalars())


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.restart", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often each process is replaced")
    given = parser.parse_args(words)
    with cluster(workers=2) as running:
        lost = rehearse(running, given.rounds, say=True)
    print("\n".join(lost) or "no request failed, no item failed, no attempt was charged")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
