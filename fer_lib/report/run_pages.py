"""A page for every training: what it was, what came out, class by class, and on which machine."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import protocol_title
from fer_lib.metrics import confusion_matrix, per_class
from fer_lib.recipe import list_recipes
from fer_lib.report import words
from fer_lib.runs import KINDS, RunRecord
from fer_lib.selection import RULES
from fer_lib.study.claim_table import claim_table
from fer_lib.study.groups import answers_of, pooled
from fer_lib.study.results import Study, once
from fer_lib.study.run_page import FEWEST_EPOCHS, epochs_in_words, train_command
from fer_lib.study.tables import setting_words

POINTS = 120
"""Points that a curve is drawn with at most."""
RULE_WORDS = {
    "last": "last epoch",
    "val_selected": "best epoch on the validation part (ours)",
    "test_best": "best epoch on the test part (shown for comparison; chooses on what it reports)",
}


@once
def trainings(study: Study) -> dict[str, list[RunRecord]]:
    """Records that differ in their fold alone, by the address of their page from the report's folder."""
    found = defaultdict(list)
    for record in study.records:
        fold = record.spec["fold"]
        name = record.id if fold is None else record.id.rsplit("-", 1)[0].removesuffix(f"-f{fold}")
        found[f"runs/{name}.html"].append(record)
    return {page: sorted(runs, key=lambda run: run.spec["fold"] or 0) for page, runs in sorted(found.items())}


def training_context(records: Sequence[RunRecord], study: Study) -> dict[str, Any]:
    """What the template of a run's page needs.

    Args:
        records: the folds of one training, or one run.
        study: the study's results.
    """
    first, validated = records[0], _validated(records)
    data, environment, spec = first.content["data"], first.content["environment"], first.spec
    claims = claim_table(study)
    ids = {record.id for record in records}
    tested = claims[claims["runs"].map(lambda runs: bool(ids.intersection(runs.split())))]
    return {
        "title": f"{_title(first)}: seed {spec['seed']}",
        "records": records,
        "facts": {
            "data": f"{dataset_title(data['name'])}, {protocol_title(spec['recipe']['protocol'])}",
            "pictures": _pictures(records),
            "epochs": epochs_in_words(first),
            "seed": spec["seed"],
            "test views": spec["recipe"]["test_views"],
            "precision": environment["precision"],
            "machine": environment["device"],
            "versions": ", ".join(
                f"{name} {environment[name]}" for name in ("python", "torch", "numpy") if name in environment
            ),
            "time": f"{sum(r.content['time']['seconds'] for r in records) / 60:,.1f} minutes; finished "
            f"{_finished(records)}",
            "code": f"commit {(first.content['code']['commit'] or 'unknown')[:12]}",
            "data fingerprint": data["fingerprint"][:16],
        },
        "accuracies": _accuracies(records, validated),
        "validated": validated,
        "classes": _class_rows(records),
        "confusion": _confusion(records),
        "chart": chart(first) if len(first.history["epoch"]) >= FEWEST_EPOCHS else None,
        "many": spec["fold"] is not None,
        "command": _command(first),
        "claims": [
            (words.page_of_claim(row.claim), f"{words.paper(row.paper)['short']}: {row.system}, {row.measure}")
            for row in tested.itertuples()
        ],
        "settings": {
            key.replace("_", " "): setting_words(value) for key, value in spec["recipe"].items() if key != "name"
        },
    }


def _title(record: RunRecord) -> str:
    recipe = list_recipes().get(record.recipe)
    return recipe.title if recipe else record.recipe


def _finished(records: Sequence[RunRecord]) -> str:
    return max(record.content["time"]["finished"] for record in records)[:10]


def _command(record: RunRecord) -> str:
    spec, recipe = record.spec, list_recipes().get(record.recipe)
    return train_command(
        record.recipe, seed=spec["seed"], fold=spec["fold"],
        epochs=record.epochs if recipe and record.epochs != recipe.epochs else None,
        limit_train=spec["limit_train"], limit_test=spec.get("limit_test"),
    )  # fmt: skip


def _pictures(records: Sequence[RunRecord]) -> str:
    counts = records[0].content["data"]["counts"]
    chosen_on = f"{counts['val']:,} to choose the epoch, " if counts["val"] else ""
    text = f"{counts['train']:,} to train, {chosen_on}{counts['test']:,} to test"
    return text + (f" (first of {len(records)} folds)" if len(records) > 1 else "")


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.2f}"


def _accuracy(records: Sequence[RunRecord]) -> str:
    return _percent(pooled(records, "test", "val_selected", "tta"))


def _accuracies(records: Sequence[RunRecord], validated: bool) -> list[dict[str, Any]]:
    ours, metrics = "val_selected" if validated else "last", records[0].content["metrics"]
    return [
        {"rule": RULE_WORDS[rule], "ours": rule == ours, "epoch": metrics[rule]["epoch"] if len(records) == 1 else ""}
        | {f"{part}_{kind}": _percent(pooled(records, part, rule, kind)) for part in ("val", "test") for kind in KINDS}
        for rule in (RULES if validated else ("last", "test_best"))
    ]


def _validated(records: Sequence[RunRecord]) -> bool:
    """Whether a part of the pictures chose the epoch; on CK+ nothing does, and the last is ours."""
    return bool(records[0].content["data"]["counts"].get("val"))


def _class_rows(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    found = per_class(*answers_of(records), len(records[0].classes))
    return pd.DataFrame({"name": list(records[0].classes)} | found).to_dict("records")


def _confusion(records: Sequence[RunRecord]) -> list[tuple[str, np.ndarray]]:
    """Each true class with the shares predicted as each class, in percent."""
    matrix = confusion_matrix(*answers_of(records), len(records[0].classes))
    shares = 100 * matrix / matrix.sum(1, keepdims=True).clip(1)
    return list(zip(records[0].classes, shares, strict=True))


# ---------------------------------------------------------------- curves


def chart(record: RunRecord) -> dict[str, Any]:
    """Accuracy over the epochs as paths of a 440 by 200 picture; accuracies of both parts have one measure, which
    losses may not."""
    history, chosen = record.history, record.content["metrics"]["val_selected"]["epoch"]
    epochs = history["epoch"]
    lines = {name: 100 * history[f"{name}_accuracy"] for name in ("train", "val")}
    known = np.concatenate(list(lines.values()))
    low, high = 10 * np.floor(np.nanmin(known) / 10), 10 * np.ceil(np.nanmax(known) / 10)
    high += 10 * (high == low) + 10 * (round((high - low) / 10) % 2)  # a whole number in the middle

    def place(epoch: float, value: float) -> tuple[float, float]:
        return 40 + 390 * (epoch - 1) / max(1, epochs[-1] - 1), 175 - 160 * (value - low) / (high - low)

    picks = np.unique(np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).astype(int))
    paths = {}
    for name, values in lines.items():
        points = [place(epochs[i], values[i]) for i in picks if not np.isnan(values[i])]
        paths[name] = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
    dot = place(chosen, lines["val"][chosen - 1]) if not np.isnan(lines["val"][chosen - 1]) else None
    ticks = [(f"{value:.0f}", place(1, value)[1]) for value in np.linspace(low, high, 3)]
    return {
        "paths": paths,
        "dot": dot and [f"{at:.1f}" for at in dot],
        "ticks": ticks,
        "last": int(epochs[-1]),
        "chosen": chosen,
        "told": (f"Validation accuracy {_at(lines['val'], chosen)} at epoch {chosen}; training" if dot else "Training")
        + f" accuracy {_at(lines['train'], len(epochs))} at the end.",
    }


def _at(values: np.ndarray, epoch: int) -> str:
    value = values[epoch - 1]
    return "unknown" if np.isnan(value) else f"{value:.1f} %"


def run_rows(study: Study) -> list[dict[str, Any]]:
    """A row per training, for the list of all."""
    rows = []
    for page, records in trainings(study).items():
        first = records[0]
        rows.append(
            {
                "page": page,
                "system": _title(first),
                "data": dataset_title(first.content["data"]["name"]),
                "protocol": protocol_title(first.spec["recipe"]["protocol"]),
                "seed": first.spec["seed"],
                "epochs": epochs_in_words(first),
                "test": _accuracy(records),
                "finished": _finished(records),
            }
        )
    return rows


def pages_of(ids: Iterable[str], study: Study) -> list[dict[str, str]]:
    """The trainings of some runs: page, name and test accuracy of each."""
    wanted = set(ids)
    return [
        {"page": page, "name": f"seed {records[0].spec['seed']}", "accuracy": _accuracy(records)}
        for page, records in trainings(study).items()
        if wanted.intersection(record.id for record in records)
    ]
