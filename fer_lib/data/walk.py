"""Folders of files as people have them: what is wanted is found, what is passed over is named."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

NAMED = 5
"""Passed-over files that a line names; the others are counted."""
# What systems put beside files: thumbnails, waste baskets, twins of macOS archives.
_SYSTEM_FOLDERS = {
    "__macosx", "$recycle.bin", "recycler", "#recycle", "@recycle", "@eadir", "lost+found", "lost.dir",
    "system volume information", "__pycache__",
}  # fmt: skip


def is_system_folder(folder: Path) -> bool:
    """Whether a folder is hidden, or one that a system keeps for itself, such as its waste basket."""
    return folder.name.startswith(".") or folder.name.lower() in _SYSTEM_FOLDERS


def sort_files(paths: Iterable[Path], wanted: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """Part the contents of a folder into what is wanted and what is passed over, both sorted.

    Passed over unseen are hidden files, among them the ``._name`` that macOS leaves beside files, and what is no
    regular file, such as a pipe, which would be waited for.

    Args:
        paths: of one folder.
        wanted: whether a regular file is of use.
    """
    found: list[Path] = []
    passed: list[Path] = []
    for path in sorted(paths):
        seen = not path.name.startswith(".") and is_regular(path) and wanted(path)
        (found if seen else passed).append(path)
    return found, passed


def walk(folder: Path, wanted: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """The same for all that lies below a folder; links to folders are not followed.

    Returns:
        The files wanted, and the files and whole folders passed over.

    Raises:
        OSError: a folder that cannot be read.
    """
    inside = sorted(folder.iterdir())
    found, passed = sort_files([path for path in inside if not path.is_dir()], wanted)
    for path in inside:
        if path.is_dir():
            if path.is_symlink() or is_system_folder(path):
                passed.append(path)
            else:
                below = walk(path, wanted)
                found, passed = found + below[0], passed + below[1]
    return sorted(found), sorted(passed)


def is_regular(path: Path) -> bool:
    """Whether there is a regular file, or a link to one: no pipe, no device, no folder."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def passed_over(paths: Iterable[Path], beside: Path, what: str = "pictures") -> str:
    """One sentence about files that were left out.

    Args:
        paths: the files.
        beside: the folder that they lie in or below.
        what: what they are not.

    Returns:
        The sentence, or nothing where no file was left out.
    """
    names = [str(path.relative_to(beside)) + ("/" if path.is_dir() else "") for path in paths]
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{beside}: passed over {len(names)} that {'is' if len(names) == 1 else 'are'} no {what}: " + (
        f"{', '.join(names[:NAMED])}{more}"
    )
