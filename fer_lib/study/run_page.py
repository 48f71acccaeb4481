"""One run as a notebook shows it: found or trained, summed up, drawn."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.metrics import confusion_matrix, per_class
from fer_lib.paths import results_dir
from fer_lib.queue.pace import device_pace
from fer_lib.queue.plan import run_status
from fer_lib.queue.train import find_run, train_run
from fer_lib.recipe import RunSpec, get_recipe, list_recipes, with_changes
from fer_lib.runs import RunRecord
from fer_lib.study.columns import DASH
from fer_lib.study.groups import answers_of, longest_runs
from fer_lib.study.live import Live, ask_reader
from fer_lib.study.tables import rule_table
from fer_lib.training import Interrupted, Stop, choose_device, device_name, usable_gpus

FEWEST_EPOCHS = 3
"""Epochs below which a curve shows nothing."""
LONG = 10
"""Minutes of training that are not begun before the reader has said yes."""
CURVES = (
    "Solid: training, on augmented pictures, with the loss that is trained. Dashed: validation, on centre crops, with "
    "cross-entropy, on the axis to the right. The dot is the epoch with the best validation accuracy."
)
RULE_TEXT = (
    "`last` is the last epoch; `val_selected` the one with the best validation accuracy, without a validation part the "
    "last, our headline; `test_best` the one with the best test accuracy, which much published code reports and which "
    "no honest user can know beforehand. Plain is one centre crop, tta the mean of the recipe's test views."
)


def open_run(
    recipe: str,
    *,
    seed: int = 0,
    fold: int = -1,
    dataset: str = "",
    epochs: int = 0,
    limit_train: int = 0,
    limit_test: int = 0,
    width: int = 0,
    blocks: int = 0,
    settings: Sequence[str] = (),
    train_missing: bool = False,
    show_other: bool = False,
    device: str = "auto",
    results: Path,
    records: Sequence[RunRecord] = (),
    say: Callable[[str], None] = print,
    ask: Callable[[str], bool] = ask_reader,
) -> RunRecord | None:
    """The run that a notebook's parameters ask for; papermill's parameters know no None, so 0 and "" mean "as is".

    Args:
        recipe: name of the recipe.
        seed: the run's seed.
        fold: test fold of a protocol with folds, from 0; -1 for none.
        dataset: another dataset than the recipe's.
        epochs: another number of epochs than the recipe's.
        limit_train: train on that many pictures only.
        limit_test: evaluate on that many pictures of each part only.
        width: channels of a smaller net's first stage, to try things out.
        blocks: residual blocks in each of its stages.
        settings: other values of the recipe, see :func:`fer_lib.recipe.with_changes`.
        train_missing: train the run if it is not recorded.
        show_other: take the recipe's longest recorded run if the one asked for is not recorded.
        device: see :func:`fer_lib.training.choose_device`.
        results: folder that holds ``runs/``.
        records: the study's runs, which tell how long this device takes and what else is recorded.
        say: receives the lines of progress.
        ask: is asked whether to start a training of more than :data:`LONG` minutes.

    Returns:
        The record asked for, or the other one; None where there is neither, and ``say`` receives what it would take.

    Raises:
        UserError: a parameter does not fit the recipe, or the data are missing.
        fer_lib.training.Interrupted: the training was stopped; the same call continues it.
    """
    try:
        changed = with_changes(
            get_recipe(recipe),
            dataset=dataset or None,
            epochs=epochs or None,
            width=width or None,
            blocks=blocks or None,
            settings=settings,
        )
        spec = RunSpec(
            changed, seed, None if fold < 0 else fold, limit_train=limit_train or None, limit_test=limit_test or None
        )
    except UserError as error:
        raise UserError(_in_notebook_words(str(error))) from None
    if record := find_run(spec, results):
        return record
    minutes = expected_minutes(spec, results, records, device)
    if train_missing and (minutes is None or minutes <= LONG or ask(f"{_takes(minutes, device)}. Train it now?")):
        return _trained(spec, results, device, minutes, say)
    options = {
        "seed": seed, "fold": spec.fold, "dataset": dataset or None, "epochs": epochs or None,
        "limit_train": spec.limit_train, "limit_test": spec.limit_test,
    }  # fmt: skip
    command = "TRAIN_MISSING = True" if width or blocks else train_command(recipe, settings, **options)
    say(
        f"{spec.run_id} ({changed.epochs} epochs) is not recorded, so nothing is shown of it. To train it, "
        f"{_takes(minutes, device)}:\n    {command}"
    )
    other = longest_runs(records).get(recipe)
    if other and show_other:
        say(f"Below is the recipe's longest run, {other.id}, of {other.epochs} epochs.")
        return other
    if other:
        say(f"SHOW_OTHER = True shows the recipe's longest run, {other.id}, of {other.epochs} epochs.")
    return None


def _trained(spec: RunSpec, results: Path, device: str, minutes: float | None, say: Callable[[str], None]) -> RunRecord:
    say(f"{spec.run_id}: {_takes(minutes, device)}")
    live = Live()
    try:
        with Stop() as stop:  # the kernel's interrupt ends it between two steps, with a checkpoint
            return train_run(spec, results=results, device=device, stop=stop, say=say, watch=live)
    except Interrupted as stopped:
        where = str(stopped).partition(";")[0]
        raise Interrupted(f"{where}; what was trained is kept.\nRun this cell again to go on from there.") from None
    finally:
        live.close()


def expected_minutes(spec: RunSpec, results: Path, records: Sequence[RunRecord], device: str = "auto") -> float | None:
    """Minutes that are left of a run on this device, all its threads at work; None where nothing is known."""
    target = choose_device(device)
    pace = device_pace(records, results_dir(), target)
    minutes = pace.minutes(run_status(spec, results / "runs"))
    return minutes / torch.get_num_threads() if minutes is not None and pace.on_cpu else minutes


def _takes(minutes: float | None, device: str) -> str:
    where, gpus = device_name(choose_device(device)), usable_gpus()
    if len(gpus) > 1:
        where += f", one of {len(gpus)} GPUs: fer study run uses all"
    if minutes is None:
        return f"nobody has measured how long it takes on this device ({where})"
    return f"about {minutes:,.0f} minutes on this device ({where})" if minutes >= 1 else f"less than a minute ({where})"


def train_command(recipe: str, settings: Sequence[str] = (), **options: str | int | None) -> str:
    """What trains a run at a terminal.

    Args:
        recipe: its name.
        settings: see :func:`fer_lib.recipe.with_changes`.
        **options: of ``fer train``, with underscores; None for one that is not given.
    """
    given = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value is not None]
    return " ".join(["fer train", recipe, *given, *(f"--set {setting}" for setting in settings)])


def _in_notebook_words(text: str) -> str:
    """A message of the command line with its options named as a notebook's parameters: ``FOLD = -1``."""

    def parameter(option: re.Match[str]) -> str:
        name, value = option[1].upper().replace("-", "_"), option[2]
        return f"{name} = {'-1' if value == 'None' else value}" if value else name

    return re.sub(r"--([a-z][a-z-]*)(?: (None|-?\d+))?", parameter, text)


def epochs_in_words(record: RunRecord) -> str:
    """How long a run was trained, ``60 of the recipe's 200``; the number alone of a recipe that is no more."""
    recipe = list_recipes().get(record.recipe)
    return f"{record.epochs} of the recipe's {recipe.epochs}" if recipe else str(record.epochs)


def summary(record: RunRecord) -> pd.DataFrame:
    """What was trained, on what, for how long."""
    data, time, environment = (record.content[key] for key in ("data", "time", "environment"))
    fold = record.spec["fold"]
    facts = {
        "run": record.id,
        "seed": record.spec["seed"],
        "fold": DASH if fold is None else fold,
        "epochs": epochs_in_words(record),
        "data": data["name"],
        "pictures: training, validation, test": ", ".join(f"{data['counts'][p]:,}" for p in ("train", "val", "test")),
        "minutes": f"{time['seconds'] / 60:.1f}",
        "device": environment["device"],
    }
    return pd.Series(facts, name="").to_frame()


def show(record: RunRecord | None, *, curve_note: str = "", confusion_note: str = "") -> None:
    """Show a notebook's run: its facts, curves, selection rules and confusion; nothing of none.

    Args:
        record: of :func:`open_run`.
        curve_note: what to say beside the curves.
        confusion_note: the same of the confusion matrix.
    """
    from IPython.display import Markdown, display  # here, so that a terminal needs no IPython

    if record is None:
        return
    display(summary(record))
    if record.epochs >= FEWEST_EPOCHS:
        display(Markdown(f"### Curves\n\n{CURVES} {curve_note}"), curves(record))
    display(Markdown(f"### Three selection rules\n\n{RULE_TEXT}"), rule_table(record))
    display(Markdown(f"### Which expressions are confused\n\n{confusion_note}"), confusion(record))


def curves(record: RunRecord) -> Figure:
    """Loss and accuracy of a run over its epochs, with the epoch that validation chose."""
    label = f"seed {record.spec['seed']}"
    return plots.curves({label: record.history}, {label: record.content["metrics"]["val_selected"]["epoch"]})


def confusion(record: RunRecord) -> Figure:
    """The confusion matrix of a run's test part, at the epoch that validation chose, with the test views."""
    matrix = confusion_matrix(*answers_of([record]), len(record.classes))
    epochs = f"{record.epochs} epoch{'s' * (record.epochs > 1)}"
    return plots.confusion(matrix, record.classes, f"{record.content['data']['name']}, test part, {epochs}")


def class_table(record: RunRecord) -> pd.DataFrame:
    """How each class of the test part fares: pictures, how often it is predicted, precision, recall and F1 (percent).

    Args:
        record: the run; at the epoch that validation chose, with the recipe's test views.
    """
    found = per_class(*answers_of([record]), len(record.classes))
    shares = {name: np.round(100 * found[name], 1) for name in ("precision", "recall", "f1")}
    counts = {name: found[name] for name in ("pictures", "predicted")}
    return pd.DataFrame(counts | shares, index=pd.Index(record.classes, name="class"))


def text(record: RunRecord) -> str:
    """A run in full, for a terminal: what was trained, its accuracy under every rule, and its classes."""
    chosen = record.content["metrics"]["val_selected"]["test"]["tta"]
    macro = ", ".join(f"macro {name} {100 * chosen[f'macro_{name}']:.1f} %" for name in ("precision", "recall", "f1"))
    matrix = confusion_matrix(*answers_of([record]), len(record.classes))
    confused = pd.DataFrame(matrix, index=pd.Index(record.classes, name="true"), columns=record.classes)
    return "\n\n".join(
        [
            summary(record).to_string(header=False),
            "accuracy, %\n" + rule_table(record).to_string(index=False, na_rep=DASH),
            f"test part at the epoch that validation chose, test views: {record.spec['recipe']['test_views']}\n"
            f"{macro}, calibration error {100 * chosen['ece']:.1f} %, negative log-likelihood {chosen['nll']:.3f}",
            class_table(record).reset_index().to_string(index=False),
            "predicted\n" + confused.reset_index().to_string(index=False),
        ]
    )
