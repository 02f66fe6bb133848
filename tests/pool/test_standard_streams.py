"""Streams that are closed, full, without a reader, or in another encoding: one line and the right exit code."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
from typing import Iterator

import pytest

from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.scene import QUEUE, Scene
from tests.pool.command import NAMES, OPERATOR, WORKER, Finished
from tests.support.forked_command import CLOSED, Forked, bizzmq
from tests.support.paths import ROOT


@pytest.fixture
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def no_reader() -> Iterator[int]:
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture
def gone_terminal() -> Iterator[int]:
    own, other = pty.openpty()
    os.close(own)
    yield other
    os.close(other)


SHOWING = [["stats", QUEUE], ["queues"], ["queues", "--json"], ["dlq", "list", QUEUE], ["audit", QUEUE], ["doctor"],
           ["--help"], ["publish", "--help"], ["--version"]]  # fmt: skip


@pytest.mark.parametrize("command", SHOWING, ids=" ".join)
@pytest.mark.parametrize("what", ["full_disk", "gone_terminal", "closed"])
def test_output_that_cannot_be_written_is_one_line_and_code_1(
    scene: Scene, command: list[str], what: str, full_disk: int, gone_terminal: int
) -> None:
    stdout = {"full_disk": full_disk, "gone_terminal": gone_terminal, "closed": CLOSED}[what]

    ended = bizzmq(*command, stdout=stdout, REDIS_URL=scene.url)

    assert ended.code == 1
    reason = {"full_disk": "No space left on device", "gone_terminal": "Input/output error", "closed": "it is closed"}
    assert ended.err == f"bizzmq: standard output cannot be written: {reason[what]}\n"


DOING = [(["purge", QUEUE, "--yes"], "2 messages deleted"), (["queue", "create", "new"], "new created"),
         (["dlq", "purge", QUEUE, "--yes"], "0 messages deleted"),
         (["dlq", "replay", QUEUE], "0 messages replayed")]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "done"), DOING, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
@pytest.mark.parametrize("what", ["full_disk", "no_reader", "closed"])
def test_a_completed_action_is_reported_when_its_output_cannot_be_written(
    scene: Scene, command: list[str], done: str, what: str, full_disk: int, no_reader: int
) -> None:
    scene.mq.publish_messages_to_queue(QUEUE, [1, 2])
    stdout = {"full_disk": full_disk, "no_reader": no_reader, "closed": CLOSED}[what]

    ended = bizzmq(*command, stdout=stdout, REDIS_URL=scene.url)

    assert ended.code == 1
    assert ended.err.startswith(f"bizzmq: {done}, but standard output cannot be written: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", SHOWING, ids=" ".join)
def test_a_reader_that_stops_early_causes_no_error_message(scene: Scene, command: list[str], no_reader: int) -> None:
    ended = bizzmq(*command, stdout=no_reader, REDIS_URL=scene.url)

    assert (ended.code, ended.err) == (1, "")


@pytest.mark.parametrize("what", ["full_disk", "no_reader", "gone_terminal", "closed"])
def test_a_message_whose_id_cannot_be_written_is_reported_as_published(
    scene: Scene, what: str, full_disk: int, no_reader: int, gone_terminal: int
) -> None:
    broken = {"full_disk": full_disk, "no_reader": no_reader, "gone_terminal": gone_terminal, "closed": CLOSED}

    ended = bizzmq("publish", QUEUE, "1", stdout=broken[what], REDIS_URL=scene.url)

    (message,) = scene.waiting()
    assert ended.code == 1
    assert ended.err.startswith(f"bizzmq: the message is published as {message}, but standard output cannot be written")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("what", ["full_disk", "no_reader", "gone_terminal", "closed"])
def test_an_stderr_that_cannot_be_written_changes_nothing(
    scene: Scene, what: str, full_disk: int, no_reader: int, gone_terminal: int
) -> None:
    broken = {"full_disk": full_disk, "no_reader": no_reader, "gone_terminal": gone_terminal, "closed": CLOSED}
    stderr = broken[what]

    assert bizzmq("publish", QUEUE, "1", stderr=stderr, REDIS_URL=scene.url).out.strip() == scene.waiting()[0]
    assert bizzmq("publish", QUEUE, stdin=b"2\n3\n", stderr=stderr, REDIS_URL=scene.url).code == 0
    assert len(scene.waiting()) == 3
    assert bizzmq("publish", QUEUE, "{", stderr=stderr, REDIS_URL=scene.url).code == 2
    assert bizzmq("stats", "nowhere", stderr=stderr, REDIS_URL=scene.url).code == 1


@pytest.mark.parametrize("streams", [[CLOSED, CLOSED, CLOSED], [CLOSED, 1, CLOSED]])
def test_several_closed_streams_cause_no_failure(scene: Scene, streams: list[int]) -> None:
    with Forked(["queues"], streams, {"REDIS_URL": scene.url}) as forked:
        assert forked.code() == (1 if streams[1] == CLOSED else 0)


@pytest.mark.parametrize(
    ("what", "reported"),
    [
        ("closed", "it is closed"),
        ("write only", "it is closed"),
        ("terminal", "Input/output error"),
    ],
)
def test_an_stdin_that_cannot_be_read_publishes_nothing(
    scene: Scene, what: str, reported: str, full_disk: int, gone_terminal: int
) -> None:
    stdin = {"closed": CLOSED, "write only": full_disk, "terminal": gone_terminal}[what]

    ended = bizzmq("publish", QUEUE, stdin=stdin, REDIS_URL=scene.url)

    if what == "terminal":  # some systems report an error, on others it is the end of the input
        assert ended.code in (0, 2)
    else:
        assert ended.err == f"bizzmq: standard input cannot be read: {reported}; nothing was published\n"
        assert ended.code == 2
    assert scene.waiting() == []


def test_a_non_blocking_stdin_is_waited_for(scene: Scene) -> None:
    own, given = socket.socketpair()
    with own, given, tempfile.TemporaryFile() as reported:
        given.setblocking(False)  # as another process that shares it may have set it
        own.sendall(b"1\n2")
        with Forked(
            ["publish", QUEUE], [given.fileno(), reported.fileno(), reported.fileno()], {"REDIS_URL": scene.url}
        ) as it:
            eventually(lambda: not select.select([given], [], [], 0)[0])
            own.sendall(b"3\n4\n")
            own.shutdown(socket.SHUT_WR)
            assert it.code() == 0
    assert [envelope_of(scene.redis, QUEUE, message).body for message in scene.waiting()] == [1, 23, 4]


@pytest.mark.parametrize(
    ("lines", "bodies"),
    [
        (b"\xef\xbb\xbf1\n2\n", [1, 2]),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbf\n1", [1]),
        (b"1\r\n\r\n2\r\n", [1, 2]),
        (b"\n\n  \n1", [1]),
        (b'"' + b"\\u00e9" * 200_000 + b'"', ["é" * 200_000]),
        (b"1" + b" " * 2_000_000 + b"\n2", [1, 2]),
    ],
    ids=["bom", "only bom", "bom and blank", "crlf", "blank", "escapes above 1 MiB", "white space above 1 MiB"],
)
def test_line_endings_and_byte_order_marks_of_editors_are_read(
    scene: Scene, lines: bytes, bodies: list[object]
) -> None:
    ended = bizzmq("publish", QUEUE, stdin=lines, REDIS_URL=scene.url)

    assert (ended.code, ended.err.splitlines()[-1]) == (0, f"{len(bodies)} messages published")
    assert [envelope_of(scene.redis, QUEUE, message).body for message in scene.waiting()] == bodies


@pytest.mark.parametrize(
    ("lines", "reported"),
    [
        ("1\n".encode("utf-16"), "standard input is UTF-16, it must be UTF-8"),
        ("\ufeff1\n".encode("utf-16-be"), "standard input is UTF-16, it must be UTF-8"),
        ("1\n".encode("utf-32"), "standard input is UTF-32, it must be UTF-8"),
        ("1\n".encode("utf-16-le"), "line 1"),
        (b"1\n\0\n", "line 2"),
        (b'1\n"\0"\n', "line 2"),
        (b"1\n\xef\xbb\xbf2\n", "line 2"),
        (b'"' + b"x" * (1 << 20) + b'"', "line 1"),
        (b"1\n" + b" " * (17 << 20), "line 2 is longer than 16 MiB"),
    ],
    ids=["utf-16", "utf-16-be", "utf-32", "utf-16 without mark", "nul", "nul in text", "bom later", "large", "endless"],
)
def test_an_invalid_json_line_is_named_and_publishes_nothing(scene: Scene, lines: bytes, reported: str) -> None:
    ended = bizzmq("publish", QUEUE, stdin=lines, REDIS_URL=scene.url)

    assert (ended.code, ended.out) == (2, "")
    assert reported in ended.err
    assert "nothing was published" in ended.err
    assert ended.err.count("\n") == 1
    assert scene.waiting() == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_that_lacks_characters_gets_them_escaped(scene: Scene, encoding: str) -> None:
    stop = scene.mq.consume_message_from_queue(QUEUE, _fail_in_japanese)
    scene.publish({}, retries=0)
    _wait_for_a_dead_letter(scene)
    stop()
    shown = "失敗".encode(encoding, "backslashreplace").decode(encoding)

    listed = bizzmq("dlq", "list", QUEUE, encoding=encoding, REDIS_URL=scene.url)
    assert (listed.code, listed.err) == (0, "")
    assert shown in listed.out
    assert shown in bizzmq("dlq", "show", QUEUE, encoding=encoding, REDIS_URL=scene.url).out
    refused = bizzmq("stats", "失敗", encoding=encoding, REDIS_URL=scene.url)
    assert refused.code == 2
    assert shown in refused.err


def _fail_in_japanese(_body: object) -> None:
    raise ValueError("失敗")


def _wait_for_a_dead_letter(scene: Scene) -> None:
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1)


@pytest.mark.parametrize(
    ("module", "arguments", "redirected", "code", "reported"),
    [
        (WORKER, "--help", ">/dev/full", 1, "standard output cannot be written: No space left on device"),
        (OPERATOR, "--help", ">/dev/full", 1, "standard output cannot be written: No space left on device"),
        (OPERATOR, "publish q", "<&-", 2, "standard input cannot be read"),
        (OPERATOR, "--version", ">&-", 1, "standard output cannot be written: it is closed"),
        (OPERATOR, "--version", "| head -c 0", 0, ""),
    ],
)
def test_the_programs_themselves_in_a_shell(
    scene: Scene, module: str, arguments: str, redirected: str, code: int, reported: str
) -> None:
    scene.mq.create_queue("q")
    ended = _in_a_shell(f"{sys.executable} -m {module} {arguments} {redirected}", scene.url)

    assert (ended.code, ended.out) == (code, "")
    if reported:
        assert ended.err.startswith(f"{NAMES[module]}: {reported}")
    assert ended.err.count("\n") == bool(reported)


def _in_a_shell(line: str, url: str) -> Finished:
    ended = subprocess.run(
        ["sh", "-c", line], cwd=str(ROOT), env={**os.environ, "REDIS_URL": url}, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    return Finished(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.mark.parametrize("how", ["the disk is full", "there is none"])
def test_lines_that_cannot_be_buffered_for_their_check_are_one_error_line(scene: Scene, how: str) -> None:
    """Input that does not fit in memory goes into a temporary file."""
    limit = "ulimit -f 1000; " if how == "the disk is full" else "TMPDIR=/proc/nowhere; "
    hide = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']; " if "none" in how else ""
    script = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"{hide}from bizzmq.cli import input_lines; input_lines._IN_MEMORY_BYTES = 100_000; "
        f"sys.argv = ['bizzmq', 'publish', '{QUEUE}']; from bizzmq.cli.main import main; main()"
    )
    lines = b'"' + b"x" * 1000 + b'"\n' + b"1\n" * 1_000_000
    done = subprocess.run(
        ["sh", "-c", f'{limit}exec "$0" -c "$1"', sys.executable, script], input=lines,
        env={**os.environ, "REDIS_URL": scene.url}, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, b""), done
    assert b"cannot be stored in" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert scene.mq.stats(QUEUE).published == 0


@pytest.mark.parametrize("words", [("show", QUEUE), ("replay", QUEUE)])
def test_an_id_that_is_not_text_is_not_a_dead_letter(scene: Scene, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"bizzmq", b"dlq", *[word.encode() for word in words], b"\xff\xfe"],
        env={**os.environ, "REDIS_URL": scene.url}, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
