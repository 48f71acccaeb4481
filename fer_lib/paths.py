"""Where results live, and how files are written so that a crash leaves the old file or the new one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[1]
"""The checkout this library runs from (it is installed in editable form)."""


def results_dir() -> Path:
    """The folder of runs, tables and reports: ``FER_RESULTS``, else ``results/`` of the checkout."""
    return Path(os.environ.get("FER_RESULTS") or ROOT / "results")


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder must exist.
        write: receives the open binary file to fill.

    Raises:
        OSError: no space or no permission, naming the file; the old file, if any, is untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = str(path)  # a failed write would name no file
        raise
    finally:
        partial.unlink(missing_ok=True)
