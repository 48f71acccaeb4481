"""Made-up records of real size: trained on nothing, but with the labels, epochs and confidence of real runs.

Tests of audits use them. ``python tests/study/many_runs.py FOLDER 300`` writes as many into FOLDER/runs, then says how
large they are and how long the checks, tables and figures of them take.
"""

import itertools
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import content_of

from fer_lib.data import Parts, run_parts
from fer_lib.data.facts import load_facts
from fer_lib.metrics import summary
from fer_lib.recipe import RunSpec, list_recipes
from fer_lib.runs import KINDS, RULES, RunRecord, metrics_of, predictions_of, write_record
from fer_lib.study.tables import write_tables
from fer_lib.study.verify import sound_records

SKILL = 1.9  # makes some 70 %
Answers = Mapping[str, Mapping[str, np.ndarray]]


def write_fake(runs: Path, spec: RunSpec, *, skill: float = SKILL, answers: Answers | None = None) -> RunRecord:
    """Write the record of a run on FER2013 or CK+ that never was.

    Args:
        runs: the folder.
        spec: the run; its name decides which mistakes the net makes.
        skill: how far the true class's logit is above the others, whose standard deviation is 1.
        answers: what the net says, and is sure of, in the place of made-up answers: ``[rule][part]`` int64 [N].
    """
    recipe, facts = spec.recipe, load_facts(spec.recipe.dataset)
    folds = run_parts(facts.faces, recipe.protocol, spec.fold, spec.seed, limit_test=spec.limit_test)
    parts = Parts(*(np.concatenate(indices) for indices in zip(*folds, strict=True)))
    labels = {part: facts.faces.labels[getattr(parts, part)] for part in ("val", "test")}
    labels = {part: truth for part, truth in labels.items() if len(truth)}
    rng = np.random.default_rng(int(spec.digest[:8], 16))
    chosen = {
        rule: {part: {kind: _shares(rng, part, truth, skill) for kind in KINDS} for part, truth in labels.items()}
        for rule in RULES
    }
    if answers:
        sure = np.eye(7, dtype=np.float32)
        chosen = {rule: {part: dict.fromkeys(KINDS, sure[answers[rule][part]]) for part in labels} for rule in RULES}
    if "val" not in labels:
        chosen["val_selected"] = chosen["last"]
    arrays = predictions_of(labels, chosen)
    metrics = metrics_of(arrays, 7)
    metrics["test_best"] = {
        part: {kind: summary(truth, chosen["test_best"][part][kind].argmax(1), 7) for kind in KINDS}
        for part, truth in labels.items()
    }
    last = recipe.epochs
    epochs = {"last": last, "val_selected": last - 5 if "val" in labels else last, "test_best": last - 3}
    for rule in RULES:
        metrics[rule]["epoch"] = epochs[rule]
    at = {part: {metrics[rule]["epoch"]: metrics[rule][part]["plain"]["accuracy"] for rule in RULES} for part in labels}
    history = [
        {
            "epoch": epoch,
            "train_loss": 2 * np.exp(-3 * epoch / last) + 0.01 * rng.random(),
            "train_accuracy": min(0.99, 1 - 0.7 * np.exp(-4 * epoch / last)),
            "val_loss": 1 + epoch / last + 0.05 * rng.random() if "val" in labels else np.nan,
            "val_accuracy": at["val"].get(epoch, 0.69 + 0.01 * rng.random()) if "val" in labels else np.nan,
            "test_accuracy": at["test"].get(epoch, 0.69 + 0.01 * rng.random()),
            "lr": 0.01 * 0.99**epoch,
            "seconds": 7 + rng.random(),
        }
        for epoch in range(1, last + 1)
    ]
    counts = {"train": len(parts.train), "val": 0, "test": 0} | {part: len(truth) for part, truth in labels.items()}
    content = content_of(spec, metrics, counts, classes=facts.faces.classes, fingerprint=facts.fingerprint)
    runs.mkdir(parents=True, exist_ok=True)
    record = write_record(runs / spec.run_id, content, history, arrays, runs / f"{spec.run_id}.partial")
    shutil.rmtree(runs / f"{spec.run_id}.partial")
    return record


def _shares(rng: np.random.Generator, part: str, truth: np.ndarray, skill: float) -> np.ndarray:
    """Class probabilities, float32 [N, C]; what makes a picture hard is the same for every net."""
    hard = np.random.default_rng(len(part)).normal(size=(len(truth), 7))
    logits = 0.8 * hard + 0.6 * rng.normal(size=hard.shape)
    logits[np.arange(len(truth)), truth] += skill
    shares = np.exp(3 * logits)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def many_specs() -> Iterator[RunSpec]:
    """Runs of the whole study's nets, a seed at a time."""
    # Pipelines are fitted, without epochs; what leaves pictures out has other counts.
    nets = [recipe for recipe in list_recipes().values() if recipe.optimizer and not recipe.leave_out]
    for seed in itertools.count():
        for recipe in nets:
            for fold in range(recipe.folds) if recipe.folds > 1 else (None,):
                yield RunSpec(recipe, seed, fold)


def write_many(results: Path, count: int) -> None:
    """Write that many records into a results folder: nine in ten on FER2013, whose records are the large ones."""
    large = (spec for spec in many_specs() if spec.recipe.dataset == "fer2013")
    small = (spec for spec in many_specs() if spec.recipe.dataset == "ckplus")
    for spec in itertools.islice(large, count - count // 10):
        write_fake(results / "runs", spec)
    for spec in itertools.islice(small, count // 10):
        write_fake(results / "runs", spec)


def benchmark(results: Path, say: Callable[[str], None] = print) -> None:
    """Time what ``fer study verify`` and ``fer study tables`` do with the records of a results folder."""
    sizes = [file.stat().st_size for file in (results / "runs").glob("*/*")]
    say(f"{len(list((results / 'runs').iterdir()))} records: {sum(sizes) / 1e6:.1f} MB")
    started = time.perf_counter()
    records, problems = sound_records(results / "runs")
    say(f"verified in {time.perf_counter() - started:.1f} s: {len(records)} sound runs, {len(problems)} faults")
    started = time.perf_counter()
    written = write_tables(results, say)
    say(f"{len(written)} tables and figures in {time.perf_counter() - started:.1f} s, verification included")


if __name__ == "__main__":
    write_many(Path(sys.argv[1]), int(sys.argv[2]))
    benchmark(Path(sys.argv[1]))
