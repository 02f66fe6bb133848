"""The parts of docs/ that are written from the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import bizzmq
from bizzmq.workers import exit_codes
from tools import reference


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_a_page_is_as_the_code_has_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "run python -m tools.reference"


def test_the_python_api_has_each_published_name() -> None:
    page = (reference.REFERENCE / "python-api.md").read_text(encoding="utf-8")

    assert [name for name in bizzmq.__all__ if f"\n### {name}\n" not in page] == []


def test_the_exit_codes_of_the_pool_have_their_rows() -> None:
    page = (reference.REFERENCE / "exit-codes.md").read_text(encoding="utf-8").partition("## `bizzmq`")[0]

    for name, code in vars(exit_codes).items():
        if name.isupper():
            assert f"\n| {code} |" in page, name
