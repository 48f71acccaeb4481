"""The fer command: help, one-line errors, exit codes, stopping and resuming."""

import csv
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_fer
import torch
from safetensors.torch import load_file
from tiny import tiny_dataset, tiny_recipe, write_run

from fer_lib import cli, commands
from fer_lib.queue import train, work
from fer_lib.recipe import RunSpec, list_recipes
from fer_lib.runs import read_record, verify_record
from fer_lib.study import tables
from fer_lib.training import Diverged, loop

RECIPE = tiny_fer.RECIPE
RUN = RunSpec(tiny_recipe()).run_id


@pytest.fixture
def fer(monkeypatch, capsys):
    """Run the command in this process; gives its status, output and errors."""
    monkeypatch.setitem(list_recipes(), RECIPE, tiny_recipe())
    for module in (train, work):
        monkeypatch.setattr(module, "load_dataset", lambda name: tiny_dataset())

    def fer(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    return fer


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """Results with one complete run of the tiny recipe."""
    results = tmp_path_factory.mktemp("complete")
    train.train_run(RunSpec(tiny_recipe()), results=results, device="cpu", dataset=tiny_dataset())
    return results


def assert_one_line(err, *words):
    assert err.startswith("fer")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


def same_outcome(one, other):
    """Whether two records agree in everything but times."""
    assert json.dumps(one.content["metrics"]) == json.dumps(other.content["metrics"])
    assert one.content["spec"] == other.content["spec"]
    assert (one.path / "predictions.npz").read_bytes() == (other.path / "predictions.npz").read_bytes()
    ours, theirs = (load_file(record.path / "weights.safetensors") for record in (one, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in one.history.keys() - {"seconds"}:
        assert np.array_equal(one.history[name], other.history[name], equal_nan=True)


# ---------------------------------------------------------------- help


def list_commands(parser=None, path=()):
    """Every command and group of commands, as a tuple of words."""
    parser = parser or cli.build_parser()
    yield path
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, inner in action.choices.items():
                yield from list_commands(inner, (*path, name))


def test_the_commands():
    assert set(list_commands()) >= {
        ("data", "check"), ("data", "download"), ("recipes",), ("train",), ("notebook",), ("report",),
        ("study", "run"), ("study", "status"), ("study", "tables"), ("study", "table"), ("study", "verify"),
        ("study", "show"), ("checkpoint",), ("predict",), ("demo",),
    }  # fmt: skip


@pytest.mark.parametrize("path", list(list_commands()), ids=" ".join)
def test_every_help_has_examples_that_parse(fer, monkeypatch, path):
    monkeypatch.setattr(Path, "is_dir", lambda path: True)  # the examples' folders exist only once they were run
    status, out, err = fer(*path, "--help")
    assert (status, err) == (0, "")
    examples = re.findall(r"^  (fer .*)$", out.partition("examples:")[2], re.MULTILINE)
    assert examples
    for example in examples:
        words = example.split()[1:]
        assert tuple(words[: len(path)]) == path
        assert callable(cli.build_parser().parse_args(words).act)


def test_an_option_given_again_adds_to_itself():
    parse = cli.build_parser().parse_args
    assert parse(["bench", "train"]).models == []
    assert parse(["bench", "train", "--models", "resnet34"]).models == ["resnet34"]
    assert parse(["bench", "train", "--models", "li", "hu", "--models", "gu"]).models == ["li", "hu", "gu"]
    assert parse(["bench", "train"]).models == []


def test_help_loads_neither_torch_nor_numpy():
    code = (
        "import sys\nfrom fer_lib.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("trian", ["unknown command 'trian': did you mean train?"]),
        ("study shwo x", ["unknown command 'shwo': did you mean show?", "fer study --help"]),
        (f"train {RECIPE} --sed 1", ["unknown argument '--sed': did you mean --seed?", "fer train --help"]),
        (f"train {RECIPE} --epoch=1", ["unknown argument '--epoch': did you mean --epochs?"]),
        ("train zhang/cbam_end/fer2013", ["unknown recipe", "did you mean zhang/cbam_ends/fer2013"]),
        (f"train {RECIPE} --device cdua", ["unknown device 'cdua'", "cuda"]),
        (f"train {RECIPE} --device cuda:99", ["device 'cuda:99'", "use --device cpu"]),
        (f"train {RECIPE} --epochs 0", ["epochs = 0: expected a whole number >= 1"]),
        (f"train {RECIPE} --epochs many", ["--epochs", "'many'"]),
        (f"train {RECIPE} --fold 0", ["--fold 0", "takes no fold"]),
        ("train zhang/cbam_ends/ckplus", ["--fold None", "needs a fold from 0 to 9"]),
        (f"train {RECIPE} --time-limit soon", ["'soon' is no duration such as 90s"]),
        (f"train {RECIPE} --limit-train 1 --device cpu", ["1 training", "too few"]),
        ("train", ["required: recipe"]),
        ("", ["required: COMMAND"]),
        ("recipes zang", ["unknown paper 'zang': did you mean zhang?"]),
        ("study show nothing", ["unknown run 'nothing'"]),
        ("study table contrl", ["unknown table 'contrl': did you mean control"]),
        ("study tables --results nowhere", ["--results", "'nowhere' is no folder"]),
        ("checkpoint a --results nowhere", ["--results", "'nowhere' is no folder"]),
        ("export a --results nowhere", ["--results", "'nowhere' is no folder"]),
        ("study run --results /dev/null", ["--results", "'/dev/null' is a file"]),
        ("train narrow/none/fer2013 --results /dev/null", ["--results", "'/dev/null' is a file"]),
        ("study status --results nowhere", ["--results", "'nowhere' is no folder"]),
        ("study status --papers lii", ["unknown paper 'lii': did you mean li?"]),
        ("study table", ["required: TABLE"]),
        ("study verify", ["/runs: no such folder, so there is nothing to verify"]),
        ("notebook 05_zhang_cbma", ["unknown notebook '05_zhang_cbma': did you mean 05_zhang_cbam"]),
        ("notebook 05_zhang_cbam --scale smok", ["--scale", "'smok'", "smoke"]),
        ("notebook 05_zhang_cbam -p SEDE=1", ["05_zhang_cbam.ipynb: unknown parameter 'SEDE': did you mean SEED"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_in_one_line(fer, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setenv("FER_RESULTS", str(tmp_path))
    status, out, err = fer(*arguments.split())
    assert status == 2
    assert out == "" or "epochs on synthetic" in out
    assert_one_line(err, *words)
    assert not list(tmp_path.glob("runs/*[!l]"))  # nothing but a .partial folder


def test_an_unknown_dataset_is_named(fer, monkeypatch, tmp_path):
    monkeypatch.undo()
    status, _, err = fer("train", "zhang/plain/fer2013", "--dataset", "fer2031", "--results", tmp_path)
    assert status == 2
    assert_one_line(err, "unknown dataset 'fer2031': did you mean fer2013?")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("root", ["nowhere", ""])
def test_missing_data_are_named(fer, monkeypatch, tmp_path, root):
    monkeypatch.undo()
    monkeypatch.setenv("FER_DATA", str(tmp_path / root))
    status, _, err = fer("train", "zhang/plain/fer2013", "--device", "cpu", "--results", tmp_path / "results")
    assert status == 2
    assert_one_line(err, "FER2013 not found", str(tmp_path), "FER_DATA")
    assert not (tmp_path / "results").exists()


def test_a_file_where_a_folder_is_needed_is_named(fer, tmp_path):
    (tmp_path / "results").write_text("")
    status, _, err = fer("train", RECIPE, "--device", "cpu", "--results", tmp_path / "results")
    assert status == 2
    assert_one_line(err, str(tmp_path / "results"), "is a file, where a folder is needed")


@pytest.mark.heavy
def test_memory_that_does_not_suffice_is_one_line(fer, tmp_path):
    """Address space for the library and a little more, as in a small container."""
    code = (
        "import resource, sys, torch\n"
        "from fer_lib.cli import main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 600_000_000, resource.RLIM_INFINITY))\n"
        "main(sys.argv[1:])"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc: the address space in use is not read here")
    command = ("train", "control/none/fer2013", "--dataset", "synthetic", "--batch-size", "1024", "--device", "cpu")
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--results", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "out of memory with batch size 1024 of resnet18", "smaller --batch-size")


def test_no_write_permission_is_named(fer, monkeypatch, tmp_path):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    status, _, err = fer("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    assert status == 2
    assert_one_line(err, str(tmp_path), "Permission denied")


@pytest.fixture
def small_files():
    """Let no file grow beyond 20 kB, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize(
    "command", [("train", "control/bam/fer2013"), ("study", "run", "--recipes", "control/bam/fer2013")]
)
def test_a_batch_of_one_is_refused_before_anything_is_read(fer, tmp_path, command, monkeypatch):
    for module in (train, work):
        monkeypatch.setattr(module, "load_dataset", lambda name: pytest.fail("data were read"))
    status, out, err = fer(*command, "--batch-size", 1, "--results", tmp_path)
    assert (status, out) == (2, "")
    assert_one_line(err, "control/bam/fer2013: batch_size = 1", "batch normalisation")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_record_and_the_old_checkpoint(fer, tmp_path, monkeypatch, request):
    arguments = ("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    assert fer(*arguments, "--time-limit", "0")[0] == 75
    partial = tmp_path / "runs" / f"{RUN}.partial"
    kept = (partial / "checkpoint.pt").read_bytes()
    request.getfixturevalue("small_files")

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    status, _, err = fer(*arguments)
    assert status == 2
    assert_one_line(err, str(partial / "checkpoint.pt"), "File too large")
    assert (partial / "checkpoint.pt").read_bytes() == kept

    monkeypatch.undo()
    monkeypatch.setitem(list_recipes(), RECIPE, tiny_recipe())
    monkeypatch.setattr(train, "load_dataset", lambda name: tiny_dataset())
    status, _, err = fer(*arguments)  # no checkpoint is due: the record itself does not fit
    assert status == 2
    assert_one_line(err, "weights.safetensors", "File too large")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [partial.name]


def test_output_that_cannot_be_written_is_an_error():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fer_lib", "recipes"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2
    assert_one_line(done.stderr, "No space left on device")


# ---------------------------------------------------------------- training


def test_dry_run_trains_nothing(fer, tmp_path):
    status, out, err = fer("train", RECIPE, "--seed", 3, "--dry-run", "--results", tmp_path)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == RunSpec(tiny_recipe(), 3).run_id
    assert re.search(r"batch_size +16$", out, re.MULTILINE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "train control/none/fer2013 --dry-run",
        "study status --recipes control/none/fer2013",
        "study run --dry-run --recipes control/none/fer2013",
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_before_anything_is_planned(fer, tmp_path, command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pets" / "train" / "cats").mkdir(parents=True)
    for folder, words in (
        ("none", "no such folder"),
        ("empty", "no class folders in it"),
        ("pets", "no pictures"),
    ):
        status, out, err = fer(*command.split(), "--dataset", f"folder:{tmp_path / folder}", "--results", tmp_path)
        assert (status, out) == (2, "")
        assert_one_line(err, str(tmp_path / folder), words)


def test_a_complete_run_is_loaded(fer, complete):
    before = (complete / "runs" / RUN / "run.json").stat().st_mtime_ns
    status, out, _ = fer("train", RECIPE, "--device", "cpu", "--results", complete)
    assert status == 0
    assert out == f"{RUN}: complete, loaded from its record\n"
    assert (complete / "runs" / RUN / "run.json").stat().st_mtime_ns == before


def test_a_change_is_a_run_of_its_own(fer, complete):
    status, out, _ = fer("train", RECIPE, "--device", "cpu", "--results", complete, "--epochs", 1, "--limit-train", 32)
    assert status == 0
    assert RUN not in out
    record = read_record(next(path for path in (complete / "runs").glob("test-*") if path.name != RUN))
    assert (record.epochs, record.content["data"]["counts"]["train"]) == (1, 32)
    assert verify_record(record) == []


def test_what_a_record_says(complete):
    record = read_record(complete / "runs" / RUN)
    assert verify_record(record) == []
    content = record.content
    assert content["data"]["fingerprint"] == tiny_dataset().fingerprint
    assert content["data"]["counts"] == {"train": 70, "val": 21, "test": 21}
    assert content["environment"]["torch"] == torch.__version__
    assert re.fullmatch(r"[0-9a-f]{64}", content["code"]["digest"])
    assert content["time"]["sessions"] == 1
    history = record.history
    assert content["metrics"]["val_selected"]["epoch"] == 1 + history["val_accuracy"].argmax()
    assert content["metrics"]["test_best"]["epoch"] == 1 + history["test_accuracy"].argmax()
    assert content["metrics"]["last"]["epoch"] == 3
    assert record.accuracy("test", "test_best", "plain") == pytest.approx(history["test_accuracy"].max(), abs=1e-4)


def test_a_time_limit_stops_and_the_same_command_continues(fer, complete, tmp_path):
    arguments = ("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    status, _, err = fer(*arguments, "--time-limit", "0s")
    assert status == 75
    assert_one_line(err, "stopped by the time limit at epoch 1 of 3, step 1 of 4", "start it again to continue")
    assert not (tmp_path / "runs" / RUN).exists()
    status, out, _ = fer(*arguments)
    assert status == 0
    assert "continuing at epoch 1 of 3, step 1 of 4" in out
    record = read_record(tmp_path / "runs" / RUN)
    same_outcome(record, read_record(complete / "runs" / RUN))
    assert record.content["time"]["sessions"] == 2
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [RUN]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_the_same_command_continues(fer, complete, tmp_path, monkeypatch, number):
    arguments = ("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    say = commands._say

    def interrupt(line):
        say(line)
        if line.startswith("epoch   1/3"):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(commands, "_say", interrupt)
    status, _, err = fer(*arguments)
    assert status == 75
    assert_one_line(err, f"stopped by {number.name} at epoch 2 of 3, step 1 of 4")
    monkeypatch.setattr(commands, "_say", say)
    assert fer(*arguments)[0] == 0
    same_outcome(read_record(tmp_path / "runs" / RUN), read_record(complete / "runs" / RUN))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_half_written(tmp_path, number):
    code = """
import logging, signal, sys
from fer_lib import cli, paths
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell sets aside for what it starts with &
def write(file):
    file.write(b"half")
    file.flush()
    print(flush=True)
    sys.stdin.readline()
cli._call = lambda *_: paths.write_atomically(paths.Path(sys.argv[1]), write)
try:
    cli.main(["data", "check"])
finally:
    assert not logging.root.manager.disable  # who called is heard again
"""
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stdout.readline()
        assert list(tmp_path.glob(".file.*"))  # the half
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 128 + number
    assert_one_line(err, f"stopped by {number.name}")
    assert not list(tmp_path.iterdir())


def test_two_processes_cannot_train_one_run(fer, tmp_path):
    partial = tmp_path / "runs" / f"{RUN}.partial"
    partial.mkdir(parents=True)
    code = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\nprint(flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(partial / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        status, _, err = fer("train", RECIPE, "--device", "cpu", "--results", tmp_path)
        other.communicate(b"\n")
    assert status == 2
    assert_one_line(err, f"{RUN}: another process is training this run")
    assert fer("train", RECIPE, "--device", "cpu", "--results", tmp_path)[0] == 0


def run_apart(folder, *arguments, at=""):
    """Run the command in a process of its own, which dies of signal 9 when a line of progress contains ``at``."""
    process = tiny_fer.start(arguments, folder, folder / "said", **({"FER_KILL_AT": at} if at else {}))
    process.join()
    said = (folder / "said").read_text()
    assert process.exitcode == (-signal.SIGKILL if at else 0), said
    return said.strip()


def kill(folder, at, *arguments):
    assert run_apart(folder, *arguments, at=at).splitlines()[-1].strip().startswith(at)


def test_a_killed_training_continues(fer, complete, tmp_path):
    arguments = ("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    kill(tmp_path, "epoch 2 of 3, step 2 of 4", *arguments)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{RUN}.partial"]
    status, out, _ = fer(*arguments)
    assert status == 0
    assert "continuing at epoch 2 of 3, step 2 of 4" in out
    same_outcome(read_record(tmp_path / "runs" / RUN), read_record(complete / "runs" / RUN))


def test_a_training_killed_at_its_predictions_trains_nothing_again(fer, complete, tmp_path):
    arguments = ("train", RECIPE, "--device", "cpu", "--results", tmp_path)
    kill(tmp_path, "predicting", *arguments)
    status, out, _ = fer(*arguments)
    assert status == 0
    assert "continuing after the last epoch" in out
    assert "epoch   3/3" not in out
    same_outcome(read_record(tmp_path / "runs" / RUN), read_record(complete / "runs" / RUN))


def test_what_a_process_killed_at_its_very_end_left_is_swept(fer, complete, tmp_path):
    runs = shutil.copytree(complete, tmp_path / "results") / "runs"
    for name in (RUN, "another-run"):
        (runs / f"{name}.partial").mkdir()
        (runs / f"{name}.partial" / "checkpoint.pt").write_bytes(b"state")
    assert fer("train", RECIPE, "--device", "cpu", "--results", runs.parent)[0] == 0
    names = {path.name for path in runs.iterdir()}
    assert {"another-run.partial", RUN} <= names
    assert f"{RUN}.partial" not in names


@pytest.mark.data
@pytest.mark.heavy
def test_a_killed_training_on_fer2013_continues(fer_data, tmp_path):
    """2 epochs on 2,000 real pictures."""
    arguments = ("train", tiny_fer.REAL, "--device", "cpu", "--limit-train", 2000, "--limit-test", 300, "--results")
    kill(tmp_path, "epoch 2 of 2, step 10 of 31", *arguments, tmp_path / "killed")
    records = []
    for folder in ("killed", "whole"):
        said = run_apart(tmp_path, *arguments, tmp_path / folder)
        assert ("continuing at epoch 2 of 2, step 10 of 31" in said) == (folder == "killed")
        (path,) = (tmp_path / folder / "runs").iterdir()
        records.append(read_record(path))
    same_outcome(*records)
    assert records[0].content["data"]["counts"] == {"train": 2000, "val": 300, "test": 300}


# ---------------------------------------------------------------- study


def test_study_show_prints_the_record(fer, complete):
    record = read_record(complete / "runs" / RUN)
    assert fer("study", "show", RUN, "--json", "--results", complete) == (
        0, json.dumps(record.content, indent=1) + "\n", "",
    )  # fmt: skip
    status, out, _ = fer("study", "show", RUN, "--results", complete)
    assert status == 0
    labels, predicted = (record.predictions[f"test/{name}"] for name in ("labels", "val_selected/tta"))
    for label, name in enumerate(record.classes):
        of_class = labels == label
        recall = 100 * (predicted[of_class] == label).mean()
        cells = rf"{of_class.sum()} +{(predicted == label).sum()} +\d+\.\d +{recall:.1f} +\d+\.\d"
        assert re.search(rf"^ *{name} +{cells}$", out, re.MULTILINE), name
    assert f"{100 * record.accuracy():.2f}" in out
    assert RUN in out


def test_study_show_suggests_the_nearest_run(fer, complete):
    status, _, err = fer("study", "show", RUN[:-1] + "x", "--results", complete)
    assert status == 2
    assert_one_line(err, "unknown run", f"did you mean {RUN}")


@pytest.mark.parametrize(("part", "near"), [(RUN[:9], f"did you mean {RUN}?"), ("nothing", f"choose from: {RUN}")])
def test_study_show_knows_a_run_by_a_part_of_its_name(fer, tmp_path, part, near):
    write_run(tmp_path / "runs", RunSpec(tiny_recipe(), 0), correct=13)
    assert near in fer("study", "show", part, "--results", tmp_path)[2]


def test_study_show_and_status_name_a_broken_record(fer, tmp_path):
    record = write_run(tmp_path / "runs", RunSpec(tiny_recipe(), 0), correct=13)
    (record.path / "predictions.npz").write_text("no predictions")
    status, out, err = fer("study", "show", record.id, "--results", tmp_path)
    assert (status, out) == (2, "")
    assert_one_line(err, str(record.path), "predictions.npz: unreadable", "--json shows its run.json")
    assert fer("study", "show", record.id, "--json", "--results", tmp_path)[0] == 0
    (record.path / "run.json").write_text("{")
    status, out, err = fer("study", "status", "--recipes", RECIPE, "--results", tmp_path)
    assert (status, "family" in out) == (0, True)
    assert_one_line(err, str(record.path / "run.json"), "unreadable")


def test_help_names_every_table(fer):
    assert set(commands.TABLES) == set(tables.TABLES)
    words = fer("study", "table", "--help")[1].split()
    assert all(name in words or f"{name}," in words for name in tables.TABLES)


def test_study_verify_names_every_fault(fer, tmp_path):
    for seed in range(3):
        record = write_run(tmp_path / "runs", RunSpec(tiny_recipe(), seed), correct=13)
    assert fer("study", "verify", "--results", tmp_path) == (0, "3 sound runs, 0 faults\n", "")
    text = (record.path / "run.json").read_text()
    (record.path / "run.json").write_text(text.replace('"seed": 2', '"seed": 4'))
    next((tmp_path / "runs").glob("*-s0-*/history.csv.gz")).unlink()
    status, out, err = fer("study", "verify", "--results", tmp_path)
    assert (status, out) == (1, "1 sound runs, 2 faults\n")
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"fer: {tmp_path}") for line in lines)


def test_study_status_counts_the_runs_of_a_family(fer, complete):
    status, out, _ = fer("study", "status", "--recipes", RECIPE, "--results", complete)
    assert status == 0
    assert re.search(r"^test +1 +3 +1 +0 +0 +0 +2 ", out, re.MULTILINE)


def test_study_run_trains_what_is_missing(fer, tmp_path):
    command = ("study", "run", "--recipes", RECIPE, "--seeds", "2", "--device", "cpu", "--results", tmp_path)
    status, out, _ = fer(*command, "--dry-run")
    assert status == 0
    assert out.endswith("2 runs: 2 missing; core-minutes left: ?\n")
    assert not list(tmp_path.iterdir())
    status, out, err = fer(*command, "--time-limit", "0s")
    assert (status, list(tmp_path.iterdir())) == (commands.STOPPED, [])
    assert_one_line(err, "the time limit", "start it again")
    status, out, _ = fer(*command)
    assert status == 0
    assert "2 runs: 2 done; core-minutes left: 0" in out
    assert fer(*command)[1].splitlines() == ["2 runs: 2 done; core-minutes left: 0"]


def test_study_run_says_at_the_end_what_failed(fer, tmp_path, monkeypatch):
    def diverge(spec, **_):
        raise Diverged(f"{spec.run_id}: the loss became NaN")

    monkeypatch.setattr(work, "train_run", diverge)
    status, _, err = fer("study", "run", "--recipes", RECIPE, "--seeds", "1", "--results", tmp_path)
    assert status == 1
    assert_one_line(err, RUN, "the loss became NaN")


def test_study_table_prints_one_table(fer, complete):
    status, out, _ = fer("study", "table", "runs", "--results", complete)
    assert status == 0
    assert f"[{RUN}](../runs/{RUN})" in out
    status, out, _ = fer("study", "table", "runs", "--csv", "--results", complete)
    assert status == 0
    assert RUN in [row["run"] for row in csv.DictReader(out.splitlines())]


def test_study_tables_names_what_it_wrote(fer, tmp_path):
    status, out, _ = fer("study", "tables", "--results", tmp_path)
    assert status == 0
    assert {Path(line).name for line in out.splitlines()} >= {"claims.csv", "claims.md", "runs.csv", "claims.svg"}
    assert all(Path(line).exists() for line in out.splitlines())


def test_recipes_lists_names_and_epochs(fer):
    status, out, _ = fer("recipes", "zhang")
    assert status == 0
    assert re.search(r"^zhang/cbam_ends/fer2013 .*\(500 epochs, official\)$", out, re.MULTILINE)
    assert RECIPE not in out


@pytest.mark.parametrize(
    "words",
    [
        "models --pixels 0", "models --pixels -3", "models --pixels 99999999999999", "demo --port 70000",
        "demo --port http", "bench train --seconds 0", "bench train --seconds nan", "bench train --workers -1",
        "train x --seed -1", "train x --seed 99999999999999", "train x --time-limit -5", "train x --results=",
        "predict ''",
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused_where_it_stands(fer, words):
    status, out, err = fer(*shlex.split(words))
    assert (status, out) == (2, "")
    assert_one_line(err, "--help")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("9m", 540), ("1h30m", 5400), ("45", 45), ("2h", 7200)])
def test_durations(text, seconds):
    assert cli.build_parser().parse_args(["train", "x", "--time-limit", text]).time_limit == seconds
