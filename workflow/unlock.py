"""Clear the lock that a killed Snakemake left in this folder, and say so; one that is in use stays.

Snakemake writes nowhere which process holds its lock, so the processes of this machine are asked.
"""

import os
import shutil
from pathlib import Path

import psutil

LOCKS = Path(".snakemake/locks")


def at_work(folder: Path) -> list[int]:
    """Numbers of the processes that run Snakemake in a folder; one whose folder may not be read counts as well."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, where = process.info["cmdline"] or [], process.info["cwd"]
        runs = any(Path(word).name == "snakemake" for word in words[:3]) or words[1:3] == ["-m", "snakemake"]
        if runs and (where is None or Path(where) == folder) and process.pid != os.getpid():
            found.append(process.pid)
    return found


if LOCKS.is_dir() and any(LOCKS.iterdir()) and not at_work(Path.cwd().resolve()):
    shutil.rmtree(LOCKS)
    print("A lock of the workflow was left by a run that was killed: cleared.")
