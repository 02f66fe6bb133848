"""BizzMQ: a multiprocess worker pool framework on Redis."""

from bizzmq.interrupts import QuietImports

with QuietImports():
    from bizzmq.client import BizzMQ
    from bizzmq.context import Context
    from bizzmq.errors import (
        BizzMQError,
        BrokerFullError,
        BrokerRefusesError,
        BrokerReplyError,
        BrokerUnavailableError,
        ClosedError,
        ConfigurationError,
        CpuTimeExceeded,
        DecodeError,
        Draining,
        EncodeError,
        HandlerResultError,
        LeaseLostError,
        MemoryLimitExceeded,
        MessageTimeout,
        NotConfirmedError,
        PayloadTooLargeError,
        QueueNotFoundError,
        Reject,
        RetryLater,
        SignatureError,
        UnsignedError,
        WrongTypeError,
    )
    from bizzmq.hooks import after_message, before_message, on_worker_boot, on_worker_shutdown
    from bizzmq.message import Message, MessageOptions
    from bizzmq.offspring import detached
    from bizzmq.queue import QueueOptions, QueueStats

__version__ = "0.1.0"

__all__ = [
    "BizzMQ",
    "BizzMQError",
    "BrokerFullError",
    "BrokerRefusesError",
    "BrokerReplyError",
    "BrokerUnavailableError",
    "ClosedError",
    "ConfigurationError",
    "Context",
    "CpuTimeExceeded",
    "DecodeError",
    "Draining",
    "EncodeError",
    "HandlerResultError",
    "LeaseLostError",
    "MemoryLimitExceeded",
    "Message",
    "MessageOptions",
    "MessageTimeout",
    "NotConfirmedError",
    "PayloadTooLargeError",
    "QueueNotFoundError",
    "QueueOptions",
    "QueueStats",
    "Reject",
    "RetryLater",
    "SignatureError",
    "UnsignedError",
    "WrongTypeError",
    "after_message",
    "before_message",
    "detached",
    "on_worker_boot",
    "on_worker_shutdown",
]
