"""Waiting for several messages: one subscription for all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Generator, Iterable, Iterator, List, Tuple, TypeVar

from bizzmq.app.handle import Handle
from bizzmq.errors import ConfigurationError
from bizzmq.results.awaited import Awaited
from bizzmq.results.endings import endings
from bizzmq.results.reader import ResultReaders
from bizzmq.results.result_client import checked_timeout
from bizzmq.validation import checks

R = TypeVar("R")


def as_completed(handles: Iterable[Handle[R]], timeout_s: float | timedelta | None = None) -> Iterator[Handle[R]]:
    """The handles in the order in which their messages end. Then `result` returns, or raises, at once.

    Args:
        handles: of any tasks and apps. Each is yielded once.
        timeout_s: how long to wait for all of them, seconds or a timedelta; None for no limit.

    Raises:
        TimeoutError: some have not ended in time.
        ConfigurationError: an argument is invalid.
        ConnectionLimitError, ClosedError: as `Handle.result`.
    """
    return _completed(checked_handles(handles), checked_timeout(timeout_s))


def wait(
    handles: Iterable[Handle[Any]], return_when: str = "all", timeout_s: float | timedelta | None = None
) -> Tuple[List[Handle[Any]], List[Handle[Any]]]:
    """Wait until messages have ended.

    Args:
        handles: of any tasks and apps.
        return_when: `all` waits for all of them, `first` for one.
        timeout_s: how long to wait, seconds or a timedelta; None for no limit.

    Returns:
        The handles whose messages have ended, and the others, each in the order of `handles`. After the time limit
        some are in the second list; that is no error.

    Raises:
        ConfigurationError: an argument is invalid.
        ConnectionLimitError, ClosedError: as `Handle.result`.
    """
    found = checked_handles(handles)
    checked_return_when(return_when)
    done: List[Handle[Any]] = []
    completed = _completed(found, checked_timeout(timeout_s))
    try:
        for handle in completed:
            done.append(handle)
            if return_when == "first":
                break
    except TimeoutError:
        pass
    finally:
        completed.close()
    return parted(found, done)


def parted(handles: List[Handle[Any]], done: List[Handle[Any]]) -> Tuple[List[Handle[Any]], List[Handle[Any]]]:
    """The handles that are done, and the others, each in the order of `handles`."""
    ids = {id(one) for one in done}
    return [one for one in handles if id(one) in ids], [one for one in handles if id(one) not in ids]


def checked_return_when(return_when: Any) -> None:
    """Raise ConfigurationError unless this is `all` or `first`."""
    if return_when not in ("all", "first"):
        checks.refuse("return_when", "'all' or 'first'", return_when)


def checked_handles(handles: Any) -> List[Handle[Any]]:
    """The handles, each once. Raises ConfigurationError."""
    if isinstance(handles, (str, bytes, Handle)) or not isinstance(handles, Iterable):
        checks.refuse("handles", "a list or another iterable of handles", handles)
    found = list({id(one): one for one in handles}.values())
    for one in found:
        if not isinstance(one, Handle):
            raise ConfigurationError(f"handles must be what publishing a task returns, not {checks.shown(one)}")
    return found


def _completed(handles: List[Handle[Any]], timeout_s: float | None) -> Generator[Handle[Any], None, None]:
    """The handles in the order in which their messages end."""
    by_awaited: Dict[Awaited, Handle[Any]] = {}
    sources: Dict[ResultReaders, List[Awaited]] = {}
    for handle in handles:
        if handle.known() is not None:
            yield handle
            continue
        readers = handle.readers()
        awaited = handle.awaited(readers)
        by_awaited[awaited] = handle
        sources.setdefault(readers, []).append(awaited)
    for awaited in endings(list(sources.items()), timeout_s):
        handle = by_awaited[awaited]
        handle.note(awaited.resolution)
        yield handle
