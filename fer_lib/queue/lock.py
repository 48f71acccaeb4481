"""One process a run: a lock on the run's unfinished folder, which the system releases however the process ends.

The lock is the system's own, which filelock takes. On one machine it holds between all processes; with ``flock`` on NFS
(Linux 2.6.12 or newer) it holds between all machines, unless the share is mounted with ``nolock`` or ``local_lock``.
Should it fail all the same, two processes waste their time and the record of the first stays: a record appears by
renaming a folder, which no rename replaces.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fer_lib.errors import UserError

FILE = "lock"


class Busy(UserError):
    """Another process is training this run."""


@contextmanager
def locked(partial: Path) -> Iterator[None]:
    """Hold the lock of a run; its unfinished folder is made if it is not there.

    Raises:
        Busy: another process holds it.
    """
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        lock = FileLock(partial / FILE, timeout=0)
        try:
            lock.acquire()
            break
        except FileNotFoundError:  # another process finished the run and removed the folder between the two lines
            continue
        except Timeout:
            raise Busy(f"{partial.name.removesuffix('.partial')}: another process is training this run") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(partial: Path) -> bool:
    """Whether a process is training this run at the moment."""
    if not (partial / FILE).exists():
        return False
    try:
        with FileLock(partial / FILE, timeout=0):
            return False
    except FileNotFoundError:  # the run was finished meanwhile, and its folder removed
        return False
    except Timeout:
        return True


def sweep(runs: Path) -> None:
    """Remove the unfinished folders of runs that are complete, left by a process that was killed at its very end."""
    for partial in runs.glob("*.partial"):
        if (partial.with_suffix("") / "run.json").exists() and not is_locked(partial):
            shutil.rmtree(partial, ignore_errors=True)
