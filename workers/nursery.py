"""Where workers come from: the template of the present generation, or a fork of the supervisor's own."""

from __future__ import annotations

import logging
import os
import sys
from typing import Callable, Iterable

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import Crew, MakeWorker
from bizzmq.workers.template import Template
from bizzmq.workers.template_link import TemplateLink, TemplateState
from bizzmq.workers.titles import Title

_logger = logging.getLogger("bizzmq.supervisor")
_FIRST_TRIES = 3
"""How often the first import is tried if its process dies: it may have been killed for a reason of its own."""


class Nursery:
    """Keeps a template alive, if workers are to come from one.

    Attributes:
        template: the one that is being started for the present generation; it becomes the crew's when it is ready.
    """

    def __init__(
        self, crew: Crew, config: WorkerConfig, make_worker: MakeWorker, private: Callable[[], Iterable[int]]
    ) -> None:
        self._crew = crew
        self._config = config
        self._make_worker = make_worker
        self._private = private
        self._preloads = config.preload == "on" or (config.preload == "auto" and sys.platform.startswith("linux"))
        self._start_at_s = 0.0
        self._failures = 0
        self.template: TemplateLink | None = None

    @property
    def may_start(self) -> bool:
        """Whether workers can be started now."""
        return not self._preloads or self._crew.template is not None

    def new_template(self) -> TemplateLink | None:
        """Start a template; None if workers import by themselves."""
        if not self._preloads:
            return None
        link = TemplateLink(self._template_life, self._private, self._crew.descendants)
        link.start()
        return link

    def _template_life(self, channel: Channel) -> int:
        title = Title("template", os.getppid(), self._config.queues)
        return Template(self._config, self._make_worker, channel, title).main()

    def start(self) -> None:
        """Begin with the first one."""
        self.template = self.new_template()

    def tend(self, *, first_start: bool) -> BootFailure | None:
        """Follow a template's import, replace a dead one; returns why the first import of all has failed."""
        if self._crew.template is not None:
            self.hear(self._crew.template)
            if self._crew.template.pid == 0:
                log(_logger, logging.ERROR, "the template has died, starting another one")
                self._crew.template = None
                self._retry_later()
        if self.template is not None and self._crew.template is not None:
            self.template.end()  # a reload has brought another one meanwhile, and perhaps newer code
            self.template = None
        if self.template is not None:
            self.hear(self.template)
            return self._follow(self.template, first_start=first_start)
        if self._preloads and self._crew.template is None and clock.monotonic() >= self._start_at_s:
            self.template = self.new_template()
        return None

    def _follow(self, template: TemplateLink, *, first_start: bool) -> BootFailure | None:
        if template.state is TemplateState.IMPORTING:
            return None
        self.template = None
        if template.state is TemplateState.READY:
            self._crew.template, self._failures = template, 0
        elif template.state is TemplateState.UNSAFE:
            template.say_unsafe()
            template.end()
            self._preloads = False
        elif first_start and (not template.died_importing or self._failures + 1 >= _FIRST_TRIES):
            self._start_at_s = float("inf")
            return template.failure
        else:
            log(_logger, logging.ERROR, "the handler cannot be imported any more", error=template.failure.error)
            self._retry_later()
        return None

    def _retry_later(self) -> None:
        self._failures += 1
        self._start_at_s = clock.monotonic() + min(30.0, 0.05 * 2.0 ** min(self._failures - 1, 10))

    def hear(self, template: TemplateLink) -> None:
        """Read what a template says, and see whether it lives."""
        for message in template.receive():
            self._crew.spawned(message)
        template.died()
        template.end_if_stuck()

    def pids(self, *others: TemplateLink | None) -> list[int]:
        """The process ids of all templates."""
        known = (self.template, self._crew.template, *self._crew.former, *others)
        return [template.pid for template in known if template is not None]

    def end(self) -> None:
        """No more workers are needed."""
        for template in (self.template, self._crew.template):
            if template is not None:
                self._crew.dismiss(template)
        self.template = self._crew.template = None
        self._start_at_s = float("inf")
