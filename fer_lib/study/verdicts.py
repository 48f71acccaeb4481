"""The words by which a printed number is judged, and when each is used; registered in ``REGISTRATION.md``.

A printed number is one run of somebody else. It is held against the interval for one new run of ours
(:meth:`fer_lib.statistics.Fit.one_more`), a gain against that of one new pair.
"""

CONSISTENT = "consistent"
UNDECIDED = "undecided"
LOWER = "excluded: ours is lower"
HIGHER = "excluded: ours is higher"
EXCEEDED = "exceeded"
NOT_TESTABLE = "not testable"
NOT_RUN = "not run"
OPEN = (NOT_TESTABLE, NOT_RUN)
"""What no run and no calculation has said anything about."""
FROM_RUNS = (CONSISTENT, EXCEEDED, LOWER, HIGHER, UNDECIDED)
"""What our runs say; other verdicts need none."""

WIDEST = 0.02
"""Half the width of an interval that still says something of a level: neighbouring rows of the papers' tables differ
by less."""
STAND_IN = "C"
"""The fidelity of a test that never excludes."""


def judge_level(printed: float, interval: tuple[float, float] | None, fidelity: str, upper_bound: bool = False) -> str:
    """The verdict on an accuracy, another mean over pictures or classes, or the recall of a class.

    Args:
        printed: the printed value, a fraction.
        interval: for one new run of ours; None where its width is unknown.
        fidelity: of our test, A, B or C.
        upper_bound: whether the paper prints a bound that values stay below.
    """
    if interval is None:
        return UNDECIDED
    low, high = interval
    if upper_bound:
        return CONSISTENT if high <= printed else UNDECIDED if low <= printed else _excluded(HIGHER, fidelity)
    if not low <= printed <= high:
        return _excluded(LOWER if printed > high else HIGHER, fidelity)
    return CONSISTENT if (high - low) / 2 <= WIDEST else UNDECIDED


def judge_gain(printed: float, interval: tuple[float, float] | None, fidelity: str) -> str:
    """The verdict on a gain: consistent only where no gain at all is ruled out (a printed gain of zero but for that).

    Args:
        printed: the printed gain, a difference of fractions.
        interval: for one new pair of runs of ours; None where its width is unknown.
        fidelity: of our test, A, B or C.
    """
    if printed and interval and interval[0] <= printed <= interval[1]:
        return UNDECIDED if interval[0] <= 0 <= interval[1] else CONSISTENT
    return judge_level(printed, interval, fidelity)


def _excluded(word: str, fidelity: str) -> str:
    return UNDECIDED if fidelity == STAND_IN else word
