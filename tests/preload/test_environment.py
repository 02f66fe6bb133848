"""The environment of a pool: switched directories, closed terminals, disabled loggers."""

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
from bizzmq.consumer.handlers.loader import load
from bizzmq.testing.wait import eventually
from bizzmq.workers.process import cgroups
from bizzmq.workers.process.library_threads import VARIABLES
from tests.faults.scene import PATIENCE_S
from tests.pool.command import WORKER, refused, run
from tests.preload.test_pools import Home, home
from tests.support.paths import ROOT

__all__ = ["home"]

UMASK = os.umask(0)
os.umask(UMASK)
SHOW = f"import os\ndef handler(body):\n    say(*(os.environ.get(name, '-') for name in {VARIABLES!r}))\n"


@pytest.mark.usually(3, every=2)
@pytest.mark.parametrize("preload", ["auto", "off"])
@pytest.mark.parametrize(
    ("args", "count"),
    [([], max(1, cgroups.usable_processors() // 2)), (["--library-threads=3"], 3), (["--library-threads=off"], 0)],
)
def test_processors_are_divided_among_the_threads_of_libraries(
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


@pytest.mark.parametrize(
    "wrong", ["0", "-1", "1.5", "all", "", "1e3", "1000000", "9" * 5000], ids=lambda wrong: wrong[:9]
)
def test_a_wrong_number_of_library_threads_is_refused(wrong: str) -> None:
    assert "--library-threads" in refused(WORKER, "tests.handlers:noop", f"--library-threads={wrong}")


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_a_switched_link_is_followed_at_a_reload(home: Home, preload: str) -> None:
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


def test_a_removed_working_directory_is_one_line(tmp_path: Path, url: str) -> None:
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


PROGRAM = """
import asyncio, ctypes, logging, signal, threading, time
from bizzmq import ConfigurationError
from bizzmq.workers import Supervisor, WorkerConfig

def handler(body):
    say("ran")

def pool():
    return Supervisor(WorkerConfig(handler=handler, redis_url=URL, queues=("q",), burst=True, concurrency=1))

def refused(run):
    try:
        run()
    except ConfigurationError as error:
        say(error)

if __name__ == "__main__":
    logging.basicConfig()
"""


@pytest.mark.parametrize(
    ("start", "named"),
    [
        ("threading.Thread(target=time.sleep, args=(5,), name='poller', daemon=True).start()", "thread: poller"),
        ("ctypes.CDLL(None).pthread_create(ctypes.byref(ctypes.c_ulong()), None, ctypes.CDLL(None).pause, None)",
         "native thread: 1 of "),
    ],
)  # fmt: skip
def test_a_program_with_threads_is_warned(home: Home, start: str, named: str) -> None:
    home.write(f"URL = {home.url!r}{PROGRAM}    {start}\n    pool().run()\n")
    ended = run("app", PYTHONPATH=f"{home.folder}{os.pathsep}{ROOT}")

    assert ended.code == 0, ended
    assert "workers are forked beside threads of this program" in ended.err
    assert named in ended.err


def test_a_program_may_run_one_pool_after_another_in_its_main_thread(home: Home) -> None:
    """Also within an event loop; its own signal handlers are restored afterwards."""
    home.write(
        f"URL = {home.url!r}{PROGRAM}"
        "    signal.signal(signal.SIGTERM, lambda *_: say('its own'))\n"
        "    other = threading.Thread(target=lambda: refused(pool().run), name='other')\n"
        "    other.start()\n    other.join()\n"
        "    first = pool()\n    first.run()\n    refused(first.run)\n"
        "    async def main():\n        pool().run()\n        await asyncio.sleep(0)\n"
        "    asyncio.run(main())\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
    )
    home.mq.publish_message_to_queue("q", 1)
    ended = run("app", PYTHONPATH=f"{home.folder}{os.pathsep}{ROOT}")

    assert (ended.code, "Traceback" in ended.err) == (0, False), ended
    in_thread, ran, again, signalled = home.lines()
    assert in_thread.startswith("a pool runs in the main thread of its process, not in other")
    assert (ran, signalled) == ("ran", "its own")
    assert again.startswith("a Supervisor runs once")


def test_loggers_that_a_module_has_disabled_are_enabled_again(home: Home) -> None:
    home.write(
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': ['h']},\n"
        "    'handlers': {'h': {'class': 'logging.StreamHandler'}}})\n"
        "def handler(body):\n    raise ValueError('no')\n"
    )
    pool = home.pool(concurrency=1)
    home.mq.publish_message_to_queue("q", 1)

    eventually(lambda: "message failed" in pool.log(), PATIENCE_S, pool.log)


def test_lines_that_a_handler_prints_are_written_at_once(home: Home) -> None:
    home.write(
        "import time\ndef handler(body):\n    print('printed by a handler')\n    say('ran')\n    time.sleep(600)\n"
    )
    pool = home.pool(concurrency=1)
    home.mq.publish_message_to_queue("q", 1)

    eventually(lambda: "printed by a handler" in pool.log(), PATIENCE_S, pool.log)


def test_a_logging_handler_that_raises_ends_no_worker(home: Home) -> None:
    home.write(
        "import logging\n"
        "class Broken(logging.Handler):\n    def emit(self, record):\n        raise RuntimeError('no collector')\n"
        "logging.basicConfig(handlers=[Broken()], force=True)\n"
        "def handler(body):\n    raise ValueError('no')\n"
    )
    home.mq.publish_messages_to_queue("q", [1, 2])

    pool = home.pool("--burst", concurrency=1, ready=False)

    assert pool.wait(PATIENCE_S) == 0
    assert home.mq.stats("q").dead_lettered_total == 2
    assert pool.log().count('logging_failed="RuntimeError: no collector"') == 2
    assert "worker died" not in pool.log()


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("code", "seen"),
    [("repr(input())", "EOFError"), ("open('/dev/tty').read(1)", "OSError"),
     ("subprocess.run(['cat'], stdout=subprocess.PIPE).returncode", "0"), ("getpass.getpass()", "Error")],
)  # fmt: skip
def test_a_handler_that_reads_the_terminal_is_not_stopped_forever(home: Home, code: str, seen: str) -> None:
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
"""Makes a terminal its stdin and the controlling terminal of its session."""


@pytest.mark.parametrize("nohup", [False, True])
def test_a_closed_terminal_drains_the_pool_unless_started_with_nohup(home: Home, nohup: bool) -> None:
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
    os.close(own)  # the terminal hangs up and the kernel sends SIGHUP

    if nohup:
        eventually(lambda: "the terminal has gone, the pool goes on" in pool.log(), PATIENCE_S, pool.log)
        home.handles_reloads_and_drains(pool)
    assert pool.wait(PATIENCE_S) == 0
    assert ("draining" in pool.log()) is True


def test_a_reload_signal_reloads_on_a_terminal_too(home: Home) -> None:
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


def test_an_error_names_the_module_that_shadows_the_requested_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mailbox.py").write_text("def handler(body):\n    pass\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as raised:
        load("mailbox:handler")

    own = tmp_path / "mailbox.py"
    assert str(raised.value) == (
        f"module 'mailbox' has no 'handler': it is {mailbox.__file__}, and not {own}, which needs another name"
    )


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_the_directory_and_umask_of_a_failed_message_do_not_affect_the_next(home: Home, preload: str) -> None:
    (home.folder / "work" / "inner").mkdir(parents=True)
    home.write(
        "import os\n"
        "os.chdir('work')\n"
        "def handler(body):\n"
        "    os.chdir('inner')\n"
        "    old = os.umask(0)\n"
        "    if body == 'bad':\n        raise ValueError\n"
        "    os.chdir('..')\n"
        "    os.umask(old)\n"
        "    say(body, oct(old))\n"
    )
    home.mq.publish_messages_to_queue("q", ["bad", "good", "bad", "good"])
    pool = home.pool("--burst", f"--preload={preload}", concurrency=1, ready=False)

    assert pool.wait(PATIENCE_S) == 0

    assert home.lines() == [f"good {oct(UMASK)}"] * 2, pool.log()


def test_a_limit_that_replaces_a_worker_is_logged(home: Home) -> None:
    home.write("import time\ndef handler(body):\n    time.sleep(600 * body)\n    say('ok')\n")
    pool = home.pool("--timeout=0.3", concurrency=1)
    home.mq.publish_messages_to_queue("q", [1, 0])

    home.handled(1)

    assert "a limit or a cancel has struck in a worker, another takes its place slot=0" in pool.log()


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_a_signal_handler_installed_by_the_module_is_active_in_each_worker(home: Home, preload: str) -> None:
    home.write(
        "import os, signal\nsignal.signal(signal.SIGUSR2, lambda *_: say('USR2'))\n"
        "signal.signal(signal.SIGTERM, lambda *_: say('TERM'))\n"
        "def handler(body):\n    os.kill(os.getpid(), signal.SIGUSR2)\n"
    )
    pool = home.pool(f"--preload={preload}")
    home.mq.publish_message_to_queue("q", 1)
    home.handled(1)
    if preload == "auto":
        os.kill(pool.template_pid(), signal.SIGTERM)

    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
    assert home.lines() == ["USR2"], pool.log()


def test_a_module_that_ignores_sigchld_can_still_be_forked(home: Home) -> None:
    home.write("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\ndef handler(body):\n    say('ok')\n")
    pool = home.pool()
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert pool.template_pid()
    assert "ERROR" not in pool.log()


def test_a_pool_started_with_blocked_signals_can_be_stopped(home: Home) -> None:
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
