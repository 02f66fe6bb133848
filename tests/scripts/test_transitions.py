"""A transition has one name: of its script, its method, and the two pure functions that an asyncio client shares."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker

LUA = Path(scripts.__file__).parents[1] / "lua"
every_script = pytest.mark.parametrize("name", scripts.names())


def group_of(name: str) -> Any:
    """The module of bizzmq.broker that a script's folder names."""
    (path,) = (path for path in LUA.glob(f"*/{name}.lua") if path.parent.name != "includes")
    return importlib.import_module(f"bizzmq.broker.{path.parent.name}")


@every_script
def test_a_transition_has_a_function_for_its_arguments_and_one_for_its_reply(name: str) -> None:
    group = group_of(name)

    assert "reply" not in inspect.signature(getattr(group, f"{name}_call")).parameters
    assert next(iter(inspect.signature(getattr(group, f"{name}_result")).parameters)) == "reply"


@every_script
def test_the_broker_has_the_method_of_its_group(broker: Broker, name: str) -> None:
    assert getattr(broker, name).__module__ == group_of(name).__name__
