"""What an import may leave open, and whether workers are still forked: `bizzmq-worker --check-preload`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import preload
from bizzmq.errors import ConfigurationError
from tests.pool.command import WORKER, refused
from tests.preload.conftest import check, port_of
from tests.preload.modules import HARMLESS, OFF, SAFE

Write = Callable[[str], Path]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux shows the open objects of a process"
)
FORKED = "Workers are forked from the process that has imported it."
EACH = "Each worker imports it by itself: "


def squeezed(text: str) -> str:
    """Replace more than two spaces by two."""
    return re.sub(r" {2,}", "  ", text)


@pytest.mark.usually(6)
@pytest.mark.parametrize("what", OFF)
def test_objects_that_do_not_survive_a_fork_are_found_and_named(write: Write, url: str, what: str) -> None:
    code, named = OFF[what]
    folder = write(code)
    for name, path in (("DATA", "data.txt"), ("ARCHIVE", "archive.zip"), ("OUT", "out.txt")):
        named = named.replace(name, str(folder / path))

    found = check(folder)

    assert found.code == 1, found
    assert f"preload off  {named.replace('PORT', str(port_of(url)))}" in squeezed(found.out), found
    assert EACH in found.out
    assert "bizzmq.preload.safe(thing)" in found.out


def test_the_import_runs_as_in_a_pool_and_leaves_nothing(write: Write, tmp_path: Path) -> None:
    folder = write(
        "import logging, os, tempfile\n"
        "assert os.environ['OMP_NUM_THREADS'], 'threads of libraries are shared out'\n"
        "assert logging.getLogger().handlers, 'the log is set up'\n"
        f"KEPT = tempfile.TemporaryDirectory(dir={str(tmp_path)!r}, prefix='kept')\n"
    )

    found = check(folder)

    assert found.code == 0, found
    assert not list(tmp_path.glob("kept*"))


@pytest.mark.usually(4)
@pytest.mark.parametrize("what", HARMLESS)
def test_objects_that_survive_a_fork_do_not_prevent_preloading(write: Write, what: str) -> None:
    found = check(write(HARMLESS[what]))

    assert (found.code, "preload off" in found.out) == (0, False), found
    assert FORKED in found.out


@pytest.mark.usually(3)
@pytest.mark.parametrize("what", SAFE)
def test_the_users_declaration_overrides_a_finding(write: Write, url: str, what: str) -> None:
    found = check(write(SAFE[what].replace("PORT'", f"{port_of(url)}'")))

    assert (found.code, "preload off" in found.out) == (0, False), found
    assert "declared safe" in found.out


def test_only_declared_objects_are_safe(write: Write) -> None:
    found = check(write("data, other = safe(open(DATA)), open(ARCHIVE)\n"))

    assert found.code == 1
    assert found.out.count("preload off") == 1
    assert "archive.zip" in found.out.partition("preload off")[2].partition("\n")[0]


def test_a_declared_and_closed_descriptor_does_not_cover_the_next_one(write: Write) -> None:
    found = check(write("first = safe(open(DATA))\nnumber = first.fileno()\nfirst.close()\nnext = open(ARCHIVE)\n"
                        "assert next.fileno() == number\n"))  # fmt: skip

    assert found.code == 1, found


@pytest.mark.parametrize("thing", [None, 1.5, object(), -1, 10**6, b"x", True, len])
def test_an_object_without_resources_cannot_be_declared(thing: object) -> None:
    with pytest.raises(ConfigurationError, match=r"bizzmq.preload.safe does not accept a \w+: pass"):
        preload.safe(thing)


def test_the_line_that_opened_it_is_named(write: Write) -> None:
    folder = write("import other\n\ndef connect():\n    return open(DATA)\n\nx = 1\ndata = connect()\n")
    (folder / "other.py").write_text(
        "import threading\nimport time\n\n"
        "threading.Thread(\n    target=time.sleep, args=(60,), name='poller', daemon=True\n).start()\n"
    )

    out = squeezed(check(folder).out)

    assert re.search(r"file  \S+data.txt, at byte 0  \(\S*users_module.py:6\)", out), out
    assert re.search(r"thread  poller  \(\S*other.py:[46]\)", out), out


@pytest.mark.usually(1)
@pytest.mark.parametrize(
    ("code", "line"),
    [("import nowhere\n", "importing 'users_module' failed: ModuleNotFoundError: No module named 'nowhere'"),
     ("del handler\n", "importing 'users_module' failed: NameError"),
     ("1/0\n", "importing 'users_module' failed: ZeroDivisionError")],
)  # fmt: skip
def test_a_failed_import_is_reported_as_by_a_pool(write: Write, code: str, line: str) -> None:
    found = check(write(code))

    assert (found.code, found.out) == (3, "")
    assert line in found.err.splitlines()[-1]


def test_a_missing_handler_is_one_line() -> None:
    assert "there is no module 'nowhere' here" in refused(WORKER, "--check-preload", "nowhere:handler", code=3)


def test_a_check_needs_a_handler() -> None:
    assert "Missing argument 'MODULE:CALLABLE'" in refused(WORKER, "--check-preload")
