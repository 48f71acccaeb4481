"""Balanced epochs: the counts asked for, spread evenly, new in every epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fer_lib.errors import UserError
from fer_lib.training.balance import balance_indices, class_counts

labels_and_counts = st.tuples(
    st.lists(st.integers(0, 3), min_size=1, max_size=60), st.dictionaries(st.integers(0, 3), st.integers(0, 90))
)


@given(labels_and_counts, st.integers(0, 2**31))
def test_balanced_epochs_have_the_counts_asked_for(case, seed):
    labels, counts = torch.tensor(case[0]), {k: v for k, v in case[1].items() if k in case[0]}
    if all(counts.get(label, 1) == 0 for label in case[0]):
        return
    epoch = balance_indices(labels, torch.Generator().manual_seed(seed), counts)
    times = torch.bincount(epoch, minlength=len(labels))
    for label in labels.unique().tolist():
        own = int((labels == label).sum())
        wanted = counts.get(label, own)
        assert times[labels == label].sum() == wanted
        # Each picture as often as the others, but for one time.
        assert set(times[labels == label].tolist()) <= {wanted // own, -(-wanted // own)}


def test_balanced_epochs_are_new_and_reproducible():
    labels = torch.tensor([0] * 40 + [1] * 6)
    generator = torch.Generator().manual_seed(0)
    first, second = (balance_indices(labels, generator, {0: 25, 1: 20}) for _ in range(2))
    assert torch.equal(first, balance_indices(labels, torch.Generator().manual_seed(0), {0: 25, 1: 20}))
    assert not torch.equal(first, second)
    assert set(first[labels[first] == 0].tolist()) != set(second[labels[second] == 0].tolist())
    assert labels[first].tolist() != sorted(labels[first].tolist())


def test_a_recipes_counts_and_factors_become_counts():
    labels = torch.tensor([0] * 40 + [1] * 6)
    assert class_counts({"sad": {"factor": 2.5}, "angry": {"count": 7}}, ("angry", "sad"), labels) == {0: 7, 1: 15}


@pytest.mark.parametrize("counts", [{5: 3}, {0: -1}])
def test_balance_refuses_what_cannot_be(counts):
    with pytest.raises(UserError, match=f"balance: class {next(iter(counts))} "):
        balance_indices(torch.tensor([0, 1]), torch.Generator().manual_seed(0), counts)
