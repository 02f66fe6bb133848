"""Waiting for descriptors, also under the monkey patches of gevent and eventlet.

eventlet removes `select.poll` and keeps `select.select`. Its `os.read` and `os.write` wait even for non-blocking
descriptors, and must not be called in a signal handler. So this module keeps the functions that it finds on import.
"""

from __future__ import annotations

import os
import select

read, write = os.read, os.write


def readable(timeout_s: float, *descriptors: int) -> set[int]:
    """The descriptors that are readable. Waits at most `timeout_s` seconds for the first one."""
    try:
        poller = select.poll()
    except AttributeError:
        return set(select.select(descriptors, (), (), max(0.0, timeout_s))[0])
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, timeout_s) * 1000)}


def is_writable(timeout_s: float, descriptor: int) -> bool:
    """Whether a descriptor is writable. Waits at most `timeout_s` seconds."""
    try:
        poller = select.poll()
    except AttributeError:
        return bool(select.select((), (descriptor,), (), max(0.0, timeout_s))[1])
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(max(0.0, timeout_s) * 1000))
