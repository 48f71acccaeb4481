"""The one exception that means "the user can mend this"."""

import difflib
from collections.abc import Iterable

MANY = 20
"""Names that an error still lists."""


class UserError(ValueError):
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
