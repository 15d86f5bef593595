"""The fault catalogue: each fault with the tests that cause it.

Every test ends with the oracle (`tests.faults.oracle`): full drain, then the invariants I1-I8.
`tests/test_catalogue.py` holds this table against the tests that there are.
"""

from typing import Final

CATALOGUE: Final[dict[str, tuple[str, ...]]] = {
    "worker SIGKILLed: at the claim, in a batch, in its transaction, between done and finish": (
        "test_crashes.py::test_a_worker_that_dies_at",
        "test_crashes.py::test_recovery_from_a_death_is_within_the_lease_and_five_seconds",
        "test_quick.py::test_a_killed_worker_costs_its_lease",
    ),
    "worker SIGKILLed while it takes over an earlier result; the result is deleted meanwhile": (
        "test_crashes.py::test_a_worker_that_dies_while_it_takes_results_over",
    ),
    "worker SIGKILLed while it plans, segments, writes or merges the windows of an image": (
        "test_crashes.py::test_a_worker_that_dies_over_the_windows_of_an_image",
    ),
    "zombie: SIGSTOP for longer than the lease, SIGCONT": ("test_quick.py::test_a_zombie_writes_nothing",),
    "SIGTERM in the middle of a chunk": (
        "test_quick.py::test_sigterm_gives_back_uncharged_and_leaves_fast",
        "test_postgres.py::test_sigterm_while_it_is_away",
    ),
    "every process replaced in turn under load": ("test_restart.py::test_every_process_is_replaced_under_load",),
    "message of a job of a newer form than the worker knows": (
        "test_quick.py::test_a_job_of_a_newer_protocol_waits_uncharged",
    ),
    "message popped and never acknowledged; a few lost among many": (
        "test_redis.py::test_taken_and_never_claimed",
        "test_redis.py::test_a_few_lost_among_many",
    ),
    "message delivered twice, or again while its chunk is in work": (
        "test_quick.py::test_doubled_messages_are_worked_off_once",
        "test_redis.py::test_announced_again_while_in_work",
    ),
    "Redis emptied": ("test_quick.py::test_flushed_redis_is_announced_again",),
    "Redis killed, away, restarted without its file": (
        "test_redis.py::test_a_kill_and_restart_costs_ten_seconds",
        "test_redis.py::test_a_restart_without_its_file",
        "test_redis.py::test_submits_succeed_without_it",
    ),
    "Redis frozen for a minute": ("test_redis.py::test_frozen",),
    "Redis full": ("test_redis.py::test_full", "test_redis.py::test_filled_while_messages_wait"),
    "Postgres restarted, killed, away, frozen": (
        "test_postgres.py::test_a_restart_costs_fifteen_seconds",
        "test_postgres.py::test_away_for_longer_than_a_lease",
        "test_postgres.py::test_frozen_for_longer_than_a_lease",
        "test_postgres.py::test_the_front_door_says_so_and_recovers",
    ),
    "backends terminated": (
        "test_quick.py::test_a_job_goes_on_through_a_terminated_backend",
        "test_postgres.py::test_backends_terminated_again_and_again",
    ),
    "deadlock, outdated snapshot": (
        "test_quick.py::test_a_deadlocked_batch_is_tried_again",
        "test_contention.py::test_a_deadlocked_reaper_is_tried_again",
        "test_contention.py::test_a_deadlocked_cancel_says_come_again",
        "test_contention.py::test_outdated_snapshots_are_tried_again",
    ),
    "full connection pool, no connection left": (
        "test_contention.py::test_a_full_pool_answers_and_recovers",
        "test_contention.py::test_no_connection_left",
    ),
    "outcome of a commit unknown": ("test_postgres.py::test_the_outcome_of_a_commit_is_not_known",),
    "poison image: aborts, hangs, exhausts or leaks memory": (
        "test_poison.py::test_it_ends_the_process",
        "test_poison.py::test_it_hangs",
        "test_poison.py::test_two_in_one_chunk",
        "test_poison.py::test_it_leaks_and_the_worker_is_recycled",
    ),
    "device out of memory; lost device (ends the process: its `los`)": (
        "test_poison.py::test_it_does_not_fit",
        "test_poison.py::test_it_ends_the_process",
    ),
    "last chunks end together": ("test_ends.py::test_last_chunks_end_together",),
    "cancel races completion, a thousand times": (
        "test_ends.py::test_cancel_races_completion",
        "test_ends.py::test_many_cancel_while_workers_write",
    ),
    "other ends: deadline, failure ratio": (
        "test_ends.py::test_a_deadline_expires_the_job",
        "test_ends.py::test_too_many_failures_fail_the_job",
    ),
    "two dispatchers, a frozen or killed leader": (
        "test_leader.py::test_two_dispatchers_share",
        "test_leader.py::test_two_leaders_at_once_do_no_harm",
        "test_leader.py::test_a_frozen_leader_is_replaced",
        "test_leader.py::test_a_killed_leader_is_replaced",
        "test_leader.py::test_the_window_stays_small",
    ),
    "dispatcher dies between mark and message": (
        "test_crashes.py::test_a_dispatcher_that_dies_between_mark_and_message",
    ),
    "sender of webhooks killed before the request; killed or frozen between it and its record": (
        "test_webhooks.py::test_a_sender_that_dies_before_it_sends",
        "test_webhooks.py::test_a_sender_that_dies_before_it_records",
        "test_webhooks.py::test_a_sender_that_is_frozen_records_nothing_later",
    ),
    "writer of an output killed or frozen; S3 away, slow or refusing while one is written": (
        "test_quick.py::test_a_writer_of_an_output_that_dies",
        "test_outputs.py::test_a_writer_that_dies_at",
        "test_outputs.py::test_a_late_writer_changes_nothing",
        "test_outputs.py::test_s3_is_away_for_a_while",
        "test_outputs.py::test_a_slow_place_holds_up_no_other_tenant",
        "test_outputs.py::test_refused_for_good",
    ),
    "dispatcher dies while it removes an old job": ("test_crashes.py::test_a_dispatcher_that_dies_while_it_removes",),
    "a worker dies with a call for one image; Redis freezes or is killed under one": (
        "test_instant.py::test_a_worker_that_dies_with_a_call",
        "test_instant.py::test_redis_freezes_under_a_call",
        "test_instant.py::test_redis_is_killed_under_a_call",
    ),
    "dispatcher dies in the middle of a manifest": (
        "test_crashes.py::test_a_dispatcher_that_dies_in_the_middle_of_a_manifest",
    ),
    "clocks ten minutes off": (
        "test_clocks.py::test_a_worker",
        "test_clocks.py::test_the_dispatcher",
        "test_clocks.py::test_the_front_door",
    ),
    "S3 says 403, 404, 503; cuts, dawdles, dies": (
        "test_s3.py::test_refused_for_good",
        "test_s3.py::test_passes_after_a_while",
        "test_s3.py::test_never_passes",
        "test_s3.py::test_throttled_in_the_middle",
        "test_s3.py::test_dripping_objects_hold_up_no_other_job",
        "test_s3.py::test_slower_than_a_lease",
        "test_s3.py::test_killed_and_restarted",
        "test_s3.py::test_a_slow_listing_holds_nobody_up",
        "test_s3.py::test_a_listing_that_fails_is_tried_again",
    ),
    "client cut off in the middle of a submit": (
        "test_clients.py::test_cut_off_in_the_middle",
        "test_clients.py::test_cut_off_before_the_answer",
        "test_clients.py::test_a_cut_off_client_is_no_error_of_ours",
    ),
    "a small tenant beside a large one": ("test_tenants.py::test_a_small_job_beside_a_large_one",),
}
