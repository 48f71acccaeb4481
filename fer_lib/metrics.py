"""What a list of predictions is worth. NumPy only; fractions of 1 throughout, percent is for display."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Count the pictures of each true and predicted class.

    Args:
        labels: true classes, int ``[N]`` of 0..C-1.
        predicted: predicted classes, int ``[N]`` of 0..C-1.
        num_classes: C.

    Returns:
        int64 ``[C, C]``; rows are the truth, columns the prediction.

    Raises:
        ValueError: arrays that are not whole numbers of one length, or a class outside 0..C-1.
    """
    labels, predicted = _classes("labels", labels, num_classes), _classes("predicted", predicted, num_classes)
    if labels.shape != predicted.shape:
        raise ValueError(f"{len(labels)} labels but {len(predicted)} predictions")
    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """The share of correct predictions.

    Raises:
        ValueError: no predictions, or not as many as labels.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or not labels.size:
        raise ValueError(f"accuracy needs as many predictions as labels, not {predicted.shape} and {labels.shape}")
    return float(np.mean(labels == predicted))


def summary(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> dict[str, Any]:
    """The figures of a table row.

    A quotient without cases is 0 (the precision of a class never predicted, the recall of a class absent from
    the labels), and all C classes enter the macro means, as in scikit-learn with ``zero_division=0`` and
    ``labels=range(C)``.

    Returns:
        ``accuracy``, ``macro_precision``, ``macro_recall``, ``macro_f1`` (the mean of the classes' F1) and
        ``per_class_recall`` (C numbers).
    """
    classes = per_class(labels, predicted, num_classes)
    return {
        "accuracy": accuracy(labels, predicted),
        "macro_precision": float(classes["precision"].mean()),
        "macro_recall": float(classes["recall"].mean()),
        "macro_f1": float(classes["f1"].mean()),
        "per_class_recall": classes["recall"].tolist(),
    }


def per_class(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> dict[str, NDArray[Any]]:
    """Precision, recall and F1 of every class; a quotient without cases is 0.

    Returns:
        ``pictures`` (of the true class) and ``predicted``, int64 [C]; ``precision``, ``recall`` and ``f1``,
        float64 [C].
    """
    counts = confusion_matrix(labels, predicted, num_classes)
    hits, actual, claimed = np.diag(counts), counts.sum(1), counts.sum(0)
    return {
        "pictures": actual,
        "predicted": claimed,
        "precision": _quotient(hits, claimed),
        "recall": _quotient(hits, actual),
        "f1": _quotient(2 * hits, actual + claimed),
    }


def negative_log_likelihood(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of ``-ln p`` of the true class, in nats; 0 counts as 2.2e-16, as in scikit-learn.

    Args:
        labels: true classes, int ``[N]``.
        probabilities: float ``[N, C]``, rows summing to 1.

    Raises:
        ValueError: shapes that do not fit, a class outside 0..C-1, or rows that are no probabilities.
    """
    labels, probabilities = _probabilities(labels, probabilities)
    likelihood = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(likelihood, np.finfo(np.float64).eps)).mean())


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """How far confidence is from accuracy (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3).

    The pictures are sorted into `bins` equal intervals (a, b] of their largest probability; the distances between
    an interval's accuracy and its mean confidence are averaged, weighted by its pictures.

    Args:
        labels: true classes, int ``[N]``.
        probabilities: float ``[N, C]``, rows summing to 1.
        bins: number of intervals.

    Raises:
        ValueError: as `negative_log_likelihood`.
    """
    labels, probabilities = _probabilities(labels, probabilities)
    confidence = probabilities.max(1)
    surplus = confidence - (probabilities.argmax(1) == labels)
    return float(np.abs(np.bincount(_interval(confidence, bins), surplus, bins)).sum() / len(labels))


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> dict[str, NDArray[Any]]:
    """What the calibration error is made of: confidence and accuracy in equal intervals of confidence.

    Args:
        labels: true classes, int ``[N]``.
        probabilities: float ``[N, C]``, rows summing to 1.
        bins: number of intervals.

    Returns:
        ``pictures`` int64 [bins]; mean ``confidence`` and ``accuracy`` float64 [bins], NaN in an empty interval.

    Raises:
        ValueError: as `negative_log_likelihood`.
    """
    labels, probabilities = _probabilities(labels, probabilities)
    confidence = probabilities.max(1)
    interval = _interval(confidence, bins)
    pictures = np.bincount(interval, minlength=bins)
    some = np.where(pictures > 0, pictures, np.nan)
    return {
        "pictures": pictures,
        "confidence": np.bincount(interval, confidence, bins) / some,
        "accuracy": np.bincount(interval, probabilities.argmax(1) == labels, bins) / some,
    }


def _interval(confidence: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """The interval (a, b] of each confidence, counted from 0."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _quotient(cases: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(cases, of, out=np.zeros(len(of)), where=of > 0)


def _classes(name: str, values: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers [N], not {values.dtype} {list(values.shape)}")
    if values.min() < 0 or values.max() >= num_classes:
        raise ValueError(f"{name} hold class {values.min()} to {values.max()}, outside 0 to {num_classes - 1}")
    return values.astype(np.int64)


def _probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities must be [N, C], not {list(probabilities.shape)}")
    labels = _classes("labels", labels, probabilities.shape[1])
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels but {len(probabilities)} rows of probabilities")
    # 8-bit probabilities of a run record sum to 1 only within C / 2 steps of 1/255.
    if not (probabilities.min() >= 0 and np.abs(probabilities.sum(1) - 1).max() < 0.05):
        raise ValueError("probabilities must be 0 or more and sum to 1 in each row")
    return labels, probabilities
