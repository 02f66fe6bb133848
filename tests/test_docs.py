"""The documents: each block of code is run as a reader would, or says why it is not; each link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple

import pytest
from click import Command

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.cli.helpers import option_of
from bizzmq.cli.publish import publish
from bizzmq.cli.queue.group import create
from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT

DOCUMENTS = ["README.md", "SECURITY.md", "examples/README.md", "deploy/README.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]  # fmt: skip
BLOCK = re.compile(
    r"^(?:`(?P<file>[a-z_]+\.py)`:\n\n|(?P<before>[^\n]*)\n)"
    r"```(?P<kind>sh|bash|python|Python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
REASON = re.compile(r"<!-- (not run: \S.*|setup: (demo|tests)) -->")
FENCED = re.compile(r"^(```|~~~).*?^\1$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w./-]*\w")
COMMANDS = Path(sys.executable).parent
OTHERS_WORDS = ("bizzmq ", "docker ", "sentinel monitor", "Multiple keys request")
"""How quotations begin that no code of ours says: commands, and errors of Redis."""
TIMEOUT_S = 100.0


class Block(NamedTuple):
    document: str
    kind: str
    code: str
    file: str
    reason: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text_of(document)):
        reason = REASON.fullmatch(found["before"] or "")
        yield Block(document, found["kind"].lower(), found["code"], found["file"] or "", reason[0] if reason else "")


README = [block for block in blocks("README.md") if not block.reason]
RUN_ELSEWHERE = {
    "docs/guide/testing.md": "tests/examples/test_testing_docs.py",
    "docs/tutorial.md": "tests/examples/test_tutorial.py",
    "examples/README.md": "tests/examples",
}
RUN_HERE = [name for name in DOCUMENTS if name.startswith("docs/guide/") and name not in RUN_ELSEWHERE]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_block_is_run_or_says_why_not(document: str) -> None:
    if document in RUN_ELSEWHERE:
        assert (ROOT / RUN_ELSEWHERE[document]).exists()
    elif document not in RUN_HERE:
        unmarked = [block.code for block in blocks(document) if not block.reason]
        assert unmarked == ([block.code for block in README] if document == "README.md" else [])


@pytest.mark.parametrize("document", RUN_HERE, ids=lambda name: Path(name).stem[:8])  # sockets want short paths
def test_guide_runs(document: str, url: str, tmp_path: Path) -> None:
    """A block below the name of a file is written to that file; any other one runs in the same directory, in order."""
    environment = {**clean_environment(tmp_path), "BIZZMQ_REDIS_URL": url}
    home = tmp_path / "d"  # beside a program, the folder `bizzmq` of control sockets hides an editable installation
    home.mkdir()
    for block in blocks(document):
        if block.reason:
            continue
        if block.file:
            (home / block.file).write_text(block.code, encoding="utf-8")
        elif block.kind == "python":
            (home / "program.py").write_text(block.code, encoding="utf-8")
            shell("python program.py", home, environment)
        else:
            shell(block.code, home, environment)


@pytest.mark.parametrize(("options", "command"), [(QueueOptions, create), (MessageOptions, publish)])
def test_the_guide_has_each_option_with_its_default_and_its_name_on_the_command_line(
    options: type, command: Command
) -> None:
    table = text_of("docs/guide/queues-and-messages.md").partition(f"<!-- table: {options.__name__} -->")[2]
    rows = re.findall(r"(?m)^\| `(\w+)` \| ([^|]+) \| `([^`]*)`", table.partition("\n\n")[0])

    assert [(name, default) for name, _, default in rows] == [
        (name, repr(value).replace("''", '""')) for name, value in vars(options()).items()
    ]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for name, shown, _ in rows:
        named = set(re.findall(r"--[a-z-]+", shown))
        assert named <= known, name
        assert named or option_of(name) not in known, f"{name} is {option_of(name)}"


# --- links ---------------------------------------------------------------------------------------------------------


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", text_of(document)))
    shown = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in shown}


def links(document: str) -> Iterator[tuple[str, str, str]]:
    """Each relative link: as it is written, the file that it leads to, its anchor."""
    for link in LINK.findall(FENCED.sub("", text_of(document))):
        if not re.match("[a-z]+:", link):
            path, _, anchor = link.partition("#")
            target = (ROOT / document).parent / path if path else ROOT / document
            yield link, os.path.relpath(target, ROOT), anchor


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_each_link_leads_to_a_file_and_its_anchor_to_a_heading(document: str) -> None:
    for link, target, anchor in links(document):
        assert (ROOT / target).exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_page_is_reached_from_the_index() -> None:
    found, todo = set(), ["docs/index.md"]
    while todo:
        page = todo.pop()
        if page not in found:
            found.add(page)
            for _, target, _ in links(page):
                pages = [ROOT / target] if target.endswith(".md") else (ROOT / target).glob("*.md")
                todo += [os.path.relpath(path, ROOT) for path in pages]

    assert {name for name in DOCUMENTS if name.startswith("docs/")} - found == set()


@pytest.mark.parametrize("folder", ["bizzmq", "workers", "tests", "bench", "deploy", "examples", "tools", "Makefile"])
def test_each_document_that_code_names_exists(folder: str) -> None:
    files = [ROOT / folder] if (ROOT / folder).is_file() else [*(ROOT / folder).rglob("*.py")]
    for file in files:
        for name in NAMED.findall(file.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or list(ROOT.glob(f"{name}-*")), f"{file}: {name}"


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if "/decisions/" not in name])
def test_each_module_that_a_page_names_exists(document: str) -> None:
    """Decisions tell of their own time. The guide names files that it writes down itself, without a folder."""
    for name in re.findall(r"`([a-z_/]+\.py)`", text_of(document)):
        if "/" in name:
            folders = (ROOT, ROOT / "bizzmq", ROOT / "workers", ROOT / "tests")
            assert any((folder / name).exists() for folder in folders), name
        elif document.startswith(("docs/internals/", "docs/operations/")):
            assert list(ROOT.glob(f"workers/**/{name}")) or list(ROOT.glob(f"bizzmq/**/{name}")), name


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.startswith("docs/operations/")])
def test_each_sentence_that_a_page_quotes_is_said_by_the_code(document: str) -> None:
    """Sentences of the log and of errors: three words or more. A value in them is written as `...` or in capitals."""
    files = [*(ROOT / "bizzmq").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text(encoding="utf-8") for file in files))
    quoted = re.sub(r"\s+", " ", FENCED.sub("", text_of(document))).split("`")[1::2]

    for words in quoted:
        for part in re.split(r" ?(?:\.\.\.|\b[A-Z:]{4,}\b) ?", words):
            if re.fullmatch("[A-Za-z][a-z]+( [a-z]+)+,?( [a-z]+)+", part) and not part.startswith(OTHERS_WORDS):
                assert part in code, words


def test_no_document_and_no_error_installs_what_is_not_this() -> None:
    """The name on the package index is not ours: everything is installed from a checkout, or by another name."""
    wanted = re.compile(r"""pip install [^\n`]*?(?<![./\w-])['"]?bizzmq\b""")
    files = [*map(ROOT.joinpath, DOCUMENTS), *(ROOT / "bizzmq").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]

    assert [str(path) for path in files if wanted.search(path.read_text(encoding="utf-8"))] == []


# --- the README ----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the file that the README writes down."""
    home = tmp_path / "d"  # see test_guide_runs
    home.mkdir()
    (home / "tasks.py").write_text(README[0].code, encoding="utf-8")
    return home


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        yield {**clean_environment(tmp_path), "XDG_RUNTIME_DIR": short}


def clean_environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not re.match("BIZZMQ_|REDIS_URL", name)}
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PATH": path, "XDG_STATE_HOME": str(home / "state"), "XDG_RUNTIME_DIR": str(home)}


def shell(code: str, home: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-e", "-c", code], cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def test_the_readme_has_the_blocks_that_are_run_here() -> None:
    assert [block.kind for block in README] == ["python", "sh", "sh", "sh", "python"]


@pytest.mark.usually(1)
@pytest.mark.parametrize("work_first", [False, True], ids=["pool first", "work first"])
def test_two_minutes(home: Path, environment: dict[str, str], work_first: bool) -> None:
    """In either order of the two terminals, the second one at once."""
    _, pool_lines, result, work, _ = README
    export, command_line = pool_lines.code.strip().splitlines()
    second_terminal = f"{result.code}{work.code}".replace("timeout_s=30", "timeout_s=300")
    if work_first:
        shell(second_terminal.replace(".result(timeout_s=300)", ".id"), home, environment)
    with (home / "pool.log").open("wb") as log:
        pool = subprocess.Popen(
            ["sh", "-c", f"{export}\nexec {command_line}"], cwd=home, env=environment, stdout=log, stderr=log
        )
        try:
            if not work_first:
                shown = shell(second_terminal, home, environment)
                assert shown.startswith("332833500\n")
                assert "10000 messages published" in shown
            with BizzMQ(server_url(environment)) as mq:
                eventually(lambda: mq.stats("default").acked == 10001, 60.0, (home / "pool.log").read_text)
        finally:
            pool.terminate()
            code = pool.wait(40)
    assert code == 0


def server_url(environment: Mapping[str, str]) -> str:
    """The address of the embedded server that programs with this environment share."""
    (socket,) = Path(environment["XDG_STATE_HOME"]).rglob("*.sock")
    return f"unix://{socket}"


def test_the_python_example_ends_in_order(home: Path, environment: dict[str, str], url: str) -> None:
    (home / "example.py").write_text(README[-1].code, encoding="utf-8")

    shown = shell("python example.py", home, {**environment, "BIZZMQ_REDIS_URL": url})

    assert "QueueStats(waiting=4, delayed=1" in shown
    assert "not confirmed by" in shown
    assert "Traceback" not in shown
    with BizzMQ(url) as mq:
        assert mq.stats("email").published == 6
