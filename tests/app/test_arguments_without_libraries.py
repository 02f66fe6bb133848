"""Without msgspec and pydantic: JSON's types work, other annotations are refused in a line that names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

WITHOUT = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"
"""None makes each import of this name an ImportError."""
PROGRAM = """
import datetime
from typing import Dict, List, Optional, Tuple
from bizzmq.app.arguments import Arguments
from bizzmq.errors import ConfigurationError

def plain(a: str, b: List[int], c: Optional[float] = None, *rest: Dict[str, bool], **more) -> List[str]: ...

arguments = Arguments(plain, "plain", takes_context=False)
body = arguments.encode(("x", [1], 2), {"d": None})
assert body == {"a": "x", "b": [1], "c": 2.0, "more": {"d": None}}, body
assert arguments.decode(body) == (["x", [1], 2.0], {"d": None})
assert arguments.encode_result(["a"]) == ["a"]

def typed(when: {annotation}): ...

try:
    Arguments(typed, "typed", takes_context=False)
except ConfigurationError as error:
    print(error)
print(sorted({"msgspec", "pydantic"}.intersection(name for name in sys.modules if sys.modules[name])))
"""


def output(names: tuple[str, ...], annotation: str) -> list[str]:
    code = WITHOUT.format(names=names) + PROGRAM.replace("{annotation}", annotation)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("annotation", ["datetime.date", "Optional[Tuple[int, int]]", "Dict[int, str]", "bytes"])
def test_an_annotation_that_needs_msgspec_is_refused_without_it(annotation: str) -> None:
    error, imported = output(("msgspec", "pydantic"), annotation)

    assert error.startswith("task 'typed': the annotation of 'when' cannot be used: ")
    assert "needs msgspec; install the extra `typed`" in error
    assert imported == "[]"


def test_pydantic_is_imported_only_if_an_annotation_needs_it() -> None:
    pytest.importorskip("msgspec")

    assert output((), "datetime.date") == ["['msgspec']"]


def test_a_constraint_of_pydantic_needs_pydantic() -> None:
    pytest.importorskip("annotated_types")
    annotation = "__import__('typing_extensions').Annotated[int, __import__('annotated_types').Gt(3)]"

    error, _ = output(("pydantic",), annotation)

    assert "int needs pydantic; install the extra `typed`" in error
