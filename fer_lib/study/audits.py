"""Audits: what the accuracies of this field are made of, from the runs' predictions and the committed facts alone.

Every function makes one table from the study's results; a row is a recipe, over its complete seeds, trained for the
most epochs there are. Accuracies and shares are percent, differences points, at the epoch that validation chose and
with the recipe's test views where nothing else is said.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.data.dataset import EIGHT_CLASSES, votes_of
from fer_lib.data.facts import Facts, load_facts
from fer_lib.data.ferplus import majority
from fer_lib.metrics import expected_calibration_error, negative_log_likelihood, per_class, reliability
from fer_lib.recipe import list_recipes, paper_names
from fer_lib.selection import RULES
from fer_lib.statistics import sample_sd
from fer_lib.study.columns import Column, number, spread, table_of
from fer_lib.study.gains import gain_table
from fer_lib.study.groups import Group, training_but
from fer_lib.study.results import Study


def rule_audit(study: Study) -> pd.DataFrame:
    """What it is worth to choose the epoch on the test set, as much published code does.

    Returns:
        One row per recipe: the accuracy under each selection rule, and ``worth``, test_best minus val_selected
        (mean and sd over seeds), also with one view alone, for which test_best was chosen.
    """
    rows = []
    for group in study.longest.values():
        by_rule, one_view = (
            {rule: np.array(group.accuracies("test", rule, kind)) for rule in RULES} for kind in ("tta", "plain")
        )
        worth, worth_one_view = (found["test_best"] - found["val_selected"] for found in (by_rule, one_view))
        means = {rule: _mean(values) for rule, values in by_rule.items()}
        rows.append(_head(group) | means | _mean_sd(worth=worth, worth_one_view=worth_one_view))
    return table_of(rows, (*HEAD, *RULES, *_with_sd("worth", "worth_one_view")))


def leak_audit(study: Study) -> pd.DataFrame:
    """PrivateTest without the pictures that also occur, pixel for pixel, in Training.

    Returns:
        One row per recipe: the accuracy on all pictures, without the leaked ones and on these alone, how many they
        are, and ``raised``, all minus without. The leaked pictures are of easier classes and easier ones of each, so
        that this is not what the leak is worth: ``rest_alike`` is the accuracy on the other pictures with the classes
        as frequent as among the leaked, ``easier`` the leaked pictures' accuracy less that, which a pipeline that
        cannot memorise shows as well. What a leak is worth, a training without the copies says.
    """
    rows = []
    facts = load_facts("fer2013")
    leaked, labels = facts.in_train("test"), facts.faces.labels[facts.faces.indices("test")]
    weights = np.bincount(labels[leaked], minlength=len(facts.faces.classes)) / leaked.sum()
    for group in _of_fer2013(study):
        correct = group.answers("test").correct
        everywhere, without, alone = correct.mean(1), correct[:, ~leaked].mean(1), correct[:, leaked].mean(1)
        of_class = [correct[:, ~leaked & (labels == label)].mean(1) for label in range(len(weights))]
        alike = weights @ np.array(of_class)
        measured = _mean_sd(
            accuracy=everywhere, without=without, alone=alone, raised=everywhere - without, rest_alike=alike,
            easier=alone - alike,
        )  # fmt: skip
        rows.append(_head(group) | measured | {"leaked": int(leaked.sum())})
    return table_of(
        rows, (*HEAD, *_with_sd("accuracy", "without", "alone", "raised", "rest_alike", "easier"), "leaked")
    )


def ferplus_audit(study: Study) -> pd.DataFrame:
    """PrivateTest by the labels of FER+ (Barsoum et al. 2016), ten annotators a picture.

    Returns:
        One row per recipe: ``accuracy`` by FER2013's labels; ``by_ferplus``, by the class with most votes where it is
        one of the seven (``ferplus_pictures``); ``undisputed``, where the two agree (``undisputed_pictures``). Where
        they disagree about one of the seven: how often the net says what FER2013 says, and what FER+ says.
    """
    votes, truth = _ferplus_labels(load_facts("fer2013"), "test")
    known, same = votes >= 0, votes == truth
    disputed = known & ~same
    counts = {"ferplus_pictures": int(known.sum()), "undisputed_pictures": int(same.sum())}
    rows = []
    for group in _of_fer2013(study):
        answers = group.answers("test")
        by_fer2013, by_ferplus = answers.correct, answers.predicted == votes
        means = _mean_sd(
            accuracy=by_fer2013.mean(1), by_ferplus=by_ferplus[:, known].mean(1), undisputed=by_fer2013[:, same].mean(1)
        )
        says = {"fer2013": by_fer2013[:, disputed], "ferplus": by_ferplus[:, disputed]}
        rows.append(_head(group) | means | counts | {f"disputed_says_{who}": _mean(says[who]) for who in says})
    names = (
        "accuracy", "accuracy_sd", "by_ferplus", "by_ferplus_sd", "ferplus_pictures", "undisputed", "undisputed_sd",
        "undisputed_pictures", "disputed_says_fer2013", "disputed_says_ferplus",
    )  # fmt: skip
    return table_of(rows, (*HEAD, *names))


def ceiling_table(study: Study | None = None) -> pd.DataFrame:
    """How far FER2013's own labels can be met: what labellers of known kinds reach on them.

    A net that was always right would be held against these labels, faults included, so that its accuracy is that of
    the labels (Northcutt, Athalye and Mueller, "Pervasive label errors in test sets destabilize machine learning
    benchmarks", NeurIPS 2021). Two estimates bound it. FER+'s annotators judge the picture alone: from below, as
    FER2013's labels come from the search words that found the pictures and were then corrected (Goodfellow et al.
    2013, who measured 65 ± 5 % for people). Copies of a picture should bear one label: from above, as a search finds
    copies by the same words. If a label is right with probability a, else any other of C classes alike, two of them
    agree with probability a² + (1 - a)² / (C - 1), which is solved for a.

    Args:
        study: not looked at; every table takes it.

    Returns:
        One row per labeller and split: labeller, split, pictures, accuracy (percent).
    """
    facts = load_facts("fer2013")
    rows = []
    for split in ("val", "test"):
        votes, truth = _ferplus_labels(facts, split)
        ballots = votes_of(facts.faces)[facts.faces.indices(split)]
        known, clear = votes >= 0, 2 * ballots.max(1) > ballots.sum(1)
        own = np.array([facts.faces.vote_classes.index(name) for name in facts.faces.classes])[truth]
        single = ballots[np.arange(len(truth)), own] / ballots.sum(1)
        for labeller, right in (
            ("FER+, most frequent choice", votes == truth),
            ("FER+, most frequent choice, where it is one of the seven classes", (votes == truth)[known]),
            ("FER+, choice of more than half, one of the seven", (votes == truth)[known & clear]),
            ("one FER+ annotator, on average", single),
        ):
            rows.append((labeller, split, len(right), 100 * right.mean()))
    agree, pictures = _copies_agree(facts)
    label = _accuracy_of_label(agree, len(facts.faces.classes))
    rows.append(("two labels of one picture agree (exact copies)", "all", pictures, 100 * agree))
    rows.append(("a label, as copies agree", "all", pictures, 100 * label))
    return pd.DataFrame(rows, columns=["labeller", "split", "pictures", "accuracy"])


def cleaning_audit(study: Study) -> pd.DataFrame:
    """What it is worth to leave pictures out of training, non-faces or copies: each such recipe against the same, as
    :func:`fer_lib.study.gains.gain_table`."""
    recipes = list_recipes()
    tables = []
    for recipe in recipes.values():
        if recipe.leave_out:
            kept = training_but(recipe.training(), "name", "leave_out")
            paper = recipe.name.split("/")[0]
            alike = (n for n, r in recipes.items() if training_but(r.training(), "name") == kept)
            if baseline := next((name for name in alike if name.split("/")[0] == paper), None):
                tables.append(gain_table(study, [recipe.name], baseline))
    return pd.concat(tables, ignore_index=True) if tables else gain_table(study, [], next(iter(recipes))).iloc[:0]


def class_audit(study: Study) -> pd.DataFrame:
    """Macro means and the recall of every class of FER2013 and CK+, on the test part."""
    rows = []
    for group in study.longest.values():
        seeds = group.classified("test")
        found = [per_class(labels, predicted, len(group.classes)) for labels, predicted in seeds]
        macro = {f"macro_{name}": [each[name].mean() for each in found] for name in ("precision", "recall", "f1")}
        recall = np.mean([each["recall"] for each in found], axis=0)
        rows.append(
            _head(group)
            | _mean_sd(accuracy=group.accuracies("test"), **macro)
            | {f"recall_{name}": 100 * share for name, share in zip(group.classes, recall, strict=True)}
        )
    means = _with_sd("accuracy", "macro_precision", "macro_recall", "macro_f1")
    return table_of(rows, (*HEAD, *means, *(f"recall_{name}" for name in EIGHT_CLASSES)))


def calibration_audit(study: Study) -> pd.DataFrame:
    """How far the nets' confidence can be believed, on the test part, from the recorded 8-bit probabilities.

    Returns:
        One row per recipe: accuracy (of the recorded answers), mean confidence, ``overconfidence`` (their difference),
        expected calibration error (Guo et al. 2017, 15 intervals) and negative log-likelihood (nats).
    """
    rows = []
    for group in study.longest.values():
        seeds = [(truth, shares) for (truth, _), shares in zip(group.classified(), group.shares(), strict=True)]
        accuracy = np.array(group.accuracies())  # as recorded: the probabilities' 8 bits can tie two classes
        confidence = np.array([shares.max(1).mean() for _, shares in seeds])
        likelihoods = [negative_log_likelihood(truth, shares) for truth, shares in seeds]
        rows.append(
            _head(group)
            | {"accuracy": _mean(accuracy), "confidence": _mean(confidence)}
            | _mean_sd(
                overconfidence=confidence - accuracy,
                ece=[expected_calibration_error(truth, shares) for truth, shares in seeds],
            )
            | {"nll": float(np.mean(likelihoods)), "nll_sd": sample_sd(likelihoods)}
        )
    return table_of(rows, (*HEAD, "accuracy", "confidence", *_with_sd("overconfidence", "ece", "nll")))


def reliability_table(study: Study, bins: int = 10) -> pd.DataFrame:
    """Confidence beside accuracy, in equal intervals of confidence, all seeds and folds of a recipe together.

    Returns:
        One row per recipe and interval that has pictures: recipe, system, dataset, epochs, recipe_epochs, pictures,
        confidence, accuracy.
    """
    head = ("recipe", "system", "dataset", "epochs", "recipe_epochs")
    rows = []
    for group in study.longest.values():
        seeds = [(truth, shares) for (truth, _), shares in zip(group.classified(), group.shares(), strict=True)]
        truth, shares = (np.concatenate(arrays) for arrays in zip(*seeds, strict=True))
        found = reliability(truth, shares, bins)
        for interval in np.flatnonzero(found["pictures"]):
            rows.append(
                {name: value for name, value in _head(group).items() if name in head}
                | {"pictures": int(found["pictures"][interval])}
                | {name: 100 * found[name][interval] for name in ("confidence", "accuracy")}
            )
    return pd.DataFrame(rows, columns=[*head, "pictures", "confidence", "accuracy"])


def reliability_figure(table: pd.DataFrame) -> Figure:
    """The table of :func:`reliability_table`, a panel per file of recipes and dataset."""
    names = paper_names()
    return plots.reliability(table.assign(paper=[names[recipe.split("/")[0]] for recipe in table["recipe"]]))


# ---------------------------------------------------------------- for a reader

_EPOCHS = Column("epochs", "{epochs} of {recipe_epochs}")
_NET = (
    Column("net", "{system}"),
    Column("data", "{dataset:data}"),
    Column("split", "{protocol:protocol}"),
    Column("seeds", "{seeds}"),
    _EPOCHS,
)
RULES_SHOWN = (
    *_NET,
    number("last epoch, %", "last"),
    number("best on the validation part, %", "val_selected"),
    number("best on the test part, %", "test_best"),
    spread("worth, points", "worth"),
    spread("worth with one view, points", "worth_one_view"),
)
LEAKS_SHOWN = (
    *_NET,
    spread("accuracy, %", "accuracy"),
    spread("without the copies, %", "without"),
    spread("copies alone, %", "alone"),
    Column("copies", "{leaked}"),
    spread("raised by, points", "raised"),
    spread("others with the copies' classes, %", "rest_alike"),
    spread("copies easier by, points", "easier"),
)
FERPLUS_SHOWN = (
    *_NET,
    spread("by FER2013's labels, %", "accuracy"),
    spread("by FER+'s, %", "by_ferplus"),
    Column("pictures with one of FER+'s", "{ferplus_pictures:,}"),
    spread("where they agree, %", "undisputed"),
    Column("pictures where they agree", "{undisputed_pictures:,}"),
    number("elsewhere: says FER2013's, %", "disputed_says_fer2013"),
    number("elsewhere: says FER+'s, %", "disputed_says_ferplus"),
)
CEILING_SHOWN = (
    Column("labeller", "{labeller}"),
    Column("part", lambda row: {"val": "PublicTest", "test": "PrivateTest"}.get(row["split"], "{split}")),
    Column("pictures", "{pictures:,}"),
    number("accuracy, %", "accuracy"),
)
CLASSES_SHOWN = (
    *_NET,
    spread("accuracy, %", "accuracy"),
    spread("macro precision, %", "macro_precision"),
    spread("macro recall, %", "macro_recall"),
    spread("macro F1, %", "macro_f1"),
    *(number(f"{name}, %", f"recall_{name}") for name in EIGHT_CLASSES),
)
CALIBRATION_SHOWN = (
    *_NET,
    number("accuracy, %", "accuracy"),
    number("mean confidence, %", "confidence"),
    spread("overconfidence, points", "overconfidence"),
    spread("calibration error, points", "ece"),
    spread("negative log-likelihood, nats", "nll"),
)
RELIABILITY_SHOWN = (
    *_NET[:2],
    _EPOCHS,
    Column("pictures", "{pictures:,}"),
    number("mean confidence, %", "confidence"),
    number("accuracy, %", "accuracy"),
)


# ---------------------------------------------------------------- what rows are made of

HEAD = ("recipe", "system", "dataset", "protocol", "seeds", "epochs", "recipe_epochs")


def _of_fer2013(study: Study) -> list[Group]:
    return [group for group in study.longest.values() if group.records[0].spec["recipe"]["dataset"] == "fer2013"]


def _head(group: Group) -> dict[str, object]:
    recipe = list_recipes()[group.recipe]
    values = (recipe.title, recipe.dataset, recipe.protocol, len(group.seeds), group.epochs, recipe.epochs)
    return dict(zip(HEAD, (recipe.name, *values), strict=True))


def _mean(fractions: Sequence[float] | np.ndarray) -> float:
    """In percent; NaN of nothing."""
    return 100 * float(np.mean(fractions)) if len(fractions) else math.nan


def _mean_sd(**fractions: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Mean and sd of each over seeds, in percent or points."""
    means = {name: _mean(values) for name, values in fractions.items()}
    return means | {f"{name}_sd": 100 * sample_sd(values) for name, values in fractions.items()}


def _with_sd(*names: str) -> list[str]:
    return [f"{name}{sd}" for name in names for sd in ("", "_sd")]


def _ferplus_labels(facts: Facts, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The class that most FER+ annotators chose, int64 [N], -1 where it is none of FER2013's, and FER2013's own."""
    faces = facts.faces
    chosen = faces.indices(split)
    numbers = {name: label for label, name in enumerate(faces.classes)}
    return np.array([numbers.get(name, -1) for name in majority(faces)[chosen].tolist()]), faces.labels[chosen]


def _copies_agree(facts: Facts) -> tuple[float, int]:
    """The share of pairs of copies with equal labels, each picture with copies weighing one, and their number."""
    counts = pd.crosstab(facts.picture, facts.faces.labels).to_numpy()  # [pictures, classes]
    counts = counts[counts.sum(1) > 1]
    agree, pairs = ((of * (of - 1)).sum(1) for of in (counts, counts.sum(1, keepdims=True)))
    return float((agree / pairs).mean()), len(counts)


def _accuracy_of_label(agreement: float, classes: int) -> float:
    """The larger solution a of agreement = a² + (1 - a)² / (classes - 1)."""
    others = classes - 1
    return (1 + np.sqrt(1 - (1 + others) * (1 - others * agreement))) / (1 + others)
