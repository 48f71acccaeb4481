"""Compares the datasets at hand with what is published about them: the text of ``fer data check``."""

from pathlib import Path

import numpy as np

from fer_lib.data import ckplus
from fer_lib.data.audit import audit
from fer_lib.data.catalog import MissingData, data_root, load_dataset, unordered_votes
from fer_lib.data.dataset import FER2013_CLASSES, FaceDataset
from fer_lib.data.facts import find_facts
from fer_lib.data.fer2013 import PUBLISHED

_TITLES = {"train": "Training", "val": "PublicTest", "test": "PrivateTest", "": "no split"}


class _Report:
    """Lines of text, and whether all published figures are met so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ok = True

    def line(self, text: str = "") -> None:
        self.lines.append(text.rstrip())

    def figure(self, title: str, found: int, published: int) -> None:
        """A figure beside the published one, which it must equal."""
        self.ok &= found == published
        self._compare(title, found, published, "as published", "PUBLISHED:")

    def own_figure(self, title: str, found: int, ours: int) -> None:
        """A figure that nobody published, beside that of the copy this study is made with."""
        self._compare(title, found, ours, "as in this study's copy", "in this study's copy:")

    def _compare(self, title: str, found: int, expected: int, same: str, other: str) -> None:
        remark = same if found == expected else f"{other} {expected:,}"
        self.line(f"  {title:<56}{found:>7,}  {remark}")

    def class_table(self, dataset: FaceDataset) -> None:
        """Pictures per split and class."""
        self.line(" " * 15 + "".join(f"{name:>10}" for name in (*dataset.classes, "all")))
        for split, row in dataset.counts().items():
            cells = [*row.values(), sum(row.values())]
            self.line(f"  {_TITLES[split]:<13}" + "".join(f"{cell:>10,}" for cell in cells))


def check_report(root: str | Path | None = None) -> tuple[str, bool]:
    """Say which datasets are at hand, and compare them with what is published.

    Args:
        root: the data root; see `catalog.data_root`.

    Returns:
        The report, and whether there is a dataset and every published figure is met.

    Raises:
        UserError: if files are there but not readable as published.
    """
    root = data_root(root)
    report = _Report()
    found = 0
    for name, describe in (("fer2013", _describe_fer2013), ("ckplus", _describe_ckplus)):
        try:
            dataset = load_dataset(name, root)
        except MissingData as error:
            report.line(str(error))
        else:
            found += 1
            report.line(f"{name}: {len(dataset):,} pictures from {dataset.source}, fingerprint {dataset.fingerprint}")
            for note in dataset.notes:
                report.line(f"  {note}")
            describe(dataset, report)
            if name == "fer2013" and dataset.votes is None:
                where = "no FER+ votes: `fer data download ferplus` says where to get them"
                report.line(f"  {unordered_votes(dataset, root) or where}")
            facts = find_facts(name)
            true = facts is not None and facts.fingerprint == dataset.fingerprint
            remark = "true of these pictures" if true else "of OTHER pictures: write them again with `fer data facts`"
            report.line(f"  facts of the audits (fer_lib/data/facts): {remark}")
        report.line()
    verdict = report.ok and found > 0
    report.line("All published figures are met." if verdict else "NOT as published: see above.")
    return "\n".join(report.lines), verdict


def _describe_fer2013(dataset: FaceDataset, report: _Report) -> None:
    report.class_table(dataset)
    counts = dataset.counts()
    published = {split: np.array(row) for split, row in PUBLISHED.items()}
    if "val" not in counts:
        report.line("  This copy merges PublicTest and PrivateTest: select on a part of Training instead.")
        published = {"train": published["train"], "test": published["val"] + published["test"]}
    cells = [
        (f"{name} in {_TITLES[split]}", counts.get(split, {}).get(name, 0), int(expected))
        for split, row in published.items()
        for name, expected in zip(FER2013_CLASSES, row, strict=True)
    ]
    equal = sum(found == expected for _, found, expected in cells)
    report.figure(f"of the {len(cells)} counts of zhang's Table I", equal, len(cells))
    for title, found, expected in cells:
        if found != expected:
            report.figure(f"  {title}", found, expected)
    report.figure("pictures in all (li and gu say 35,886)", len(dataset), 35_887)
    training = counts.get("train", {})
    report.figure("training pictures (gu and zhang say 28,708)", sum(training.values()), 28_709)

    seen = audit(dataset)
    report.own_figure("distinct pictures", seen.distinct, 34_032)
    report.own_figure("groups of identical pictures", seen.groups, 1_518)
    report.own_figure("  of these with contradictory labels", seen.contradictory, 59)
    if "val" in counts:
        report.own_figure("  of these in more than one split", seen.across_splits, 556)
        report.own_figure("PublicTest pictures that occur in Training", seen.leaks.get(("train", "val"), 0), 279)
        report.own_figure("PrivateTest pictures that occur in Training", seen.leaks.get(("train", "test"), 0), 288)
    report.own_figure("blank pictures", seen.blank, 12)
    if seen.agreement:
        shares = ", ".join(f"{_TITLES[split]} {share:.2%}" for split, share in seen.agreement.items())
        report.line(f"  label is what most FER+ annotators chose: {shares}")


def _describe_ckplus(dataset: FaceDataset, report: _Report) -> None:
    report.class_table(dataset)
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes)).tolist()
    for name, found, published in zip(dataset.classes, counts, ckplus.PUBLISHED, strict=True):
        if found != published:
            report.figure(f"{name} pictures", found, published)
    report.figure("pictures in all", len(dataset), sum(ckplus.PUBLISHED))
    persons, films = (len({*names.tolist()}) for names in (dataset.subject, dataset.sequence) if names is not None)
    report.figure("subjects (zhang says 123, which counts the unlabelled)", persons, ckplus.SUBJECTS)
    report.figure("sequences", films, ckplus.SEQUENCES)
    report.own_figure("distinct pictures", audit(dataset).distinct, sum(ckplus.PUBLISHED))
