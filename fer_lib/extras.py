"""Packages that only a part of the library needs, and the extra of the installation that brings them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from fer_lib.errors import UserError

PROJECT = "fer-attention-study"
"""What pip calls the library."""


class MissingExtra(UserError, ImportError):
    """A package is not installed, with the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install '{PROJECT}[{extra}]'")


@contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Say of an import that fails which extra it needs.

    Raises:
        MissingExtra: in the place of a ModuleNotFoundError of another publisher's package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == __name__.partition(".")[0]:
            raise
        raise MissingExtra(package, extra) from None


def need(extra: str, *packages: str) -> None:
    """Hold what a part of the library is about to import against what is installed; nothing is imported.

    Raises:
        MissingExtra: naming the first package that is not there.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtra(package, extra)
