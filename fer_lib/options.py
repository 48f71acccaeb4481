"""A command of ``fer`` is a function, and each option is a parameter of it, said once.

Name, type and default of a parameter are Python's own; :class:`Option` adds what a reader of the help needs.
:func:`command` puts a function on the command line; :mod:`fer_lib.cli` builds the parser from it.
"""

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fer_lib.errors import UserError

Function = TypeVar("Function", bound=Callable[..., int | None])
COMMANDS: list[Callable[..., int | None]] = []
"""Every command, in the order of the help."""


def command(function: Function) -> Function:
    """Put a function on the command line.

    ``study_run`` becomes ``fer study run`` where ``study`` is a group of commands. A parameter that may be given by
    position is an argument, a keyword-only one is an option, one whose type is a dataclass stands for the options that
    its fields are. The first paragraph of the docstring is the help, the lines under ``Examples:`` are shown as they
    are. The function returns the exit status, None for 0.
    """
    COMMANDS.append(function)
    return function


@dataclass(frozen=True)
class Option:
    """What the help and the parser need to know of a parameter beyond its name, type and default.

    Attributes:
        help: a few words; a default that is a value is added to them.
        parse: makes the value of a text, or raises :class:`argparse.ArgumentTypeError`; None for what the type does.
        metavar: stands for the value in the help; None for the parameter's name.
        flag: a short form of an option, such as ``-p``.
        each: whether an option that takes several values takes one each time it is written, not all at once.
        complete: the values that a shell may offer.
    """

    help: str = ""
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    flag: str | None = None
    each: bool = False
    complete: Callable[[], Iterable[str]] | None = None


# ---------------------------------------------------------------- what a text means


def path(text: str) -> Path:
    """A file or folder, with ``~`` for the home folder also where no shell replaced it, as in ``--results=~/x``."""
    from fer_lib.paths import user_path

    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def folder(text: str) -> Path:
    """A folder that exists: something is read from it."""
    if not path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return path(text)


def output_folder(text: str) -> Path:
    """A folder that results are put into, made if need be."""
    if path(text).exists() and not path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file, where a folder is needed")
    return path(text)


def whole(least: int | None = None, most: int = 2**31 - 1) -> Callable[[str], int]:
    """A whole number within limits; what limits a number of unknown meaning is left to its reader."""
    limits = "" if least is None else f" from {least} to {most}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,10}", text) or not (-most if least is None else least) <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number{limits}")
        return int(text)

    return parse


def span(text: str) -> float:
    """A number of seconds above 0, whole or not."""
    if not re.fullmatch(r"\d{1,6}(\.\d*)?|\.\d+", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return float(text)


def duration(text: str) -> float:
    """Seconds of 90s, 9m, 1h30m or a plain number of seconds."""
    found = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", text)
    if not text or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 9m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
