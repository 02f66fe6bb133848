"""A plain handler is known from its source, and only where that is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizzmq.workers.worker import plain_handler

CERTAIN = {
    "def": "def handler(body):\n    pass",
    "async": "async def handler(body):\n    pass",
    "class": "class handler:\n    pass",
    "decorated": "import functools\n\n@functools.wraps(print)\ndef handler(body):\n    pass",
    "used": "def handler(body):\n    pass\nif __name__ == '__main__':\n    handler({})",
    "encoded": "# coding: latin-1\nname = '\u00e9'\ndef handler(body):\n    pass",
}
NOT_CERTAIN = {
    "assigned": "handler = print",
    "assigned again": "def handler(body):\n    pass\nhandler = 1",
    "in a branch": "def handler(body):\n    pass\nif True:\n    handler = 1",
    "for": "def handler(body):\n    pass\nfor handler in ():\n    pass",
    "deleted": "def handler(body):\n    pass\ndel handler",
    "global": "def handler(body):\n    pass\ndef change():\n    global handler\n    handler = 1",
    "import": "def handler(body):\n    pass\nfrom os import path as handler",
    "star": "def handler(body):\n    pass\nfrom os import *",
    "twice": "def handler(body):\n    pass\ndef handler(body):\n    pass",
    "except": "def handler(body):\n    pass\ntry:\n    pass\nexcept ValueError as handler:\n    pass",
    "with": "def handler(body):\n    pass\nwith open(__file__) as handler:\n    pass",
    "walrus": "def handler(body):\n    pass\n(handler := 1)",
    "task": "@app.task\ndef handler():\n    pass",
    "task with options": "@app.task(queue='q')\ndef handler():\n    pass",
    "nested": "if True:\n    def handler(body):\n        pass",
    "absent": "",
    "wrong syntax": "def handler(:",
    "wrong encoding": "# coding: nothing\ndef handler(body):\n    pass",
    "nul": "def handler(body):\n    pass\n\0",
    "deep": "def handler(body):\n    return " + "(" * 5000 + ")" * 5000,
}


def _is_certain(directory: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> bool:
    monkeypatch.chdir(directory)
    return plain_handler.is_certain(spec, str(directory))


@pytest.mark.parametrize("name", CERTAIN)
def test_a_definition_is_a_plain_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "its_module.py").write_text(CERTAIN[name], "latin-1")

    assert _is_certain(tmp_path, monkeypatch, "its_module:handler")


@pytest.mark.parametrize("name", NOT_CERTAIN)
def test_anything_else_is_not_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "its_module.py").write_text(NOT_CERTAIN[name])

    assert not _is_certain(tmp_path, monkeypatch, "its_module:handler")


def test_modules_are_found_as_an_import_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CERTAIN["def"]
    package = tmp_path / "its_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    (package / "module.py").write_text(text)
    (package / "inner" / "__init__.py").write_text(text)
    (tmp_path / "its_package.py").write_text("handler = 1")  # the package comes first
    (tmp_path / "json.py").write_text(text)  # json is imported already

    for spec in ("its_package:handler", "its_package.module:handler", "its_package.inner:handler"):
        assert _is_certain(tmp_path, monkeypatch, spec)
    for spec in (
        "its_package.absent:handler",
        "absent:handler",
        "its_package",
        "json:absent",
        "sys:exit",
        "itertools:x",
    ):
        assert not _is_certain(tmp_path, monkeypatch, spec)


def test_an_imported_name_is_followed_to_its_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "its_module.py").write_text("from its_other import work as handler\nfrom its_round import a")
    (tmp_path / "its_other.py").write_text("def work(body):\n    pass\nfrom its_apps import app")
    (tmp_path / "its_apps.py").write_text("app = 1")
    (tmp_path / "its_round.py").write_text("from its_round import a")

    assert _is_certain(tmp_path, monkeypatch, "its_module:handler")
    assert not _is_certain(tmp_path, monkeypatch, "its_other:app")
    assert not _is_certain(tmp_path, monkeypatch, "its_module:a")


def test_methods_of_classes_are_looked_up_in_their_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "its_module.py").write_text(
        "class Handlers:\n    @staticmethod\n    def run(body):\n        pass\n    app = 1\n"
    )

    assert _is_certain(tmp_path, monkeypatch, "its_module:Handlers.run")
    assert not _is_certain(tmp_path, monkeypatch, "its_module:Handlers.app")
    assert not _is_certain(tmp_path, monkeypatch, "its_module:Handlers.run.more")
