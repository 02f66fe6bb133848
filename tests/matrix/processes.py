"""P: faults of the pool's processes."""

from __future__ import annotations

from bizzmq.consumer import failpoints
from tests.matrix.row import Row, tests_of

LEASE_AND_SCAN_S = 1.0 + 1.0 / 3
"""The bound for pools whose hosts are lost: they run with --lease=1."""
KILLED, FROZEN = "faults/test_p_worker_killed.py", "faults/test_p_frozen.py"
RESULTS = "faults/test_p_results.py"
CHECKPOINTS = "faults/test_p_checkpoints.py"
OUTPUT = "faults/test_p_output.py"
CAPTURE = "faults/test_p_capture.py"
UNIQUE = "faults/test_p_unique.py"
STEPS = [f"{step}-{messages}" for step in failpoints.NAMES for messages in (1, 60)]
LEASE, DRAIN = "faults/test_p_lease.py", "faults/test_p_drain.py"
EXITS, PID1 = "faults/test_p_handler_exits.py", "supervision/test_pid1.py"

PROCESSES = (
    Row(
        "P1",
        "worker killed while handling, 200 times in a row and under load; results, checkpoints, output, unique keys",
        (
            *tests_of(
                KILLED,
                "a_killed_workers_message_runs_again_within_a_second_and_blames_one_crash",
                "two_hundred_killed_workers_messages_run_again_at_once",
                "kills_under_load_lose_nothing",
            ),
            *tests_of(
                RESULTS,
                "kills_under_load_leave_no_end_without_a_result",
                "a_message_that_kills_its_workers_has_failed_and_one_that_is_retried_has_no_result",
                *(f"a_kill_at_this_step_loses_no_result_and_blames_no_message[{case}-large]" for case in STEPS),
            ),
            *tests_of(CHECKPOINTS, "kills_at_random_cost_at_most_one_step_each"),
            *tests_of(
                OUTPUT,
                "the_output_of_a_killed_worker_is_with_its_dead_letter",
                "a_retry_shows_the_output_of_the_last_failure_until_its_end",
                "the_output_of_a_killed_worker_is_kept_for_its_time",
            ),
            *tests_of(
                CAPTURE,
                "a_killed_workers_output_is_its_own",
                "lines_of_all_kinds_are_in_their_order_and_reach_the_log",
                "separate_streams_stay_apart",
            ),
            *tests_of(
                UNIQUE,
                "a_killed_workers_message_keeps_its_key_until_it_has_ended",
                "the_key_of_a_quarantined_message_is_free_until_it_is_replayed",
                "a_message_whose_worker_dies_after_its_time_of_expiry_is_not_started_again",
            ),
        ),
        since="the SIGKILL",
        below_s=0.1,
    ),
    Row(
        "P2",
        "killed after the claim, before and after the handler, before and after the ack; batches, results, unique keys",
        (
            *tests_of(KILLED, "a_kill_at_this_step_runs_no_message_twice_and_blames_none"),
            *tests_of(
                RESULTS,
                *(f"a_kill_at_this_step_loses_no_result_and_blames_no_message[{case}-small]" for case in STEPS),
            ),
            *tests_of(OUTPUT, "a_kill_at_this_step_mixes_no_output"),
            *tests_of(UNIQUE, "a_kill_at_this_step_loses_no_key_and_keeps_none"),
        ),
        since="the SIGKILL",
        below_s=1.0,
        finished_stay=True,
    ),
    Row(
        "P3",
        "a stopped worker (SIGSTOP), beyond its time limit and without one, idle, during a drain",
        tests_of(
            FROZEN,
            "a_worker_stopped_beyond_its_limit_is_killed_before_its_message_is_requeued",
            "a_stopped_worker_without_a_limit_keeps_its_message_and_finishes_it",
            "a_stopped_idle_worker_delays_neither_messages_nor_a_drain",
            "a_drain_kills_stopped_workers_without_blame",
        ),
        since="the SIGSTOP, limit (1 s) and grace (0.2 s) included",
    ),
    Row(
        "P4",
        "a suspended host wakes after its lease",
        tests_of(LEASE, "a_stopped_host_that_resumes_changes_nothing_and_starts_over"),
    ),
    Row(
        "P5",
        "supervisor killed; with its janitor; with handlers that ignore everything",
        (
            *tests_of(
                LEASE,
                "workers_of_a_killed_supervisor_finish_and_leave",
                "no_orphan_outlives_the_drain_of_a_killed_supervisor",
                "processes_of_a_handler_end_with_its_orphaned_worker",
                "without_supervisor_and_janitor_the_workers_exit_and_the_lease_returns_the_rest",
            ),
            *tests_of(RESULTS, "a_killed_supervisor_loses_no_result"),
            *tests_of(CHECKPOINTS, "a_killed_supervisor_or_janitor_loses_no_checkpoint"),
            *tests_of(OUTPUT, "a_lost_supervisor_loses_no_output"),
            *tests_of(CAPTURE, "a_lost_supervisor_leaves_a_relay_until_the_last_worker"),
        ),
        since="the SIGKILL of supervisor and janitor; lease 1 s, scan 0.33 s",
        below_s=LEASE_AND_SCAN_S,
    ),
    Row(
        "P6",
        "host lost, ten times in a row and under load; another pool alive",
        (
            *tests_of(
                LEASE,
                "a_lost_hosts_messages_run_elsewhere_within_lease_and_scan",
                "ten_hosts_lost_one_after_the_other_cost_only_time",
                "a_lost_host_under_load_loses_nothing",
            ),
            *tests_of(CHECKPOINTS, "a_lost_host_costs_the_steps_of_a_second"),
        ),
        since="the SIGKILL of all; lease 1 s, scan 0.33 s",
        below_s=LEASE_AND_SCAN_S,
    ),
    Row(
        "P7",
        "the supervisor, or the whole pool, stopped for two leases",
        tests_of(
            FROZEN,
            "a_stopped_supervisor_loses_nothing_while_its_janitor_sends_heartbeats",
            "a_worker_that_dies_while_its_supervisor_is_stopped_is_settled_once",
            "a_pool_stopped_for_two_leases_is_reaped_once_by_two_others",
        ),
    ),
    Row(
        "P8",
        "janitor killed, repeatedly, during a drain; stopped",
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
        (*tests_of(DRAIN, "an_idle_pool_exits_within_a_second"), "pool/test_idle.py"),
    ),
    Row(
        "P12",
        "a handler ignores SIGTERM, or runs past the deadline",
        (
            *tests_of(DRAIN, "unresponsive_handlers_are_killed_in_time_and_not_blamed"),
            *tests_of(CHECKPOINTS, "a_drain_goes_on_in_the_next_pool"),
            "supervision/test_drain_deadline.py",
        ),
    ),
    Row(
        "P13",
        "sys.exit, os._exit, KeyboardInterrupt, BaseException",
        tests_of(
            EXITS,
            "an_exit_with_any_code_is_a_crash_of_the_worker",
            "any_exception_of_a_handler_fails_its_message_and_not_its_worker",
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
        "leaks: past the hard limit, past the soft one, slow ones bounded by recycling",
        ("faults/test_p_memory.py", "supervision/test_memory_limits.py"),
    ),
    Row(
        "P17",
        "the GIL held in C, endless loops, locks, swallowed exceptions; every worker at once; messages claimed behind",
        (
            "faults/test_p_stuck.py",
            "faults/test_p_mixed.py",
            "supervision/test_soft_limits.py",
            "supervision/test_hard_limits.py",
        ),
    ),
    Row(
        "P18",
        "handlers that fork, daemonize, leave threads, grandchildren and zombies",
        ("faults/test_p_offspring.py", "preload/test_children.py"),
    ),
    Row("P19", "modules that are missing, raise, exit, take long, break later", ("faults/test_p_boot.py",)),
    Row(
        "P20",
        "code that is broken at a reload: it raises, exits, crashes, hangs, cannot be parsed",
        ("faults/test_p_reload.py", "supervision/test_reload.py", "supervision/test_rolling_restart.py"),
    ),
    Row("P21", "fork fails: of the supervisor, the janitor, the template", ("faults/test_p_exhausted.py",)),
    Row("P22", "descriptors run out: of the supervisor, the janitor, the template", ("faults/test_p_descriptors.py",)),
    Row("P23", "a pid that is somebody else's by now; forged registry entries", ("faults/test_p_identity.py",)),
    Row(
        "P24",
        "two pools with the same name",
        tests_of(LEASE, "two_pools_that_look_alike_share_the_work_without_a_duplicate"),
    ),
    Row("P25", "the supervisor as process 1", tests_of(PID1, "foreign_orphans_are_reaped", "as_process_1")),
    Row(
        "P26",
        "SIGCHLD inherited as ignored; closed and broken standard streams",
        tests_of(
            PID1,
            "deaths_are_noticed_and_sigterm_works_with_any_inherited_state",
            "handlers_may_print_with_a_closed_stdout",
        ),
    ),
    Row(
        "P27",
        "detached descendants: sessions, groups, daemons; at a limit, a crash, a drain, without a supervisor",
        ("faults/test_p_descendants.py",),
    ),
    Row(
        "P28",
        "handlers that replace, block and take signals; reloads and drains meanwhile",
        ("faults/test_p_signals.py", "supervision/test_handler_alarms.py"),
    ),
    Row(
        "P29",
        "handlers whose body a call does not run; results that were never awaited or run",
        ("consumer/test_handler_results.py",),
    ),
    Row(
        "P30",
        "imports that leave threads, files, pipes, locks, timers, generators: nothing hangs, no result is wrong",
        (
            "preload/test_fork_safety.py",
            "preload/test_pools.py",
            "preload/test_first_import.py",
            "preload/test_monkey_patches.py",
        ),
    ),
    Row(
        "P31",
        "workers that exit: buffers, threads, atexit, hooks, within the drain's time",
        ("preload/test_hooks.py",),
    ),
    Row(
        "P32",
        "after a limit: processes of the message end, its worker runs no other message",
        ("preload/test_after_limit.py",),
    ),
    Row(
        "P33",
        "switched or removed directories, closed terminals, disabled loggers, output without a reader",
        ("preload/test_environment.py", "preload/test_output.py", "preload/test_bare_system.py"),
    ),
    Row(
        "P34",
        "a message cancelled while its worker, janitor or supervisor dies, in a drain, while Redis is away",
        ("faults/test_p_cancel.py",),
    ),
    Row(
        "P35",
        "schedules: the janitor killed around a fire, a lost host, a lost reply, Redis away, clocks an hour off",
        ("faults/test_schedules.py",),
    ),
    Row(
        "P36",
        "requests to a pool: its janitor killed after it has taken one, its supervisor stopped, the pool gone",
        ("faults/test_p_requests.py", "supervision/test_profiles.py"),
    ),
    Row(
        "P37",
        "paused keys: workers, supervisors, Redis or the client of a resume killed; lost replies",
        ("faults/test_p_pause.py",),
    ),
    Row(
        "P38",
        "samples of a slow message are kept when it is killed at its limit, or its worker, janitor or host is lost",
        ("supervision/test_autopsies.py",),
    ),
)
