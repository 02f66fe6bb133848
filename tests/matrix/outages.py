"""R1 to R10: Redis is away, silent or cut off, and what it has said is lost."""

from __future__ import annotations

from tests.matrix.row import Row, tests_of

RESTART, AWAY = "faults/test_r_restart.py", "faults/test_r_away.py"
CUT, STALL = "faults/test_r_cut.py", "faults/test_r_stall.py"
BACK_S = 5.0

OUTAGES = (
    Row(
        "R1",
        "Redis killed and restarted under load; loading its data",
        tests_of(
            RESTART,
            "kills_of_redis_under_load_lose_nothing_and_double_nothing",
            "a_redis_that_still_loads_its_data_is_an_outage_to_everybody",
        ),
        since="the server's first answer",
        below_s=BACK_S,
    ),
    Row(
        "R2",
        "Redis restarted without its data",
        tests_of(RESTART, "a_redis_that_comes_back_empty_is_reported_and_worked_with_anew"),
        since="the server's first answer",
        remark="2026-11-24: what Redis has lost is lost; counted is what was published after it",
    ),
    Row(
        "R3",
        "Redis away for long, while handlers run, a worker dies, or (with a journal) the whole pool",
        (
            *tests_of(
                AWAY,
                "a_handler_that_ends_while_redis_is_away_is_acked_when_it_is_back",
                "a_worker_that_dies_while_redis_is_away_is_replaced_and_settled_when_it_is_back",
            ),
            "faults/test_r_journal.py",
            "cluster/test_cluster_journal.py",
            "supervision/test_journal_file.py",
        ),
        since="the server's first answer",
    ),
    Row(
        "R4",
        "Redis away when the pool starts",
        tests_of(AWAY, "a_pool_that_starts_without_redis_waits_for_it"),
        since="the server's first answer",
    ),
    Row(
        "R5",
        "every connection killed ten times a second",
        tests_of(CUT, "connections_that_are_killed_ten_times_a_second_hinder_nothing"),
        since="each kill, to the next run of any message",
    ),
    Row(
        "R6",
        "Redis stopped beyond two timeouts and a lease; requests that execute late",
        (
            *tests_of(STALL, "a_redis_that_is_stopped_for_two_socket_timeouts_ends_nobodys_lease"),
            f"{STALL}::test_a_redis_that_is_silent_for_longer_than_a_lease_ends_nobodys_lease[SIGSTOP]",
            "scripts/test_late_copies.py",
        ),
        since="the SIGCONT",
    ),
    Row(
        "R7",
        "CLIENT PAUSE",
        (f"{STALL}::test_a_redis_that_is_silent_for_longer_than_a_lease_ends_nobodys_lease[CLIENT PAUSE]",),
        since="the end of the pause",
    ),
    Row(
        "R8",
        "the reply to each script lost after it was executed; fifty lost under load",
        (
            "faults/test_r_lost_reply.py",
            "faults/test_r_lost_reply_supervision.py",
            *tests_of("scripts/test_moves.py", "a_call_whose_reply_was_lost_can_be_repeated"),
        ),
    ),
    Row(
        "R9",
        "a half-open connection while waiting, on either side",
        tests_of(CUT, "a_message_is_handled_though_its_worker_waits_on_half_a_connection"),
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
