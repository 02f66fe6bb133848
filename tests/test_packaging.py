"""Built and installed packages contain the whole library, for every kind of installation.

Builds call the build backend of this environment, so they need no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "bizzmq",
    "workers",
    "pytest_bizzmq.py",
    "setup.cfg",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"

# Imports both packages as a user in another directory would, and prints their paths. From the tests' own
# environment it gets only the directories with the dependencies, not its editable installation.
WHERE = """
import site, sys
before = list(sys.meta_path)
sys.path[:] = [sys.argv[1], *sys.path, *sys.argv[2:]]
site.addsitedir(sys.argv[1])
sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in before] + before
import bizzmq, bizzmq.workers
print(bizzmq.__version__, bizzmq.__file__, bizzmq.workers.__file__, sep="\\n")
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its link, to build in."""
    directory = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(str(source), str(directory / name), symlinks=True, ignore=ignored)
        else:
            shutil.copy2(str(source), str(directory / name))
    if not (directory / "bizzmq/workers").is_symlink():
        pytest.skip("no checkout: the link bizzmq/workers is missing here")
    return directory


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_sdist", checkout, tmp_path_factory.mktemp("sdist"))


def build(what: str, source: Path, target: Path) -> Path:
    """Let the backend build in `source`; returns the path of the built file."""
    command = [sys.executable, "-c", BUILD, what, str(target)]
    done = subprocess.run(command, cwd=str(source), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return target / output.strip().splitlines()[-1]


def installed_files(root: Path) -> set[str]:
    """The files that an installation must have, by their installed names."""
    files = {f"bizzmq/{path.relative_to(root).as_posix()}" for path in (root / "workers").rglob("*.py")}
    link = root / "bizzmq" / "workers"
    for pattern in ("*.py", "*.lua", "py.typed", "*.tcss", "web/static/*", "web/templates/*"):
        found = (root / "bizzmq").rglob(pattern)
        files |= {path.relative_to(root).as_posix() for path in found if link not in path.parents}
    return files | {"pytest_bizzmq.py"}


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(str(wheel)) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def where(site: Path, away: Path) -> list[str]:
    """The version and the files of the two packages, imported from the directory `away`."""
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    command = [sys.executable, "-S", "-c", WHERE, str(site), *dependencies]
    return subprocess.run(command, cwd=str(away), stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()


def test_the_link_that_tools_and_editable_installs_follow_is_relative() -> None:
    link = ROOT / "bizzmq/workers"
    if not link.is_symlink():
        pytest.skip("no checkout: the link bizzmq/workers is missing here")

    assert os.readlink(str(link)) == "../workers"


def test_a_wheel_contains_exactly_the_library(wheel: Path) -> None:
    files = files_of(wheel)

    assert files == installed_files(ROOT)
    assert {"bizzmq/py.typed", "bizzmq/workers/__init__.py"} <= files
    assert any(name.endswith(".lua") for name in files)


def test_a_wheel_tells_pytest_of_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(str(wheel)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        text = archive.read(name).decode()

    assert "[pytest11]\nbizzmq = pytest_bizzmq\n" in f"{text}\n"


def test_a_wheel_from_an_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(str(sdist)) as archive:
        # The default since Python 3.14; 3.12 and 3.13 warn without it, and 3.8 does not support it.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(str(tmp_path))
    (unpacked,) = tmp_path.iterdir()

    rebuilt = build("build_wheel", unpacked, tmp_path)

    assert files_of(rebuilt) == files_of(wheel)


def test_an_installed_wheel_works_outside_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    with zipfile.ZipFile(str(wheel)) as archive:
        archive.extractall(str(site))

    version, library, workers = where(site, away)

    assert f"-{version}-" in wheel.name
    assert Path(library) == site / "bizzmq/__init__.py"
    assert Path(workers) == site / "bizzmq/workers/__init__.py"


def test_an_editable_install_sees_the_checkout(checkout: Path, tmp_path: Path) -> None:
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    with zipfile.ZipFile(str(build("build_editable", checkout, tmp_path))) as archive:
        archive.extractall(str(site))

    _, library, workers = where(site, away)

    assert Path(library).resolve() == (checkout / "bizzmq/__init__.py").resolve()
    assert Path(workers).resolve() == (checkout / "workers/__init__.py").resolve()


def test_a_users_own_workers_module_stays_importable(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(str(wheel)) as archive:
        archive.extractall(str(site))

    assert not (site / "workers").exists()
    assert sorted(path.name for path in site.iterdir() if path.suffix != ".dist-info") == ["bizzmq", "pytest_bizzmq.py"]


def test_the_commands_are_declared(wheel: Path) -> None:
    with zipfile.ZipFile(str(wheel)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        declared = archive.read(name).decode()

    assert "bizzmq = bizzmq.__main__:main" in declared
    assert "bizzmq-worker = bizzmq.workers.__main__:main" in declared
