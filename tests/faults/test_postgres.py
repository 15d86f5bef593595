"""Postgres that is restarted, killed, frozen or cuts connections: nothing is lost, and the API answers 503."""

import time

import httpx
import pytest
from sqlalchemy import make_url

from tests.faults.cluster import LEASE, Cluster, until
from tests.faults.oracle import outcome
from tests.faults.proxies import postgres_proxy

pytestmark = pytest.mark.faults


def answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.ask("SELECT 1") == 1)
    except Exception as error:  # noqa: BLE001  a database that starts has many ways to say no
        assert "psycopg" in str(error) or "connection" in str(error).lower(), error
        return False


def claims(cluster: Cluster) -> int:
    return int(cluster.ask("SELECT sum(fence) FROM chunks"))


@pytest.mark.parametrize("hurry", [False, True], ids=["restart", "kill"])
def test_a_restart_costs_fifteen_seconds(cluster: Cluster, hurry: bool) -> None:
    job = cluster.submit(400, size=4)
    cluster.wait_leased(job)
    cluster.restart("postgres", hurry)
    cluster.engine.dispose()
    until("Postgres", 30, lambda: answers(cluster))
    before = claims(cluster)
    took = until("new claims", 15, lambda: claims(cluster) > before)
    print(f"work goes on {took:.1f} s after Postgres is back")
    cluster.wait_done(job, 90)
    assert outcome(cluster, job) == {"ok": 400}


def test_away_for_longer_than_a_lease(cluster: Cluster) -> None:
    job = cluster.submit(100, size=10)
    cluster.wait_leased(job)
    cluster.stack.stop_child("postgres")
    time.sleep(3 * LEASE)
    cluster.stack.start_child("postgres")
    cluster.engine.dispose()
    until("Postgres", 30, lambda: answers(cluster))
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 100}


def test_frozen_for_longer_than_a_lease(cluster: Cluster) -> None:
    """It answers nobody and refuses nobody. Every lease has run out when it thaws; nobody believes in an old one."""
    job = cluster.submit(400, size=10)
    cluster.wait_leased(job)
    with cluster.frozen("postgres"):
        time.sleep(3 * LEASE)
    before = claims(cluster)
    took = until("new claims", 15, lambda: claims(cluster) > before)
    print(f"work goes on {took:.1f} s after Postgres thawed")
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 400}


def test_sigterm_while_it_is_away(cluster: Cluster) -> None:
    cluster.wait_registered("worker-2")
    job = cluster.submit(100, size=10)
    cluster.wait_leased(job, by="worker-2")
    cluster.stack.stop_child("postgres")
    started = time.monotonic()
    cluster.restart("worker-2", hurry=False)
    took = time.monotonic() - started
    cluster.stack.start_child("postgres")
    cluster.engine.dispose()
    until("Postgres", 30, lambda: answers(cluster))
    cluster.wait_done(job, 60)
    assert took < 10


def test_backends_terminated_again_and_again(cluster: Cluster) -> None:
    job = cluster.submit(200, size=5)
    cluster.wait_leased(job)
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'maskworks'"
    for _ in range(10):
        with cluster.admin.connect() as connection:
            connection.exec_driver_sql(kill)
        time.sleep(0.4)
    cluster.engine.dispose()
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 200}


def test_the_front_door_says_so_and_recovers(cluster: Cluster) -> None:
    body = {"model": "null", "task": {"type": "auto"}, "input": {"items": [{"image": cluster.images(1)[0]}]}}
    with cluster.stack.client(timeout=30) as client:
        cluster.stack.stop_child("postgres")
        started = time.monotonic()
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0 and time.monotonic() - started < 15
        assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 503
        cluster.stack.start_child("postgres")
        cluster.engine.dispose()
        until("the front door", 15, lambda: accepted(client, body))
    until("Postgres", 30, lambda: answers(cluster))


def accepted(client: httpx.Client, body: object) -> bool:
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code in (202, 503), answer.text
    return answer.status_code == 202


def test_the_outcome_of_a_commit_is_not_known(cluster: Cluster) -> None:
    url = make_url(cluster.stack.environment["MASKWORKS_DATABASE_URL"])
    with postgres_proxy(str(url.host), int(url.port or 0)) as proxy:
        through = url.set(port=proxy.port).render_as_string(hide_password=False)
        victim = cluster.add_worker(database_url=through)
        for _ in range(6):
            job = cluster.submit(96, size=4)
            cluster.wait_leased(job, by=victim)
            proxy.drop = 2
            cluster.wait_done(job, 60)
            assert outcome(cluster, job) == {"ok": 96}
        assert proxy.dropped >= 6
        cluster.drop_extras()
