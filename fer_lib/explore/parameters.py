"""The parameters of a notebook: what its own cell says, and whether what papermill puts below it fits."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fer_lib.errors import UserError, check_known
from fer_lib.schema import Finite

KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", list: "texts in a list"}
"""What a parameter may be, in words."""
INJECTED = "# Parameters\n"
"""How the cell begins that papermill puts below the parameters."""


def assigned(source: str) -> dict[str, Any]:
    """The names that a cell of plain assignments gives values to, and the values."""
    lines = [line for line in ast.parse(source).body if isinstance(line, ast.Assign)]
    return {name.id: ast.literal_eval(line.value) for line in lines if isinstance(name := line.targets[0], ast.Name)}


def check_parameters(cells: Sequence[str]) -> None:
    """Stop a notebook that papermill has given a parameter it does not have, of which papermill only warns.

    Args:
        cells: the sources executed so far, ``In`` of a notebook: the parameters', papermill's if there is one, and
            the cell that calls this.

    Raises:
        UserError: an unknown parameter, or a value of another kind than the notebook's own.
    """
    if len(cells) > 2 and cells[-2].startswith(INJECTED):
        fitting(assigned(cells[-2]), assigned(cells[-3]))


def fitting(changes: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the notebook's own values are: a text is read as a number or a truth where those are.

    Args:
        changes: values by name.
        own: what the notebook says.

    Raises:
        UserError: an unknown parameter, or a value of another kind than the notebook's own.
    """
    found = {}
    for name, value in changes.items():
        check_known("parameter", name, own)
        try:
            found[name] = _like(own[name], value)
        except (ValueError, SyntaxError):
            kind = KINDS[type(own[name])]
            raise UserError(
                f"parameter {name} must be {kind}, not {value!r}; the notebook's own is {own[name]!r}"
            ) from None
    return found


def _like(own: Any, value: Any) -> Any:
    """A value of the type of a parameter's own value; a text is read as one.

    Raises:
        ValueError, SyntaxError: it is of another type.
    """
    if isinstance(value, str) and isinstance(own, list):  # one of them, or all as Python writes them
        value = ast.literal_eval(value) if value.startswith("[") else [value]
    elif isinstance(value, str) and not isinstance(own, str):
        value = json.loads(value.lower())
    return msgspec.convert(value, {list: list[str], float: Finite}.get(type(own), type(own)))
