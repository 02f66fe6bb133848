"""D, T and O: data, time and output. S: the points of security."""

from __future__ import annotations

from tests.matrix.row import Row, tests_of

BODIES, MALFORMED, NAMES = "protocol/test_bodies.py", "consumer/test_malformed.py", "protocol/test_names.py"
DECISIONS, CLOCK = "consumer/test_decisions.py", "faults/test_t_clock.py"
STORED, COMMANDS = "security/test_fuzz_stored.py", "security/test_fuzz_commands.py"
LOGS, FILES = ("utils/test_logs.py", "security/test_log_lines.py"), "security/test_files_and_users.py"

DATA = (
    Row(
        "D1",
        "payloads from the smallest to the limit, and one byte more",
        (
            *tests_of(BODIES, "every_size_up_to_the_limit_arrives", "the_limit_counts_bytes_not_characters"),
            *tests_of("publisher/test_publish_errors.py", "a_message_above_the_limit_is_refused"),
        ),
    ),
    Row(
        "D2",
        "malformed envelopes, unknown versions, NaN, deep nesting",
        (
            *tests_of(
                MALFORMED,
                "an_undecodable_message_is_kept_with_any_queue_options",
                "an_undecodable_message_is_parked_in_the_dead_letter_queue",
                "invalid_stored_options_do_not_end_the_consumer",
            ),
            *tests_of(STORED, "an_envelope_is_a_message_or_undecodable", "attempts_are_counts_or_undecodable"),
            *tests_of("publisher/test_publish_errors.py", "a_message_that_is_not_json_is_refused"),
        ),
    ),
    Row(
        "D3",
        "unicode, NUL, invalid UTF-8, braces, stars and newlines in names, ids and bodies",
        (
            *tests_of(BODIES, "special_values_arrive_as_published", "any_value_arrives_as_published"),
            *tests_of(NAMES, "other_names_are_refused"),
            *tests_of("client/test_create.py", "any_other_name_is_refused_and_leaves_nothing_behind"),
        ),
    ),
    Row(
        "D4",
        "forged ids, counts and registrations",
        (
            *tests_of(
                MALFORMED,
                "invalid_stored_counts_end_neither_message_nor_consumer",
                "a_forged_id_with_a_good_envelope_is_handled_or_kept",
                "an_id_without_an_envelope_is_skipped_and_counted",
                "a_duplicate_id_is_handled_and_nothing_remains",
            ),
            *tests_of(
                STORED,
                "forged_entries_are_read_or_refused_with_one_of_our_errors",
                "forged_registrations_stop_no_supervisor",
                "messages_of_a_forged_worker_are_requeued",
                "a_forged_index_hides_no_queue",
            ),
        ),
    ),
    Row(
        "D5",
        "error text huge, binary, with control characters",
        (
            *tests_of(
                DECISIONS,
                "a_record_of_anything_is_one_line_of_bounded_size",
                "a_long_text_keeps_its_beginning_and_its_end",
            ),
            *tests_of("security/test_log_lines.py", "fields_and_errors_cannot_forge_a_line"),
        ),
    ),
    Row(
        "D6",
        "an error that cannot be rendered",
        tests_of("consumer/test_retry_flow.py", "an_error_that_is_hard_to_render_counts_like_any_other"),
    ),
    Row(
        "D7",
        "30,000 messages due at once, 20,000 dead letters, 500 dead workers",
        ("faults/test_d_many.py",),
        remark="2026-11-24: a million, 100,000 and 10,000 of them need minutes: those cases are marked `soak`",
    ),
    Row("D8", "extremes of priority and delay", ("faults/test_d_extremes.py",)),
    Row(
        "D9",
        "arbitrary data in one queue's keys, with a publisher's permissions and with all",
        ("security/test_fuzz_at_work.py", "security/test_unusable_queues.py", "security/test_forged_ids.py"),
    ),
    Row(
        "D10",
        "queues and messages are changed, listed and deleted while publishers, workers and other operators use them",
        (
            *tests_of(
                "client/test_update_queue.py",
                "two_operators_who_change_different_options_at_once_lose_nothing",
            ),
            *tests_of(
                "client/test_delete_queue.py",
                "publishers_beside_a_deletion_publish_or_are_told",
                "a_message_that_comes_during_the_deletion_keeps_the_queue",
                "a_queue_that_is_created_and_deleted_again_and_again_is_in_the_index_if_it_exists",
            ),
            *tests_of("client/test_stored_deletions.py", "a_deletion_beside_a_busy_worker_deletes_or_is_refused"),
            *tests_of(
                "admin/test_pages.py",
                "a_message_that_stays_is_listed_once_while_others_are_claimed_retried_and_requeued",
            ),
        ),
    ),
    Row(
        "D11",
        "dead letters are replayed, edited and deleted by age: killed half-way, Redis restarted, by several people at "
        "once, while workers fail them again; forged ones among them",
        (
            "dead_letters/test_crashes.py",
            *tests_of(
                "dead_letters/test_replay.py",
                "messages_that_fail_again_are_replayed_once",
                "several_people_replay_each_letter_once",
                "a_letter_that_has_failed_again_since_it_was_read_stays",
            ),
            *tests_of(
                "dead_letters/test_edit.py",
                "several_people_edit_one_letter_and_one_of_them_replays_it",
                "an_edit_vouches_for_no_letter_that_others_have_forged",
            ),
            *tests_of("dead_letters/test_groups.py", "all_kinds_of_letters_are_grouped"),
            *tests_of(
                "dead_letters/test_retention.py",
                "two_pools_together_delete_no_more_than_one",
                "a_worker_whose_clock_is_wrong_costs_no_letter",
            ),
        ),
    ),
)

TIME_AND_OUTPUT = (
    Row(
        "T1",
        "the wall clock jumps one hour on the workers' host",
        tests_of(CLOCK, "a_jump_on_a_pools_host_ends_no_lease_and_delays_nothing"),
    ),
    Row(
        "T2",
        "the wall clock jumps one hour on Redis's host",
        tests_of(
            CLOCK,
            "a_jump_on_redis_host_ends_no_lease_and_delays_no_worker",
            "a_delay_follows_the_clock_of_redis_so_a_jump_ends_it",
        ),
    ),
    Row(
        "T3",
        "the whole pool suspended for three leases",
        ("faults/test_t_suspended.py", "consumer/test_lease.py", "consumer/test_lease_races.py"),
        remark="2026-11-24: for seconds and with a lease of one, not for minutes",
    ),
    Row(
        "O1",
        "log disk full, log pipe blocked, its reader gone",
        (
            "faults/test_o_log.py",
            "utils/test_log_stream.py",
            *tests_of(
                "faults/test_p_capture.py",
                "nothing_waits_for_a_stopped_supervisor_or_relay_and_nothing_is_lost",
                "a_reader_that_does_not_read_stops_no_handler_and_memory_stays_bounded",
                "a_relay_frees_what_it_has_copied",
            ),
        ),
    ),
    Row(
        "O2",
        "random faults from a printed seed, on one server, Sentinel and Cluster",
        (
            *tests_of(
                "supervision/test_torture.py", "a_torture_of_a_few_seconds_exits_with_0_and_leaves_nothing_behind"
            ),
            "soak/test_soak.py",
            "torture/test_command.py",
        ),
        remark="2026-11-24: the tests last seconds; `make soak` ran for 64 minutes in total (180,184 messages, none "
        "of the confirmed ones lost)",
    ),
    Row(
        "O3",
        "a watcher of alerts is killed, also while it sends; two watchers; Redis away, clock set back; a webhook or "
        "command that hangs or fails",
        (
            *tests_of(
                "alerts/test_watcher.py",
                "an_alert_is_sent_once_by_two_watchers_and_one_that_is_restarted",
                "another_watcher_sends_what_a_dead_one_was_sending",
                "what_could_not_be_sent_is_sent_later_and_what_is_over_by_then_is_not",
                "redis_that_is_away_is_an_alert_when_it_lasts",
                "whenever_a_watcher_dies_another_one_sends_the_alert_and_its_end",
                "an_alert_is_not_repeated_because_redis_was_away_when_it_was_to_be_noted",
            ),
            "model/test_alerts.py",
            *tests_of(
                "alerts/test_command.py",
                "a_service_ends_in_order_and_does_not_repeat_itself_when_it_is_started_again",
            ),
            "alerts/test_senders.py",
        ),
        remark="2026-12-01: a watcher that dies between the send and the note of it sends twice",
    ),
)

SECURITY = (
    Row(
        "S1",
        "bodies are data: JSON only, no code is executed, handlers from local configuration",
        (
            *tests_of(BODIES, "the_codec_refuses_other_bytes_with_its_own_error"),
            "consumer/test_handler_loader.py",
            STORED,
        ),
    ),
    Row(
        "S2",
        "a canary in place of every secret, all output searched",
        ("security/test_output.py", "security/test_secret_files.py", "security/test_environment.py"),
    ),
    Row(
        "S3",
        "TLS verifies; each role's ACL line permits its work and nothing else",
        (
            "security/test_tls.py",
            "security/test_acl.py",
            "security/test_acl_commands.py",
            "security/test_acl_at_work.py",
            "security/test_acl_redis6.py",
            "cluster/test_acl_on_groups.py",
        ),
    ),
    Row("S4", "Lua is constant text, data are KEYS and ARGV", ("security/test_lua.py",)),
    Row(
        "S5",
        "limits of payload, error text and batches",
        (
            *tests_of(BODIES, "the_limit_counts_bytes_not_characters"),
            *tests_of(DECISIONS, "a_record_of_anything_is_one_line_of_bounded_size"),
            "scripts/test_bounds.py",
            "security/test_sizes.py",
        ),
    ),
    Row("S6", "log lines and terminals cannot be forged", LOGS),
    Row(
        "S7",
        "listening sockets: loopback only, tokens, read-only requests, output escaped",
        (
            *tests_of(
                "supervision/test_health.py",
                "a_token_is_required",
                "the_token_is_not_shown",
                "a_request_that_is_not_http_is_refused",
                "loopback_addresses_are_recognized",
            ),
            *tests_of("supervision/test_bad_input.py", "a_health_host_that_is_not_this_machine"),
            *tests_of("supervision/test_control_socket.py", "the_socket_is_private_and_removed_with_the_pool"),
            *tests_of("supervision/test_pool_status.py", "data_from_outside_cannot_control_the_terminal"),
            *tests_of(FILES, "a_pool_listens_only_if_configured", "a_pool_answers_no_more_than_status"),
            *tests_of(COMMANDS, "a_listening_socket_answers_any_request"),
        ),
        remark="2026-11-24: the constant time of token comparison is a promise of a library, and not measured",
    ),
    Row(
        "S8",
        "files and sockets are private, files of other users in their place are refused; root is warned about",
        (FILES, "security/test_journal_directory.py", "security/test_embedded_directory.py"),
    ),
    Row(
        "S9",
        "signed messages: forged, moved, replayed, under changed keys",
        ("security/test_signatures.py", "security/test_signed_queues.py"),
    ),
    Row("S10", "any text on a command line or in an address", (COMMANDS,)),
)
