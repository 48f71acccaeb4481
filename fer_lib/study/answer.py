"""The answer so far, as a paragraph that says what the tables hold and no more."""

from collections.abc import Sequence

import pandas as pd

from fer_lib.recipe import get_recipe
from fer_lib.runs import RunRecord
from fer_lib.study.claim_table import claim_table
from fer_lib.study.gains import ablation_table
from fer_lib.study.groups import DATASETS, Group, group_records, longest_groups

JUDGED = ("reproduced", "within noise", "not reproduced")
READINGS = {"gain": "a gain beyond noise", "loss": "a loss", "no difference seen": "no difference seen"}
"""What a judged comparison reads, and its words."""


def answer(records: Sequence[RunRecord]) -> str:
    """What the runs say of the papers' numbers, of attention, and of FER2013.

    Args:
        records: the study's runs.

    Returns:
        One paragraph of Markdown.
    """
    alike = ablation_table(records, claimed=False, question="alike")
    sentences = [
        _claims(claim_table(records)),
        _attention(ablation_table(records, claimed=False)),
        _alike(alike[alike["reading"].isin(READINGS)]),
        _best(records),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _claims(table: pd.DataFrame) -> str:
    verdicts = table["verdict"].value_counts()
    counts = {word: verdicts[word] for word in JUDGED if word in verdicts}
    judged, hidden = sum(counts.values()), verdicts.get("not testable", 0)
    found = f" ({', '.join(f'{count} {word}' for word, count in counts.items())})" if judged else ""
    return (
        f"Of the {len(table)} accuracies, recalls and gains that the papers print, {judged} "
        f"{_are(judged)} judged{found}, {hidden} cannot be, since the pictures are unpublished, and "
        f"{len(table) - judged - hidden} wait for runs of the papers' length."
    )


def _attention(table: pd.DataFrame) -> str:
    """How the comparisons read, net by net: what holds in a small net need not hold in another."""
    pairs = table[table["baseline"] != ""]
    judged = pairs[pairs["reading"].isin(READINGS)]
    if judged.empty:
        return "Whether attention helps, all else equal, is open: no comparison has its seeds at full length yet."
    found = [
        f"in {get_recipe(baseline).title} on {DATASETS[dataset]} ({epochs:.0f} epochs) {_readings(rows)}"
        for (baseline, dataset, epochs), rows in judged.groupby(["baseline", "dataset", "epochs"], sort=False)
    ]
    return (
        f"All else equal, {len(judged)} of {len(pairs)} comparisons with attention {_are(len(judged))} judged: "
        f"{'; '.join(found)}."
    )


def _alike(judged: pd.DataFrame) -> str:
    """How the modules read beside nets that start as they do (:mod:`fer_lib.study.start`)."""
    if judged.empty:
        return ""
    return (
        "Beside plain nets whose residual branches start as small as the modules leave theirs, "
        f"{len(judged)} {_are(len(judged))} judged: {_readings(judged)}."
    )


def _readings(judged: pd.DataFrame) -> str:
    return ", ".join(f"{(judged['reading'] == reading).sum()} with {words}" for reading, words in READINGS.items())


def _best(records: Sequence[RunRecord]) -> str:
    """The net, and the pipeline without one, that PublicTest likes best."""
    groups = [
        group for group in longest_groups(group_records(records))
        if get_recipe(group.recipe).dataset == "fer2013" and group.accuracies("val") and group.accuracies("test")
    ]  # fmt: skip
    nets, pipelines = ([group for group in groups if group.chance is chance] for chance in (True, False))
    found = [
        f"“{get_recipe(best.recipe).title}” names {100 * _mean(best, 'test'):.1f} % of PrivateTest ({_length(best)})"
        for best in (max(kind, key=lambda group: _mean(group, "val"), default=None) for kind in (nets, pipelines))
        if best
    ]
    return f"Of our runs on FER2013, chosen by PublicTest, {', and '.join(found)}." if found else ""


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _mean(group: Group, part: str) -> float:
    values = group.accuracies(part)
    return sum(values) / len(values)


def _length(group: Group) -> str:
    if not group.chance:
        return "without a net"
    seeds = len(group.seeds)
    return f"{seeds} seed{'s' * (seeds > 1)}, {group.epochs} of {group.recipe_epochs} epochs"
