"""BizzMQ: a multiprocess worker pool framework on Redis."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from bizzmq.utils.interrupts import QuietImports

if _TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ

with QuietImports():
    from bizzmq.admin.activity.pauses import Pause
    from bizzmq.admin.activity.pools import PoolInfo
    from bizzmq.admin.activity.queue_activity import QueueActivity
    from bizzmq.admin.activity.rates import Rate
    from bizzmq.admin.explain.details import MessageDetails
    from bizzmq.admin.explain.explanation import Explanation
    from bizzmq.admin.listing import MessagePage
    from bizzmq.admin.message_status import MessageStatus
    from bizzmq.admin.show import QueueInfo
    from bizzmq.admin.stats import QueueSummary
    from bizzmq.admin.stored_message import StoredMessage
    from bizzmq.admin.update import QueueUpdate
    from bizzmq.app.app import App
    from bizzmq.app.async_waiting import async_as_completed, async_wait
    from bizzmq.app.handle import Handle
    from bizzmq.app.task import Task
    from bizzmq.app.waiting import as_completed, wait
    from bizzmq.client import BizzMQ
    from bizzmq.consumer.handlers.user_hooks import after_message, before_message, on_worker_boot, on_worker_shutdown
    from bizzmq.context import Context
    from bizzmq.dead_letters.groups import DeadLetterGroup
    from bizzmq.errors import (
        ArgumentsError,
        BizzMQError,
        BrokerFullError,
        BrokerRefusesError,
        BrokerReplyError,
        BrokerUnavailableError,
        CheckpointError,
        ClosedError,
        ConfigurationError,
        CpuTimeExceeded,
        DecodeError,
        Draining,
        EncodeError,
        HandlerFailedError,
        HandlerResultError,
        LeaseLostError,
        MemoryLimitExceeded,
        MessageCancelled,
        MessageExpired,
        MessageInUseError,
        MessageTimeout,
        MissingKeyError,
        NotConfirmedError,
        NotRunningError,
        PayloadTooLargeError,
        PoolNotFoundError,
        PoolRefusesError,
        PoolSilentError,
        QueueFullError,
        QueueInUseError,
        QueueNotFoundError,
        Reject,
        ResultExpired,
        ResultNotKept,
        ResultTooLargeError,
        RetryLater,
        ScheduleNotFoundError,
        SignatureError,
        UniqueKeyInUseError,
        UnknownTaskError,
        UnsignedError,
        WrongTypeError,
    )
    from bizzmq.message import Message, MessageOptions
    from bizzmq.metrics.series import Deploy, Latency, Measures, QueueMetrics, QueueState, QueueStep
    from bizzmq.middleware.base import Middleware, Publication, WorkerCrash
    from bizzmq.middleware.registry import add_middleware
    from bizzmq.protocol.history import HistoryEntry, MessageHistory
    from bizzmq.protocol.profile import KeptProfile, Profile
    from bizzmq.protocol.records import Progress
    from bizzmq.queue import QueueOptions, QueueStats
    from bizzmq.schedules.info import ScheduleInfo, SchedulePause
    from bizzmq.utils.detached import detached

__version__ = "0.1.0"

__all__ = [
    "App",
    "ArgumentsError",
    "AsyncBizzMQ",
    "BizzMQ",
    "BizzMQError",
    "BrokerFullError",
    "BrokerRefusesError",
    "BrokerReplyError",
    "BrokerUnavailableError",
    "CheckpointError",
    "ClosedError",
    "ConfigurationError",
    "Context",
    "CpuTimeExceeded",
    "DeadLetterGroup",
    "DecodeError",
    "Deploy",
    "Draining",
    "EncodeError",
    "Explanation",
    "Handle",
    "HandlerFailedError",
    "HandlerResultError",
    "HistoryEntry",
    "KeptProfile",
    "Latency",
    "LeaseLostError",
    "Measures",
    "MemoryLimitExceeded",
    "Message",
    "MessageCancelled",
    "MessageDetails",
    "MessageExpired",
    "MessageHistory",
    "MessageInUseError",
    "MessageOptions",
    "MessagePage",
    "MessageStatus",
    "MessageTimeout",
    "Middleware",
    "MissingKeyError",
    "NotConfirmedError",
    "NotRunningError",
    "Pause",
    "PayloadTooLargeError",
    "PoolInfo",
    "PoolNotFoundError",
    "PoolRefusesError",
    "PoolSilentError",
    "Profile",
    "Progress",
    "Publication",
    "QueueActivity",
    "QueueFullError",
    "QueueInUseError",
    "QueueInfo",
    "QueueMetrics",
    "QueueNotFoundError",
    "QueueOptions",
    "QueueState",
    "QueueStats",
    "QueueStep",
    "QueueSummary",
    "QueueUpdate",
    "Rate",
    "Reject",
    "ResultExpired",
    "ResultNotKept",
    "ResultTooLargeError",
    "RetryLater",
    "ScheduleInfo",
    "ScheduleNotFoundError",
    "SchedulePause",
    "SignatureError",
    "StoredMessage",
    "Task",
    "UniqueKeyInUseError",
    "UnknownTaskError",
    "UnsignedError",
    "WorkerCrash",
    "WrongTypeError",
    "add_middleware",
    "after_message",
    "as_completed",
    "async_as_completed",
    "async_wait",
    "before_message",
    "detached",
    "on_worker_boot",
    "on_worker_shutdown",
    "wait",
]


if not _TYPE_CHECKING:  # a type checker has the import above, and still finds names that do not exist

    def __getattr__(name: str) -> object:
        """Import the client for asyncio when it is used: programs that block need none of it."""
        if name == "AsyncBizzMQ":
            from bizzmq.aio.client import AsyncBizzMQ  # noqa: PLC0415 - see above

            globals()[name] = AsyncBizzMQ
            return AsyncBizzMQ
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
