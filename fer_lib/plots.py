"""Figures of the notebooks and of the tables; every function returns a new figure and shows nothing."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PAPER, OURS, QUIET = "#D55E00", "#0072B2", "#999999"  # of Okabe and Ito's palette, told apart by every eye


def svg(figure: Figure) -> bytes:
    """A figure as SVG whose bytes depend on its content alone."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fer", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return buffer.getvalue()


def claims(table: pd.DataFrame) -> Figure:
    """Printed accuracies beside ours.

    Args:
        table: a claim table, see :func:`fer_lib.study.tables.claim_table`.
    """
    figure = Figure(figsize=(8, 0.8 + 0.34 * len(table)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(table))[::-1]
    axes.scatter(table["printed"], rows, marker="D", color=PAPER, label="printed", zorder=3)
    full = table["epochs"] == table["recipe_epochs"]
    ours = table["ours"].astype(float)
    axes.scatter(ours[full], rows[full], color=OURS, label="ours", zorder=3)
    axes.scatter(
        ours[~full],
        rows[~full],
        facecolors="none",
        edgecolors=OURS,
        label="ours, fewer epochs than the paper",
        zorder=3,
    )
    low, high = table["low"].astype(float), table["high"].astype(float)
    axes.hlines(rows, low, high, color=OURS, linewidth=2, label="95 % interval")
    for row, verdict, missing in zip(rows, table["verdict"], ours.isna(), strict=True):
        if missing:
            axes.annotate(verdict, (1.01, row), xycoords=("axes fraction", "data"), va="center", color=QUIET)
    names = zip(table["paper"], table["system"], table["dataset"], table["split"], strict=True)
    axes.set_yticks(
        rows, [f"{paper}: {system}, {data}{' (val)' * (split == 'val')}" for paper, system, data, split in names]
    )
    axes.set_ylim(-0.6, len(table) - 0.4)
    axes.set_xlabel("accuracy, %")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, frameon=False, fontsize="small")
    return figure


def curves(histories: Mapping[str, Mapping[str, np.ndarray]], selected: Mapping[str, int] | None = None) -> Figure:
    """Loss and accuracy over the epochs.

    Args:
        histories: for each run's label the columns of its ``history.csv``.
        selected: for each label the epoch that validation chose, marked by a dot.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, history), color in zip(histories.items(), sns.color_palette("colorblind"), strict=False):
        epochs = history["epoch"]
        style = {"color": color, "marker": "." if len(epochs) < 20 else ""}  # one epoch alone draws no line
        left.plot(epochs, history["train_loss"], **style, label=f"{label}, training")
        left.plot(epochs, history["val_loss"], **style, linestyle="--", label=f"{label}, validation")
        right.plot(epochs, history["train_accuracy"] * 100, **style)
        right.plot(epochs, history["val_accuracy"] * 100, **style, linestyle="--")
        if selected:
            chosen = selected[label]
            right.plot(chosen, history["val_accuracy"][chosen - 1] * 100, "o", color=color)
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="accuracy, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(frameon=False, fontsize="small")
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """A confusion matrix; rows are the true classes, in percent of each row.

    Args:
        matrix: counts, int [C, C].
        classes: C names.
        title: above the matrix.
    """
    figure = shares(pd.DataFrame(matrix, classes, classes), "predicted", "true (pictures)")
    figure.axes[0].set_title(title)
    return figure


def shares(counts: pd.DataFrame, columns: str, rows: str) -> Figure:
    """A table of counts as a map, in percent of each row.

    Args:
        counts: whole numbers.
        columns: what the columns are.
        rows: what the rows are.
    """
    totals = counts.sum(axis=1)
    figure = Figure(figsize=(1.6 + 0.52 * counts.shape[1], 0.8 + 0.52 * counts.shape[0]), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(
        100 * counts.div(totals.clip(lower=1), axis=0), annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100,
        square=True, ax=axes, yticklabels=[f"{row} ({n:,})" for row, n in totals.items()],
        cbar_kws={"label": "% of the row"},
    )  # fmt: skip
    axes.set(xlabel=columns, ylabel=rows)
    return figure


def class_counts(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Pictures per class, one bar per part.

    Args:
        counts: ``{part: {class: pictures}}``.
    """
    table = (
        pd.DataFrame(counts).rename_axis("class").reset_index().melt("class", var_name="part", value_name="pictures")
    )
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    sns.barplot(table, x="class", y="pictures", hue="part", palette="colorblind", ax=axes)
    axes.set(xlabel="", ylabel="pictures")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, title="")
    return figure


def pictures(images: np.ndarray, titles: Sequence[str] | None = None, columns: int = 7) -> Figure:
    """A sheet of grey pictures.

    Args:
        images: uint8 or float [N, H, W], shown from each sheet's darkest to its brightest value.
        titles: N captions.
        columns: pictures per row.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.15 * columns, (1.35 if titles else 1.15) * rows), layout="constrained")
    low, high = float(np.min(images)), float(np.max(images))
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if index < len(images):
            axes.imshow(images[index], cmap="gray", vmin=low, vmax=high)
            if titles:
                axes.set_title(titles[index], fontsize=8)
    return figure
