"""All errors of BizzMQ. They carry facts as attributes, not only text."""

from __future__ import annotations

from bizzmq.errors.broker import (
    BrokerFullError,
    BrokerRefusesError,
    BrokerReplyError,
    BrokerUnavailableError,
    BrokerUnusableError,
    ClosedError,
    ConnectionLimitError,
    LeaseLostError,
    WrongTypeError,
)
from bizzmq.errors.handlers import (
    CpuTimeExceeded,
    Draining,
    MemoryLimitExceeded,
    MessageCancelled,
    MessageTimeout,
    Reject,
    RetryLater,
)
from bizzmq.errors.messages import (
    QUEUE_TROUBLE,
    DecodeError,
    EncodeError,
    MessageInUseError,
    NotConfirmedError,
    PayloadTooLargeError,
    QueueFullError,
    QueueInUseError,
    QueueNotFoundError,
    ScheduleNotFoundError,
    SignatureError,
    UniqueKeyInUseError,
    UnsignedError,
)
from bizzmq.errors.pools import NotRunningError, PoolNotFoundError, PoolRefusesError, PoolSilentError
from bizzmq.errors.tasks import (
    ArgumentsError,
    CheckpointError,
    HandlerFailedError,
    HandlerResultError,
    MessageExpired,
    MissingKeyError,
    ResultExpired,
    ResultNotKept,
    ResultTooLargeError,
    UnknownTaskError,
)
from bizzmq.validation.base_errors import BizzMQError, ConfigurationError

__all__ = (
    "QUEUE_TROUBLE",
    "ArgumentsError",
    "BizzMQError",
    "BrokerFullError",
    "BrokerRefusesError",
    "BrokerReplyError",
    "BrokerUnavailableError",
    "BrokerUnusableError",
    "CheckpointError",
    "ClosedError",
    "ConfigurationError",
    "ConnectionLimitError",
    "CpuTimeExceeded",
    "DecodeError",
    "Draining",
    "EncodeError",
    "HandlerFailedError",
    "HandlerResultError",
    "LeaseLostError",
    "MemoryLimitExceeded",
    "MessageCancelled",
    "MessageExpired",
    "MessageInUseError",
    "MessageTimeout",
    "MissingKeyError",
    "NotConfirmedError",
    "NotRunningError",
    "PayloadTooLargeError",
    "PoolNotFoundError",
    "PoolRefusesError",
    "PoolSilentError",
    "QueueFullError",
    "QueueInUseError",
    "QueueNotFoundError",
    "Reject",
    "ResultExpired",
    "ResultNotKept",
    "ResultTooLargeError",
    "RetryLater",
    "ScheduleNotFoundError",
    "SignatureError",
    "UniqueKeyInUseError",
    "UnknownTaskError",
    "UnsignedError",
    "WrongTypeError",
)

for _one in tuple(vars().values()):
    if isinstance(_one, type):
        _one.__module__ = __name__  # where users import it from: tracebacks and pickles name this place
