"""Files and directories that are one user's alone: the only place that makes, checks and removes them.

A directory is opened component by component and then used by its descriptor, so a link or a rename behind our back
changes nothing. Modes are explicit: the umask decides nothing. Standard library only, since the keeper of an embedded
server runs without site-packages.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from pathlib import Path
from typing import Callable, Iterable

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO or a device would keep us waiting; what is no file is refused after the open.
_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MAX_LINKS = 40
_LINK_ERRNOS = (errno.ELOOP, errno.EMLINK)
"""How systems say that O_NOFOLLOW has met a link."""


class RefusedError(OSError):
    """A file or directory is not its user's alone; `problem` is the end of a sentence that begins with its name."""

    def __init__(self, problem: str) -> None:
        super().__init__(errno.EPERM, problem)
        self.problem = problem


class PrivateDirectory:
    """An open directory of this user's own. A context manager that closes it.

    Attributes:
        path: absolute, without links.
        descriptor: for the `dir_fd` of os functions.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __enter__(self) -> PrivateDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a regular file that is this user's alone; O_CREAT makes it with mode 0600.

        Raises:
            RefusedError: something else has that name. It is neither changed nor followed.
            OSError: as os.open.
        """
        truncate = flags & os.O_TRUNC  # not before the file is known to be ours
        descriptor = open_file(name, flags & ~os.O_TRUNC, dir_fd=self.descriptor)
        try:
            check_own_file(os.fstat(descriptor))
            if truncate:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def remove(self, name: str, descriptor: int) -> bool:
        """Remove the file that was opened as `descriptor`, unless another one has its name by now."""
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
        """Give a file another name; what had that name is gone."""
        os.rename(name, to, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def discard(self, name: str) -> None:
        """Remove a name of our own, if it is there."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return

    def names(self) -> list[str]:
        """What is in it, sorted."""
        return sorted(os.listdir(self.descriptor))  # noqa: PTH208 - by descriptor

    def sync(self) -> None:
        """Have files' appearance and disappearance on disk, too."""
        os.fsync(self.descriptor)


def open_directory(path: Path, *, create: bool = False) -> PrivateDirectory:
    """The directory, if it is this user's alone: mode 0700 or less, no link.

    Links on the way to it are followed only if they are root's or this user's. With `create`, what is missing of
    the path is made with mode 0700, whatever the umask is.

    Raises:
        RefusedError: it is not this user's alone.
        OSError: it is not there, or cannot be opened or made.
    """
    descriptor, canonical = _walk(path if path.is_absolute() else Path.cwd() / path, create)
    try:
        problem = problem_of(os.fstat(descriptor))
        if not problem and not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
            problem = "cannot be written to"
        if problem:
            raise RefusedError(problem)
        return PrivateDirectory(canonical, os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor))
    finally:
        os.close(descriptor)


def is_private(path: Path) -> bool:
    """Whether a directory is there and this user's alone."""
    try:
        with open_directory(path):
            return True
    except OSError:
        return False


def others_can_write(path: Path) -> bool:
    """Whether it is a directory of this user's that others may change."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and bool(found.st_mode & 0o022)


def is_taken(path: Path) -> bool:
    """Whether something has that name that is no directory of this user's: in a place where anybody may take names."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid()


def spare_directories(usual: Path) -> list[Path]:
    """Directories of this user's own beside one whose name was taken. Their owner tells them from anybody else's."""
    return [path for path in sorted(usual.parent.glob(f"{glob.escape(usual.name)}-*")) if is_private(path)]


def new_name(usual: Path) -> Path:
    """A directory beside the usual one, not yet made, whose name nobody can have taken."""
    return usual.with_name(f"{usual.name}-{os.urandom(8).hex()}")


def problem_of(found: os.stat_result) -> str:
    """Why a directory is not this user's alone, as the end of a sentence, or ""."""
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "is open to others: chmod 700 it" if stat.S_IMODE(found.st_mode) & 0o077 else ""


def open_file(path: str | Path, flags: int, dir_fd: int | None = None) -> int:
    """os.open that follows no link as last component and never waits; a new file has mode 0600.

    Raises:
        RefusedError: it is a link.
        OSError: as os.open.
    """
    created = False
    try:
        try:
            # Exclusive first: only a file that we have made gets its mode from us.
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


def check_own_file(found: os.stat_result) -> None:
    """Raise RefusedError unless it is a regular file of this user's alone, under one name."""
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError("is no file")
    if found.st_uid != os.geteuid():
        raise RefusedError("belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise RefusedError("is open to others: chmod 600 it")
    if found.st_nlink > 1:
        raise RefusedError("has another name, a hard link")


def first_foreign(names: Iterable[str], is_ours: Callable[[str], bool]) -> str:
    """The first name that is neither ours nor that of a file system's own, or ""."""
    return next((name for name in names if not is_ours(name) and not _is_of_the_file_system(name)), "")


def _is_of_the_file_system(name: str) -> bool:
    """What stands at the root of a volume by itself, and what NFS leaves of a file that is removed while it is open."""
    return name in ("lost+found", ".snapshot", ".snapshots", ".zfs") or name.startswith(".nfs")


def _walk(path: Path, create: bool) -> tuple[int, Path]:
    """A descriptor of the directory, for looking at it, and its path without links."""
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
                # Links are rare and short: from the root again, with the link replaced by where it leads.
                left = [*Path(*here, target).parts[1:], *left]
                here, below = ["/"], os.open("/", _SEARCH)
            os.close(descriptor)
            descriptor = below
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, Path(*here)


def _link(part: str, directory: int, *, is_last: bool, where: Path) -> str | None:
    """Where a link leads that may be followed; None for anything that is not a link."""
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
        raise RefusedError("is no directory but a link: name the directory itself")
    if found.st_uid not in (0, os.geteuid()):
        raise RefusedError(f"cannot be used: {link} is another user's link")
    return os.readlink(part, dir_fd=directory)


def _enter(part: str, directory: int, *, create: bool, is_last: bool) -> int:
    """A descriptor of what has that name in a directory; made if it is missing, with `create`."""
    try:
        return os.open(part, _SEARCH, dir_fd=directory)
    except NotADirectoryError:
        if is_last:
            raise RefusedError("is no directory") from None
        raise
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, 0o700, dir_fd=directory)
    except FileExistsError:  # somebody was quicker; it is looked at like any other
        return os.open(part, _SEARCH, dir_fd=directory)
    made = os.open(part, _SEARCH, dir_fd=directory)
    found = os.fstat(made)
    if found.st_mode & 0o700 != 0o700 and found.st_uid == os.geteuid():
        # The umask has taken our own rights. By descriptor: the name may mean something else by now.
        Path(f"/dev/fd/{made}").chmod(0o700)
    return made
