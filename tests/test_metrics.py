"""The metrics against scikit-learn, plain loops and closed forms."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_lib.metrics import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
    per_class,
    reliability,
    summary,
)

CLASSES = 5
# Class 4 is often absent from one side or both: the quotients without cases.
predictions = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=st.integers(0, CLASSES - 1)),
        arrays(np.int64, n, elements=st.integers(0, CLASSES - 1)),
    )
)


def softmax_pictures(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = np.exp(2 * generator.normal(size=(n, CLASSES)))
    return generator.integers(0, CLASSES, n), scores / scores.sum(1, keepdims=True)


@given(predictions)
def test_confusion_matrix_and_summary_agree_with_scikit_learn(pair):
    labels, predicted = pair
    matrix = confusion_matrix(labels, predicted, CLASSES)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, sklearn.metrics.confusion_matrix(labels, predicted, labels=range(CLASSES)))
    options = {"labels": range(CLASSES), "zero_division": 0}
    expected = dict(
        zip(
            ["macro_precision", "macro_recall", "macro_f1"],
            sklearn.metrics.precision_recall_fscore_support(labels, predicted, average="macro", **options),
            strict=False,
        )
    )
    expected["accuracy"] = sklearn.metrics.accuracy_score(labels, predicted)
    expected["per_class_recall"] = sklearn.metrics.recall_score(labels, predicted, average=None, **options)
    row = summary(labels, predicted, CLASSES)
    assert row.keys() == expected.keys()
    for name, value in row.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, err_msg=name)


def test_rows_are_the_truth():
    assert confusion_matrix([2, 2, 0], [1, 1, 0], 3).tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]
    assert accuracy([2, 2, 0], [1, 1, 0]) == pytest.approx(1 / 3)


def test_small_integer_types_do_not_overflow():
    labels = np.full(300, 6, np.uint8)
    assert confusion_matrix(labels, labels, 100)[6, 6] == 300


def test_likelihood_agrees_with_scikit_learn():
    labels, probabilities = softmax_pictures(500)
    expected = sklearn.metrics.log_loss(labels, probabilities, labels=range(CLASSES))
    assert negative_log_likelihood(labels, probabilities) == pytest.approx(expected, rel=1e-9)


def test_likelihood_of_the_impossible_is_finite():
    assert negative_log_likelihood([0, 1], [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_calibration_error_agrees_with_a_plain_loop():
    labels, probabilities = softmax_pictures(400)
    for bins in (1, 10, 15):
        expected = 0.0
        for b in range(bins):
            inside = [
                (max(row), int(np.argmax(row)) == label)
                for row, label in zip(probabilities.tolist(), labels, strict=True)
                if b / bins < max(row) <= (b + 1) / bins
            ]
            if inside:
                confidence, hits = np.array(inside, dtype=float).mean(0)
                expected += len(inside) / len(labels) * abs(hits - confidence)
        assert expected_calibration_error(labels, probabilities, bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_in_closed_form():
    sure = np.eye(2)[[0] * 10]
    assert expected_calibration_error([0] * 10, sure) == 0
    assert expected_calibration_error([1] * 10, sure) == 1
    assert expected_calibration_error([0] * 7 + [1] * 3, sure) == pytest.approx(0.3)
    # In one interval over- and underconfidence cancel; in two they add up.
    probabilities = [[0.6, 0.4], [1.0, 0.0]]
    assert expected_calibration_error([0, 1], probabilities, bins=1) == pytest.approx(0.3)
    assert expected_calibration_error([0, 1], probabilities, bins=2) == pytest.approx(0.3)
    assert expected_calibration_error([0, 1], probabilities, bins=10) == pytest.approx(0.7)
    # A confidence on the border of two intervals belongs to the lower.
    assert expected_calibration_error([1, 0], [[0.5, 0.5], [0.6, 0.4]], bins=2) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confusion_matrix([0, 7], [0, 1], 7), "class 0 to 7, outside 0 to 6"),
        (lambda: confusion_matrix([0, -1], [0, 1], 7), "class -1 to 0"),
        (lambda: confusion_matrix([0, 1], [0], 7), "2 labels but 1 predictions"),
        (lambda: confusion_matrix([0.0], [0.5], 7), "whole numbers"),
        (lambda: accuracy([], []), "as many predictions"),
        (lambda: negative_log_likelihood([0], [[0.2, 0.2]]), "sum to 1"),
        (lambda: negative_log_likelihood([0], [[np.nan, 1.0]]), "sum to 1"),
        (lambda: expected_calibration_error([0], [0.5, 0.5]), r"\[N, C\]"),
        (lambda: expected_calibration_error([0, 1], [[0.5, 0.5]]), "1 rows"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(predictions)
def test_per_class_agrees_with_scikit_learn(pair):
    labels, predicted = pair
    found = per_class(labels, predicted, CLASSES)
    expected = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(CLASSES), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "pictures"), expected, strict=True):
        np.testing.assert_allclose(found[name], values)
    assert found["predicted"].tolist() == np.bincount(predicted, minlength=CLASSES).tolist()


def test_reliability_agrees_with_scikit_learn_and_with_the_calibration_error():
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.full(7, 0.4), 800)
    labels = np.where(rng.random(800) < 0.6, shares.argmax(1), rng.integers(0, 7, 800))
    found = reliability(labels, shares, bins=10)
    right = shares.argmax(1) == labels
    accuracy, confidence = sklearn.calibration.calibration_curve(right, shares.max(1), n_bins=10)
    some = found["pictures"] > 0
    assert not some[0]  # the largest of seven shares is never a tenth
    assert np.isnan(found["accuracy"][~some]).all()
    np.testing.assert_allclose(found["accuracy"][some], accuracy)
    np.testing.assert_allclose(found["confidence"][some], confidence)
    gaps = np.abs(found["accuracy"] - found["confidence"])[some]
    ece = (gaps * found["pictures"][some]).sum() / 800
    assert expected_calibration_error(labels, shares, bins=10) == pytest.approx(ece)
