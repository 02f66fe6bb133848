"""The policy of a message is worked out once for each task, and again when the options of the queue change."""

from __future__ import annotations

from bizzmq import App, QueueOptions
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.failure_policy import FailurePolicy
from bizzmq.properties import MessageProperties


def test_new_options_of_a_queue_apply_to_the_next_message() -> None:
    app = App("redis://localhost:6379", max_retries=9)
    app.task(name="impatient", timeout_s=2)(impatient)
    handler, properties = Handler(app.dispatcher()), MessageProperties("impatient")
    chosen, changed = QueueOptions(max_retries=3), QueueOptions(max_retries=4)

    def of(options: QueueOptions, *, is_implicit: bool = False) -> FailurePolicy:
        return handler.policy_of(properties, options, is_implicit=is_implicit)

    for _ in range(2):
        assert (of(chosen).max_retries, of(chosen).timeout_s) == (3, 2)
        assert of(changed).max_retries == 4
        assert of(changed, is_implicit=True).max_retries == 9


def test_each_task_has_its_own_policy() -> None:
    app, options = App("redis://localhost:6379"), QueueOptions(timeout_s=30)
    app.task(name="impatient", timeout_s=2)(impatient)
    app.task(name="patient", timeout_s=60)(patient)
    handler = Handler(app.dispatcher())

    limits_s = [
        handler.policy_of(MessageProperties(name), options, is_implicit=False).timeout_s
        for name in ("impatient", "patient", "unknown", "impatient")
    ]

    assert limits_s == [2, 60, 30, 2]


def test_forged_names_of_tasks_do_not_fill_the_memory() -> None:
    app = App("redis://localhost:6379")
    app.task(name="patient")(patient)
    handler, options = Handler(app.dispatcher()), QueueOptions()

    for n in range(3000):
        handler.policy_of(MessageProperties(f"forged{n}"), options, is_implicit=False)

    assert len(handler._policies) <= 1000


def impatient() -> None:
    """A task."""


def patient() -> None:
    """Another one."""
