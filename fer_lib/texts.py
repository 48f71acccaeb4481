"""Text from elsewhere, such as names of files and fields of records, shown as text and never obeyed."""

import re
from collections.abc import Callable
from decimal import Decimal

# Control characters but tab and line feed, what turns the direction of writing, and the stray bytes of names that are
# no UTF-8.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Text for a terminal: a control character is shown by its number, as in ``\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""The same on one line: a line feed is shown as ``\n``."""
    return printable(text.rstrip("\n")).replace("\n", "\\n")


def spreadsheet_cell(text: str) -> str:
    """A cell of a CSV file: with a quote before what a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def signed(points: float) -> str:
    """Points with a true minus sign, one decimal; what rounds to zero has no sign."""
    return formatted(points, "+.1f")


def interval(low: float, high: float) -> str:
    """``−1.0 to +0.4``, of points; an end near zero has up to four decimals, as its sign decides what one reads."""
    return " to ".join(_with_sign(end) for end in (low, high))


def _with_sign(points: float) -> str:
    """Points with as few decimals as show their sign."""
    texts = [formatted(points, f"+.{decimals}f") for decimals in (1, 2, 3, 4)]
    return next((text for text in texts if not text.startswith("0")), texts[0])


def added_part(system: str, baseline: str) -> str:
    """What a net has that its baseline has not, from their titles."""
    net, comma, shared = baseline.partition(", ")
    name = system.removesuffix(comma + shared)
    added = name.removeprefix(f"{net} + ")
    return re.sub(f"-?{re.escape(net)}", "", added, count=1).strip(" ,") or name


NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
"""In words; larger numbers stand in digits."""


def numeral(number: int) -> str:
    """A number in words, a larger one in digits."""
    return NUMERALS[number] if number < len(NUMERALS) else f"{number:,}"


def many(number: int, noun: str, form: Callable[[int], str] = "{:,}".format) -> str:
    """``1 epoch`` or ``3 epochs``."""
    return f"{form(number)} {noun}{'' if number == 1 else 's'}"


def span(least: str, most: str) -> str:
    """``0.9 to 1.5``, or one of two that read alike."""
    return least if least == most else f"{least} to {most}"


def formatted(value: float | Decimal, form: str) -> str:
    """A number by one of Python's formats, with a true minus sign; what rounds to zero has no sign."""
    text = format(value, form)
    return text.replace("-", "\N{MINUS SIGN}") if re.search("[1-9]", text) else text.lstrip("+-")
