"""The command `bizzmq`: a group of subcommands, each of which is a module of this package."""

from __future__ import annotations

import copy

import click

import bizzmq
from bizzmq.cli.audit import audit_command
from bizzmq.cli.cancel import cancel
from bizzmq.cli.dashboard import dashboard
from bizzmq.cli.demo import demo
from bizzmq.cli.dlq.group import dlq
from bizzmq.cli.dlq.replay import replay_command
from bizzmq.cli.doctor import doctor
from bizzmq.cli.looking.explain import explain
from bizzmq.cli.looking.metrics import metrics
from bizzmq.cli.looking.pools import pools
from bizzmq.cli.looking.profile import profile
from bizzmq.cli.looking.queues import queues
from bizzmq.cli.looking.show import show_message
from bizzmq.cli.looking.stack import stack
from bizzmq.cli.looking.stats import stats
from bizzmq.cli.looking.wanted_workers import wanted_workers
from bizzmq.cli.looking.watch import watch
from bizzmq.cli.looking.watch_alerts import watch_alerts
from bizzmq.cli.messages import delete, find, list_messages
from bizzmq.cli.pause import pause, resume
from bizzmq.cli.pool import pool
from bizzmq.cli.publish import publish
from bizzmq.cli.purge import purge
from bizzmq.cli.queue.group import queue
from bizzmq.cli.retry import retry
from bizzmq.cli.schedule import schedule
from bizzmq.cli.tasks import tasks
from bizzmq.cli.top import top
from bizzmq.cli.torture import torture
from bizzmq.utils import console, environment, logs, standard_streams

_OWN_SERVER = ("demo", "torture")


@click.group(
    cls=console.Group, context_settings={"auto_envvar_prefix": "BIZZMQ", "help_option_names": ["-h", "--help"]}
)
@console.redis_url()
@click.version_option(bizzmq.__version__, "--version", message="%(prog)s %(version)s", allow_from_autoenv=False)
@click.pass_context
def command(context: click.Context, redis_url: str) -> None:
    """Operate BizzMQ's queues. The pool of workers is another command: bizzmq-worker."""
    context.obj = redis_url
    is_named = context.get_parameter_source("redis_url") is click.core.ParameterSource.COMMANDLINE
    if is_named and context.invoked_subcommand in _OWN_SERVER:
        raise click.UsageError(f"{context.invoked_subcommand} takes no --redis-url: it starts a server of its own")
    logs.configure("warning", "text")
    for sentence in environment.misspelt(_all_commands):
        standard_streams.show_on_stderr(f"bizzmq: warning: {sentence}")


def _all_commands() -> list[click.Command]:
    from bizzmq.workers.cli import command as worker_command  # noqa: PLC0415 - it brings the whole pool along

    return [command, worker_command]


for _subcommand in (
    audit_command,
    cancel,
    dashboard,
    delete,
    demo,
    dlq,
    doctor,
    explain,
    find,
    list_messages,
    metrics,
    pause,
    pool,
    pools,
    profile,
    publish,
    purge,
    queue,
    queues,
    replay_command,
    schedule,
    resume,
    retry,
    show_message,
    stack,
    stats,
    tasks,
    top,
    torture,
    wanted_workers,
    watch,
    watch_alerts,
):
    command.add_command(_subcommand)
_former = copy.copy(list_messages)
_former.name, _former.hidden = "messages", True
command.add_command(_former)
"""The name of `list` in earlier versions."""
console.refuse_empty_texts(command, may_be_empty=("root_path",))


def main() -> None:
    """The entry point."""
    standard_streams.open_closed(usable=False)
    console.run(command, "bizzmq")
