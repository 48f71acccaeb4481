"""Bars for those who wait at a terminal; nothing where the output is kept in a file, a notebook or a test."""

import sys
from collections.abc import Collection, Iterable
from typing import TypeVar

T = TypeVar("T")


def track(items: Collection[T], what: str) -> Iterable[T]:
    """The same items, with a bar that says how many are behind and how long the others will take.

    Args:
        items: what is worked through, one after the other.
        what: what is being done, such as ``"verifying"``.
    """
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        return items
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:  # a machine that only trains
        return items
    # The stream itself: what the command line puts in its place shows a bar's carriage returns and does not obey them.
    bar: Iterable[T] = tqdm(items, desc=what, leave=False, delay=1, file=sys.__stderr__)
    return bar
