"""The templates of a pool: the one that forks its workers, and those that are to replace it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Callable, Iterable

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.process.child import RestartDelay
from bizzmq.workers.process.title import Title
from bizzmq.workers.supervisor.children.template_process import TemplateProcess, TemplateState
from bizzmq.workers.supervisor.worker_pool import MakeWorker, WorkerPool
from bizzmq.workers.worker.template import Template

_logger = logging.getLogger("bizzmq.supervisor")
_FIRST_TRIES = 3
"""How often the first import is tried if its process dies: something else may have killed it."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 30.0


class Preloader:
    """Keeps a template alive, unless each worker imports by itself.

    Attributes:
        current: forks the workers of this generation; None while there is none, or if workers import by themselves.
        starting: imports, and becomes the current one when it is ready.
        next: a reload's, with new code.
    """

    def __init__(
        self,
        worker_pool: WorkerPool,
        config: WorkerConfig,
        make_worker: MakeWorker,
        close_in_child: Callable[[], Iterable[int]],
    ) -> None:
        self._worker_pool = worker_pool
        self._config = config
        self._make_worker = make_worker
        self._close_in_child = close_in_child
        self._preloads = config.preload == "on" or (config.preload == "auto" and sys.platform.startswith("linux"))
        self._restart = RestartDelay(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._former: list[TemplateProcess] = []  # fork no more, but keep what their workers may need
        self.current: TemplateProcess | None = None
        self.starting: TemplateProcess | None = None
        self.next: TemplateProcess | None = None

    @property
    def may_start(self) -> bool:
        """Whether workers can be started now."""
        return not self._preloads or self.current is not None

    @property
    def templates(self) -> list[TemplateProcess]:
        """All templates that have not ended."""
        found = (self.starting, self.current, self.next, *self._former)
        return [template for template in found if template is not None]

    def start(self) -> None:
        """Begin with the first template."""
        self.starting = self._new_template()

    def _new_template(self) -> TemplateProcess | None:
        if not self._preloads:
            return None
        template = TemplateProcess(self._template_main, self._close_in_child, self._worker_pool.descendants)
        template.start()
        return template

    def _template_main(self, channel: Channel) -> int:
        title = Title("template", os.getppid(), self._config.queues)
        return Template(self._config, self._make_worker, channel, title).main()

    def check(self, *, first_start: bool) -> BootFailure | None:
        """Follow the imports, replace a dead template; returns why the first import of all has failed."""
        if self.next is not None:
            self._check(self.next)
        if self.current is not None:
            self._check(self.current)
            if self.current.pid == 0:
                log(_logger, logging.ERROR, "the template has died, starting another one")
                self.current = None
                self._restart.failed()
        if self.starting is not None and self.current is not None:
            self.starting.end()  # a reload has brought another one meanwhile, perhaps with newer code
            self.starting = None
        if self.starting is not None:
            self._check(self.starting)
            return self._follow(self.starting, first_start=first_start)
        if self._preloads and self.current is None and clock.monotonic() >= self._restart.at_s:
            self.starting = self._new_template()
        return None

    def _check(self, template: TemplateProcess) -> None:
        self._read(template)
        template.end_if_stuck()

    def _read(self, template: TemplateProcess) -> None:
        for message in template.receive():
            self._worker_pool.spawned(message)
        template.reap_if_dead()

    def _follow(self, template: TemplateProcess, *, first_start: bool) -> BootFailure | None:
        if template.state is TemplateState.IMPORTING:
            return None
        self.starting = None
        if template.state is TemplateState.READY:
            self.current = template
            self._worker_pool.described(template.app)
            self._restart.reset()
        elif template.state is TemplateState.UNSAFE:
            template.log_unsafe()
            template.end()
            self._preloads = False
            self._worker_pool.first_import.is_over = True  # the template has done it
        elif first_start and (not template.died_importing or self._restart.failures + 1 >= _FIRST_TRIES):
            self._restart.at_s = float("inf")
            return template.failure
        else:
            log(_logger, logging.ERROR, "the handler cannot be imported any more", error=template.failure.error)
            self._restart.failed()
        return None

    def start_next(self) -> bool:
        """Import new code in another template; False if workers import by themselves."""
        self.next = self._new_template()
        return self.next is not None

    def cancel_next(self) -> None:
        """End the template with the new code, if there is one."""
        if self.next is not None:
            self.next.end()
            self.next = None

    def promote_next(self) -> None:
        """From now on, workers have the new code."""
        former, self.current, self.next = self.current, self.next, None
        self._worker_pool.described(self.current.app if self.current is not None else None)
        if former is not None:
            self._dismiss(former)

    def _dismiss(self, template: TemplateProcess) -> None:
        """End a template: at once, or after its workers if they may need something of it."""
        if template.keeps and self._has_workers(template):
            self._former.append(template)
        else:
            template.end()

    def end_former(self) -> None:
        """End the former templates whose workers are gone."""
        for template in self._former[:]:
            self._read(template)
            if not self._has_workers(template):
                self._former.remove(template)
                template.end()

    def _has_workers(self, template: TemplateProcess) -> bool:
        return template.pid > 0 and any(slot.template_pid == template.pid for slot in self._worker_pool.up)

    def end(self) -> None:
        """No more workers are needed."""
        for template in (self.starting, self.current):
            if template is not None:
                self._dismiss(template)
        self.starting = self.current = None
        self.cancel_next()
        self._restart.at_s = float("inf")
