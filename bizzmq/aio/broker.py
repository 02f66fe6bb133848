"""The transitions that a client needs, over one connection of an event loop.

The commands and the meaning of their replies are those of `bizzmq.broker`; only the waiting is different.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

from bizzmq.admin.create import warn_of_difference
from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.aio.connection.factory import AnyAsyncConnection
from bizzmq.broker import scripts
from bizzmq.broker.checked_publish import (
    CheckedRequest,
    Seal,
    Standing,
    Terms,
    checked_publish,
    publish_checked_call,
    publish_checked_result,
)
from bizzmq.broker.message_calls import publish_call, publish_result
from bizzmq.broker.operations import Call, Command, Operation, Request, Script, T, Together
from bizzmq.broker.queues import (
    check_no_shard,
    create_call,
    create_result,
    meta_result,
    shards_command,
    shards_result,
)
from bizzmq.broker.script_runner import is_about_transactions, script_command
from bizzmq.connection.error_mapping import CommandRefusedError, NoScriptError, SlotMovingError
from bizzmq.errors import BizzMQError, BrokerFullError, BrokerUnavailableError, DecodeError
from bizzmq.protocol import keys
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueOptions


def _is_away(error: BizzMQError) -> bool:
    """Whether an error says that Redis cannot be used now, and not that it refuses one command."""
    return isinstance(error, BrokerUnavailableError) and not isinstance(error, CommandRefusedError)


def _framed(request: Command | Together) -> list[Sequence[Any]]:
    """The commands of a request that reads."""
    if isinstance(request, Command):
        return [request.parts]
    return [("MULTI",), *request.commands, ("EXEC",)]


class AsyncBroker:
    """As `bizzmq.broker.broker.Broker`, with what a client needs."""

    def __init__(self, connection: AnyAsyncConnection) -> None:
        self.connection = connection
        self._keys: dict[str, QueueKeys] = {}
        self._has_transactions = True

    def keys(self, queue: str) -> QueueKeys:
        """Key names of a queue. Raises ConfigurationError for an invalid queue name."""
        found = self._keys.get(queue)
        if found is None:
            found = self._keys[queue] = QueueKeys(queue)
        return found

    async def run(self, name: str, call: Call) -> Any:
        """Run a script by its digest, or by its text if Redis does not have it cached."""
        key_names, args = call
        try:
            return await self.connection.execute(*script_command(name, key_names), *args)
        except NoScriptError:
            source = scripts.load(name).source
            return await self.connection.execute("EVAL", source, f"{len(key_names)}", *key_names, *args)

    async def ping(self) -> None:
        """Check that the server answers. A refusal of this command is an answer too."""
        try:
            await self.connection.execute("PING")
        except CommandRefusedError:
            return

    async def time(self) -> tuple[int, int]:
        """The clock of Redis: seconds since the epoch, and microseconds."""
        seconds, micros = await self.connection.execute("TIME")
        return int(seconds), int(micros)

    async def read_together(self, *commands: Sequence[Any]) -> list[Any]:
        """Replies to read-only commands, in one transaction where that is allowed. See ScriptRunner."""
        if self._has_transactions:
            try:
                return await self.connection.transaction(*commands)
            except CommandRefusedError as error:
                self._has_transactions = not is_about_transactions(error)
            except (BrokerFullError, SlotMovingError):
                pass  # the next transaction may be allowed
        return [await self.connection.execute(*command) for command in commands]

    async def perform(self, operation: Operation[T]) -> T:
        """The result of an operation: send its requests, one after the other."""
        try:
            request = next(operation)
            while True:
                try:
                    reply = await self._reply(request)
                except BizzMQError as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    async def perform_all(self, operations: Sequence[Operation[T]]) -> list[T]:
        """The results of operations that only read. The requests of all of them are sent together to one server."""
        results: dict[int, T] = {}
        due: dict[int, Any] = dict.fromkeys(range(len(operations)))
        while due:
            requests: dict[int, Request] = {}
            for index, reply in due.items():
                one = operations[index]
                try:
                    requests[index] = one.throw(reply) if isinstance(reply, BizzMQError) else one.send(reply)
                except StopIteration as end:
                    results[index] = end.value
            due = dict(zip(requests, await self._replies([*requests.values()])))
        return [results[index] for index in range(len(operations))]

    async def _replies(self, requests: Sequence[Request]) -> list[Any]:
        """The reply to each request, or the error that it has ended with. Raises BrokerUnavailableError."""
        found = await self._replies_at_once(requests)
        for index, request in enumerate(requests):
            if found[index] is None:  # asked alone, its error names what is wrong
                try:
                    found[index] = await self._reply(request)
                except BizzMQError as error:
                    if _is_away(error):
                        raise
                    found[index] = error
        return found

    async def _replies_at_once(self, requests: Sequence[Request]) -> list[Any]:
        """The replies to those requests that can be sent with others and have no errors; None for the rest."""
        found: list[Any] = [None] * len(requests)
        reads = [(index, _framed(one)) for index, one in enumerate(requests) if not isinstance(one, Script)]
        if not isinstance(self.connection, AsyncConnection) or not self._has_transactions or len(reads) < 2:
            return found
        try:
            replies = await self.connection.execute_all(*(one for _, some in reads for one in some))
        except BizzMQError as error:
            if _is_away(error):
                raise
            return found  # one of them is refused
        end = -1
        for index, some in reads:
            end += len(some)
            reply = replies[end]
            if len(some) == 1 or not any(isinstance(one, Exception) for one in reply):
                found[index] = reply
        return found

    async def _reply(self, request: Request) -> Any:
        if isinstance(request, Script):
            return await self.run(request.name, request.call)
        if isinstance(request, Command):
            return await self.connection.execute(*request.parts)
        return await self.read_together(*request.commands)

    async def publish(
        self, queue: str, publisher: str, request: int, delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """As Messages.publish."""
        call = publish_call(self.keys(queue), publisher, request, 0, delay_ms, priority, entries)
        publish_result(await self.run("publish", call), queue, call)

    async def send_publish(
        self, queue: str, publisher: str, numbers: tuple[int, int], delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """As Messages.send_publish."""
        key_names, args = publish_call(self.keys(queue), publisher, *numbers, delay_ms, priority, entries)
        connection = await self.connection.at(key_names[0])
        send = connection.send_more if numbers[1] else connection.send
        await send((*script_command("publish", key_names), *args))

    async def has_published(self, queue: str) -> bool:
        """As Messages.has_published."""
        connection = await self.connection.at(self.keys(queue).meta)
        return int(await connection.read()) >= 0

    async def publish_checked(
        self, queue: str, publisher: str, request: CheckedRequest, terms: Terms, seal: Seal
    ) -> Standing:
        """As Messages.publish_checked."""
        k = self.keys(queue)
        if seal is not None:
            return await self.perform(checked_publish(k, publisher, request, terms, seal))
        reply = await self.run("publish_checked", publish_checked_call(k, publisher, request, terms, 0))
        return publish_checked_result(reply, k, publisher, request)

    async def send_publish_checked(
        self, queue: str, publisher: str, request: CheckedRequest, terms: Terms, before: int, seal: Seal
    ) -> None:
        """As Messages.send_publish_checked."""
        key_names, args = publish_checked_call(self.keys(queue), publisher, request, terms, before, seal)
        connection = await self.connection.at(key_names[0])
        send = connection.send_more if before else connection.send
        await send((*script_command("publish_checked", key_names), *args))

    async def read_publish_checked(self, queue: str, publisher: str, request: CheckedRequest) -> Standing | None:
        """As Messages.read_publish_checked."""
        k = self.keys(queue)
        connection = await self.connection.at(k.meta)
        reply = await connection.read()
        return publish_checked_result(reply, k, publisher, request) if reply[0] == 1 else None

    async def exists(self, queue: str) -> bool:
        """Whether a queue was created, by itself or as the dead-letter queue of another one."""
        return bool(await self.connection.execute("EXISTS", self.keys(queue).meta))

    async def shards(self, queue: str) -> list[str]:
        """Names of a queue's shards, the queue itself first. Raises DecodeError."""
        return shards_result(await self.connection.execute(*shards_command(self.keys(queue))), queue)

    async def options(self, queue: str) -> QueueOptions:
        """Stored options of a queue. Raises QueueNotFoundError, DecodeError."""
        return meta_result(await self.connection.execute("HGETALL", self.keys(queue).meta), queue)[0]

    async def create(self, queue: str, options: QueueOptions, *, implicit: bool = False) -> bool:
        """As Queues.create."""
        self.keys(queue)  # an invalid name is reported before any command
        try:
            return await self._create(queue, options, implicit)
        except CommandRefusedError:
            if await self._is_created(queue):  # a user that may only publish asks for an existing queue
                return False
            raise

    async def create_as_asked(self, queue: str, options: QueueOptions | None) -> bool:
        """As admin.create.create."""
        if options is None:
            return not await self.exists(queue) and await self.create(queue, QueueOptions())
        is_new = await self.create(queue, options)
        try:
            warn_of_difference(queue, options, await self.options(queue))
        except DecodeError as error:
            warn_of_difference(queue, options, error)
        except BizzMQError:
            pass  # whether it differs is not known
        return is_new

    async def _is_created(self, queue: str) -> bool:
        meta = self.keys(queue).meta
        if not await self.connection.execute("HGET", meta, "retry"):
            return False
        return not await self.connection.execute("HGET", meta, "implicit")

    async def _create(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        check_no_shard(queue)
        shards = len(await self.shards(queue)) if await self.exists(queue) else options.shards
        for index in range(1, shards):  # before the queue itself: a visible queue is complete
            await self._create_one(keys.shard_of(queue, index), replace(options, shards=1), implicit)
        await self.connection.execute("SADD", keys.INDEX, queue)  # as in Queues.create
        is_new = await self._create_one(queue, replace(options, shards=shards), implicit)
        if is_new:
            await self.connection.execute("SADD", keys.INDEX, queue)
        return is_new

    async def _create_one(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        return create_result(await self.run("create", create_call(self.keys(queue), options, implicit)))
