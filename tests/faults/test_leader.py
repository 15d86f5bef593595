"""Dispatchers that are doubled, killed or frozen: a standby takes over, and two at once do no harm."""

import pytest

from db.ids import show_job_id
from tests.faults.cluster import LEADER, Cluster, until
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults


def leader(cluster: Cluster) -> str:
    return str(cluster.ask("SELECT holder FROM leader WHERE role = 'dispatcher' AND lease_until > clock_timestamp()"))


def leads(cluster: Cluster, name: str) -> bool:
    return leader(cluster).endswith(f"-{cluster.stack.supervisor.pid(name)}")


def test_two_dispatchers_share(cluster: Cluster) -> None:
    with cluster.second_dispatcher():
        jobs = [cluster.submit(60, size=3) for _ in range(4)]
        for job in jobs:
            cluster.wait_done(job)
        assert [outcome(cluster, job) for job in jobs] == [{"ok": 60}] * 4


def test_two_leaders_at_once_do_no_harm(cluster: Cluster) -> None:
    """Each believes that it leads: the lease row is taken from whoever has it, again and again."""
    with cluster.second_dispatcher():
        jobs = [cluster.submit(60, size=3) for _ in range(4)]

        def usurp() -> bool:
            with cluster.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE leader SET lease_until = clock_timestamp() - interval '1 s'")
            return all(cluster.is_done(job) for job in jobs)

        until("the end of every job", 60, usurp, every=0.02)
    assert [outcome(cluster, job) for job in jobs] == [{"ok": 60}] * 4


def test_a_frozen_leader_is_replaced(cluster: Cluster) -> None:
    until("a leader", 10, lambda: leads(cluster, "dispatcher"))
    with cluster.second_dispatcher() as second:
        until("a standby", 20, lambda: listeners(cluster) == 2)
        with cluster.frozen("dispatcher"):
            took = until("a new leader", LEADER + 2, lambda: leads(cluster, second))
            job = cluster.submit(40, size=4)
            cluster.wait_done(job)
        print(f"a frozen leader was replaced after {took:.1f} s with a lease of {LEADER:.0f} s")
        again = cluster.submit(40, size=4)  # the old one woke up and believes nothing
        cluster.wait_done(again)


def test_a_killed_leader_is_replaced(cluster: Cluster) -> None:
    with cluster.second_dispatcher() as second:
        until("a standby", 20, lambda: listeners(cluster) == 2)
        with cluster.frozen(second):  # so that the first is the leader
            until("the first leads", 20, lambda: leads(cluster, "dispatcher"))
        job = cluster.submit(200, size=4)
        cluster.wait_leased(job)
        cluster.stack.stop_child("dispatcher", hurry=True)
        took = until("a new leader", LEADER + 2, lambda: leads(cluster, second))
        print(f"a killed leader was replaced after {took:.1f} s with a lease of {LEADER:.0f} s")
        cluster.wait_done(job)
        cluster.stack.start_child("dispatcher")


def test_the_window_stays_small(cluster: Cluster) -> None:
    """Ten thousand chunks wait in Postgres, a handful of messages in Redis."""
    job = cluster.submit(10_000, size=1)
    worst = 0
    for _ in range(50):
        worst = max(worst, cluster.queued())
        until("a moment", 1, iter([False, False, True]).__next__)
    assert 0 < worst <= 3 * 2 * 2 * 2, worst  # window_per_slot 2, 2 slots, 2 workers, and as much in flight
    with cluster.stack.client() as client:
        assert client.post(f"/v1/jobs/{show_job_id(job)}:cancel").status_code == 200
    cluster.wait_done(job)


def listeners(cluster: Cluster) -> int:
    """How many dispatchers listen for the database's notifications, leading or not."""
    return int(cluster.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"))
