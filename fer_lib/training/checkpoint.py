"""An unfinished training on disk: its state, or why it failed."""

import io
from pathlib import Path
from typing import Any

import torch

from fer_lib.errors import UserError
from fer_lib.paths import write_atomically

FILE = "checkpoint.pt"
FAILED = "failed.txt"


def save_checkpoint(folder: Path, identity: str, state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint, whole or not at all.

    Args:
        folder: where the run's unfinished files lie.
        identity: hexadecimal digest of all that the training must agree in when it continues.
        state: tensors and plain values.

    Raises:
        OSError: no space or no permission; the last checkpoint stays.
    """
    buffer = io.BytesIO()  # torch.save straight to a full disk would lose the cause in a RuntimeError
    torch.save({"identity": identity, "state": state}, buffer)
    write_atomically(folder / FILE, buffer.getvalue())


def load_checkpoint(folder: Path, identity: str) -> dict[str, Any] | None:
    """The folder's last checkpoint, on the CPU; None if there is none.

    Raises:
        UserError: the file is unreadable, or belongs to another spec or other data.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["identity"], content["state"]
    except Exception as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}); delete it to start again"
        ) from None
    if found != identity:
        raise UserError(f"{path}: belongs to another spec or other data; delete it to start again")
    return state


def mark_failed(folder: Path, reason: str) -> None:
    """Note in one line why a training failed, beside its last good checkpoint."""
    write_atomically(folder / FAILED, f"{reason}\n".encode())


def read_failure(folder: Path) -> str | None:
    """Why the training in this folder failed; None if it did not."""
    path = folder / FAILED
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def epochs_done(folder: Path) -> int | None:
    """Epochs that are complete in the folder's checkpoint; None if there is none that can be read."""
    try:
        # Mapped, not read: the tensors of a large net stay on the disk.
        content = torch.load(folder / FILE, map_location="cpu", weights_only=True, mmap=True)
        return int(content["state"]["progress"]["epoch"])
    except Exception:
        return None
