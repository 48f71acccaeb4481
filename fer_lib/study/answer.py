"""The answer so far, as a paragraph that says what the tables hold and no more."""

from collections.abc import Sequence

import pandas as pd

from fer_lib.recipe import get_recipe
from fer_lib.runs import RunRecord
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import evidence_table
from fer_lib.study.gains import READINGS, ablation_table
from fer_lib.study.groups import DATASETS, Group, group_records, longest_groups
from fer_lib.study.verdicts import FROM_RUNS, NOT_RUN, NOT_TESTABLE


def answer(records: Sequence[RunRecord]) -> str:
    """What the runs say of attention, of the papers' numbers, and of FER2013.

    Args:
        records: the study's runs.

    Returns:
        Paragraphs of Markdown.
    """
    own = [ablation_table(records, claimed=False, question=question) for question in ("", "alike")]
    paragraphs = [_attention(*own), claims_sentence(claim_table(records), evidence_table(records)), _best(records)]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def claims_sentence(table: pd.DataFrame, evidence: pd.DataFrame) -> str:
    """How many printed numbers have which verdict.

    Args:
        table: of :func:`fer_lib.study.claim_table.claim_table`.
        evidence: of :func:`fer_lib.study.evidence.evidence_table`.
    """
    verdicts = table["verdict"].value_counts()
    runs = _counted(verdicts, FROM_RUNS)
    free = _counted(verdicts, [word for word in verdicts.index if word not in (*FROM_RUNS, NOT_RUN, NOT_TESTABLE)])
    counts = evidence.loc[evidence["finding"].str.startswith("counted "), "finding"]
    right, counted = (counts == "counted right").sum(), len(counts)
    sentences = [
        f"Of {len(table)} printed accuracies, recalls and gains our runs judge {sum(runs.values())}"
        + (f" ({_listed(runs)})" if runs else "")
        + (
            f"; {sum(free.values())} need no run, as the papers' own numbers judge them ({_listed(free)})"
            if free
            else ""
        )
        + f"; {verdicts.get(NOT_TESTABLE, 0)} cannot be tested, the pictures being unpublished, and "
        f"{verdicts.get(NOT_RUN, 0)} have no run of the paper's length yet.",
        f"Of {counted} printed counts of pictures {right} agree with the data.",
    ]
    return " ".join(sentences)


def _counted(verdicts: pd.Series, words: Sequence[str]) -> dict[str, int]:
    return {word: int(verdicts[word]) for word in words if word in verdicts}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _attention(plain: pd.DataFrame, alike: pd.DataFrame) -> str:
    """What each module adds, net by net: what holds in a small net need not hold in another."""
    read = plain[plain["reading"].isin(READINGS)]
    if read.empty:
        return "Whether attention helps, all else equal, is open: no comparison has its seeds at full length yet."
    sentences = []
    for (baseline, dataset, epochs), rows in read.groupby(["baseline", "dataset", "epochs"], sort=False):
        name = get_recipe(baseline).title
        found = [f"{_module(row, name)} {_effect(row)}" for _, row in rows.sort_values("gain").iterrows()]
        sentences.append(
            f"In {name} ({DATASETS[dataset]}, {epochs:.0f} epochs, both held-out sets, points of accuracy with "
            f"simultaneous 95 % intervals): {'; '.join(found)}."
        )
    halved = alike[alike["reading"].isin(READINGS) & (alike["gain"].notna())]
    halved = halved[halved["baseline"].map(lambda name: "branch_scale" in get_recipe(name).model_options)]
    for baseline, rows in halved.groupby("baseline", sort=False):
        plain_net = get_recipe(baseline).title
        found = [f"{_module(row, plain_net)} {_effect(row)}" for _, row in rows.iterrows()]
        sentences.append(f"Beside {plain_net}: {'; '.join(found)}.")
    marks = read["standing"].value_counts()
    sentences.append(
        f"{len(read)} comparisons have enough runs: {_listed(_counted(read['reading'].value_counts(), READINGS))}; "
        f"{_listed(_counted(marks, ('confirmed', 'confirmatory', 'exploratory')))}."
    )
    return " ".join(sentences)


def _module(row: pd.Series, baseline: str) -> str:
    name = str(row["system"])
    common = 0
    while common < min(len(name), len(baseline)) and name[common] == baseline[common]:
        common += 1
    cut = name[:common].rfind(" ") + 1 if common < len(name) and name[common : common + 1] not in (" ", ",") else common
    return name[cut:].strip(" +,") or name


def _effect(row: pd.Series) -> str:
    return f"{row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}), {row['reading']}"


def _best(records: Sequence[RunRecord]) -> str:
    """The net, and the pipeline without one, that PublicTest likes best."""
    groups = [
        group for group in longest_groups(group_records(records))
        if get_recipe(group.recipe).dataset == "fer2013" and group.accuracies("val") and group.accuracies("test")
    ]  # fmt: skip
    nets, pipelines = ([group for group in groups if group.chance is chance] for chance in (True, False))
    found = [
        f"{get_recipe(best.recipe).title} {100 * _mean(best, 'test'):.1f} % ({_length(best)})"
        for best in (max(kind, key=lambda group: _mean(group, "val"), default=None) for kind in (nets, pipelines))
        if best
    ]
    return f"Best accuracy on PrivateTest, chosen by PublicTest: {'; '.join(found)}." if found else ""


def _mean(group: Group, part: str) -> float:
    values = group.accuracies(part)
    return sum(values) / len(values)


def _length(group: Group) -> str:
    if not group.chance:
        return "without a net"
    seeds = len(group.seeds)
    return f"{seeds} seed{'s' * (seeds > 1)}, {group.epochs} of {group.recipe_epochs} epochs"
