"""R11 to R26: Redis fails over, moves slots, refuses commands, loses data or scripts."""

from __future__ import annotations

from tests.matrix.outages import BACK_S, CUT, STALL
from tests.matrix.row import Row, tests_of

REFUSED = "faults/test_r_refused.py"
NO_ROOM, EMPTIED = "faults/test_r_no_room.py", "faults/test_r_emptied.py"
SENTINEL, CLUSTER = "cluster/test_sentinel_failover.py", "cluster/test_cluster_faults.py"
FAILOVER, IDLE = (
    "a_failover_under_load_loses_nothing_confirmed_and_the_old_master_may_return",
    "an_idle_pool_finds_the_new_master_by_itself",
)
RIGHT_TO_WRITE = "a_lost_write_permission_is_logged_as_an_outage"

SERVERS = (
    Row(
        "R11",
        "Sentinel fails over: master killed, stopped, demoted",
        tests_of(
            SENTINEL,
            FAILOVER,
            IDLE,
            "a_running_message_is_acked_at_the_new_master",
            "clients_leave_a_demoted_master_at_once",
        ),
        since="the failover",
        below_s=BACK_S,
    ),
    Row(
        "R12",
        "failover with a stalled replica link",
        tests_of(SENTINEL, "only_messages_unconfirmed_over_a_stalled_link_may_be_lost"),
        remark="2026-11-24: messages that no replica confirmed may be lost, and are not counted",
    ),
    Row("R13", "the old master returns", tests_of(SENTINEL, FAILOVER), since="the failover", below_s=BACK_S),
    Row(
        "R14",
        "Cluster: the queue's slot moved under load",
        tests_of(CLUSTER, "slots_that_move_under_load_lose_and_repeat_nothing"),
        since="the slot's arrival",
        below_s=BACK_S,
    ),
    Row(
        "R15",
        "Cluster: a master killed, stopped, unavailable without a replica",
        tests_of(
            CLUSTER,
            "a_killed_master_loses_nothing_confirmed_and_may_return",
            IDLE,
            "errors_on_a_borrowed_connection_are_recorded_too",
            "an_unavailable_node_stops_only_its_own_queues",
        ),
        since="the failover",
        below_s=BACK_S,
    ),
    Row(
        "R16",
        "maxmemory reached, noeviction",
        (
            *tests_of(
                REFUSED,
                "a_full_redis_refuses_to_publish_and_is_drained",
                "a_pool_on_any_queue_that_exists_starts_while_redis_is_full",
            ),
            *tests_of("faults/test_p_results.py", "results_are_stored_when_redis_is_full"),
            *tests_of("faults/test_p_output.py", "a_full_redis_loses_output_and_no_message"),
            "scripts/test_memory_limit.py",
        ),
        since="the end of the handlers that ran when it was full, to the first ack",
        drained=True,
    ),
    Row(
        "R17",
        "an eviction policy; a message that was evicted",
        (
            *tests_of(
                "doctor/test_command.py", "a_pool_warns_of_an_eviction_policy", "a_pool_does_not_warn_of_noeviction"
            ),
            *tests_of("doctor/test_checks.py", "eviction_is_a_failure", "eviction_without_a_limit_is_a_warning"),
            *tests_of("consumer/test_malformed.py", "an_id_without_an_envelope_is_skipped_and_counted"),
            *tests_of("audit/test_damage.py", "damage_is_found"),
        ),
        remark="2026-11-24: Redis evicts whole keys; the tests delete single messages",
    ),
    Row(
        "R18",
        "disk full, with the append-only file and with snapshots",
        tests_of(NO_ROOM, "a_full_disk_is_an_outage_until_there_is_room"),
        since="the first write that is accepted again",
        remark="2026-11-24: with `appendfsync always` the server exits when its disk is full: that is row R1",
    ),
    Row(
        "R19",
        "a read-only replica",
        (f"{REFUSED}::test_{RIGHT_TO_WRITE}[mastership]",),
        since="its promotion to master",
    ),
    Row(
        "R20",
        "fewer replicas than required (NOREPLICAS), also at the start",
        tests_of(
            NO_ROOM,
            "a_redis_with_too_few_replicas_is_an_outage",
            "a_pool_that_starts_while_writes_are_refused_waits",
        ),
        since="the end of the requirement",
    ),
    Row(
        "R21",
        "SCRIPT FLUSH a hundred times a second",
        tests_of(CUT, "scripts_flushed_a_hundred_times_a_second_are_loaded_again"),
    ),
    Row(
        "R22",
        "Redis busy with a script",
        tests_of(STALL, "a_script_that_keeps_redis_busy_is_an_outage"),
        since="the script's end",
    ),
    Row(
        "R23",
        "FLUSHALL, three times under load",
        tests_of(
            EMPTIED,
            "a_redis_emptied_under_load_is_reported_and_used_again",
            "an_in_process_consumer_continues_when_its_queue_exists_again",
        ),
        since="the FLUSHALL, to the first run of a message published since",
        remark="2026-11-24: flushed messages are lost; only those published after the last FLUSHALL are counted",
    ),
    Row(
        "R24",
        "password and permissions changed; maxclients; commands that are missing or refused",
        (
            *tests_of(
                REFUSED,
                "a_changed_password_is_logged_as_an_outage_without_the_secret",
                "refused_stats_do_not_shift_the_next_reply",
            ),
            f"{REFUSED}::test_{RIGHT_TO_WRITE}[permission]",
            *tests_of(EMPTIED, "a_redis_that_accepts_no_more_clients_is_logged_as_an_outage"),
            "pool/test_missing_commands.py",
        ),
        since="the restored access",
    ),
    Row(
        "R25",
        "each key in turn has the wrong type",
        (
            "faults/test_r_wrong_type.py",
            "scripts/test_wrong_types.py",
            *tests_of(CLUSTER, "a_wrong_type_stops_only_its_own_queue_until_it_is_repaired"),
        ),
    ),
    Row(
        "R26",
        "a signal handler raises in any call of a client: at each instruction, thousands of signals",
        (
            "connection/test_interrupted.py",
            "cluster/test_interrupted_groups.py",
            "faults/test_r_interrupted_handler.py",
        ),
        remark="2026-11-29: Python drops an exception in a finalizer outside a pool's handler; some libraries catch "
        "every exception (3 of 3,000 limits), and the worker is killed after the grace; 3,000 times is run with the "
        "matrix only",
    ),
)
