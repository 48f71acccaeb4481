"""What each command of ``fer`` does: parsed arguments in, one call, lines out; returns the exit status.

Each imports what it needs when it runs, so that `fer --help` answers at once and training needs none of the packages
that analysis and reports do.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_lib.texts import one_line

if TYPE_CHECKING:
    from fer_lib.queue.goals import Goal
    from fer_lib.queue.pace import Pace
    from fer_lib.queue.plan import Status
    from fer_lib.recipe import Recipe
    from fer_lib.runs import RunRecord

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try the same command again


# ---------------------------------------------------------------- data


def data_check(arguments: argparse.Namespace) -> int:
    from fer_lib.data.check import check_report

    text, sound = check_report(arguments.root)
    print(text)
    return 0 if sound else 1


def data_download(arguments: argparse.Namespace) -> None:
    from fer_lib.data.download import download

    print(download(arguments.dataset, arguments.root))


def data_facts(arguments: argparse.Namespace) -> None:
    from fer_lib.data.facts import write_all_facts

    for path in write_all_facts(arguments.root, say=_warn):
        print(path)


# ---------------------------------------------------------------- training


def recipes(arguments: argparse.Namespace) -> None:
    from fer_lib.errors import unknown
    from fer_lib.recipe import list_recipes, load_papers

    if arguments.paper and arguments.paper not in load_papers():
        raise unknown("paper", arguments.paper, load_papers())
    for name, recipe in list_recipes().items():
        if arguments.paper in (None, name.split("/")[0]):
            print(f"{name:42} {recipe.title} ({recipe.epochs} epochs, {recipe.protocol})")


def train(arguments: argparse.Namespace) -> int:
    from fer_lib.queue.train import train_run
    from fer_lib.recipe import RunSpec, get_recipe
    from fer_lib.training import Interrupted, Stop, choose_device

    recipe = _changed(get_recipe(arguments.recipe), arguments)
    spec = RunSpec(recipe, arguments.seed, arguments.fold, arguments.limit_train, arguments.limit_test)
    choose_device(arguments.device)
    if arguments.dry_run:
        print(spec.run_id)
        for name, value in recipe.training().items():
            print(f"  {name:15} {value}")
        return 0
    try:
        with Stop(arguments.time_limit) as stop:
            train_run(spec, results=arguments.results, device=arguments.device, stop=stop, say=_say)
    except Interrupted as stopped:
        print(f"fer: {stopped}", file=sys.stderr)
        return STOPPED
    return 0


def _changed(recipe: "Recipe", arguments: argparse.Namespace) -> "Recipe":
    from fer_lib.recipe import with_changes

    return with_changes(recipe, **_changes(arguments))


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options change of a recipe."""
    return {
        "dataset": arguments.dataset,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "precision": arguments.precision,
        "settings": arguments.set,
    }


def _say(line: str) -> None:
    print(line, flush=True)


# ---------------------------------------------------------------- models


def models(arguments: argparse.Namespace) -> None:
    from fer_lib.claims import tables_of_models
    from fer_lib.models.describe import describe
    from fer_lib.study.weights import trained_models
    from fer_lib.training import choose_device

    device, trained = choose_device(arguments.device), trained_models()
    print(f"{'model':24}{'parameters':>13}{'pixels':>8}{'MACs':>9}{'ms/picture':>12}  {'weights':18}serves")
    for row in describe(arguments.name, pixels=arguments.pixels, device=device):
        macs = "–" if row.macs is None else f"{row.macs / 1e6:,.0f} M"
        parameters = "–" if row.parameters is None else f"{row.parameters:,}"
        time = "–" if row.milliseconds is None else f"{row.milliseconds:.1f}"
        weights = " ".join(trained.get(row.name, "–"))
        serves = tables_of_models().get(row.name, "")
        _say(f"{row.name:24}{parameters:>13}{row.pixels or '–':>8}{macs:>9}{time:>12}  {weights:18}{serves}")


def export(arguments: argparse.Namespace) -> None:
    from fer_lib.checkpoints import list_checkpoints, read_checkpoint
    from fer_lib.paths import check_output, results_dir
    from fer_lib.study.weights import export_checkpoint, export_run

    results = arguments.results or results_dir()
    folder = results / "checkpoints"
    if arguments.output:
        check_output(arguments.output, [*folder.glob("*"), *(results / "runs" / arguments.name).glob("*")])
    path = arguments.output or Path(f"{arguments.name}.onnx")
    shipped = list_checkpoints(folder)
    if arguments.name in shipped:
        export_checkpoint(read_checkpoint(arguments.name, folder), path)
    else:
        export_run(_find_record(arguments.name, arguments.results, weight_files=shipped), path)
    print(path)


def checkpoint(arguments: argparse.Namespace) -> None:
    from fer_lib.checkpoints import write_checkpoint
    from fer_lib.paths import results_dir

    folder = (arguments.results or results_dir()) / "checkpoints"
    made = write_checkpoint(_find_record(arguments.run, arguments.results), arguments.name, folder)
    print(made.path)
    print(made.path.with_suffix(".md"))


# ---------------------------------------------------------------- pictures and camera


def predict(arguments: argparse.Namespace) -> int:
    from fer_lib.demo.files import predict_command

    return predict_command(
        arguments.path,
        model=arguments.model,
        form=arguments.format,
        output=arguments.output,
        detector=arguments.detector,
        every=arguments.every,
        views=arguments.views,
        device=arguments.device,
        say=_say,
        warn=_warn,
    )


def demo(arguments: argparse.Namespace) -> int:
    from fer_lib.demo.server import open_notebook

    return open_notebook(browser=not arguments.no_browser, port=arguments.port)


# ---------------------------------------------------------------- modules of your own


def compare(arguments: argparse.Namespace) -> int:
    from fer_lib.models.conformance import check_block
    from fer_lib.paths import results_dir, study_results
    from fer_lib.queue.goals import goals
    from fer_lib.queue.pace import device_pace
    from fer_lib.queue.plan import run_status
    from fer_lib.queue.status import plan_text
    from fer_lib.queue.work import run_queue
    from fer_lib.report.compare_page import write_page
    from fer_lib.runs import read_records
    from fer_lib.study.compare import choose_dataset, outcome, plan_comparison, power_words, sentences, write_outcome
    from fer_lib.study.verify import sound_records
    from fer_lib.training import choose_device

    changes = _changes(arguments)
    if not arguments.check:
        changes["dataset"] = changes["dataset"] or choose_dataset(arguments.recipe)
    comparison = plan_comparison(
        arguments.module, arguments.recipe, at=arguments.at, seeds=arguments.seeds, changes=changes
    )
    if arguments.check:
        faults = 0
        for recipe in comparison.modules:
            _say(recipe.model)
            for finding in check_block(recipe.model.removesuffix("_ends").rpartition("_")[2], recipe.model):
                _say(f"  {finding}")
                faults += finding.met is False
        return 1 if faults else 0
    results, study = arguments.results or results_dir("own"), study_results()
    if comparison.baseline.dataset == "synthetic":
        _warn("drawn faces and a tiny net: shows that everything works, says nothing about faces")
    recorded, _ = sound_records(study / "runs")
    records, _ = read_records(results / "runs")
    statuses = [run_status(spec, results / "runs") for spec in comparison.specs]
    pace = device_pace([*recorded, *records], study, choose_device(arguments.device))
    todo = goals(statuses, pace)
    print(plan_text(statuses, todo, [], pace))
    _say(power_words(comparison, recorded))
    if arguments.dry_run:
        return 0
    report = run_queue(
        comparison.specs,
        results=results,
        device=arguments.device,
        jobs=arguments.jobs,
        time_limit=arguments.time_limit,
        say=_say,
    )
    records, problems = sound_records(results / "runs")
    for line in [*problems, *report.failures]:
        _warn(line)
    found = outcome(comparison, records, recorded)
    for line in sentences(found):
        print(line)
    for path in [*write_outcome(comparison, found, results), write_page(comparison, found, records, results)]:
        print(path)
    if report.stopped:
        _warn(f"stopped by {report.stopped}; start it again to continue")
        return STOPPED
    return 1 if report.failures else 0


# ---------------------------------------------------------------- study


def study_run(arguments: argparse.Namespace) -> int:
    from fer_lib.paths import results_dir
    from fer_lib.queue.lock import sweep
    from fer_lib.queue.plan import run_status
    from fer_lib.queue.status import notes, plan_text, summary_line
    from fer_lib.queue.work import run_queue

    results = arguments.results or results_dir()
    statuses, todo, left_out, pace = _progress(arguments)
    if arguments.dry_run:
        print(plan_text(statuses, todo, left_out, pace))
        return 0
    for line in notes(todo, left_out, pace):
        _warn(line)
    sweep(results / "runs")
    report = run_queue(
        [run.spec for goal in todo for run in goal.runs] if pace.on_cpu else [status.spec for status in statuses],
        results=results,
        device=arguments.device,
        jobs=arguments.jobs,
        time_limit=arguments.time_limit,
        say=_say,
    )
    print(summary_line([run_status(status.spec, results / "runs") for status in statuses], pace))
    for line in report.failures:
        _warn(line)
    if report.failures:
        return 1
    if report.stopped:
        _warn(f"stopped by {report.stopped}; start it again to continue")
        return STOPPED
    return 0


def study_status(arguments: argparse.Namespace) -> None:
    from fer_lib.queue.status import status_text

    print(status_text(*_progress(arguments)))


def _progress(arguments: argparse.Namespace) -> "tuple[list[Status], list[Goal], list[Goal], Pace]":
    """How far every run of the plan is, what is to be trained in its order, what is left out here, and the pace."""
    from fer_lib.paths import results_dir
    from fer_lib.queue.goals import cheapest_first, goals
    from fer_lib.queue.pace import device_pace
    from fer_lib.queue.plan import choose_recipes, matrix, run_status
    from fer_lib.runs import read_records
    from fer_lib.training import choose_device

    recipes = [_changed(recipe, arguments) for recipe in choose_recipes(arguments.papers, arguments.recipes)]
    specs = matrix(recipes, arguments.seeds, arguments.limit_train, arguments.limit_test)
    results = arguments.results or results_dir()
    records, problems = read_records(results / "runs")
    for problem in problems:
        _warn(problem)
    statuses = [run_status(spec, results / "runs") for spec in specs]
    pace = device_pace(records, results, choose_device(arguments.device))
    if pace.on_cpu:
        todo, left_out = cheapest_first(statuses, pace, named=bool(arguments.papers or arguments.recipes))
    else:
        todo, left_out = goals(statuses, pace), []
    return statuses, todo, left_out, pace


def study_tables(arguments: argparse.Namespace) -> None:
    from fer_lib.study.tables import write_tables

    for path in write_tables(arguments.results, _warn):
        print(path)


def study_table(arguments: argparse.Namespace) -> None:
    from fer_lib.study.tables import build_table, csv_text, page

    table = build_table(arguments.name, arguments.results, _warn)
    print(csv_text(table) if arguments.csv else page(arguments.name, table), end="")


def study_verify(arguments: argparse.Namespace) -> int:
    from fer_lib.errors import UserError
    from fer_lib.paths import results_dir
    from fer_lib.study.verify import sound_records

    runs = (arguments.results or results_dir()) / "runs"
    if not runs.is_dir():
        raise UserError(f"{runs}: no such folder, so there is nothing to verify; --results takes the folder above runs")
    records, problems = sound_records(runs)
    for problem in problems:
        _warn(problem)
    print(f"{len(records)} sound runs, {len(problems)} faults")
    return 1 if problems else 0


def study_show(arguments: argparse.Namespace) -> None:
    import json

    from fer_lib.errors import UserError
    from fer_lib.study.run_page import text
    from fer_lib.study.verify import faults_of_one

    record = _find_record(arguments.run, arguments.results)
    if arguments.json:
        print(json.dumps(record.content, indent=1))
    elif faults := faults_of_one(record):
        raise UserError(f"{record.path}: {faults[0]}; --json shows its run.json as it is")
    else:
        print(text(record))


def _find_record(name: str, results: Path | None, weight_files: Iterable[str] = ()) -> "RunRecord":
    """The run of a name; the error for one that does not exist suggests ``weight_files`` too."""
    from fer_lib.errors import unknown
    from fer_lib.paths import results_dir
    from fer_lib.runs import read_record

    runs = (results or results_dir()) / "runs"
    if not (runs / name / "run.json").exists():
        kind = "run or weight file" if weight_files else "run"
        raise unknown(kind, name, [*weight_files, *(path.parent.name for path in runs.glob("*/run.json"))])
    return read_record(runs / name)


def _warn(line: str) -> None:
    print(f"fer: {one_line(line)}", file=sys.stderr)


# ---------------------------------------------------------------- benchmarks


def bench(arguments: argparse.Namespace) -> None:
    from fer_lib.bench.suites import run_benchmark

    path = run_benchmark(
        arguments.suite,
        models=getattr(arguments, "models", ()),
        seconds=arguments.seconds,
        device=arguments.device,
        workers=getattr(arguments, "workers", None),
        results=arguments.results,
        say=_say,
    )
    print(path)


def doctor(arguments: argparse.Namespace) -> int:
    from fer_lib.doctor import examine

    faults = 0
    for finding in examine(arguments.device, arguments.seconds):
        _say(str(finding))
        faults += finding.sound is False
    return 1 if faults else 0


# ---------------------------------------------------------------- notebooks and report


def notebook(arguments: argparse.Namespace) -> None:
    from fer_lib.report.notebooks import execute, parse_parameters

    path = execute(
        arguments.name,
        scale=arguments.scale,
        changes=parse_parameters(arguments.parameter),
        output=arguments.output,
        say=_say,
    )
    print(path)


def report(arguments: argparse.Namespace) -> None:
    from fer_lib.report.pages import render

    for path in render(arguments.scale):
        print(path)
