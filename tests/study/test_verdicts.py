"""The rules: every word for every kind of claim, against the registered definitions."""

import pytest

from fer_lib.study.verdicts import judge_gain, judge_level


@pytest.mark.parametrize(
    ("printed", "interval", "fidelity", "word"),
    [
        (0.71, (0.70, 0.73), "A", "consistent"),
        (0.70, (0.70, 0.73), "B", "consistent"),  # the ends belong to it
        (0.69, (0.70, 0.73), "A", "excluded: ours is higher"),
        (0.74, (0.70, 0.73), "B", "excluded: ours is lower"),
        (0.74, (0.70, 0.73), "C", "undecided"),  # a stand-in excludes nothing
        (0.69, (0.70, 0.73), "C", "undecided"),
        (0.71, (0.70, 0.73), "C", "consistent"),
        (0.71, (0.68, 0.7201), "A", "undecided"),  # wider than two points to either side
        (0.71, None, "A", "undecided"),
    ],
)
def test_every_word_about_a_level(printed, interval, fidelity, word):
    assert judge_level(printed, interval, fidelity) == word


@pytest.mark.parametrize(
    ("bound", "word"), [(0.74, "consistent"), (0.73, "consistent"), (0.71, "undecided"),
                        (0.69, "excluded: ours is higher")]
)  # fmt: skip
def test_a_printed_upper_bound(bound, word):
    assert judge_level(bound, (0.70, 0.73), "A", upper_bound=True) == word


@pytest.mark.parametrize(
    ("printed", "interval", "fidelity", "word"),
    [
        (0.025, (0.010, 0.044), "A", "consistent"),
        (0.025, (-0.001, 0.043), "A", "undecided"),  # it may be no gain at all
        (0.025, (0.030, 0.050), "A", "excluded: ours is higher"),
        (0.025, (-0.010, 0.010), "A", "excluded: ours is lower"),
        (0.025, (-0.010, 0.010), "C", "undecided"),
        (-0.020, (-0.030, -0.006), "A", "consistent"),
        (-0.020, (0.006, 0.030), "A", "excluded: ours is higher"),
        (0.0, (-0.010, 0.018), "A", "consistent"),
        (0.0, (-0.030, 0.018), "A", "undecided"),
        (0.0, (0.010, 0.030), "A", "excluded: ours is higher"),
        (0.025, None, "A", "undecided"),
    ],
)
def test_every_word_about_a_gain(printed, interval, fidelity, word):
    assert judge_gain(printed, interval, fidelity) == word
