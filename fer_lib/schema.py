"""Checked data: what a file or a recipe says is held against a type before anybody uses it."""

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

from fer_lib.errors import UserError, unknown

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
NotNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Share = Annotated[float, Meta(ge=0, le=1)]
"""From 0 to 1."""
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
_PATTERNS = {
    r"\A[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+\Z": "text without control characters",
    r"\A\w[\w.+-]*(/\w[\w.+-]*)*\Z": "a name of letters, digits, '.', '_', '+', '-' and '/'",
    r"\A[0-9a-f]{40,64}\Z": "40 to 64 hexadecimal digits",
}
_TEXT, _NAME, _DIGEST = _PATTERNS
Text = Annotated[str, Meta(pattern=_TEXT)]
"""Something to read: no control character, which a terminal would obey."""
Name = Annotated[str, Meta(pattern=_NAME)]
"""Words between slashes, fit to name a folder."""
Digest = Annotated[str, Meta(pattern=_DIGEST)]

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings; a key that it does not have is refused."""


def checked_fields(cls: type, *, without: tuple[str, ...] = (), strict: bool = True) -> type[Struct]:
    """A type to hold plain values against before a dataclass is made of them.

    Args:
        cls: the dataclass, whose annotations are held.
        without: fields that the values do not have.
        strict: whether a key that is no field is refused.
    """
    hints = get_type_hints(cls, include_extras=True)
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    names = [f.name for f in fields(cls) if f.name not in without]
    chosen = [(name, hints[name], *(() if name in required else (None,))) for name in names]
    return msgspec.defstruct(cls.__name__, chosen, forbid_unknown_fields=strict)


def check(kind: type[T], values: Any, where: str) -> T:
    """Hold plain values against a type.

    Args:
        kind: anything that msgspec converts to, such as a :class:`Part`.
        values: what a TOML or JSON file gives.
        where: what the values are, which opens the message: a file, or "optimizer sgd".

    Returns:
        The values as that type.

    Raises:
        UserError: they do not fit; the message names the key, its value and, for an unknown key, the nearest ones.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(str(error), kind, values)}") from None


def check_named(what: str, kinds: Mapping[str, type[T]], values: Mapping[str, Any]) -> T:
    """Hold a table against the type that its ``name`` chooses.

    Args:
        what: what is named, such as "optimizer".
        kinds: the types by name.
        values: the table.

    Raises:
        UserError: an unknown name, or see :func:`check`.
    """
    name = values.get("name", "")
    if name not in kinds:
        raise unknown(what, str(name), kinds)
    return check(kinds[name], {key: value for key, value in values.items() if key != "name"}, f"{what} {name}")


def shown(name: Any) -> str:
    """A name to read, whatever a file has in its place."""
    return name if isinstance(name, str) and name.isprintable() else repr(name)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UserError: it cannot be read, is no UTF-8 or no TOML, naming the file and the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable ({error})") from None


def _explain(message: str, kind: Any, values: Any) -> str:
    """msgspec's message with the value that it means and, for an unknown key, the nearest ones."""
    text, _, place = message.partition(" - at `$")
    path = place.removesuffix("`")
    info: Any = msgspec.inspect.type_info(kind)
    found, name = values, path.removeprefix(".")
    try:
        for key, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
            info = _fields(info).get(key) if key else getattr(info, "item_type", None)
            found = found[key or int(index)]
    except (LookupError, TypeError, ValueError):  # "[...]" stands for whichever key of a table
        info, found = None, None
    if extra := re.fullmatch("Object contains unknown field `(.*)`", text, re.DOTALL):
        return f"{name}: {unknown('key', extra[1], _fields(info))}".removeprefix(": ")
    if lacking := re.fullmatch("Object missing required field `(.*)`", text):
        return f"lacks {f'{name}.' if name else ''}{lacking[1]}"
    value = repr(found) if len(repr(found)) < 100 else f"{repr(found)[:97]}..."
    where = "" if not name else f"{name}: " if "..." in name else f"{name} = {value}: "
    if " matching regex '" in text:
        text = f"expected {next(words for p, words in _PATTERNS.items() if repr(p)[1:-1] in text or p in text)}"
    choices = [value for kind in _kinds(info) for value in getattr(kind, "values", ())]
    if text.startswith("Invalid enum value") and choices:
        return f"{name}: {unknown('value', str(found), map(str, choices))}"
    words = re.sub(r"`([a-z |]+)`", lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), text)
    return where + words.replace("Expected", "expected")


def _kinds(info: Any) -> Sequence[Any]:
    return info.types if isinstance(info, msgspec.inspect.UnionType) else [info]


def _fields(info: Any) -> dict[str, Any]:
    return {field.encode_name: field.type for kind in _kinds(info) for field in getattr(kind, "fields", ())}
