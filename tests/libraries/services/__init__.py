"""The servers that rows use: a script of this folder in the row's environment, or Debian's PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually
from tests.libraries import programs

POSTGRESQL = "postgresql"
_UNPRIVILEGED = "nobody"
_PATIENCE_S = 60.0


class Service(Protocol):
    """A running server; a module reads its `address` from LIBRARIES_SERVICE."""

    address: str

    def end_connections(self) -> None:
        """End the connections of its clients, if the server supports that."""

    def close(self) -> None:
        """End it and remove its files."""


def start(name: str, python: str, folder: Path) -> Service:
    """The service of this name. Scripts run with `python` and write into `folder`."""
    return Postgres() if name == POSTGRESQL else Script(name, python, folder)


class Script:
    """A script that receives a folder and writes its address there when it is ready."""

    def __init__(self, name: str, python: str, folder: Path) -> None:
        log, address = folder / f"{name}.log", folder / "address"
        with log.open("wb") as output:
            self._process = spawn([python, str(Path(__file__).parent / f"{name}.py"), str(folder)], output, cwd=folder)
        eventually(lambda: address.exists() or self._process.poll() is not None, _PATIENCE_S, log.read_text)
        assert address.exists(), log.read_text()
        self.address = address.read_text()

    def end_connections(self) -> None:
        pass

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Postgres:
    """PostgreSQL on a Unix socket in a folder of its own, which is its address. It refuses to run as root."""

    def __init__(self) -> None:
        server = programs.find(POSTGRESQL)
        assert server is not None
        self._programs = Path(server).resolve().parent
        self._folder = Path(tempfile.mkdtemp(prefix="bizzmq-pg-"))
        self.address = str(self._folder)
        self._as_user = ["setpriv", "--pdeathsig=KILL"]
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        data = str(self._folder / "data")
        self._run([*self._as_user, str(self._programs / "initdb"), "-U", "postgres", "-A", "trust", "--no-sync", data])
        options = ["-D", data, "-k", self.address, "-c", "listen_addresses=", "-F"]
        with (self._folder / "log").open("wb") as log:
            self._process = spawn([*self._as_user, str(self._programs / "postgres"), *options], log, cwd=self._folder)
        eventually(self._answers, _PATIENCE_S, (self._folder / "log").read_text)

    def end_connections(self) -> None:
        statement = (
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        self._run([str(self._programs / "psql"), "-q", "-h", self.address, "-U", "postgres", "-c", statement])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        asked = [str(self._programs / "pg_isready"), "-q", "-h", self.address]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)
