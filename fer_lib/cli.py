"""The ``fer`` command: arguments in, one call, lines out."""

import argparse
import difflib
import inspect
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TextIO, Union, get_args, get_origin, get_type_hints

from fer_lib import __version__
from fer_lib.commands import GROUPS
from fer_lib.errors import UserError, is_out_of_memory
from fer_lib.extras import MissingExtra
from fer_lib.options import COMMANDS, Option, path, whole
from fer_lib.texts import one_line, printable

EXAMPLES = ("fer recipes", "fer train zhang/cbam_ends/fer2013 --seed 0", "fer study tables")
PARSERS: dict[Any, Callable[[str], Any] | None] = {int: whole(), Path: path, str: None}
"""What makes a value of a text, by type; None for nothing."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status.

    0: done; 1: done, and what was found or done has faults; 2: a user error; 75: stopped and resumable; 130 or 143:
    ended by Ctrl-C or by SIGTERM.
    """
    try:
        with _as_text(), _ended_alike():
            parser = build_parser()
            if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
                import argcomplete

                argcomplete.autocomplete(parser)
            parsed = parser.parse_args(arguments)
            status = parsed.act(parsed)
            sys.stdout.flush()  # here, where a full disk is still an error of ours
    except UserError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("fer_lib"):
            raise
        _fail(str(MissingExtra(error.name.partition(".")[0], "study")))  # other parts say themselves what they need
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stdout = None
        sys.exit(0)
    except KeyboardInterrupt as ended:
        number = signal.Signals((ended.args or [signal.SIGINT])[0])
        _fail(f"stopped by {number.name}", 128 + number)
    except Exception as error:
        if is_out_of_memory(error):
            _fail("out of memory; free some, or ask for less at once")
        if not isinstance(error, OSError):
            raise
        if not error.filename:
            sys.stdout = None  # it cannot be written to
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    sys.exit(status or 0)


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"fer: {one_line(message)}", file=sys.stderr)
    sys.exit(status)


class _AsText:
    """A stream on which a control character in the name of a file or a field of a record is shown, not obeyed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):  # what a legacy code page lacks is shown by its number
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _as_text() -> Iterator[None]:
    with redirect_stdout(_AsText(sys.stdout)), redirect_stderr(_AsText(sys.stderr)), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"fer: {one_line(str(message))}", file=sys.stderr)
        yield


@contextmanager
def _ended_alike() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, which removes what is half written and stops a notebook's kernel."""

    def end(number: int, _frame: object) -> NoReturn:
        logging.disable()  # libraries tell at length that they were ended as well
        raise KeyboardInterrupt(number)

    before, told = {}, logging.root.manager.disable
    if threading.current_thread() is threading.main_thread():  # elsewhere Python takes no handler
        for number, usual in {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}.items():
            if signal.getsignal(number) == usual:  # not what a parent set aside, as a shell does in the background
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
        logging.disable(told)


class _Parser(argparse.ArgumentParser):
    """A parser that suggests what a mistyped command or option may have meant."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Refuse an unknown option where it stands: left to argparse, only the outermost parser would."""
        namespace, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        option = re.match(r"unrecognized arguments: (\S+)", message)
        command = re.match(r"argument COMMAND: invalid choice: (.*) \(choose from", message)
        if option:
            message = self._unknown("argument", option[1].split("=")[0], self._option_string_actions)
        elif command:
            names = next(a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction))
            message = self._unknown("command", command[1].strip("'"), names)
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")

    @staticmethod
    def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        return f"unknown {kind} {name!r}" + (f": did you mean {near[0]}?" if near else "")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, from the functions that :func:`fer_lib.options.command` was put on."""
    parser = _Parser(prog="fer", description=__doc__.replace("``", ""), epilog=_examples(EXAMPLES))
    parser.add_argument("--version", action="version", version=f"fer {__version__}", help="show the version and exit")
    top = parser.add_subparsers(metavar="COMMAND", required=True)
    groups: dict[str, Any] = {}
    for function in COMMANDS:
        group, _, name = function.__name__.partition("_")
        if group not in GROUPS:
            group, name = "", function.__name__.replace("_", "-")
        elif group not in groups:
            members = [other for other in COMMANDS if other.__name__.startswith(f"{group}_")]
            examples = [_documented(other)[1][0] for other in members]
            made = top.add_parser(group, help=GROUPS[group], epilog=_examples(examples))
            groups[group] = made.add_subparsers(metavar="COMMAND", required=True)
        summary, examples = _documented(function)
        made = groups.get(group, top).add_parser(
            name, help=_phrase(summary), description=summary, epilog=_examples(examples)
        )
        made.set_defaults(act=partial(_call, function))
        hints = get_type_hints(function, include_extras=True)
        for one in inspect.signature(function).parameters.values():
            hint = hints[one.name]
            if not (isinstance(hint, type) and is_dataclass(hint)):
                default = MISSING if one.default is one.empty else one.default
                _add(made, one.name, hint, default, option=one.kind is one.KEYWORD_ONLY)
                continue
            options = made.add_argument_group(_phrase(_documented(hint)[0]))
            for field in fields(hint):
                field_hint = get_type_hints(hint, include_extras=True)[field.name]
                _add(options, field.name, field_hint, field.default, option=True)
    return parser


def _call(function: Callable[..., int | None], parsed: argparse.Namespace) -> int | None:
    """Call a command with what was parsed, the fields of a dataclass put together again."""
    given = {}
    for name, kind in get_type_hints(function).items():
        if is_dataclass(kind):
            given[name] = kind(**{field.name: getattr(parsed, field.name) for field in fields(kind)})  # type: ignore[operator]
        elif name != "return":
            given[name] = getattr(parsed, name)
    return function(**given)


def _add(parser: Any, name: str, hint: Any, default: Any, *, option: bool) -> None:
    """Add to a parser the argument or option that a parameter's type, default and :class:`Option` describe."""
    kind, said = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, Option())
    if get_origin(kind) in (Union, UnionType):  # X | None
        kind = get_args(kind)[0]
    word = name.replace("_", "-")
    if kind is bool:
        action = "store_false" if default else "store_true"
        parser.add_argument(f"--no-{word}" if default else f"--{word}", dest=name, action=action, help=said.help)
        return
    needed = default is MISSING
    more: dict[str, Any] = {"metavar": said.metavar, "help": _with_default(said.help, default)}
    if get_origin(kind) is Sequence:
        kind, default = get_args(kind)[0], []
        more |= {"action": "append"} if said.each else {"nargs": "+" if option or needed else "*"}
        if option and not said.each:
            more["action"] = "extend"
    elif not (option or needed):
        more["nargs"] = "?"
    if get_origin(kind) is Literal:
        more["choices"] = get_args(kind)
    else:
        more["type"] = said.parse or PARSERS[kind]
    if option:
        flags = [said.flag, f"--{word}"] if said.flag else [f"--{word}"]
        action = parser.add_argument(*flags, dest=name, default=default, required=needed, **more)
    else:
        action = parser.add_argument(name, default=None if needed else default, **more)
    if said.complete:
        action.completer = lambda **_: said.complete()


def _with_default(text: str, default: Any) -> str:
    if default in (MISSING, None, ()):
        return text
    shown = f"{default:g}" if isinstance(default, float) else default
    return f"{text} (default: {shown})".strip()


def _documented(thing: Callable[..., Any]) -> tuple[str, list[str]]:
    """The first paragraph of a docstring, and the lines of its examples."""
    text, _, examples = (inspect.getdoc(thing) or "").partition("Examples:\n")
    return text.partition("\n\n")[0].replace("\n", " "), [line.strip() for line in examples.splitlines() if line]


def _phrase(sentence: str) -> str:
    """A sentence as it stands beside a name: without its capital and its full stop."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _examples(lines: Iterable[str]) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


if __name__ == "__main__":
    main()
