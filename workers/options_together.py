"""Options that mean nothing without another one."""

from __future__ import annotations

from typing import Any, Mapping

import click

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "scale_latency": ("min_concurrency",),
    "scale_idle": ("min_concurrency",),
    "burst_patience": ("burst",),
    "health_host": ("health_port",),
    "memory_metric": ("max_memory", "kill_memory"),
}


def without_effect(context: click.Context) -> list[str]:
    """A sentence for each option that was given and has no effect, since none of those that it needs was."""
    sentences = [
        f"{_option(name)} has no effect without {' or '.join(map(_option, needed))}"
        for name, needed in _NEEDS.items()
        if _is_given(context, name) and not any(_is_on(context.params.get(other)) for other in needed)
    ]
    least, most = context.params.get("min_concurrency"), context.params.get("concurrency")
    if least and least == most:
        sentences.append("--min-concurrency has no effect, since it is --concurrency")
    return sentences


def _is_given(context: click.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)


def _is_on(value: Any) -> bool:
    """Whether an option asks for something. 0 as a float is no limit, as a whole number a free port."""
    return value not in (None, False) or (type(value) is int)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
