"""A handler named as MODULE:CALLABLE: what works, and the one-line error for everything else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

import pytest

from bizzmq import ConfigurationError
from bizzmq.consumer.handlers.loader import HandlerImportError, load, split_spec

SOURCES = {
    "good.py": "def handler(body): pass\nvalue = 3\n"
    "class Holder:\n    def __init__(self, body): pass\n    @staticmethod\n    def method(body): pass\n"
    "class Caller:\n    def __call__(self, body): pass\ncaller, uncalled = Caller(), Caller\n"
    "def none(): pass\ndef three(body, context, more): pass\ndef named(body, *, name): pass\n"
    "def lazy(body): yield\nasync def lazy_async(body): yield\n",
    "raising.py": "raise ValueError('while importing')\n",
    "leaving.py": "import sys\nsys.exit(0)\n",
    "needing.py": "import no_such_dependency\n",
    "broken.py": "def handler(:\n",
    "package/__init__.py": "",
    "package/inner.py": "def handler(body): pass\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with some modules."""
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {Path(source).parts[0].replace(".py", "") for source in SOURCES}:
            del sys.modules[name]


@pytest.mark.parametrize("spec", ["good:handler", "good:Holder.method", "good:caller", "package.inner:handler"])
def test_a_callable_of_the_current_directory_is_found(spec: str) -> None:
    assert callable(load(spec))


@pytest.mark.parametrize("spec", ["", "good:", ":handler", "a-b:c", "a:b:c", "good:x y", "../good:handler"])
def test_an_invalid_handler_name_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="MODULE:CALLABLE"):
        split_spec(spec)


@pytest.mark.parametrize(
    ("spec", "reported"),
    [
        ("good", "module 'good' has no App"),
        ("good.handler", "a handler of a module is written as good:handler"),
        ("missing:handler", "no module 'missing'"),
        ("package.missing:handler", "no module 'package.missing'"),
        ("missing.inner:handler", "no module 'missing'"),
        ("good:missing", "no 'missing'"),
        ("good:Holder.missing", "no 'Holder.missing'"),
        ("good:value", "must be callable, not int"),
        ("good:none", "the handler good:none cannot take a message"),
        ("good:three", "missing a required argument: 'more'"),
        ("good:named", "missing a required"),
        ("good:uncalled", "cannot take a message"),
        ("good:Holder", "good:Holder cannot take a message: it is a class"),
        ("good:lazy", "it is a generator function"),
        ("good:lazy_async", "it is an async generator function"),
    ],
)
def test_a_missing_or_unsuitable_callable_is_reported_in_one_line(spec: str, reported: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(spec)

    assert reported in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "cause"),
    [("raising", ValueError), ("leaving", SystemExit), ("needing", ModuleNotFoundError), ("broken", SyntaxError)],
)
def test_a_module_that_raises_keeps_its_own_traceback(name: str, cause: type[BaseException]) -> None:
    with pytest.raises(HandlerImportError, match=name) as failed:
        load(f"{name}:handler")

    assert isinstance(failed.value.__cause__, cause)
