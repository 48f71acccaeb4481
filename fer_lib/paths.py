"""Where files lie, and how they are written: whole or not at all, and the same content as the same bytes."""

import glob
import io
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from fer_lib.errors import UserError

PACKAGE = Path(__file__).resolve().parent
"""The library's own folder."""
ROOT = PACKAGE.parent
"""The checkout that the library runs from; of a wheel the folder that it was installed in, see :func:`in_checkout`."""
LONGEST_NAME = 230
"""Bytes of a file's name, so that there is room for the name of its unfinished form."""


# ---------------------------------------------------------------- where


def in_checkout() -> bool:
    """Whether the library runs from its checkout, or a copy of part of it, and not from a wheel."""
    return (ROOT / "notebooks").is_dir() and not (PACKAGE / "shipped").is_dir()


def anchor() -> Path:
    """The folder that relative paths in settings and notebooks count from, wherever a kernel or a shell stands.

    It is the checkout; where there is none, as after the installation of a wheel, the current folder.
    """
    return ROOT if in_checkout() else Path.cwd()


def shipped(name: str) -> Path:
    """A folder of the repository that a wheel brings along as well (:mod:`workflow.wheel`).

    Args:
        name: ``notebooks``, ``results/checkpoints`` or ``results/tables``, of which it is the gains of our own modules.
    """
    return ROOT / name if in_checkout() else PACKAGE / "shipped" / name


def user_path(text: str | Path) -> Path:
    """A path as people write it: ``~`` is their home, whether or not a shell has seen it.

    Raises:
        UserError: the path is empty, or ``~NAME`` names nobody.
    """
    if not str(text):
        raise UserError("an empty path: name a file or a folder")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such home folder; write the path in full") from None


def setting_path(text: str | Path) -> Path:
    """A path of a setting or of a notebook's parameter, absolute: see :func:`user_path` and :func:`anchor`."""
    return anchor() / user_path(text)


def own_papers() -> Path | None:
    """The folder of papers of your own, ``FER_PAPERS``; absolute. None without one.

    Raises:
        UserError: there is no such folder.
    """
    if not (name := os.environ.get("FER_PAPERS")):
        return None
    folder = setting_path(name)
    if not folder.is_dir():
        raise UserError(f"FER_PAPERS={name}: no such folder")
    return folder


def results_dir(within: str = "") -> Path:
    """The folder of runs, tables and reports, absolute: ``FER_RESULTS``; else ``results/`` in the folder of papers of
    your own, so that their runs never lie among the study's; else ``results/``.

    Args:
        within: a folder inside it, such as ``smoke``; an absolute one is taken as it is.
    """
    own = own_papers()
    folder = own / "results" if own and not os.environ.get("FER_RESULTS") else study_results()
    return folder / user_path(within) if within else folder


def study_results() -> Path:
    """The same whether or not there are papers of your own: where the study's records and weights lie."""
    return setting_path(os.environ.get("FER_RESULTS") or "results")


# ---------------------------------------------------------------- writing


def check_output(path: Path, inputs: Iterable[Path] = (), *, folder: bool = False) -> None:
    """Refuse, before any work is done, a place that cannot be written to or that holds what is read.

    Args:
        path: the file to write, or the folder to write into.
        inputs: files that are read, which must not be replaced.
        folder: whether ``path`` is a folder, which is made if need be.

    Raises:
        UserError: saying what is in the way.
    """
    if re.search(r"[\x00-\x1f\x7f]", str(path)):
        raise UserError(f"{path}: a name with control characters; choose another for the output")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UserError(f"{path.name[:40]}…: a name of more than {LONGEST_NAME} bytes; choose a shorter one")
    try:
        target = path.resolve()
        exists = target.exists()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    if folder:
        if exists and not target.is_dir():
            raise UserError(f"{path}: a file, where a folder is needed for the output")
        nearest = next(place for place in (target, *target.parents) if place.exists())
        if not nearest.is_dir():
            raise UserError(f"{nearest}: a file, where a folder is needed for the output")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UserError(f"{path}: no permission to write into {nearest}")
        return
    if exists and target.is_dir():
        raise UserError(f"{path}: a folder, where the output needs a file; name one in it")
    if not target.parent.is_dir():
        raise UserError(f"{path}: there is no folder {target.parent}; make it first")
    if not os.access(target if exists else target.parent, os.W_OK):
        raise UserError(f"{path}: no permission to write it")
    if exists and any(given.exists() and target.samefile(given) for given in inputs):
        raise UserError(f"{path}: is read as input; choose another place for the output")


def refresh(path: Path, content: bytes) -> None:
    """Write a file and its folder; an unchanged file keeps its time, so that nothing downstream is rebuilt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all.

    A link stays one: what it points to is written. A device or a pipe is given the content, a file that is there
    keeps its mode, its owner and its other names. What killed processes left of the same file is removed.

    Args:
        path: the file; its folder must exist.
        content: what it holds, or what fills the open binary file.

    Raises:
        OSError: no space or no permission, naming the file; the old file, if any, is untouched.
    """
    write = content if callable(content) else lambda file: file.write(content)
    target = path.resolve() if path.is_symlink() else path
    partial = _partial(target)
    try:
        old = target.stat() if target.exists() else None
        if old and not stat.S_ISREG(old.st_mode):
            with open(target, "wb") as file:
                write(file)
            return
        if old and not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied")
        _fill(partial, write, old)
        if old and old.st_nlink > 1:
            shutil.copyfile(partial, target)
        else:
            os.replace(partial, target)
    except OSError as error:
        _blame(path, error)
        raise
    finally:
        partial.unlink(missing_ok=True)
    _sweep(target)


def write_new(folder: Path, stem: str, suffix: str, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file that is not there yet, whole or not at all: nothing is replaced, whoever writes beside us.

    Args:
        folder: where; must exist.
        stem: the name without suffix, cut where it is too long.
        suffix: such as ``.jpg``.
        write: receives the open binary file to fill.

    Returns:
        The file: ``STEM.jpg``, or ``STEM-2.jpg`` and so on where that is taken.

    Raises:
        OSError: no space or no permission, naming the file.
    """
    while len(os.fsencode(f"{stem}{suffix}")) > LONGEST_NAME:
        stem = stem[:-1]
    first = path = folder / f"{stem}{suffix}"
    partial, number = _partial(first), 1
    try:
        _fill(partial, write)
        while not _named(partial, path):
            number += 1
            path = folder / f"{stem}-{number}{suffix}"
    except OSError as error:
        _blame(path, error)
        raise
    finally:
        partial.unlink(missing_ok=True)
    _sweep(first)
    return path


def _blame(path: Path, error: OSError) -> None:
    """Let an error name the file: a failed write names none, and a failed step of ours the unfinished form."""
    error.filename = str(path)
    del error.filename2  # None would be shown


def _named(partial: Path, path: Path) -> bool:
    """Give a file a name that nothing bears yet; False where something does."""
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without hard links, such as a memory card
        if path.exists():
            return False
        os.rename(partial, path)
    return True


def _partial(target: Path) -> Path:
    """The unfinished form of a file, of this process."""
    return target.with_name(f".{target.name}.{os.getpid()}")


def _fill(partial: Path, write: Callable[[BinaryIO], object], old: os.stat_result | None = None) -> None:
    """Write an unfinished file down to the disk, with the mode and the owner of what it will replace."""
    partial.touch()  # a file system that takes none, such as /proc, says so here; a lock would wait for it for ever
    with FileLock(partial), open(partial, "wb") as file:
        if old and hasattr(os, "fchown"):  # Windows keeps neither a mode nor an owner of this kind
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            with suppress(PermissionError):  # only root may give files away
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sweep(target: Path) -> None:
    """Remove the unfinished forms of a file whose writers are gone, on this machine and on others."""
    for stale in target.parent.glob(f".{glob.escape(target.name)}.*"):
        pid = stale.name.rpartition(".")[2]
        if not pid.isdecimal() or _alive(int(pid)):
            continue
        with suppress(OSError), FileLock(stale, timeout=0):  # refused where another machine is writing it
            stale.unlink()


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where a signal of 0 ends the process that it asks about; the lock tells
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the content of an ``.npz`` file, which `numpy.load` reads; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:  # smaller than NumPy's own deflate
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()
