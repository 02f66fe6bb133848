"""Private files and directories of this user: where they are created, checked and removed.

A directory is opened component by component and then used through its descriptor, so that a link or a rename in the
meantime has no effect. Modes are explicit and do not depend on the umask. Imports only the standard library, because
the keeper of an embedded server runs without site-packages.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from pathlib import Path
from typing import Callable, Iterable

SOCKET_PATH_LIMIT_BYTES = 100
"""The longest path of a Unix socket. Linux allows 107 bytes, macOS 103."""
_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO or a device could block; anything but a regular file is refused after the open.
_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MAX_LINKS = 40
_LINK_ERRNOS = (errno.ELOOP, errno.EMLINK)
"""What systems report when O_NOFOLLOW meets a link."""


class RefusedError(OSError):
    """A file or directory is not private to this user; `problem` ends a sentence that begins with its name."""

    def __init__(self, problem: str) -> None:
        super().__init__(errno.EPERM, problem)
        self.problem = problem


class PrivateDirectory:
    """An open directory that only this user can access. A context manager that closes it.

    Attributes:
        path: the absolute path, without links.
        descriptor: for the `dir_fd` argument of os functions.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __enter__(self) -> PrivateDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a private regular file; O_CREAT creates it with mode 0600.

        Raises:
            RefusedError: the name belongs to something else, which is neither changed nor followed.
            OSError: as os.open.
        """
        truncate = flags & os.O_TRUNC  # only after the file has been checked
        descriptor = _open_file(name, flags & ~os.O_TRUNC, dir_fd=self.descriptor)
        try:
            problem = _file_problem(os.fstat(descriptor))
            if problem is not None:
                raise RefusedError(problem)
            if truncate:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def remove(self, name: str, descriptor: int) -> bool:
        """Remove the file that was opened as `descriptor`, unless its name now belongs to another file."""
        if not self.is_still(name, descriptor):
            return False
        os.unlink(name, dir_fd=self.descriptor)
        return True

    def is_still(self, name: str, descriptor: int) -> bool:
        """Whether the file that was opened as `descriptor` still has this name."""
        opened = os.fstat(descriptor)
        try:
            found = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)

    def rename(self, name: str, to: str) -> None:
        """Rename a file; an existing file with the new name is replaced."""
        os.rename(name, to, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def discard(self, name: str) -> None:
        """Remove a file, if it exists."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return

    def names(self) -> list[str]:
        """The names in this directory, sorted."""
        return sorted(os.listdir(self.descriptor))  # noqa: PTH208 - by descriptor

    def sync(self) -> None:
        """Write created and removed names to disk."""
        os.fsync(self.descriptor)


def open_directory(path: Path, *, create: bool = False) -> PrivateDirectory:
    """Open a directory that is private to this user: mode 0700 or less, and not a link.

    Links on the way to it are followed only if they belong to root or to this user. With `create`, missing parts of
    the path are created with mode 0700, regardless of the umask.

    Raises:
        RefusedError: it is not private to this user.
        OSError: it does not exist, or cannot be opened or created.
    """
    descriptor, canonical = _walk(path if path.is_absolute() else Path.cwd() / path, create)
    try:
        problem = _directory_problem(os.fstat(descriptor))
        if problem is None and not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
            problem = "cannot be written to"
        if problem is not None:
            raise RefusedError(problem)
        return PrivateDirectory(canonical, os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor))
    finally:
        os.close(descriptor)


def is_private(path: Path) -> bool:
    """Whether a directory exists and is private to this user."""
    try:
        with open_directory(path):
            return True
    except OSError:
        return False


def is_taken(path: Path) -> bool:
    """Whether the name belongs to anything but a directory of this user, in a place where anybody can create names."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid()


def spare_directories(usual: Path) -> list[Path]:
    """Private directories of this user beside one whose name was taken. The owner distinguishes them from others."""
    return [path for path in sorted(usual.parent.glob(f"{glob.escape(usual.name)}-*")) if is_private(path)]


def new_name(usual: Path) -> Path:
    """A name for a directory beside the usual one, random so that nobody can have taken it. Nothing is created."""
    return usual.with_name(f"{usual.name}-{os.urandom(8).hex()}")


def _directory_problem(found: os.stat_result) -> str | None:
    """Why a directory is not private to this user, as the end of a sentence."""
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "is open to others: chmod 700 it" if stat.S_IMODE(found.st_mode) & 0o077 else None


def _file_problem(found: os.stat_result) -> str | None:
    """Why a file is not private to this user, as the end of a sentence."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return "is open to others: chmod 600 it"
    return "has another name, a hard link" if found.st_nlink > 1 else None


def _open_file(path: str | Path, flags: int, dir_fd: int | None = None) -> int:
    """os.open that does not follow a link as the last component and does not block; a new file has mode 0600.

    Raises:
        RefusedError: the path is a link.
        OSError: as os.open.
    """
    created = False
    try:
        try:
            # Exclusive first: only a file that this call creates gets its mode here.
            if flags & os.O_CREAT:
                descriptor = os.open(str(path), flags | os.O_EXCL | _FILE, 0o600, dir_fd=dir_fd)
                created = True
            else:
                descriptor = os.open(str(path), flags | _FILE, dir_fd=dir_fd)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            descriptor = os.open(str(path), (flags & ~os.O_CREAT) | _FILE, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _LINK_ERRNOS:
            raise RefusedError("is a link") from None
        raise
    if created:
        os.fchmod(descriptor, 0o600)
    return descriptor


def first_foreign(names: Iterable[str], is_ours: Callable[[str], bool]) -> str:
    """The first name that neither `is_ours` accepts nor a file system creates; "" if there is none."""
    return next((name for name in names if not is_ours(name) and not _is_of_the_file_system(name)), "")


def _is_of_the_file_system(name: str) -> bool:
    """Whether a file system creates this name: at the root of a volume, or NFS for an open file that was removed."""
    return name in ("lost+found", ".snapshot", ".snapshots", ".zfs") or name.startswith(".nfs")


def _walk(path: Path, create: bool) -> tuple[int, Path]:
    """A descriptor of the directory, for searching only, and its path without links."""
    left = list(path.parts[1:])
    here, descriptor, links = ["/"], os.open("/", _SEARCH), 0
    try:
        while left:
            part, is_last = left.pop(0), not left
            target = _link(part, descriptor, is_last=is_last, where=Path(*here))
            if target is None:
                below = _enter(part, descriptor, create=create, is_last=is_last)
                here = [*here, part] if part != ".." else here[:-1] or ["/"]
            else:
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                # Links are rare and short: start again at the root, with the link replaced by its target.
                left = [*Path(*here, target).parts[1:], *left]
                here, below = ["/"], os.open("/", _SEARCH)
            os.close(descriptor)
            descriptor = below
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, Path(*here)


def _link(part: str, directory: int, *, is_last: bool, where: Path) -> str | None:
    """The target of a link that may be followed; None for anything that is not a link."""
    try:
        found = os.stat(part, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    link = where / part
    if not link.exists():
        raise RefusedError(f"cannot be used: {link} is a broken link")
    if is_last:
        raise RefusedError("is not a directory but a link: name the directory itself")
    if found.st_uid not in (0, os.geteuid()):
        raise RefusedError(f"cannot be used: {link} is another user's link")
    return os.readlink(part, dir_fd=directory)


def _enter(part: str, directory: int, *, create: bool, is_last: bool) -> int:
    """A descriptor of a name in a directory; `create` creates a missing directory."""
    try:
        return os.open(part, _SEARCH, dir_fd=directory)
    except NotADirectoryError:
        if is_last:
            raise RefusedError("is not a directory") from None
        raise
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, 0o700, dir_fd=directory)
    except FileExistsError:  # another process was faster; it is checked like any other
        return os.open(part, _SEARCH, dir_fd=directory)
    made = os.open(part, _SEARCH, dir_fd=directory)
    found = os.fstat(made)
    if found.st_mode & 0o700 != 0o700 and found.st_uid == os.geteuid():
        # The umask has removed this user's own rights. By descriptor: the name may have been reused.
        Path(f"/dev/fd/{made}").chmod(0o700)
    return made
