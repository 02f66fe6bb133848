"""Output of handlers: it is written at once, survives a crash, and fails no message."""

from __future__ import annotations

import os
import signal
from typing import Iterator

import pytest

from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

TO_FILE = ["sh", "-c", 'exec "$@" >printed', "sh"]
CRASHES = ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)", "ctypes.string_at(0)"]
STREAMS = {
    "as it is": "",
    "another wrapper": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\n",
    "another stream on the descriptor": "sys.stdout = open(os.dup(1), 'w', encoding='utf-8')\n",
}


@pytest.fixture
def standing_pipe() -> Iterator[int]:
    """The write end of a full pipe whose reader does not read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(writing)
    os.close(reading)


def printed(home: Home) -> list[str]:
    return (home.folder / "printed").read_text().splitlines()


@pytest.mark.usually(2)
@pytest.mark.parametrize(("stream", "preload"), [*zip(STREAMS, ["auto", "off", "auto"])])
def test_printed_output_is_written_at_once_and_survives_a_crash(home: Home, stream: str, preload: str) -> None:
    home.write(
        f"import ctypes, io, os, signal, sys, time\n{STREAMS[stream]}"
        "def handler(code):\n    exec(code)\n"
    )  # fmt: skip
    home.pool(f"--preload={preload}", "--max-crashes=1", via=TO_FILE, concurrency=1)
    bodies = [f"print({index}, 'before a crash'); {crash}" for index, crash in enumerate(CRASHES)]
    bodies += ["print('no end of line', end='')", "print('.')"]
    bodies += ["ctypes.CDLL(None).printf(b'from C\\n')", "print('at once'); time.sleep(600)"]
    home.mq.publish_messages_to_queue("q", bodies)

    wanted = ["0 before a crash", "1 before a crash", "2 before a crash", "no end of line.", "from C", "at once"]
    eventually(lambda: printed(home) == wanted, PATIENCE_S, lambda: str(printed(home)))


def test_lines_of_several_workers_stay_whole_in_a_pipe_and_each_character_is_shown(home: Home) -> None:
    home.write(
        "import os, sys\n"
        "def handler(body):\n"
        "    for number in range(300):\n"
        "        print(*[str(body) * 500] * 3, sep='-')\n"
        "    sys.stdout.buffer.write(b'bytes\\n')\n"
        "    print('\\u65e5')\n"
    )
    piped = ["sh", "-c", '"$@" | cat >printed', "sh"]
    home.mq.publish_messages_to_queue("q", [1, 2, 3, 4])
    pool = home.pool("--burst", via=piped, env={"PYTHONIOENCODING": "latin-1", "PYTHONUNBUFFERED": "1"}, ready=False)
    assert pool.wait(PATIENCE_S) == 0

    lines = printed(home)
    assert sorted(set(lines)) == ["-".join([str(body) * 500] * 3) for body in (1, 2, 3, 4)] + ["\\u65e5", "bytes"]
    assert len(lines) == 4 * 302


@pytest.mark.usually(1)
@pytest.mark.parametrize("to", ["a full disk", "a pipe whose reader has gone"])
def test_a_message_does_not_fail_because_its_output_has_no_reader(home: Home, to: str) -> None:
    """Nor if the module has restored the default of SIGPIPE, which ends a program."""
    home.write(
        "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "def handler(body):\n    print(body)\n    say('ran')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    where = ">/dev/full" if to == "a full disk" else ""
    with os.fdopen(writing, "wb", buffering=0) as broken:
        home.pool(via=["sh", "-c", f'exec "$@" {where} 2>errors', "sh"], output=broken, concurrency=1, ready=False)
    home.mq.publish_messages_to_queue("q", range(20))

    home.handled(20)

    assert home.lines() == ["ran"] * 20
    reported = (home.folder / "errors").read_text()
    assert reported.count("what handlers print cannot be written, and is dropped stream=<stdout>") == 1


def test_a_stopped_reader_does_not_delay_a_drain(home: Home, standing_pipe: int) -> None:
    home.write("def handler(body):\n    say('prints')\n    print(body)\n")
    with os.fdopen(os.dup(standing_pipe), "wb", buffering=0) as output:
        pool = home.pool(
            "--drain-timeout=1", via=["sh", "-c", 'exec "$@" 2>errors', "sh"], output=output, concurrency=1, ready=False
        )
    home.mq.publish_messages_to_queue("q", range(5))
    eventually(lambda: home.lines() == ["prints"], PATIENCE_S)

    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
    assert home.mq.stats("q").waiting == 5
