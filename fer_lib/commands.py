"""The commands of ``fer``: each is a function, and its parameters are its options (see :mod:`fer_lib.options`).

Each imports what it needs when it runs, so that `fer --help` answers at once and training needs none of the packages
that analysis and reports do.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fer_lib.options import Option, command, duration, folder, output_folder, span, whole
from fer_lib.texts import one_line

if TYPE_CHECKING:
    from fer_lib.queue.goals import Goal
    from fer_lib.queue.pace import Pace
    from fer_lib.queue.plan import Status
    from fer_lib.queue.work import Report
    from fer_lib.recipe import Recipe
    from fer_lib.runs import RunRecord

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try the same command again
GROUPS = {
    "data": "check or download the datasets",
    "study": "the runs and what they say",
    "bench": "measure the speed on this machine",
}
"""Groups of commands, and the help of each."""
TABLES = (
    "claims", "evidence", "statements", "modules", "control", "start", "alike", "ablations", "precision", "ensemble",
    "rules", "leaks", "ferplus", "ceiling", "protocols", "reach", "draws", "cleaning", "classes", "calibration",
    "reliability", "cost", "runs",
)  # fmt: skip
"""Names of :data:`fer_lib.study.tables.TABLES`, which is slow to import for a text of help."""


# ---------------------------------------------------------------- what a shell may offer


def _recipes() -> Iterable[str]:
    from fer_lib.recipe import list_recipes

    return list_recipes()


def _papers() -> Iterable[str]:
    from fer_lib.recipe import load_papers

    return load_papers()


def _runs() -> Iterable[str]:
    from fer_lib.paths import results_dir

    return (path.parent.name for path in results_dir().glob("runs/*/run.json"))


def _notebooks() -> Iterable[str]:
    from fer_lib.paths import shipped

    return (path.stem for path in shipped("notebooks").glob("*.ipynb"))


# ---------------------------------------------------------------- options of several commands

Root = Annotated[Path | None, Option("folder of the data (default: FER_DATA, else data)")]
Results = Annotated[
    Path | None, Option("folder that holds runs/ (default: FER_RESULTS, else results)", parse=output_folder)
]
Read = Annotated[Path | None, Option("folder that holds runs/ (default: FER_RESULTS, else results)", parse=folder)]
Device = Annotated[str, Option("auto, cpu, cuda (the first; for queues all), cuda:1 or mps")]
Measured = Annotated[
    Path | None, Option("folder for benchmarks/ (default: FER_RESULTS, else results)", parse=output_folder)
]
TimeLimit = Annotated[float | None, Option("stop after T (90s, 9m, 1h30m), resumable", parse=duration, metavar="T")]
Run = Annotated[str, Option("a folder's name in results/runs", complete=_runs)]
Seconds = Annotated[float, Option("how long it may take", parse=span, metavar="S")]
Begin = Annotated[str | None, Option("which one to begin with, such as 06; else their list", metavar="NOTEBOOK")]
Browser = Annotated[bool, Option("start the server only, and print its address")]
Port = Annotated[int, Option("of the server on this machine", parse=whole(1, 65535), metavar="N")]
Scale = Literal["smoke", "paper"]


@dataclass(frozen=True)
class Changes:
    """Changes to the recipe; each makes a different run."""

    dataset: Annotated[str | None, Option("synthetic, fer2013, ferplus, ckplus or folder:PATH")] = None
    epochs: Annotated[int | None, Option(metavar="N")] = None
    batch_size: Annotated[int | None, Option(metavar="N")] = None
    precision: Annotated[
        str | None, Option("float32, bfloat16 or float16 (default: the fastest that the device has)")
    ] = None
    set: Annotated[
        Sequence[str],
        Option("any other value, as in optimizer.lr=0.05; none takes one out", metavar="KEY=VALUE", each=True),
    ] = ()

    def of_recipe(self) -> dict[str, Any]:
        """What :func:`fer_lib.recipe.with_changes` takes."""
        return {
            "dataset": self.dataset,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "settings": self.set,
        }

    def made(self, recipe: "Recipe") -> "Recipe":
        from fer_lib.recipe import with_changes

        return with_changes(recipe, **self.of_recipe())

    def read_own_folder(self) -> None:
        """Refuse a folder of pictures that cannot be read; the other datasets may lie on another machine."""
        from fer_lib.data import load_dataset

        if self.dataset and self.dataset.startswith("folder:"):
            load_dataset(self.dataset)


@dataclass(frozen=True)
class LimitedChanges(Changes):
    """Changes to the recipe; each makes a different run."""

    limit_train: Annotated[int | None, Option("train on N pictures, drawn class by class", metavar="N")] = None
    limit_test: Annotated[int | None, Option("evaluate on N pictures of each part, drawn so", metavar="N")] = None


@dataclass(frozen=True)
class Choice:
    """Choice of the study's runs."""

    papers: Annotated[Sequence[str], Option("only these, as in `fer recipes`", metavar="P", complete=_papers)] = ()
    recipes: Annotated[
        Sequence[str], Option("only these, or these besides --papers", metavar="R", complete=_recipes)
    ] = ()
    seeds: Annotated[int | None, Option("N seeds of each (default: as many as the study wants)", metavar="N")] = None


# ---------------------------------------------------------------- data


@command
def data_check(*, root: Root = None) -> int:
    """Compare the data at hand with what the papers state.

    Examples:
        fer data check
    """
    from fer_lib.data.check import check_report

    text, sound = check_report(root)
    print(text)
    return 0 if sound else 1


@command
def data_download(dataset: Annotated[str, Option("fer2013, ferplus or ckplus")], *, root: Root = None) -> None:
    """Fetch what may be fetched, and say where to get the rest.

    Examples:
        fer data download fer2013
    """
    from fer_lib.data.download import download

    print(download(dataset, root))


@command
def data_facts(*, root: Root = None) -> None:
    """Write labels, votes and copies of the real data into the library, for audits without pictures.

    Examples:
        fer data facts
    """
    from fer_lib.data.facts import write_all_facts

    for path in write_all_facts(root, say=_warn):
        print(path)


# ---------------------------------------------------------------- training


@command
def recipes(paper: Annotated[str | None, Option("of this paper only", complete=_papers)] = None) -> None:
    """List the recipes.

    Examples:
        fer recipes
        fer recipes zhang
    """
    from fer_lib.queue.plan import choose_recipes
    from fer_lib.texts import many

    for recipe in choose_recipes(() if paper is None else [paper]):
        print(f"{recipe.name:42} {recipe.title} ({many(recipe.epochs, 'epoch')}, {recipe.protocol})")


@command
def train(
    recipe: Annotated[str, Option("a name of `fer recipes`", complete=_recipes)],
    changes: LimitedChanges,
    *,
    seed: Annotated[int, Option(parse=whole(0, 2**31 - 1), metavar="N")] = 0,
    fold: Annotated[int | None, Option("test fold, from 0, of a recipe with cross-validation", metavar="N")] = None,
    device: Device = "auto",
    time_limit: TimeLimit = None,
    results: Results = None,
    dry_run: Annotated[bool, Option("say what would be trained, and train nothing")] = False,
) -> int:
    """Train one run, continue it, or load it if it is complete.

    Examples:
        fer train zhang/cbam_ends/fer2013 --seed 0
        fer train zhang/cbam_ends/ckplus --fold 3 --time-limit 9m
        fer train zhang/cbam_ends/fer2013 --dataset synthetic --epochs 2 --limit-train 256 --results /tmp/try
    """
    from fer_lib.queue.train import train_run
    from fer_lib.recipe import RunSpec, get_recipe
    from fer_lib.training import Interrupted, Stop, choose_device

    changed = changes.made(get_recipe(recipe))
    spec = RunSpec(changed, seed, fold, changes.limit_train, changes.limit_test)
    choose_device(device)
    if dry_run:
        changes.read_own_folder()
        print(spec.run_id)
        for name, value in changed.training().items():
            print(f"  {name:15} {value}")
        return 0
    try:
        with Stop(time_limit) as stop:
            train_run(spec, results=results, device=device, stop=stop, say=_say)
    except Interrupted as stopped:
        print(f"fer: {stopped}", file=sys.stderr)
        return STOPPED
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


# ---------------------------------------------------------------- models


@command
def models(
    name: Annotated[Sequence[str], Option("these only")] = (),
    *,
    pixels: Annotated[int, Option("picture size for nets that take any", parse=whole(1, 4096), metavar="N")] = 48,
    device: Annotated[str, Option("where to measure the time of a picture")] = "auto",
) -> None:
    """List the models, their size and cost.

    Examples:
        fer models
        fer models resnet34_cbam_ends gu --device cpu
    """
    from fer_lib.claims import tables_of_models
    from fer_lib.models.describe import describe
    from fer_lib.study.weights import trained_models
    from fer_lib.training import choose_device

    place = choose_device(device)
    trained = {model: " ".join(names) for model, names in trained_models().items()}
    wide = max(map(len, ("weights", *trained.values())))
    head = f"{'model':24}{'parameters':>13}{'pixels':>8}{'MACs':>9}{'ms/picture':>12}  {'weights':{wide}}  serves"
    for number, row in enumerate(describe(name, pixels=pixels, device=place)):
        if number == 0:
            print(head)
        macs = "–" if row.macs is None else f"{row.macs / 1e6:,.0f} M"
        parameters = "–" if row.parameters is None else f"{row.parameters:,}"
        time = "–" if row.milliseconds is None else f"{row.milliseconds:.1f}"
        weights, serves = trained.get(row.name, "–"), tables_of_models().get(row.name, "")
        _say(f"{row.name:24}{parameters:>13}{row.pixels or '–':>8}{macs:>9}{time:>12}  {weights:{wide}}  {serves}")


@command
def export(
    name: Annotated[
        str,
        Option("a weight file of results/checkpoints, or a folder's name in results/runs that holds weights"),
    ],
    *,
    output: Annotated[Path | None, Option("default: the name with .onnx, in this folder")] = None,
    results: Annotated[
        Path | None,
        Option("folder that holds runs/ and checkpoints/ (default: FER_RESULTS, else results)", parse=folder),
    ] = None,
) -> None:
    """Write a trained net as ONNX.

    Examples:
        fer export narrow_resnet18
        fer export zhang-cbam_ends-fer2013-s0-1a2b3c4d --output zhang.onnx
    """
    from fer_lib.checkpoints import list_checkpoints, read_checkpoint
    from fer_lib.paths import check_output, results_dir
    from fer_lib.study.weights import export_checkpoint, export_run

    place = results or results_dir()
    checkpoints = results / "checkpoints" if results else None
    if output:
        check_output(output, [*(place / "checkpoints").glob("*"), *(place / "runs" / name).glob("*")])
    path = output or Path(f"{name}.onnx")
    shipped = list_checkpoints(checkpoints)
    if name in shipped:
        export_checkpoint(read_checkpoint(name, checkpoints), path)
    else:
        export_run(_find_record(name, results, weight_files=shipped), path)
    print(path)


@command
def checkpoint(
    run: Annotated[str, Option("a folder's name in results/runs that holds weights.safetensors", complete=_runs)],
    *,
    name: Annotated[str | None, Option("name of the weight file (default: the recipe's, with - for /)")] = None,
    results: Read = None,
) -> None:
    """Make a small weight file and its model card from a run, for results/checkpoints.

    Examples:
        fer checkpoint zhang-cbam_ends-fer2013-s0-1a2b3c4d --name zhang
    """
    from fer_lib.checkpoints import write_checkpoint

    made = write_checkpoint(_find_record(run, results), name, results / "checkpoints" if results else None)
    print(made.path)
    print(made.path.with_suffix(".md"))


# ---------------------------------------------------------------- pictures and camera


@command
def predict(
    path: Annotated[Sequence[Path], Option("a picture, a video, or a folder of them", metavar="PICTURE")],
    *,
    model: Annotated[
        str | None, Option("a weight file of results/checkpoints (default: the best of FER2013's nets)")
    ] = None,
    format: Annotated[
        str, Option("json (one line a picture), csv, pictures, or films, which keeps a video one")
    ] = "json",
    output: Annotated[
        Path | None, Option("file to write, or for pictures and films the folder (default: this terminal, drawn/)")
    ] = None,
    detector: Annotated[str, Option("mtcnn, haar, or none for cut-out faces")] = "mtcnn",
    every: Annotated[int, Option("of a video, every Nth frame", metavar="N")] = 1,
    views: Annotated[str, Option("looks at each face: one (fastest), flip, five, ten or jitter")] = "jitter",
    device: Device = "auto",
) -> int:
    """Name the expressions in pictures, folders and videos.

    Examples:
        fer predict party.jpg
        fer predict holidays/ --format csv --output holidays.csv
        fer predict clip.mp4 --every 10 --views one --format films --output drawn/
    """
    from fer_lib.demo.files import predict_command

    return predict_command(
        path,
        model=model,
        form=format,
        output=output,
        detector=detector,
        every=every,
        views=views,
        device=device,
        say=_say,
        warn=_warn,
    )


@command
def demo(*, browser: Browser = True, port: Port = 8866) -> None:
    """Open the camera alone: a face, an expression, a reason (notebook 08 explains it: fer lab 08).

    Examples:
        fer demo
        fer demo --no-browser --port 8899
    """
    from fer_lib.demo.server import open_demo

    open_demo(browser=browser, port=port, say=_say)


@command
def lab(notebook: Begin = None, *, browser: Browser = True, port: Port = 8888) -> None:
    """Open your own copies of the notebooks in JupyterLab; the sources stay as they are.

    Examples:
        fer lab
        fer lab 06
    """
    from fer_lib.explore.lab import open_lab

    open_lab(notebook or "", browser=browser, port=port, say=_say)


# ---------------------------------------------------------------- modules of your own


@command
def compare(
    module: Annotated[Sequence[str], Option("FILE:CLASS, or the name of a block of the library or of a plug-in")],
    changes: Changes,
    *,
    recipe: Annotated[str, Option("of the net without it", complete=_recipes)] = "narrow/none/fer2013",
    at: Annotated[
        str | None, Option("branch, after_stage or ends (default: branch, or a named block's own place)")
    ] = None,
    seeds: Annotated[
        int | None, Option("of each net (default: 5, of drawn faces 3)", parse=whole(1, 1000), metavar="N")
    ] = None,
    check: Annotated[bool, Option("try what a net asks of the module, and train nothing")] = False,
    dry_run: Annotated[bool, Option("say what would be trained and what it could show, and train nothing")] = False,
    device: Device = "auto",
    time_limit: TimeLimit = None,
    jobs: Annotated[
        int, Option("processes that share the runs, on each GPU or on the CPU", parse=whole(1, 1000), metavar="N")
    ] = 1,
    results: Annotated[
        Path | None, Option("folder for runs/ and compare/ (default: results/own)", parse=output_folder)
    ] = None,
) -> int:
    """Train a net without and with attention modules of your own, and show them beside the recorded ones.

    Examples:
        fer compare my_module.py:MyAttention --check
        fer compare my_module.py:MyAttention --dry-run
        fer compare my_module.py:MyAttention --at after_stage --jobs 2
        fer compare a.py:One b.py:Two se --recipe control/none/fer2013 --set optimizer.lr=0.05
    """
    from fer_lib.paths import results_dir, study_results
    from fer_lib.queue.goals import goals
    from fer_lib.queue.pace import device_pace
    from fer_lib.queue.plan import run_status
    from fer_lib.queue.status import plan_text
    from fer_lib.queue.work import run_queue
    from fer_lib.report.compare_page import write_page
    from fer_lib.study.compare import choose_dataset, outcome, plan_comparison, power_words, sentences, write_outcome
    from fer_lib.study.results import Study
    from fer_lib.training import choose_device

    changed, target = changes.of_recipe(), choose_device(device)
    comparison = plan_comparison(module, recipe, at=at, seeds=seeds, changes=changed)
    if check:
        return _check_modules(comparison.modules)
    if not changed["dataset"] and (data := choose_dataset(recipe)) != comparison.base.dataset:
        comparison = plan_comparison(module, recipe, at=at, seeds=seeds, changes=changed | {"dataset": data})
    place, study = results or results_dir("own"), Study.load(study_results())
    if comparison.baseline.dataset == "synthetic":
        _warn("drawn faces and a tiny net: shows that everything works, says nothing about faces")
    statuses = [run_status(spec, place / "runs") for spec in comparison.specs]
    known = [*study.records, *Study.load(place).records]
    pace = device_pace(known, study_results(), target)
    print(plan_text(statuses, goals(statuses, pace), [], pace))
    _say(power_words(comparison, study))
    if dry_run:
        return 0
    report = run_queue(comparison.specs, results=place, device=device, jobs=jobs, time_limit=time_limit, say=_say)
    own = Study.load(place)
    for line in [*own.problems, *report.failures]:
        _warn(line)
    found = outcome(comparison, own.records, study)
    for line in sentences(found):
        print(line)
    for path in [*write_outcome(comparison, found, place), write_page(comparison, found, own.records, place)]:
        print(path)
    return _ended(report)


def _ended(report: "Report") -> int:
    """The status of a command whose runs have ended."""
    if report.stopped:
        _warn(f"stopped by {report.stopped}; start it again to continue")
        return STOPPED
    return 1 if report.failures else 0


def _check_modules(recipes: "Sequence[Recipe]") -> int:
    """Try the last block of each net."""
    from fer_lib.models.conformance import check_block

    faults = 0
    for recipe in recipes:
        _say(recipe.model)
        block = recipe.model.removesuffix("_ends").rpartition("_")[2]
        for finding in check_block(block, recipe.model, recipe.model_options.get(block)):
            _say(f"  {finding}")
            faults += finding.met is False
    return 1 if faults else 0


# ---------------------------------------------------------------- study


@command
def study_run(
    choice: Choice,
    changes: LimitedChanges,
    *,
    device: Device = "auto",
    time_limit: TimeLimit = None,
    jobs: Annotated[
        int,
        Option(
            "processes that share the runs, on each GPU or on the CPU, of which one for each core are fastest",
            metavar="N",
        ),
    ] = 1,
    results: Results = None,
    dry_run: Annotated[bool, Option("list what would be trained, and train nothing")] = False,
) -> int:
    """Train what the study still misses, most urgent first; one that was stopped goes on.

    Examples:
        fer study run --dry-run
        fer study run --papers control --seeds 1 --time-limit 9m
        fer study run --recipes zhang/cbam_ends/fer2013 zhang/plain/fer2013 --jobs 3
        fer study run --papers narrow --dataset synthetic --epochs 1 --limit-train 64 --results /tmp/try
    """
    from fer_lib.paths import results_dir
    from fer_lib.queue.lock import sweep
    from fer_lib.queue.plan import run_status
    from fer_lib.queue.status import notes, plan_text, summary_line
    from fer_lib.queue.work import run_queue

    place = results or results_dir()
    statuses, todo, left_out, pace = _progress(choice, changes, device, place)
    if dry_run:
        print(plan_text(statuses, todo, left_out, pace))
        return 0
    for line in notes(todo, left_out, pace):
        _warn(line)
    sweep(place / "runs")
    report = run_queue(
        [run.spec for goal in todo for run in goal.runs] if pace.on_cpu else [status.spec for status in statuses],
        results=place,
        device=device,
        jobs=jobs,
        time_limit=time_limit,
        say=_say,
    )
    print(summary_line([run_status(status.spec, place / "runs") for status in statuses], pace))
    for line in report.failures:
        _warn(line)
    return _ended(report)


@command
def study_status(choice: Choice, changes: LimitedChanges, *, device: Device = "auto", results: Read = None) -> None:
    """Which runs are done, running, failed or missing, and the minutes they will take.

    Examples:
        fer study status
        fer study status --papers li gu
    """
    from fer_lib.paths import results_dir
    from fer_lib.queue.status import status_text

    print(status_text(*_progress(choice, changes, device, results or results_dir())))


def _progress(
    choice: Choice, changes: LimitedChanges, device: str, results: Path
) -> "tuple[list[Status], list[Goal], list[Goal], Pace]":
    """How far every run of the plan is, what is to be trained in its order, what is left out here, and the pace."""
    from fer_lib.queue.goals import cheapest_first, goals
    from fer_lib.queue.pace import device_pace
    from fer_lib.queue.plan import choose_recipes, matrix, run_status
    from fer_lib.runs import read_records
    from fer_lib.training import choose_device

    recipes = [changes.made(recipe) for recipe in choose_recipes(choice.papers, choice.recipes)]
    changes.read_own_folder()
    specs = matrix(recipes, choice.seeds, changes.limit_train, changes.limit_test)
    records, problems = read_records(results / "runs")
    for problem in problems:
        _warn(problem)
    statuses = [run_status(spec, results / "runs") for spec in specs]
    pace = device_pace(records, results, choose_device(device))
    if pace.on_cpu:
        todo, left_out = cheapest_first(statuses, pace, named=bool(choice.papers or choice.recipes))
    else:
        todo, left_out = goals(statuses, pace), []
    return statuses, todo, left_out, pace


@command
def study_tables(*, results: Read = None) -> None:
    """Rebuild tables, figures and the README's table from results/runs.

    Examples:
        fer study tables
        fer study tables --results /tmp/try
    """
    from fer_lib.study.tables import write_tables

    for path in write_tables(results, _warn):
        print(path)


@command
def study_table(
    name: Annotated[str, Option(f"one of {', '.join(TABLES)}", metavar="TABLE", complete=lambda: TABLES)],
    *,
    csv: Annotated[bool, Option("every column, as CSV (default: Markdown)")] = False,
    results: Read = None,
) -> None:
    """Print one table.

    Examples:
        fer study table control
        fer study table claims --csv
    """
    from fer_lib.study.columns import csv_text
    from fer_lib.study.tables import build_table, page

    table = build_table(name, results, _warn)
    print(csv_text(table) if csv else page(name, table), end="")


@command
def study_verify(*, results: Read = None) -> int:
    """Recompute every run's metrics from its predictions, and name every bad record.

    Examples:
        fer study verify
        fer study verify --results /tmp/try
    """
    from fer_lib.errors import UserError
    from fer_lib.paths import results_dir
    from fer_lib.study.verify import sound_records

    runs = (results or results_dir()) / "runs"
    if not runs.is_dir():
        raise UserError(f"{runs}: no such folder, so there is nothing to verify; --results takes the folder above runs")
    records, problems = sound_records(runs)
    for problem in problems:
        _warn(problem)
    print(f"{len(records)} sound runs, {len(problems)} faults")
    return 1 if problems else 0


@command
def study_show(
    run: Run, *, json: Annotated[bool, Option("the whole run.json instead")] = False, results: Read = None
) -> None:
    """Show one run in full.

    Examples:
        fer study show zhang-cbam_ends-fer2013-s0-1a2b3c4d
        fer study show zhang-cbam_ends-fer2013-s0-1a2b3c4d --json
    """
    from json import dumps

    from fer_lib.errors import UserError
    from fer_lib.study.run_page import text
    from fer_lib.study.verify import faults_of_one

    record = _find_record(run, results)
    if json:
        print(dumps(record.content, indent=1))
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


@command
def bench_train(
    *,
    models: Annotated[
        Sequence[str],
        Option("nets, in batches of 128 on a GPU, 64 elsewhere (default: resnet18)", metavar="NAME[:BATCH]"),
    ] = (),
    seconds: Seconds = 60.0,
    workers: Annotated[
        int | None,
        Option("of the published DataLoader (default: 8 with a GPU, else 0)", parse=whole(0, 256), metavar="N"),
    ] = None,
    device: Device = "auto",
    results: Measured = None,
) -> None:
    """Measure pictures a second of a training beside the loop that people publish, and where the time goes.

    Examples:
        fer bench train
        fer bench train --models resnet18:256 resnet34 --device cpu --seconds 20
    """
    from fer_lib.bench.training import bench_training

    nets = models or ("resnet18",)
    print(bench_training(models=nets, seconds=seconds, device=device, workers=workers, results=results, say=_say))


@command
def bench_attention(*, seconds: Seconds = 60.0, device: Device = "auto", results: Measured = None) -> None:
    """Measure a training step of CBAM beside PyTorch's maximum and averages in its place, and in a net beside none.

    Examples:
        fer bench attention
    """
    from fer_lib.bench.attention import bench_attention as measure

    print(measure(seconds=seconds, device=device, results=results, say=_say))


@command
def doctor(
    *,
    device: Device = "auto",
    seconds: Annotated[float, Option("begin no check after this long", parse=span, metavar="S")] = 60.0,
) -> int:
    """Say what this machine has for the study, and whether its device trains rightly.

    Examples:
        fer doctor
        fer doctor --device cuda
    """
    from fer_lib.doctor import examine

    faults = 0
    for finding in examine(device, seconds):
        _say(str(finding))
        faults += finding.sound is False
    return 1 if faults else 0


# ---------------------------------------------------------------- notebooks and report


@command
def notebook(
    name: Annotated[str, Option("a notebook of notebooks/, with or without .ipynb", complete=_notebooks)],
    *,
    scale: Annotated[Scale, Option()] = "smoke",
    parameter: Annotated[
        Sequence[str], Option("replace a parameter; repeatable", metavar="NAME=VALUE", flag="-p", each=True)
    ] = (),
    output: Annotated[Path | None, Option("executed copy (default: results/smoke or results, in executed/)")] = None,
) -> None:
    """Execute one notebook headlessly.

    Examples:
        fer notebook 05_zhang_cbam --scale smoke
        fer notebook 05_zhang_cbam --scale paper -p SEED=1 -p EPOCHS=3
    """
    from fer_lib.report.notebooks import execute, parse_parameters

    print(execute(name, scale=scale, changes=parse_parameters(parameter), output=output, say=_say))


@command
def report(*, scale: Annotated[Scale, Option()] = "paper") -> None:
    """Render executed notebooks to HTML, with an index.

    Examples:
        fer report
    """
    from fer_lib.report.pages import render

    for path in render(scale):
        print(path)
