"""The methods of a client that ask pools on any host."""

from __future__ import annotations

from datetime import timedelta

from bizzmq.admin.arguments import keys_of
from bizzmq.admin.queue_client import QueueClient
from bizzmq.control import pool_requests
from bizzmq.control.cancel import checked_by
from bizzmq.protocol.pool_request import request_id
from bizzmq.protocol.profile import Profile, joined, read_profile
from bizzmq.validation import checks


class PoolClient(QueueClient):
    """What the commands `bizzmq stack` and `bizzmq pool` do with pools on other hosts."""

    def ask_pool(
        self,
        pool_id: str,
        what: str,
        *,
        queue_name: str | None = None,
        by: str = "",
        timeout_s: float | timedelta = pool_requests.TIMEOUT_S,
    ) -> str:
        """Ask a pool on any host to do something, and wait for its answer.

        A request is done once or not at all. The pool takes requests once a second; one that no pool takes is void
        after a minute.

        Args:
            pool_id: the id of its supervisor, as in `PoolInfo.id`.
            what: `reload`; `quiet`: claim nothing more; `resume`; `more` or `fewer`: by one worker.
            queue_name: a queue that it serves; None looks at all queues.
            by: who asks; the default is the user and the host of this process.
            timeout_s: how long to wait, seconds or a timedelta.

        Returns:
            The answer, a sentence for people.

        Raises:
            PoolNotFoundError: there is no such pool.
            PoolSilentError: no answer in time, or it takes no requests because it is older; the text says whether it
                may still do it.
            PoolRefusesError: it does not do it; the text says why.
            ConfigurationError, BrokerUnavailableError, ClosedError
        """
        k, limit_s = None if queue_name is None else keys_of(queue_name), checks.seconds("timeout_s", timeout_s)
        ask = pool_requests.new_ask(checks.text("pool_id", pool_id), pool_requests.checked_act(what, by))
        return pool_requests.answer_within(self._perform, self._perform(pool_requests.send, k, ask), limit_s)

    def profile(
        self,
        message_id: str = "",
        *,
        task: str = "",
        queue_name: str | None = None,
        for_s: float | timedelta = 10.0,
        by: str = "",
    ) -> Profile:
        """Sample what a running message executes, or all running messages of a task, on all hosts, also in C code.

        It takes 20 samples a second, and fewer from deep stacks: at most one percent of the handlers' time.

        Args:
            message_id: a message that runs; it is sampled until it ends, or for `for_s`.
            task: the name of a task, in place of a message.
            queue_name: only pools that serve this queue.
            for_s: for how long, seconds or a timedelta, at most 240.
            by: who asks; the default is the user and the host of this process.

        Raises:
            NotRunningError: no worker runs the message.
            PoolNotFoundError, PoolSilentError, PoolRefusesError: as for `ask_pool`; for a task, of the first such pool.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        what = pool_requests.checked_profile(k, message_id, task, for_s, by)
        ids = [request_id() for _ in range(pool_requests.MOST_POOLS)]
        asked = self._perform(pool_requests.send_profile, what, ids)
        limit_s = what.for_s + pool_requests.TIMEOUT_S
        return joined(
            [read_profile(pool_requests.answer_within(self._perform, one, limit_s).encode()) for one in asked]
        )

    def stack(
        self,
        worker_or_message_id: str,
        *,
        queue_name: str | None = None,
        by: str = "",
        timeout_s: float | timedelta = pool_requests.TIMEOUT_S,
    ) -> str:
        """The Python stacks of a worker at this moment, of any pool on any host, also while it runs C code.

        Args:
            worker_or_message_id: the id of a worker, or of a message that a worker runs.
            queue_name: the queue to search; None searches all queues.
            by: who asks; the default is the user and the host of this process.
            timeout_s: how long to wait for the answer, seconds or a timedelta.

        Returns:
            What the worker does, and a traceback for each of its threads, the most recent call first; at most 64 kB.

        Raises:
            NotRunningError: no worker runs the message.
            PoolNotFoundError, PoolSilentError, PoolRefusesError: as for `ask_pool`.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k, limit_s = None if queue_name is None else keys_of(queue_name), checks.seconds("timeout_s", timeout_s)
        which = checks.text("worker_or_message_id", worker_or_message_id)
        asked = self._perform(pool_requests.send_stack, k, which, checked_by(by), request_id())
        return pool_requests.answer_within(self._perform, asked, limit_s)
