"""One process a run: a lock on the run's unfinished folder, which the system releases however the process ends.

The lock is ``flock``: on one machine it holds between all processes, on NFS (Linux 2.6.12 or newer) between all
machines, unless the share is mounted with ``nolock`` or ``local_lock``. Should it fail all the same, two processes
waste their time and the record of the first stays: a record appears by renaming a folder, which no rename replaces.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

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
    with _open(partial) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{partial.name.removesuffix('.partial')}: another process is training this run") from None
        yield


def is_locked(partial: Path) -> bool:
    """Whether a process is training this run at the moment."""
    try:
        with open(partial / FILE) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def sweep(runs: Path) -> None:
    """Remove the unfinished folders of runs that are complete, left by a process that was killed at its very end."""
    for partial in runs.glob("*.partial"):
        if (partial.with_suffix("") / "run.json").exists() and not is_locked(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _open(partial: Path) -> TextIO:
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        try:
            return open(partial / FILE, "w")
        except FileNotFoundError:  # another process finished the run and removed the folder between the two lines
            continue
