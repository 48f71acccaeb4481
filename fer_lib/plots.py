"""Figures of the notebooks and of the tables; every function returns a new figure and shows nothing."""

import hashlib
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from fer_lib.data.catalog import dataset_title
from fer_lib.extras import from_extra
from fer_lib.texts import added_part

with from_extra("analysis"):
    import matplotlib as mpl
    import pandas as pd
    import seaborn as sns
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

PAPER, OURS, QUIET = "#D55E00", "#0072B2", "#999999"  # of Okabe and Ito's palette, told apart by every eye
PAPER_WORDS = "#B34700"  # the papers' orange, dark enough to read on white
UNKNOWN = "#707070"  # words about what no run has measured yet: quiet, but dark enough to read
SYSTEMS = ((OURS, "o"), ("#00795A", "s"), ("#A0457E", "^"), ("#000000", "v"), ("#7A6A00", "D"), ("#6A5ACD", "P"))
"""Colour and mark of each system beside printed numbers."""
FEW = 20
"""Pictures below which a share is not drawn."""


def svg(figure: Figure) -> bytes:
    """A figure as SVG whose bytes depend on what it shows alone."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fer", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = buffer.getvalue()
    # Matplotlib names clip paths and markers by all digits of their coordinates, of which the last differ from machine
    # to machine; here they are named by the digits written.
    names = dict.fromkeys(re.findall(rb'id="([mp][0-9a-f]{10})"', text))
    digest = hashlib.sha256(re.sub(rb"\b[mp][0-9a-f]{10}\b", b"", text)).hexdigest()[:8]
    for number, name in enumerate(names):
        text = text.replace(name, f"{chr(name[0])}{digest}-{number}".encode())
    return text


def png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as PNG, with so many points an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _one_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches and its one panel."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _panels(heights: Sequence[float], inch: float, more: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure and its panels, one below the other, of so many rows of ``inch`` inches, with ``more`` inches in all."""
    figure = Figure(figsize=(9, more + inch * sum(heights)), layout="constrained")
    return figure, list(figure.subplots(len(heights), squeeze=False, sharex=True, height_ratios=heights).flat)


def claims(table: pd.DataFrame) -> Figure:
    """Printed accuracies and recalls beside ours, a panel per paper and dataset; those without ours are left out.

    Args:
        table: a claim table, see :func:`fer_lib.study.claim_table.claim_table`, ``paper`` in words.
    """
    return _claims(table[table["kind"] != "gain"], "accuracy or recall, %")


def gain_claims(table: pd.DataFrame) -> Figure:
    """Printed gains beside ours, in the same way.

    Args:
        table: as :func:`claims`.
    """
    figure = _claims(table[table["kind"] == "gain"], "gain in accuracy, points")
    for axes in figure.axes:
        axes.axvline(0, color=QUIET, linewidth=1, zorder=1)
    return figure


def _claims(table: pd.DataFrame, label: str) -> Figure:
    table = table[table["ours"].notna()]
    if table.empty:
        return only_text("no printed number has runs of its recipe's length beside it yet")
    panels = [rows for _, rows in table.groupby(["dataset", "paper"], sort=False)]
    figure, grid = _panels([len(rows) + 1.1 for rows in panels], 0.25, 0.9)
    for axes, rows in zip(grid, panels, strict=True):
        _claim_panel(axes, rows)
    grid[-1].set_xlabel(label)
    _legend(figure)
    return figure


def _claim_panel(axes: Axes, table: pd.DataFrame) -> None:
    rows, printed, ours = np.arange(len(table))[::-1], table["printed"].to_numpy(float), table["ours"].to_numpy(float)
    axes.hlines(rows, printed, ours, color=QUIET, linewidth=0.7, zorder=1)
    axes.scatter(printed, rows, s=24, marker="D", color=PAPER, label="printed", zorder=3)
    axes.scatter(ours, rows, s=28, color=OURS, label="ours", zorder=3)
    each = [(float(value), row - 0.3) for row, of in zip(rows, table["values"], strict=True) for value in of.split()]
    if len(each) > len(table):
        values, places = zip(*each, strict=True)
        axes.scatter(values, places, s=5, color=OURS, alpha=0.6, linewidth=0, label="one seed")
    if (wide := (table["low"] < table["high"]).to_numpy()).any():  # a deterministic pipeline has no interval
        ends = table.loc[wide, "low"], table.loc[wide, "high"]
        axes.hlines(rows[wide], *ends, color=OURS, linewidth=2, label="one new run, 95 %")
    for row, verdict in zip(rows, table["verdict"], strict=True):
        _beside(axes, row, verdict, fontsize=8)
    _row_names(axes, rows, _claim_names(table))
    axes.set_title(
        f"{table['paper'].iloc[0]}, {dataset_title(table['dataset'].iloc[0])}", loc="left", fontsize="medium"
    )


def _claim_names(table: pd.DataFrame) -> list[str]:
    """What each claim is about; where two are about the same, with the place that prints it."""
    of = table["measure"].where((table["measure"] != "accuracy") & (table["kind"] != "gain"), "")
    names = table["system"] + (", " + of).where(of != "", "") + table["split"].map({"val": " (val)"}).fillna("")
    place = table["place"].str.split("[,;]").str[0]
    return names.where(~names.duplicated(keep=False), names + ", " + place).tolist()


def _row_names(axes: Axes, rows: np.ndarray, names: Sequence[str], size: float | str = 8) -> None:
    """Name the rows of a panel and fit it to them."""
    axes.set_yticks(rows, names, fontsize=size)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.grid(axis="x", alpha=0.3)


def _beside(axes: Axes, row: float, words: str, **style: Any) -> None:
    """Words at the right of a row."""
    axes.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center", **style)


def _legend(figure: Figure, ncols: int = 4) -> None:
    """One legend for all panels, of what is drawn in any."""
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        found |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if found:
        figure.legend([*found.values()], [*found], loc="outside upper center", ncols=ncols, frameon=False, fontsize=8)


def gains(table: pd.DataFrame) -> Figure:
    """What each module adds to its baseline, with the interval that holds for the whole family.

    One panel per baseline, best gain first; families without any gain yet are left out and counted. The grey band is
    one point to either side, within which a gain counts as none.

    Args:
        table: a gain table, see :func:`fer_lib.study.gains.gain_table`.
    """
    panels = [
        (baseline, modules.sort_values("gain", ascending=False, kind="stable"))
        for _, baseline in table[table["baseline"] == ""].iterrows()
        if len(modules := table[(table["baseline"] == baseline["recipe"]) & table["gain"].notna()])
    ]
    open_rows = int((table["baseline"] != "").sum()) - sum(len(modules) for _, modules in panels)
    note = f"{open_rows} comparisons without runs are left out" if open_rows else ""
    if not panels:
        return only_text(note or "no comparison")
    figure, grid = _panels([len(modules) + 1.2 for _, modules in panels], 0.36, 1.3)
    for (baseline, modules), axes in zip(panels, grid, strict=True):
        axes.set_title(
            f"over {baseline['system']} ({baseline['accuracy']:.1f} %), {dataset_title(baseline['dataset'])}",
            loc="left",
            fontsize="medium",
        )
        _gain_panel(axes, baseline, modules)
    grid[-1].set_xlabel("gain in accuracy, points" + (f" ({note})" if note else ""))
    grid[-1].tick_params(labelbottom=True)
    _legend(figure)
    return figure


def only_text(text: str) -> Figure:
    """A figure that says why there is none."""
    figure, axes = _one_panel(9, 0.6)
    axes.axis("off")
    axes.text(0, 0.5, text, va="center", color=UNKNOWN)
    return figure


def _gain_panel(axes: Axes, baseline: pd.Series, table: pd.DataFrame) -> None:
    rows = np.arange(len(table))[::-1]
    axes.axvspan(-1, 1, color=QUIET, alpha=0.2, linewidth=0, label="within ±1 point")
    axes.axvline(0, color=QUIET, linewidth=1)
    names = [added_part(system, baseline["system"]) for system in table["system"]]
    _row_names(axes, rows, names)
    for row, module in zip(rows, table.itertuples(), strict=True):
        judged = not module.reading.startswith("too few")
        color = OURS if module.reading in ("gain", "loss") else "black" if judged else UNKNOWN
        _beside(axes, row, module.reading, fontsize=8, color=color)
        each = [float(value) - baseline["accuracy"] for value in module.values.split()]
        axes.scatter(each, [row - 0.25] * len(each), s=9, color=color, alpha=0.6, linewidth=0, label="one seed")
        if pd.notna(module.low):
            axes.hlines(row, module.low, module.high, color=color, linewidth=1.2, label="95 % interval, whole family")
            axes.hlines(row, module.low_90, module.high_90, color=color, linewidth=3.5, label="90 % interval, alone")
        axes.scatter(module.gain, row, color=color, zorder=3)


def start(table: pd.DataFrame) -> Figure:
    """Gains over the plain net by what a residual branch adds before any training; equal sizes are set apart.

    Args:
        table: see :func:`fer_lib.study.start.start_table`; of one comparison.
    """
    figure, axes = _one_panel(9, 5)
    axes.axhline(0, color=QUIET, linewidth=1)
    shown = table.assign(gain=table["gain"].mask(table["baseline"] == "", 0.0)).dropna(subset="gain")
    plain_net = shown["system"].iloc[0] if len(shown) else ""
    shown = shown.assign(branch_size=shown["branch_size"].round(2)).sort_values(["branch_size", "attention"])
    places: list[float] = []
    for size in shown["branch_size"]:
        places.append(max(size, 1.06 * places[-1]) if places else size)
    for attention, color, label in ((False, OURS, "no module"), (True, PAPER, "with attention")):
        rows = shown.assign(place=places)[shown["attention"] == attention]
        if rows.empty:
            continue
        sure = rows.dropna(subset="low")
        axes.plot(rows["place"], rows["gain"], "o" if attention else "o-", color=color, label=label)
        if len(sure):
            axes.vlines(sure["place"], sure["low"], sure["high"], color=color, linewidth=2, label="95 % interval")
        for row in rows.itertuples():
            name = textwrap.fill(added_part(row.system, plain_net) if row.system != plain_net else plain_net, 22)
            aside: dict[str, Any]
            # Modules of one start stand close together: a short name stands over its interval, a long one below.
            if not attention:
                where, aside = row.gain, {"xytext": (-6, 4), "ha": "right", "va": "bottom"}
            elif pd.isna(row.high):
                where, aside = row.gain, {"xytext": (9, 0), "ha": "left", "va": "center"}
            else:
                where, aside = row.high, {"xytext": (4, 3), "ha": "right", "va": "bottom"}
                if len(name) > 8:
                    where, aside = row.low, {"xytext": (-3, -3), "ha": "left", "va": "top"}
            axes.annotate(name, (row.place, where), textcoords="offset points", fontsize=8, **aside)
    axes.set_xscale("log", base=2)
    axes.set_xticks([0.25, 0.5, 1], ["¼", "½", "1"])
    axes.set_xlim(0.15, 1.8)
    axes.margins(y=0.16)
    axes.set_xlabel("what a residual branch adds before any training (plain net: 1)")
    axes.set_ylabel("gain in accuracy, points")
    _legend(figure)
    return figure


def curves(histories: Mapping[str, Mapping[str, np.ndarray]], selected: Mapping[str, int] | None = None) -> Figure:
    """Loss and accuracy over the epochs.

    Args:
        histories: for each run's label the columns of its ``history.csv``.
        selected: for each label the epoch that validation chose, marked by a dot.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    validation = left.twinx()  # the training loss may be another measure than the validation's cross-entropy
    for (label, history), color in zip(histories.items(), sns.color_palette("colorblind"), strict=False):
        epochs = history["epoch"]
        style = {"color": color, "marker": "." if len(epochs) < 20 else ""}
        left.plot(epochs, history["train_loss"], **style, label=f"{label}, training")
        right.plot(epochs, history["train_accuracy"] * 100, **style)
        if np.isnan(history["val_loss"]).all():  # folds without a validation part
            continue
        validation.plot(epochs, history["val_loss"], **style, linestyle="--", label=f"{label}, validation")
        right.plot(epochs, history["val_accuracy"] * 100, **style, linestyle="--")
        if selected:
            chosen = selected[label]
            label = f"{label}, epoch that validation chose"
            right.plot(chosen, history["val_accuracy"][chosen - 1] * 100, "o", color=color, label=label)
    left.set(xlabel="epoch", ylabel="training loss, as trained (solid)")
    if validation.lines:
        validation.set(ylabel="validation loss, cross-entropy (dashed)")
    else:
        validation.axis("off")
    right.set(xlabel="epoch", ylabel="accuracy, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure)
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
    figure, axes = _one_panel(1.6 + 0.52 * counts.shape[1], 0.8 + 0.52 * counts.shape[0])
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
        counts: ``{part: {class: pictures}}``; "" names all pictures of data without parts.
    """
    table = (
        pd.DataFrame(counts).rename_axis("class").reset_index().melt("class", var_name="part", value_name="pictures")
    )
    figure, axes = _one_panel(8, 3.2)
    sns.barplot(table, x="class", y="pictures", hue="part", palette="colorblind", legend=any(counts), ax=axes)
    axes.set(xlabel="", ylabel="pictures")
    axes.grid(axis="y", alpha=0.3)
    if any(counts):
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
            # Every pixel as it is; smooth enlargement would also double the file.
            axes.imshow(images[index], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            if titles:
                axes.set_title(titles[index], fontsize=8)
    return figure


def heat(
    images: np.ndarray,
    rows: Mapping[str, np.ndarray],
    titles: Sequence[str],
    regions: np.ndarray | None = None,
) -> Figure:
    """Pictures above their heat maps; the hotter a place, the more orange it is.

    Args:
        images: uint8 [N, H, W].
        rows: for each row's label the maps of all pictures, float [N, H, W] from 0 to 1.
        titles: N captions.
        regions: bool [N, H, W], outlined in blue.
    """
    figure = Figure(figsize=(1.25 * len(images) + 0.3, 1.25 * (len(rows) + 1) + 0.2), layout="constrained")
    grid = figure.subplots(len(rows) + 1, len(images), squeeze=False)
    for line, (label, maps) in zip(grid, {"": None, **rows}.items(), strict=True):
        line[0].set_ylabel(textwrap.fill(re.sub("[_/]", " ", label), 16), fontsize=8)
        for index, axes in enumerate(line):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.imshow(images[index], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if maps is None:
                axes.set_title(titles[index], fontsize=8)
                continue
            color = np.broadcast_to(mpl.colors.to_rgb(PAPER), (*maps[index].shape, 3))
            axes.imshow(np.dstack([color, 0.85 * maps[index]]), interpolation="nearest")
            if regions is not None:
                axes.contour(regions[index], [0.5], colors=[OURS], linewidths=0.8)
    return figure


def heat_gains(table: pd.DataFrame) -> Figure:
    """How much more heat each attention puts into the region, seed by seed.

    Args:
        table: one row an attention: ``gains`` (sequence of fractions), ``low`` and ``high`` (fractions or NaN) and
            ``verdict``; the index names it.
    """
    figure, axes = _one_panel(7.5, 1.2 + 0.45 * len(table))
    rows = np.arange(len(table))[::-1]
    axes.axvline(0, color=QUIET, linewidth=1)
    for row, found in zip(rows, table.itertuples(), strict=True):
        axes.scatter(100 * np.array(found.gains), np.full(len(found.gains), row), color=OURS, s=18, zorder=3)
        _beside(axes, row, found.verdict, color="0.35")
    low, high = 100 * table["low"].astype(float), 100 * table["high"].astype(float)
    axes.hlines(rows, low, high, color=OURS, linewidth=2, alpha=0.5)
    _row_names(axes, rows, list(table.index), size="medium")
    axes.set_xlabel("gain in the share of heat inside the region, points (dots: seeds, line: 95 % interval)")
    return figure


def reliability(table: pd.DataFrame) -> Figure:
    """Confidence beside accuracy: a thin line per recipe, a thick one for those of a panel together.

    A training shorter than its recipe's is dashed, and left out of the thick line. An interval of fewer than
    :data:`FEW` pictures says nothing and is not drawn.

    Args:
        table: as :func:`fer_lib.study.audits.reliability_table`, with ``paper`` in words.
    """
    table = table.assign(short=table["epochs"] < table["recipe_epochs"])
    panels = list(table[table["pictures"] >= FEW].groupby(["dataset", "paper"], sort=False))
    columns = min(4, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.6 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for ((dataset, paper), lines), axes in zip(panels, grid.flat, strict=False):
        axes.plot([0, 100], [0, 100], color=QUIET, linestyle=":", label="confidence = accuracy")
        for (short, _), line in lines.groupby(["short", "recipe"], sort=False):
            style = {"linestyle": "--", "label": "one recipe, fewer epochs"} if short else {"label": "one recipe"}
            axes.plot(line["confidence"], line["accuracy"], color=OURS, linewidth=0.8, alpha=0.7, **style)
        full = lines[~lines["short"]]
        if full["recipe"].nunique() > 1:
            interval = np.ceil(full["confidence"] / 10)
            weighed = full[["confidence", "accuracy"]].mul(full["pictures"], axis=0).groupby(interval).sum()
            together = weighed.div(full.groupby(interval)["pictures"].sum(), axis=0)
            axes.plot(together["confidence"], together["accuracy"], color=OURS, linewidth=2.5, label="all together")
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        axes.set_title(textwrap.fill(f"{paper}, {dataset_title(dataset)}", 30), fontsize=9)
        axes.grid(alpha=0.3)
    figure.supxlabel("confidence, %")
    figure.supylabel("accuracy, %")
    _legend(figure)
    return figure


def protocols(table: pd.DataFrame, printed: pd.DataFrame, splits: Mapping[str, str]) -> Figure:
    """CK+ accuracies from the split by person to the split by picture, a line a system, printed numbers as marks.

    A bar is the 95 % interval for other persons; a hollow dot is a training shorter than its recipe's.

    Args:
        table: as :func:`fer_lib.study.protocols.protocol_audit`.
        printed: as :func:`fer_lib.study.protocols.printed_accuracies`, ``paper`` in words.
        splits: the protocols in words, from left to right.
    """
    table = table[table["accuracy"].notna()]
    table = table.assign(at=table["split"].map(list(splits).index))
    families = [rows.sort_values("at") for _, rows in table.groupby("family", sort=False) if rows["at"].nunique() > 1]
    figure, axes = _one_panel(9, 5.4)
    style: dict[str, Any]
    for number, rows in enumerate(families):
        color, mark = SYSTEMS[number % len(SYSTEMS)]
        at = rows["at"] + 0.06 * (number - (len(families) - 1) / 2)
        bars = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        label = rows["system"].iloc[0].split(",")[0]
        axes.errorbar(at, rows["accuracy"], bars, color=color, marker=mark, markersize=5, elinewidth=1, label=label)
        short = (rows["epochs"] < rows["recipe_epochs"]).to_numpy()
        if short.any():
            style = {"color": color, "markersize": 5, "markerfacecolor": "white", "label": "fewer epochs (hollow)"}
            axes.plot(at[short], rows["accuracy"][short], mark, **style)
    for row in printed.itertuples():
        half = 0.33 if row.headline else 0.27
        style = {"color": PAPER, "linewidth": 2.5 if row.headline else 0.8, "zorder": 4 if row.headline else 1}
        label = "printed by the papers, what they propose" if row.headline else "printed by the papers, other nets"
        at = list(splits).index(row.split)
        axes.hlines(row.value, at - half, at + half, **style, label=label)
    for (split, paper), rows in printed[printed["headline"]].groupby(["split", "paper"], sort=False):
        place = (list(splits).index(split), rows["value"].max() + 0.7)
        axes.annotate(
            f"{paper} {rows['value'].max():g}", place, ha="center", va="bottom", fontsize=8, color=PAPER_WORDS,
            zorder=1.5, bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    axes.set_ylim(top=103)
    if not families:
        axes.annotate("no run yet", (0.5, 0.4), xycoords="axes fraction", ha="center", color=UNKNOWN)
    axes.set_xticks(range(len(splits)), [words.replace(", ", ",\n") for words in splits.values()])
    axes.set_xlim(-0.6, len(splits) - 0.4)
    axes.set_ylabel("accuracy on CK+, %")
    axes.set_xlabel(
        "what training holds of a test picture: nothing, its person (copied code), other frames of its film"
    )
    axes.grid(axis="y", alpha=0.3)
    _legend(figure, ncols=3)
    return figure


def modules(ours: pd.DataFrame, printed: pd.DataFrame, title: str, tall: bool = False) -> Figure:
    """What modules add here, with intervals, beside the gains that papers print for the same modules.

    Args:
        ours: module, seeds, and gain, low, high and values (one a seed) in points; best first.
        printed: module, gain and label (who prints it, on which data).
        title: above the figure.
        tall: for a phone: narrow, with the printed gains below ours.
    """
    figure, axes = _one_panel(3.7, 1.9 + 0.6 * len(ours)) if tall else _one_panel(6.3, 1.0 + 0.3 * len(ours))
    rows = np.arange(len(ours))[::-1]
    axes.axvspan(-1, 1, color=QUIET, alpha=0.18, linewidth=0, label="within ±1 point")
    axes.axvline(0, color="#555555", linewidth=1)
    axes.hlines(rows + 0.12, ours["low"], ours["high"], color=OURS, linewidth=2.5, label="ours, 95 % interval")
    axes.scatter(ours["gain"], rows + 0.12, s=38, color=OURS, label="ours, mean", zorder=3)
    each = [(value, row - 0.1) for row, of in zip(rows, ours["values"], strict=True) for value in of]
    values, places = zip(*each, strict=True)
    axes.scatter(values, places, s=9, color=OURS, alpha=0.7, linewidth=0, label="ours, one seed")
    heights = dict(zip(ours["module"], rows, strict=True))
    for (label, points), marker in zip(printed.groupby("label", sort=True), cycle("DsP^v"), strict=False):
        at = [heights[module] - 0.28 for module in points["module"]]
        axes.scatter(points["gain"], at, s=34, marker=marker, color=PAPER, label=f"printed: {label}", zorder=3)
    size = 10 if tall else 9
    few = np.where(ours["seeds"] < 2, " (one seed)", "")
    _row_names(axes, rows, [textwrap.fill(n, 11 if tall else 30) for n in ours["module"] + few], size)
    axes.tick_params(axis="x", labelsize=size)
    axes.set_xlabel("gain in accuracy, points", fontsize=size)
    axes.set_title(textwrap.fill(title, 44) if tall else title, loc="left", fontsize=size)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=1 if tall else 3, frameon=False, fontsize=size - 1)
    return figure
