"""The headers of the scripts match their code, and their edges together are the table of states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.connection.base import Connection
from bizzmq.protocol.states import EDGES, REPAIRS, State
from tests.scripts.containers import put
from tests.scripts.moves import DEAD, QUEUE
from tests.scripts.table_repairs import DEDUPLICATE
from tests.scripts.test_moves import MOVES

ALLOWED_COMMANDS = {
    "DEL", "EXISTS", "GET", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HKEYS", "HLEN",
    "HMGET", "HSCAN", "HSET", "HSETNX", "LLEN", "LPOS", "LPUSH", "LRANGE", "LREM", "LTRIM", "RPOPLPUSH", "RPUSH",
    "PEXPIRE", "PUBLISH", "PUBSUB", "SET", "TIME", "TYPE", "UNLINK",
    "ZADD", "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREVRANGEBYSCORE", "ZSCORE",
}  # fmt: skip
LUA = Path(scripts.__file__).parents[1] / "lua"
every_script = pytest.mark.parametrize("name", scripts.names())


class WiretappedConnection(Connection):
    """Records every script call: (digest, number of keys, number of arguments)."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.calls: list[tuple[str, int, int]] = []

    def execute_plain(self, args: tuple[str | bytes, ...]) -> Any:
        if args[0] == "EVALSHA":
            self.calls.append((args[1], int(args[2]), len(args) - 3 - int(args[2])))
        return super().execute_plain(args)


def code_of(name: str) -> str:
    """A script with its includes, without comments."""
    return re.sub(r"--.*", "", scripts.load(name).source)


def edges_of(name: str) -> set[tuple[State, str, State]]:
    """(from, move, to) of each edge in the script's header. A move without a name has the script's."""
    found = set()
    text = " ".join(line[4:] for line in scripts.load(name).header if line.startswith("edge"))
    for edge in filter(None, (part.strip() for part in text.split(","))):
        match = re.match(r"(\S+) -> ([^(]+)(?:\((\S+)\))?$", edge)
        assert match, f"{name}: unreadable edge {edge!r}"
        move = match[3] or name.replace("_", "-")
        found |= {(State(match[1]), move, State(to.strip())) for to in match[2].split("|")}
    return found


def numbers(name: str, word: str) -> list[int]:
    """The numbers of KEYS or ARGV in the header, in order."""
    lines = "\n".join(scripts.load(name).header)
    return [int(number) for number in re.findall(rf"^{word}\[(\d+)(?:\.\.)?\]", lines, flags=re.MULTILINE)]


def test_the_edges_of_all_headers_are_the_table() -> None:
    table = {(source, move, to) for (source, move), targets in {**EDGES, **REPAIRS}.items() for to in targets}

    assert set().union(*[edges_of(name) for name in scripts.names()]) == table


def test_each_edge_of_deduplicate_is_shown_by_a_row_and_no_row_shows_another_one() -> None:
    shown = {(State.DUPLICATE, "deduplicate", _state_of(move, "m1")) for move in DEDUPLICATE if move.returns == 1}

    assert shown == edges_of("deduplicate")


def _state_of(move: Any, message: str) -> State:
    """Where a message is after a move."""
    for found, is_dead in ((move.after, False), (move.after_dead, True)):
        held = [one for ids in found.processing.values() for one in ids]
        waiting = State.DEAD_LETTERED if is_dead else State.WAITING
        places = {
            State.PROCESSING: held, waiting: [*found.waiting, *found.prioritized], State.PARKED: found.parked,
            State.DELAYED: [*found.due, *found.delayed],
            State.SUSPENDED: [*found.suspended], State.UNPLACED: found.unplaced,
        }  # fmt: skip
        for state, ids in places.items():
            if message in ids:
                return state
    raise AssertionError(f"{move}: {message} is gone")


def defined_by(text: str) -> set[str]:
    """Functions and constants of a file that others may use."""
    return {a or b for a, b in re.findall(r"^local function (\w+)|^local ([A-Z]+) =", text, flags=re.MULTILINE)}


def text_of(path: Path) -> str:
    return re.sub(r"--.*", "", path.read_text(encoding="utf-8"))


INCLUDES = {path.stem: text_of(path) for path in (LUA / "includes").glob("*.lua")}
DEFINED_BY = {name: defined_by(text) for name, text in INCLUDES.items()}


def needed_by(text: str) -> set[str]:
    """Includes whose functions or constants a text uses."""
    used = {a or b for a, b in re.findall(r"\b(\w+)\(|\b([A-Z]+)\b", text)} - defined_by(text)
    return {name for name, defined in DEFINED_BY.items() if defined & used}


@every_script
def test_a_header_lists_the_includes_that_the_script_needs_and_no_others(name: str) -> None:
    (path,) = (path for path in LUA.glob(f"*/{name}.lua") if path.parent.name != "includes")
    needed = needed_by(text_of(path))
    while True:
        more = needed.union(*[needed_by(INCLUDES[one]) for one in needed])
        if more == needed:
            break
        needed = more

    assert set(scripts.load(name).includes) == needed


@every_script
def test_an_include_comes_after_those_that_it_needs(name: str) -> None:
    known: set[str] = set()

    for include in scripts.load(name).includes:
        assert needed_by(INCLUDES[include]) <= known, include
        known.add(include)


def test_no_two_lua_files_and_no_two_functions_of_includes_have_one_name() -> None:
    files = [path.stem for path in LUA.glob("*/*.lua")]
    functions = [one for defined in DEFINED_BY.values() for one in defined]

    assert len(files) == len(set(files))
    assert len(functions) == len(set(functions))
    assert set(scripts.include_names()) == set(INCLUDES)


@every_script
def test_a_header_begins_with_the_name_and_ends_with_what_is_returned(name: str) -> None:
    header = scripts.load(name).header

    assert header[0].startswith(f"{name}: ")
    assert any(line.startswith("returns") for line in header)


@every_script
def test_a_header_names_each_key_and_the_code_uses_it(name: str) -> None:
    single = re.findall(r"KEYS\[(\d+)\]", code_of(name))
    variadic = re.findall(r"for i = (\d+), #KEYS", code_of(name))
    used = {int(number) for number in [*single, *variadic]}

    assert numbers(name, "KEYS") == sorted(used) == list(range(1, len(used) + 1))
    assert len(used) == scripts.load(name).key_count + len(variadic)


@every_script
def test_a_header_names_each_argument_and_the_code_uses_it(name: str) -> None:
    single = re.findall(r"ARGV\[(\d+)\]", code_of(name))
    variadic = re.findall(r"unpack\(ARGV, (\d+)[,)]|for i = (\d+), #ARGV", code_of(name))
    used = {int(number) for number in [*single, *(a or b for a, b in variadic)]}

    assert numbers(name, "ARGV") == sorted(used) == list(range(1, len(used) + 1))


@every_script
def test_a_script_runs_no_command_that_reads_all_keys(name: str) -> None:
    commands = set(re.findall(r"redis\.p?call\('(\w+)'", code_of(name)))

    assert commands
    assert commands <= ALLOWED_COMMANDS
    assert "redis.call(" not in re.sub(r"redis\.call\('\w+'", "", code_of(name)), "a command that is not constant"


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_the_broker_passes_as_many_keys_and_arguments_as_the_header_names(
    loaded: None, url: str, redis: Redis, move: Any
) -> None:
    put(redis, QUEUE, move.before)
    put(redis, DEAD, move.before_dead)
    connection = WiretappedConnection(url)

    move.call(Broker(connection))

    connection.drop()
    script = scripts.load(move.script)
    (digest, key_count, argument_count), *more = connection.calls
    assert (digest, more) == (script.digest, [])
    if any(".." in line for line in script.header if line.startswith("KEYS")):
        assert key_count >= script.key_count
    else:
        assert key_count == script.key_count
    named = numbers(move.script, "ARGV")
    if any(".." in line for line in script.header if line.startswith("ARGV")):
        assert len(named) - 1 <= argument_count <= 3 + 2 * BATCH_LIMIT
    else:
        assert argument_count == len(named)


def test_all_keys_of_a_call_share_one_hash_tag(broker: Broker) -> None:
    for queue in (QUEUE, DEAD):
        k = broker.keys(queue)
        names = [value for value in vars(k).values() if isinstance(value, str) and value.startswith("bizzmq:")]
        assert {re.findall(r"\{(.*?)\}", name)[0] for name in [*names, k.processing("w"), k.publisher("n")]} == {QUEUE}
