"""`bizzmq tasks`: the tasks and the queues that an app declares."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Dict, Sequence

import click

from bizzmq.app.description import AppDescription
from bizzmq.cli.helpers import app_of
from bizzmq.cli.tables import table
from bizzmq.errors import ConfigurationError
from bizzmq.utils.standard_streams import show, show_lines

_SHOWN = ("task", "queue", "version", "max_retries", "timeout", "result_ttl", "aliases", "signature")


@click.command()
@click.argument("target", metavar="MODULE:APP")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def tasks(target: str, as_json: bool) -> None:
    """List the tasks of an app and its queues, with their options. MODULE alone stands for its only app.

    The module is imported from the current directory, in a process of its own. A dash stands for an option that the
    task, or the app, leaves to others.
    """
    app = _described(target)
    if as_json:
        show(json.dumps(_document(app)))
        return
    table(_rows(app), _SHOWN, optional=("aliases", "result_ttl", "timeout"), cut={"signature": 20, "task": 16})
    show()
    show_lines(f"queue {name}: {_options_of(app, name)}" for name in app.queues)


def _described(target: str) -> AppDescription:
    app = app_of(target)
    if app is None:
        raise ConfigurationError(f"{target} is a plain handler: name an app, such as tasks:app")
    return app


def _rows(app: AppDescription) -> Sequence[Sequence[Any]]:
    return [
        (
            one.name, one.queue, one.version, _or_dash(one.max_retries), _or_dash(one.timeout_s),
            _or_dash(one.result_ttl_s or None), " ".join(one.aliases) or "-", one.signature,
        )
        for one in app.tasks
    ]  # fmt: skip


def _or_dash(value: Any) -> str:
    return "-" if value is None else f"{value:g}"


def _options_of(app: AppDescription, queue: str) -> str:
    options = app.options_of(queue)
    if options is None:
        return "no options declared"
    return ", ".join(f"{name}={value!r}" for name, value in asdict(options).items())


def _document(app: AppDescription) -> Dict[str, Any]:
    queues: Dict[str, Any] = {}
    for name in app.queues:
        options = app.options_of(name)
        queues[name] = None if options is None else asdict(options)
    return {"tasks": [{**asdict(one), "refused": list(one.refused)} for one in app.tasks], "queues": queues}
