"""Where a pool lives: directories that are flipped, terminals that go, loggers that are disabled."""

from __future__ import annotations

import mailbox
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bizzmq import ConfigurationError
from bizzmq.handler import load
from bizzmq.testing.wait import eventually
from bizzmq.workers import processors
from bizzmq.workers.library_threads import VARIABLES
from tests.faults.scene import PATIENCE_S
from tests.pool.command import WORKER, refused, run
from tests.preload.test_pools import Home, home
from tests.support.paths import ROOT

__all__ = ["home"]

SHOW = f"import os\ndef handler(body):\n    say(*(os.environ.get(name, '-') for name in {VARIABLES!r}))\n"


@pytest.mark.parametrize("preload", ["auto", "off"])
@pytest.mark.parametrize(
    ("args", "count"),
    [([], max(1, processors.available() // 2)), (["--library-threads=3"], 3), (["--library-threads=off"], 0)],
)
def test_the_processors_are_shared_out_among_the_threads_of_libraries(
    home: Home, preload: str, args: list[str], count: int
) -> None:
    home.write(SHOW)
    pool = home.pool(*args, f"--preload={preload}", env={"OMP_NUM_THREADS": "7"})
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert home.lines() == [" ".join(["7", *[str(count) if count else "-"] * (len(VARIABLES) - 1)])]
    line = f"threads of numerical libraries are shared out each={count} workers=2"
    assert (line in pool.log()) == bool(count)
    assert ("kept=OMP_NUM_THREADS" in pool.log()) == bool(count)


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "all", "", "1e3"])
def test_a_wrong_number_of_library_threads_is_refused(wrong: str) -> None:
    assert "--library-threads" in refused(WORKER, "tests.handlers:noop", f"--library-threads={wrong}")


@pytest.mark.parametrize("preload", ["auto", "off"])
def test_a_link_that_was_flipped_is_followed_at_a_reload(home: Home, preload: str) -> None:
    releases = [home.folder / "1", home.folder / "2"]
    for number, release in enumerate(releases, 1):
        release.mkdir()
        home.folder, kept = release, home.folder
        home.write(f"def handler(body):\n    say('release', {number})\n")
        home.folder = kept
    current = home.folder / "current"
    current.symlink_to(releases[0])
    whole, home.folder = home.folder, current
    pool = home.pool(f"--preload={preload}", env={"PWD": str(current)})
    home.mq.publish_message_to_queue("q", 1)
    home.handled(1)

    current.unlink()
    current.symlink_to(releases[1])
    shutil.rmtree(releases[0])
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    home.mq.publish_message_to_queue("q", 2)
    home.handled(2)

    assert home.lines() == ["release 1", "release 2"]
    current.unlink()
    pool.signal(signal.SIGHUP)
    eventually(lambda: "cannot be entered any more" in pool.log(), PATIENCE_S, pool.log)
    home.mq.publish_message_to_queue("q", 3)
    home.handled(3)
    assert home.lines()[-1] == "release 2"
    assert whole.is_dir()


def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path, url: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = (
        f"cd {gone} && rmdir {gone} && exec {sys.executable} -m bizzmq.workers tests.handlers:noop --redis-url {url}"
    )
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip

    assert ended.returncode == 2, ended
    assert "the working directory is gone" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_module_that_starts_a_pool_is_one_line(home: Home) -> None:
    home.write(
        "from bizzmq.workers import Supervisor, WorkerConfig\n"
        "def handler(body):\n    pass\n"
        f"Supervisor(WorkerConfig(handler='app:handler', redis_url={home.url!r})).run()\n"
    )
    for preload in ("auto", "off"):
        ended = run(WORKER, "app:handler", f"--preload={preload}", "--log-level=error", "-c1",
                    PYTHONPATH=f"{home.folder}{os.pathsep}{ROOT}", BIZZMQ_REDIS_URL=home.url)  # fmt: skip

        assert ended.code == 2, ended
        assert 'put that under `if __name__ == "__main__":`' in ended.err.splitlines()[-1]
        assert "Traceback" not in ended.err


def test_a_program_with_threads_is_warned(home: Home) -> None:
    home.write(
        "import threading, time\n"
        "from bizzmq.workers import Supervisor, WorkerConfig\n"
        "def handler(body):\n    pass\n"
        "if __name__ == '__main__':\n"
        "    import logging\n    logging.basicConfig()\n"
        "    threading.Thread(target=time.sleep, args=(5,), name='poller', daemon=True).start()\n"
        f"    Supervisor(WorkerConfig(handler=handler, redis_url={home.url!r}, burst=True, concurrency=1)).run()\n"
    )
    ended = run("app", PYTHONPATH=f"{home.folder}{os.pathsep}{ROOT}")

    assert ended.code == 0, ended
    assert "workers are forked beside threads of this program" in ended.err


def test_loggers_that_a_module_has_disabled_are_heard_again(home: Home) -> None:
    home.write(
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': ['h']},\n"
        "    'handlers': {'h': {'class': 'logging.StreamHandler'}}})\n"
        "def handler(body):\n    raise ValueError('no')\n"
    )
    pool = home.pool(concurrency=1)
    home.mq.publish_message_to_queue("q", 1)

    eventually(lambda: "message failed" in pool.log(), PATIENCE_S, pool.log)


def test_lines_that_a_handler_prints_come_out_at_once(home: Home) -> None:
    home.write(
        "import time\ndef handler(body):\n    print('printed by a handler')\n    say('ran')\n    time.sleep(600)\n"
    )
    pool = home.pool(concurrency=1, env={"PYTHONUNBUFFERED": ""})
    home.mq.publish_message_to_queue("q", 1)

    eventually(lambda: "printed by a handler" in pool.log(), PATIENCE_S, pool.log)


@pytest.mark.parametrize(
    ("code", "seen"),
    [("repr(input())", "EOFError"), ("open('/dev/tty').read(1)", "OSError"),
     ("subprocess.run(['cat'], stdout=subprocess.PIPE).returncode", "0"), ("getpass.getpass()", "Error")],
)  # fmt: skip
def test_a_handler_that_reads_the_terminal_is_not_stopped_for_ever(home: Home, code: str, seen: str) -> None:
    home.write(
        f"import getpass, subprocess\n"
        f"def handler(body):\n    try:\n        say({code})\n"
        "    except BaseException as error:\n        say(type(error).__name__)\n"
    )
    own, other = pty.openpty()
    pool = home.pool(concurrency=1, via=[sys.executable, "-c", CONTROLLED, os.ttyname(other)])
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert any(seen in line for line in home.lines()), home.lines()
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    os.close(other)
    os.close(own)


CONTROLLED = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
terminal = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.dup2(terminal, 0)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Makes a terminal the controlling one of the session that it leads, and its stdin."""


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_goes_is_a_drain_unless_nohup_has_started_the_pool(home: Home, nohup: bool) -> None:
    home.write("def handler(body):\n    pass\n")
    own, other = pty.openpty()
    ignoring = [
        sys.executable,
        "-c",
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])",
    ]
    via = [sys.executable, "-c", CONTROLLED, os.ttyname(other), *(ignoring if nohup else [])]
    pool = home.pool(concurrency=1, via=via)
    os.close(other)
    os.close(own)  # the terminal hangs up, and the kernel sends SIGHUP

    if nohup:
        eventually(lambda: "the terminal has gone, the pool goes on" in pool.log(), PATIENCE_S, pool.log)
        home.mq.publish_message_to_queue("q", 1)
        home.handled(1)
        pool.signal(signal.SIGHUP)
        eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
        pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    assert ("draining" in pool.log()) is True


def test_a_reload_by_signal_is_a_reload_on_a_terminal_too(home: Home) -> None:
    home.write("def handler(body):\n    pass\n")
    own, other = pty.openpty()
    pool = home.pool(concurrency=1, via=[sys.executable, "-c", CONTROLLED, os.ttyname(other)])
    pool.signal(signal.SIGHUP)

    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    os.close(other)
    os.close(own)


def test_a_file_that_is_named_instead_of_a_module_is_refused_with_the_modules_name() -> None:
    assert "drop the .py, and write the module as app:handler" in refused(WORKER, "app.py:handler")
    assert "write the module as pkg.app:handler" in refused(WORKER, "pkg/app.py:handler")


def test_a_module_that_another_one_hides_says_which_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mailbox.py").write_text("def handler(body):\n    pass\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as raised:
        load("mailbox:handler")

    own = tmp_path / "mailbox.py"
    assert str(raised.value) == (
        f"module 'mailbox' has no 'handler': it is {mailbox.__file__}, and not {own}, which needs another name"
    )


def test_a_module_that_ignores_its_children_is_forked_from_all_the_same(home: Home) -> None:
    home.write("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\ndef handler(body):\n    say('ok')\n")
    pool = home.pool()
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert pool.template_pid()
    assert "ERROR" not in pool.log()


def test_a_pool_whose_starter_has_blocked_signals_can_be_stopped(home: Home) -> None:
    home.write("def handler(body):\n    say('ok')\n")
    blocking = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    pool = home.pool(via=[sys.executable, "-c", blocking])
    home.mq.publish_message_to_queue("q", 1)
    home.handled(1)

    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
