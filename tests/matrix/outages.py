"""R1 to R10: Redis is unavailable, silent or cut off, or its replies are lost."""

from __future__ import annotations

from tests.matrix.row import Row, tests_of

RESTART, AWAY = "faults/test_r_restart.py", "faults/test_r_away.py"
CUT, STALL = "faults/test_r_cut.py", "faults/test_r_stall.py"
RESULTS, UNIQUE = "faults/test_p_results.py", "faults/test_p_unique.py"
CHECKPOINTS = "faults/test_p_checkpoints.py"
OUTPUT = "faults/test_p_output.py"
BACK_S = 5.0

OUTAGES = (
    Row(
        "R1",
        "Redis killed and restarted under load; loading its data",
        (
            *tests_of(
                RESTART,
                "kills_of_redis_under_load_lose_and_duplicate_nothing",
                "a_redis_that_still_loads_its_data_is_an_outage_for_every_client",
            ),
            *tests_of(RESULTS, "a_waiter_survives_a_restart_of_redis"),
            *tests_of(UNIQUE, "a_restart_of_redis_keeps_keys_times_progress_checkpoints_and_schedules"),
        ),
        since="the server's first answer",
        below_s=BACK_S,
    ),
    Row(
        "R2",
        "Redis restarted without its data",
        (
            *tests_of(RESTART, "a_redis_that_comes_back_empty_is_reported_and_used_again"),
            *tests_of(RESULTS, "a_waiter_learns_that_redis_has_lost_the_message"),
        ),
        since="the server's first answer",
        remark="2026-11-24: messages that Redis has lost are lost; only later messages are counted",
    ),
    Row(
        "R3",
        "Redis unavailable for long, while handlers run, a worker dies, or (with a journal) the whole pool",
        (
            *tests_of(
                AWAY,
                "a_handler_that_ends_while_redis_is_away_is_acked_when_it_is_back",
                "a_worker_that_dies_while_redis_is_away_is_replaced_and_settled_when_it_is_back",
            ),
            "faults/test_r_journal.py",
            *tests_of(
                RESULTS,
                "a_worker_that_is_killed_while_redis_is_away_leaves_its_results",
                "results_survive_in_the_journal_when_the_whole_pool_dies_while_redis_is_away",
            ),
            *tests_of(CHECKPOINTS, "an_outage_costs_no_step_of_a_message_that_runs"),
            *tests_of(OUTPUT, "output_waits_for_a_redis_that_is_away"),
            "cluster/test_cluster_journal.py",
            "supervision/test_journal_format.py",
        ),
        since="the server's first answer",
    ),
    Row(
        "R4",
        "Redis unavailable when the pool starts",
        tests_of(AWAY, "a_pool_that_starts_without_redis_waits_for_it"),
        since="the server's first answer",
    ),
    Row(
        "R5",
        "every connection killed ten times a second",
        tests_of(CUT, "connections_killed_ten_times_a_second_lose_nothing"),
        since="each kill, to the next run of any message",
    ),
    Row(
        "R6",
        "Redis stopped beyond two timeouts and a lease; requests that execute late",
        (
            *tests_of(STALL, "a_redis_stopped_for_two_socket_timeouts_ends_no_lease"),
            f"{STALL}::test_a_redis_silent_for_longer_than_a_lease_ends_no_lease[SIGSTOP]",
            "scripts/test_late_copies.py",
        ),
        since="the SIGCONT",
    ),
    Row(
        "R7",
        "CLIENT PAUSE",
        (f"{STALL}::test_a_redis_silent_for_longer_than_a_lease_ends_no_lease[CLIENT PAUSE]",),
        since="the end of the pause",
    ),
    Row(
        "R8",
        "the reply to each script lost after it was executed; fifty lost under load",
        (
            "faults/test_r_lost_reply.py",
            "faults/test_r_lost_reply_supervision.py",
            *tests_of(RESULTS, "a_lost_reply_stores_one_result"),
            *tests_of(OUTPUT, "a_lost_reply_loses_no_output"),
            *tests_of(UNIQUE, "a_lost_reply_to_a_unique_publish_stores_one_message"),
            "admin/test_lost_replies.py",
            *tests_of("scripts/test_moves.py", "a_call_whose_reply_was_lost_can_be_repeated"),
        ),
    ),
    Row(
        "R9",
        "a half-open connection while waiting, on either side",
        tests_of(CUT, "a_message_is_handled_although_its_worker_waits_on_a_half_open_connection"),
        since="the publish; block (5 s) and socket timeout (5 s)",
        below_s=11.0,
    ),
    Row(
        "R10",
        "a pool's host cut off for longer than its lease, under load; shorter",
        ("faults/test_r_partition.py",),
        since="the cut, after which the other pool starts; lease 1 s",
    ),
)
