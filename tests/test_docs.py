"""Each block of code in the documents is run as a reader would, or says beside it why it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT

DOCUMENTS = ["README.md", "SECURITY.md", "examples/README.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]  # fmt: skip
BLOCK = re.compile(
    r"^(?P<before>[^\n]*)\n```(?P<kind>sh|bash|python|Python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
REASON = re.compile(r"<!-- (not run: \S.*|setup: (demo|tests)) -->")
COMMANDS = Path(sys.executable).parent
TIMEOUT_S = 100.0


class Block(NamedTuple):
    document: str
    kind: str
    code: str
    reason: str


def blocks(document: str) -> Iterator[Block]:
    for found in BLOCK.finditer((ROOT / document).read_text(encoding="utf-8")):
        reason = REASON.fullmatch(found["before"])
        yield Block(document, found["kind"].lower(), found["code"], reason[0] if reason else "")


README = [block for block in blocks("README.md") if not block.reason]
RUN_ELSEWHERE = {"docs/testing.md": "tests/examples/test_testing_docs.py", "examples/README.md": "tests/examples"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_block_is_run_or_says_why_not(document: str) -> None:
    if document in RUN_ELSEWHERE:
        assert (ROOT / RUN_ELSEWHERE[document]).exists()
        return
    unmarked = [block.code for block in blocks(document) if not block.reason]
    assert unmarked == ([block.code for block in README] if document == "README.md" else [])


def test_no_document_and_no_error_installs_what_is_not_this() -> None:
    """The name on the package index is not ours: everything is installed from a checkout, or by another name."""
    wanted = re.compile(r"""pip install [^\n`]*?(?<![./\w-])['"]?bizzmq\b""")
    files = [*map(ROOT.joinpath, DOCUMENTS), *(ROOT / "bizzmq").rglob("*.py"), *(ROOT / "workers").glob("*.py")]

    assert [str(path) for path in files if wanted.search(path.read_text(encoding="utf-8"))] == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory with the file that the README writes down."""
    (tmp_path / "tasks.py").write_text(README[0].code, encoding="utf-8")
    return tmp_path


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not re.match("BIZZMQ_|REDIS_URL", name)}
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PATH": path, "XDG_STATE_HOME": str(home / "state"), "XDG_RUNTIME_DIR": str(home)}


def shell(code: str, home: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-e", "-c", code], cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def test_the_readme_has_the_blocks_that_are_run_here() -> None:
    assert [block.kind for block in README] == ["python", "sh", "sh", "python"]


@pytest.mark.usually(1)
@pytest.mark.parametrize("work_first", [True, False], ids=["work first", "pool first"])
def test_two_minutes(home: Path, environment: dict[str, str], work_first: bool) -> None:
    """In either order of the two terminals, the second one at once."""
    _, pool_line, work, _ = README
    if work_first:
        shell(work.code, home, environment)
    with (home / "pool.log").open("wb") as log:
        pool = subprocess.Popen(
            ["sh", "-c", f"exec {pool_line.code.strip()}"], cwd=home, env=environment, stdout=log, stderr=log
        )
        try:
            shown = "" if work_first else shell(work.code, home, environment)
            assert work_first or "published" in shown
            eventually(lambda: (home / "pool.log").read_text().count("\n10000: ") > 0, 60.0, "the last number")
        finally:
            pool.terminate()
            code = pool.wait(40)
    assert code == 0


def test_the_python_example_ends_in_order(home: Path, environment: dict[str, str], url: str) -> None:
    (home / "example.py").write_text(README[3].code, encoding="utf-8")

    shown = shell("python example.py", home, {**environment, "BIZZMQ_REDIS_URL": url})

    assert "QueueStats(waiting=4, delayed=1" in shown
    assert "not confirmed by" in shown
    assert "Traceback" not in shown
    with BizzMQ(url) as mq:
        assert mq.stats("email").published == 6
