"""Where results live, and how files are written: whole or not at all, and the same content as the same bytes."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

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


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the content of an ``.npz`` file, which `numpy.load` reads; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:  # smaller than NumPy's own deflate
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()
