"""Added latency: the fault kit's proxy with a delay for each request."""

from __future__ import annotations

import time

from bizzmq.testing.link import Fault, ProxyState
from bizzmq.testing.proxy import Proxy


class SlowProxyState(ProxyState):
    """Delays every request by `delay_s`."""

    delay_s = 0.0

    def fault_for(self, request: bytes) -> Fault | None:
        time.sleep(self.delay_s)
        return super().fault_for(request)


class DelayingProxy(Proxy):
    """Adds `delay_s` to every round trip; it can be changed at any time."""

    def __init__(self, upstream_url: str) -> None:
        super().__init__(upstream_url)
        self._state = self._slow = SlowProxyState()  # before the first connection

    def __enter__(self) -> DelayingProxy:
        return self

    @property
    def delay_s(self) -> float:
        return self._slow.delay_s

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        self._slow.delay_s = delay_s
