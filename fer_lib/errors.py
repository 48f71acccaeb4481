"""The exceptions that a reader is told of in words, and the one that means "the user can mend this"."""

import difflib
import errno
from collections.abc import Collection, Iterable

MANY = 20
"""Names that an error still lists; more are counted."""


class Told(Exception):
    """An exception whose message is all that its reader needs."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the lines of the message."""
        return str(self).splitlines()


class UserError(Told, ValueError):
    """A mistake in the input, described in one line that says what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2; any other exception is a fault of
    this library and keeps its traceback.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Describe a name that does not exist, with the nearest ones that do.

    Args:
        kind: what the name stands for, such as ``"recipe"``.
        name: the name as given.
        known: every valid name.

    Returns:
        The error, for the caller to raise.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or [k for k in known if name and name in k][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        more = f" and {len(known) - MANY} more" if len(known) > MANY else ""
        hint = f"choose from: {', '.join(known[:MANY])}{more}" if known else "there are none"
    return UserError(f"unknown {kind} {name!r}: {hint}")


def check_known(kind: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that does not exist.

    Raises:
        UserError: see :func:`unknown`.
    """
    if name not in known:
        raise unknown(kind, name, known)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_least(option: str, value: int | None, least: int = 1) -> None:
    """Refuse a number below its limit; None, an option that was not given, is none.

    Raises:
        UserError: naming the option.
    """
    if value is not None and value < least:
        raise UserError(f"{option} {value}: must be {least} or more")


def check_count(argument: str, value: int, at_least: int = 1) -> None:
    """Raise a UserError naming the argument unless it is an integer of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise UserError(f"{argument} must be an integer of at least {at_least}: got {value!r}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted, in whichever of the ways that Python, NumPy and PyTorch have."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # PyTorch's own error is a RuntimeError; of a CPU, it and oneDNN raise plain ones.
    words = ["out of memory", "DefaultCPUAllocator", "bad_alloc", "bad allocation", "could not create a memory object"]
    if isinstance(error, ImportError):  # a library that finds no room
        words = ["failed to map segment", "cannot allocate memory"]
    return isinstance(error, RuntimeError | ImportError) and any(word in str(error) for word in words)
