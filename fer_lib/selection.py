"""Selection rules: which epoch a run's numbers come from, and when a training may end early."""

from collections.abc import Sequence

RULES = ("last", "val_selected", "test_best")
"""Every run is reported under all three. ``val_selected`` is the first epoch of the best validation accuracy and the
honest one; ``test_best`` looks at the test part and is there to show what that is worth."""


def is_exhausted(scores: Sequence[float], patience: int | None) -> bool:
    """Whether the last ``patience`` epochs brought no better score than the best one before them.

    Args:
        scores: validation accuracy of every epoch so far.
        patience: epochs to wait; None waits for ever.
    """
    if patience is None or not scores:
        return False
    return len(scores) - 1 - max(range(len(scores)), key=scores.__getitem__) >= patience
