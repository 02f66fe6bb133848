"""P: what happens to the pool's processes."""

from __future__ import annotations

from tests.matrix.row import Row, tests_of

LEASE_AND_SCAN_S = 1.0 + 1.0 / 3
"""Of the pools whose hosts are lost: they run with --lease=1."""
KILLED, FROZEN = "faults/test_p_worker_killed.py", "faults/test_p_frozen.py"
LEASE, DRAIN = "faults/test_p_lease.py", "faults/test_p_drain.py"
EXITS, PID1 = "faults/test_p_handler_exits.py", "supervision/test_pid1.py"

PROCESSES = (
    Row(
        "P1",
        "worker killed while handling, 200 times in a row and under load",
        tests_of(
            KILLED,
            "a_killed_workers_message_runs_again_within_a_second_and_blames_one_crash",
            "two_hundred_killed_workers_messages_run_again_at_once",
            "kills_under_load_lose_nothing",
        ),
        since="the SIGKILL",
        below_s=0.1,
    ),
    Row(
        "P2",
        "killed after the claim, before and after the handler, before and after the ack; alone and in batches",
        tests_of(KILLED, "a_kill_at_this_step_runs_no_message_twice_and_blames_none"),
        since="the SIGKILL",
        below_s=1.0,
        finished_stay=True,
    ),
    Row(
        "P3",
        "a worker stands still (SIGSTOP), beyond its time limit and without one, idle, during a drain",
        tests_of(
            FROZEN,
            "a_worker_that_stands_still_beyond_its_limit_is_killed_first_and_its_message_requeued_then",
            "a_worker_that_stands_still_without_a_limit_keeps_its_message_and_finishes_it",
            "an_idle_worker_that_stands_still_holds_up_neither_messages_nor_a_drain",
            "a_drain_kills_who_stands_still_and_blames_nobody",
        ),
        since="the SIGSTOP, limit (1 s) and grace (0.2 s) included",
    ),
    Row(
        "P4",
        "a suspended host wakes after its lease",
        tests_of(LEASE, "a_stopped_host_that_wakes_changes_nothing_and_starts_over"),
    ),
    Row(
        "P5",
        "supervisor killed; with its janitor; with handlers that ignore everything",
        tests_of(
            LEASE,
            "workers_of_a_killed_supervisor_finish_and_leave",
            "no_orphan_outlives_the_drain_of_a_killed_supervisor",
            "what_a_handler_started_goes_with_its_orphaned_worker",
            "without_supervisor_and_janitor_the_workers_still_leave_and_the_lease_returns_the_rest",
        ),
        since="the SIGKILL of supervisor and janitor; lease 1 s, scan 0.33 s",
        below_s=LEASE_AND_SCAN_S,
    ),
    Row(
        "P6",
        "host lost, ten times in a row and under load; another pool alive",
        tests_of(
            LEASE,
            "a_lost_hosts_messages_run_elsewhere_within_lease_and_scan",
            "ten_hosts_that_are_lost_one_after_the_other_cost_nothing_but_time",
            "a_lost_host_under_load_loses_nothing",
        ),
        since="the SIGKILL of all; lease 1 s, scan 0.33 s",
        below_s=LEASE_AND_SCAN_S,
    ),
    Row(
        "P7",
        "the supervisor, or the whole pool, stands still for two leases",
        tests_of(
            FROZEN,
            "a_supervisor_that_stands_still_loses_nothing_while_its_janitor_beats",
            "a_worker_that_dies_while_its_supervisor_stands_still_is_settled_once",
            "a_pool_that_stands_still_for_two_leases_is_reaped_once_by_two_others",
        ),
    ),
    Row(
        "P8",
        "janitor killed, again and again, during a drain; stopped",
        ("faults/test_p_janitor.py",),
        since="the SIGKILL of the worker, or of the janitor that was to settle it",
    ),
    Row("P9", "SIGTERM at any moment of the start", ("faults/test_p_start.py",)),
    Row(
        "P10",
        "repeated signals, SIGINT to all, SIGTERM then SIGQUIT",
        tests_of(
            DRAIN,
            "a_drain_lets_running_messages_finish_and_gives_the_rest_back",
            "repeated_signals_are_ignored_for_a_second_and_then_stop_the_pool_at_once",
            "sigquit_stops_at_once_and_gives_everything_back",
            "signals_up_to_the_last_moment_do_not_change_the_exit_code",
        ),
    ),
    Row(
        "P11",
        "SIGTERM while every worker waits for work",
        (*tests_of(DRAIN, "an_idle_pool_is_out_within_a_second"), "pool/test_quiet.py"),
    ),
    Row(
        "P12",
        "a handler ignores SIGTERM, or runs past the deadline",
        (
            *tests_of(DRAIN, "deaf_handlers_are_killed_in_time_and_nobody_is_blamed"),
            "supervision/test_drain_deadline.py",
        ),
    ),
    Row(
        "P13",
        "sys.exit, os._exit, KeyboardInterrupt, BaseException",
        tests_of(
            EXITS,
            "exiting_is_a_crash_of_the_worker_whatever_the_code",
            "whatever_a_handler_raises_fails_its_message_and_not_its_worker",
        ),
    ),
    Row(
        "P14",
        "SIGSEGV, SIGABRT",
        tests_of(EXITS, "a_crash_in_c_is_named_and_its_message_runs_again_within_a_second"),
        since="just before the crash",
        below_s=1.0,
    ),
    Row(
        "P15",
        "poison among 1,000 good messages, with and without a dead-letter queue, in one",
        ("faults/test_p_poison.py",),
    ),
    Row(
        "P16",
        "leaks: past the hard limit, past the soft one, slow ones outlived by recycling",
        ("faults/test_p_memory.py", "supervision/test_limits_memory.py"),
    ),
    Row(
        "P17",
        "the GIL held in C, endless loops, locks, everything swallowed; every worker at once; what was claimed behind",
        (
            "faults/test_p_stuck.py",
            "faults/test_p_mixed.py",
            "supervision/test_limits.py",
            "supervision/test_limits_hard.py",
        ),
    ),
    Row(
        "P18",
        "handlers that fork, daemonise, leave threads, grandchildren and zombies",
        ("faults/test_p_offspring.py",),
    ),
    Row("P19", "modules that are missing, raise, exit, take long, break later", ("faults/test_p_boot.py",)),
    Row(
        "P20",
        "code that is broken at a reload: it raises, exits, crashes, hangs, cannot be parsed",
        ("faults/test_p_reload.py", "supervision/test_reload.py", "supervision/test_renewal.py"),
    ),
    Row("P21", "fork fails: of the supervisor, the janitor, the template", ("faults/test_p_exhausted.py",)),
    Row("P22", "descriptors run out: of the supervisor, the janitor, the template", ("faults/test_p_descriptors.py",)),
    Row("P23", "a pid that is somebody else's by now; forged registry entries", ("faults/test_p_identity.py",)),
    Row(
        "P24",
        "two pools that look alike",
        tests_of(LEASE, "two_pools_that_look_alike_share_the_work_without_a_duplicate"),
    ),
    Row("P25", "the supervisor as process 1", tests_of(PID1, "foreign_orphans_are_reaped", "as_process_1")),
    Row(
        "P26",
        "SIGCHLD inherited as ignored; closed and broken standard streams",
        tests_of(
            PID1,
            "whatever_is_inherited_deaths_are_seen_and_sigterm_works",
            "handlers_may_print_though_stdout_is_closed",
        ),
    ),
    Row(
        "P27",
        "descendants that hide: sessions, groups, daemons; at a limit, a crash, a drain, without a supervisor",
        ("faults/test_p_descendants.py",),
    ),
    Row(
        "P28",
        "handlers that replace, block and take signals; reloads and drains meanwhile",
        ("faults/test_p_signals.py",),
    ),
    Row(
        "P29",
        "handlers whose body a call does not run; results that show that nothing was done",
        ("client/test_handler_results.py",),
    ),
)
