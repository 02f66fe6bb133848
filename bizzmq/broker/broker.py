"""`Broker`: one method for each transition, over one connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from bizzmq.broker.alerts import Alerts
from bizzmq.broker.cancels import Cancels
from bizzmq.broker.dead_letters import DeadLetters
from bizzmq.broker.maintenance import Maintenance
from bizzmq.broker.messages import Messages
from bizzmq.broker.metrics import Metrics
from bizzmq.broker.pauses import Pauses
from bizzmq.broker.queues import Queues
from bizzmq.broker.records import Records
from bizzmq.broker.requests import Requests
from bizzmq.broker.results import Results
from bizzmq.broker.schedules import Schedules
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.broker.workers import Workers
from bizzmq.connection.factory import AnyConnection, connect
from bizzmq.connection.url import check_url
from bizzmq.embedded import server as embedded


class Broker:
    """All transitions of all queues over one connection. Its users retry and log.

    The constructor binds the methods of `Queues`, `Messages`, `DeadLetters`, `Records`, `Results`, `Cancels`, `Pauses`,
    `Requests`, `Schedules`, `Workers`, `Metrics`, `Alerts` and `Maintenance`, so a call costs no delegation, and a
    subclass cannot override them.
    """

    def __init__(self, connection: AnyConnection) -> None:
        self.connection = connection
        runner = ScriptRunner(connection)
        self.keys, self.read_together = runner.keys, runner.read_together
        self.ping, self.time, self.perform = runner.ping, runner.time, runner.perform

        queues = Queues(runner)
        self.create, self.exists, self.shards = queues.create, queues.exists, queues.shards
        self.update, self.delete_queue = queues.update, queues.delete
        self.options, self.meta, self.purge = queues.options, queues.meta, queues.purge

        messages = Messages(runner)
        self.publish, self.claim = messages.publish, messages.claim
        self.publish_checked, self.send_publish_checked = messages.publish_checked, messages.send_publish_checked
        self.read_publish_checked = messages.read_publish_checked
        self.send_publish, self.has_published = messages.send_publish, messages.has_published
        self.retry, self.dead_letter, self.discard = messages.retry, messages.dead_letter, messages.discard
        self.release, self.replay, self.delete = messages.release, messages.replay, messages.delete
        self.delete_message, self.promote = messages.delete_message, messages.promote
        self.stored, self.outstanding = messages.stored, messages.outstanding
        self.delayed = messages.delayed
        self.block, self.woken = messages.block, messages.woken

        dead_letters = DeadLetters(runner)
        self.read_headers, self.expire_dead_letters = dead_letters.read_headers, dead_letters.expire_dead_letters

        results = Results(runner)
        self.finish = results.finish

        cancels = Cancels(runner)
        self.cancel, self.cancelled_among = cancels.cancel, cancels.cancelled_among

        requests = Requests(runner)
        self.ask, self.requests_to, self.take_requests = requests.ask, requests.requests_to, requests.take_requests
        self.answer = requests.answer

        schedules = Schedules(runner)
        self.has_schedules, self.due_schedules, self.fire = (
            schedules.has_schedules, schedules.due_schedules, schedules.fire,
        )  # fmt: skip
        self.put_schedule, self.remove_schedule = schedules.put_schedule, schedules.remove_schedule
        self.pause_schedule, self.resume_schedule = schedules.pause_schedule, schedules.resume_schedule
        pauses = Pauses(runner)
        self.pause, self.resume, self.has_pauses = pauses.pause, pauses.resume, pauses.has_pauses

        records = Records(runner)
        self.record, self.checkpoint = records.record, records.checkpoint

        workers = Workers(runner)
        self.register, self.heartbeat, self.unregister = workers.register, workers.heartbeat, workers.unregister
        self.requeue, self.release_prefetched = workers.requeue, workers.release_prefetched
        self.report, self.supervisors, self.workers = workers.report, workers.supervisors, workers.workers

        metrics = Metrics(runner)
        self.add_metrics, self.roll_up_metrics = metrics.add_metrics, metrics.roll_up_metrics
        self.change_alert = Alerts(runner).change_alert

        maintenance = Maintenance(runner)
        self.locate, self.scan_fields = maintenance.locate, maintenance.scan_fields
        self.drop_missing, self.drop_attempts = maintenance.drop_missing, maintenance.drop_attempts
        self.find_leftovers, self.repair_leftovers = maintenance.find_leftovers, maintenance.repair_leftovers
        self.deduplicate, self.write_off = maintenance.deduplicate, maintenance.write_off
        self.requeue_unplaced = maintenance.requeue_unplaced
        self.requeue_unregistered = maintenance.requeue_unregistered


@contextmanager
def open_broker(redis_url: str) -> Iterator[Broker]:
    """A broker on this server for the time of one command."""
    server = embedded.join(redis_url) if embedded.is_embedded(redis_url) else None
    connection = connect(server.url if server else check_url(redis_url))
    try:
        yield Broker(connection)
    finally:
        connection.drop()
        if server is not None:
            server.close()
