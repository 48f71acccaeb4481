"""Training a plan: order, failures, and several processes on one results folder."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_fer
import torch
from tiny import tiny_dataset, tiny_recipe

from fer_lib.errors import UserError
from fer_lib.queue import work
from fer_lib.queue.lock import Busy, locked
from fer_lib.queue.train import train_run
from fer_lib.queue.work import run_queue
from fer_lib.recipe import RunSpec
from fer_lib.runs import read_records, verify_record
from fer_lib.training import Interrupted
from fer_lib.training.checkpoint import mark_failed, save_checkpoint

TESTS = Path(__file__).parents[1]
SPECS = [RunSpec(tiny_recipe(), seed) for seed in range(4)]


@pytest.fixture
def fake(monkeypatch):
    """Trainings that only note their seed, and end as they are told: ``ends[seed]`` is an exception."""

    class Fake:
        seeds, ends, loaded = [], {}, []

    def train(spec, *, results, stop, dataset, **_):
        Fake.seeds.append(spec.seed)
        if error := Fake.ends.get(spec.seed):
            raise error
        (results / "runs" / spec.run_id).mkdir(parents=True)
        (results / "runs" / spec.run_id / "run.json").write_text("{}")

    def load(name):
        Fake.loaded.append(name)
        return tiny_dataset()

    Fake.seeds, Fake.ends, Fake.loaded = [], {}, []
    monkeypatch.setattr(work, "train_run", train)
    monkeypatch.setattr(work, "load_dataset", load)
    return Fake


def begun(results, spec):
    partial = results / "runs" / f"{spec.run_id}.partial"
    partial.mkdir(parents=True)
    save_checkpoint(partial, "0" * 64, {"progress": {"epoch": 1}})
    return partial


def test_in_order_and_the_dataset_read_once(fake, tmp_path):
    report = run_queue(SPECS, results=tmp_path, device="cpu")
    assert fake.seeds == [0, 1, 2, 3]
    assert fake.loaded == ["synthetic"]
    assert report.trained == [spec.run_id for spec in SPECS]
    assert not report.failures
    assert run_queue(SPECS, results=tmp_path, device="cpu").trained == []  # nothing twice


def test_what_was_begun_goes_first_and_what_failed_is_left_alone(fake, tmp_path):
    begun(tmp_path, SPECS[2])
    mark_failed(begun(tmp_path, SPECS[0]), "the loss became NaN")
    run_queue(SPECS, results=tmp_path, device="cpu")
    assert fake.seeds == [2, 1, 3]


def test_a_run_of_another_process_is_left_to_it(fake, tmp_path):
    with locked(begun(tmp_path, SPECS[1])):
        report = run_queue(SPECS, results=tmp_path, device="cpu")
    assert fake.seeds == [0, 2, 3]
    assert not report.failures


def test_a_lock_lost_in_a_race_is_tried_again(fake, tmp_path):
    """Whoever held it for a moment has gone without training the run."""

    class Once(dict):
        def get(self, seed):
            return self.pop(seed, None)

    fake.ends = Once({1: Busy("another process is training this run")})
    assert len(run_queue(SPECS, results=tmp_path, device="cpu").trained) == 4
    assert fake.seeds == [0, 1, 1, 2, 3]


def test_failures_are_told_and_the_rest_goes_on(fake, tmp_path):
    fake.ends = {0: UserError(f"{SPECS[0].run_id}: out of memory"), 2: RuntimeError("a fault of ours")}
    lines = []
    report = run_queue(SPECS, results=tmp_path, device="cpu", say=lines.append)
    assert fake.seeds == [0, 1, 2, 3]
    assert report.failures == [f"{SPECS[0].run_id}: out of memory", f"{SPECS[2].run_id}: a fault of ours"]
    assert report.stopped is None
    text = "\n".join(lines)
    assert text.count("Traceback") == 1  # a mistake of the user's needs none


def test_a_results_folder_that_is_none_is_told_before_any_work(fake, tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="results: a file, where a folder is needed for the output"):
        run_queue(SPECS, results=tmp_path / "results", device="cpu")
    assert fake.seeds == []


def test_what_the_disk_refuses_is_a_line_and_no_traceback(fake, tmp_path):
    fake.ends = {0: OSError(28, "No space left on device", "checkpoint.pt")}
    lines = []
    report = run_queue(SPECS, results=tmp_path, device="cpu", say=lines.append)
    assert report.failures == [f"{SPECS[0].run_id}: [Errno 28] No space left on device: 'checkpoint.pt'"]
    assert "Traceback" not in "\n".join(lines)


def test_data_that_are_missing_are_told_once(fake, tmp_path, monkeypatch):
    def load(name):
        raise UserError("FER2013 not found in data")

    monkeypatch.setattr(work, "load_dataset", load)
    report = run_queue(SPECS, results=tmp_path, device="cpu")
    assert report.failures == ["no run on synthetic: FER2013 not found in data"]
    assert fake.seeds == []


def test_the_time_limit_ends_it_between_runs_and_inside_one(fake, tmp_path):
    assert run_queue(SPECS, results=tmp_path, device="cpu", time_limit=0).stopped == "the time limit"
    assert fake.seeds == []
    fake.ends = {1: Interrupted("stopped by SIGTERM at epoch 2")}
    run_queue(SPECS, results=tmp_path, device="cpu")
    assert fake.seeds == [0, 1]


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """Two GPUs, pretended."""
    gpus = [torch.device("cuda", index) for index in range(2)]
    monkeypatch.setattr(work, "usable_gpus", lambda: gpus)
    monkeypatch.setattr(work, "choose_device", lambda name: gpus[0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(uuid=f"GPU-{gpu.index}"))
    monkeypatch.setattr(work.tempfile, "gettempdir", lambda: tmp_path)


def test_a_queue_takes_the_gpus_that_no_other_holds(two_gpus, monkeypatch):
    with work._free_devices("auto") as both:
        assert both == ["cuda:0", "cuda:1"]
        with pytest.raises(UserError, match="other queues hold all 2 GPUs"), work._free_devices("cuda"):
            pass
        with work._free_devices("cuda:0") as named:
            assert named == ["cuda:0"]
    monkeypatch.setattr(work, "usable_gpus", lambda: [torch.device("cuda:0")])
    with work._free_devices("auto") as one:  # is shared by those who ask for it
        assert one == ["auto"]
    with work._free_devices("cpu") as cpu:
        assert cpu == ["cpu"]


def test_of_two_gpus_the_one_that_is_free(two_gpus, tmp_path):
    with locked(tmp_path / f"fer-{os.getuid()}-GPU-0"), work._free_devices("auto") as free:
        assert free == ["cuda:1"]


@pytest.mark.parametrize(
    ("jobs", "devices"), [(1, ["cuda:0", "cuda:1"]), (2, ["cuda:0", "cuda:1"] * 2), (3, ["cuda:0", "cuda:1"] * 2)]
)
def test_every_gpu_gets_its_workers(two_gpus, monkeypatch, tmp_path, jobs, devices):
    started = []

    class Process:
        """A worker that notes its device and is gone at once."""

        exitcode, sentinel = 0, None

        def __init__(self, target, args, daemon):
            started.append(args[3])
            self.pipe = args[-1]

        def start(self):
            self.pipe.send(work.Report([f"run on {started[-1]}"]))

        def join(self):
            pass

    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr(work.multiprocessing, "get_context", lambda method: context)
    lines = []
    report = run_queue(SPECS, results=tmp_path, jobs=jobs, say=lines.append)
    assert started == devices
    assert sorted(report.trained) == sorted(f"run on {device}" for device in devices)
    assert lines == ["2 GPUs at work: cuda:0, cuda:1"]
    started.clear()
    monkeypatch.setattr(work, "_work", lambda specs, results, device, *_: started.append(device))
    run_queue(SPECS[:1], results=tmp_path, jobs=jobs, say=lines.append)
    assert started == ["cuda:0"]  # no worker for a single run


# ---------------------------------------------------------------- real processes


def start(results, *options, **environment):
    command = [sys.executable, TESTS / "tiny_fer.py", "study", "run", "--recipes", tiny_fer.RECIPE, "--device", "cpu"]
    return subprocess.Popen(
        [*command, "--results", results, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def check(results, tmp_path):
    """Four sound records, the same as of a run trained by itself, and nothing unfinished beside them."""
    records, problems = read_records(results / "runs")
    assert not problems
    assert [record.spec["seed"] for record in records] == [0, 1, 2, 3]
    assert not any(fault for record in records for fault in verify_record(record))
    assert sorted(path.name for path in (results / "runs").iterdir()) == [record.id for record in records]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have: sums depend on it
    alone = train_run(SPECS[1], results=tmp_path / "alone", device="cpu", dataset=tiny_dataset(), say=lambda line: None)
    torch.set_num_threads(threads)
    assert records[1].content["metrics"] == alone.content["metrics"]
    assert (records[1].path / "predictions.npz").read_bytes() == (alone.path / "predictions.npz").read_bytes()


def test_two_processes_one_of_them_killed(tmp_path, monkeypatch):
    results = tmp_path / "results"
    killed = start(results, "--seeds", "4", FER_KILL_AT="epoch   2/3")
    other = start(results, "--seeds", "4")
    outputs = [process.communicate(timeout=120)[0] for process in (killed, other)]
    assert killed.returncode == -signal.SIGKILL
    assert other.returncode == 0, outputs[1]
    # The other took over what the first one left, unless it was at its end by then.
    monkeypatch.setattr(work, "load_dataset", lambda name: tiny_dataset())
    run_queue(SPECS, results=results, device="cpu", say=outputs.append)
    finished = re.findall(r"^(\S+): test accuracy", "\n".join(outputs), re.MULTILINE)
    assert sorted(finished) == sorted(spec.run_id for spec in SPECS)  # none twice
    check(results, tmp_path)


def test_workers_stopped_while_they_import_are_no_failure(tmp_path):
    """Spawned workers import for seconds, and listen to nobody before."""
    report = run_queue(SPECS, results=tmp_path, device="cpu", jobs=2, time_limit=0.2)
    assert (report.trained, report.failures) == ([], [])
    assert report.stopped


@pytest.mark.heavy
def test_two_workers_share_a_queue(tmp_path):
    results = tmp_path / "results"
    process = start(results, "--seeds", "4", "--jobs", "2")
    output = process.communicate(timeout=400)[0]
    assert process.returncode == 0, output
    assert "4 runs: 4 done" in output
    finished = re.findall(r"^\[[12]\] (\S+): test accuracy", output, re.MULTILINE)
    assert sorted(finished) == sorted(spec.run_id for spec in SPECS)
    check(results, tmp_path)


@pytest.mark.heavy
def test_workers_stop_with_their_parent(tmp_path):
    """kill -9 of the parent: the workers write checkpoints and go."""
    results = tmp_path / "results"
    process = start(results, "--seeds", "2", "--jobs", "2", "--epochs", "100000")
    for line in process.stdout:
        if re.match(r"\[[12]\] epoch", line):
            break
    process.kill()
    process.communicate(timeout=60)  # the workers hold its output open until they end
    partial = sorted((results / "runs").glob("*.partial"))
    assert partial
    assert any((folder / "checkpoint.pt").exists() for folder in partial)
