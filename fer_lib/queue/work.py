"""Train the runs of a plan in one process, or in several that share it through the runs' locks."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from fer_lib.data import FaceDataset, load_dataset
from fer_lib.errors import UserError, check_least, first_line
from fer_lib.models.registry import FROM_FILES, register_file
from fer_lib.paths import check_output
from fer_lib.queue.lock import Busy, locked
from fer_lib.queue.plan import run_status
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from fer_lib.training import Interrupted, Stop, choose_device, usable_gpus
from fer_lib.training.stop import SIGNALS

ENDED = tuple(-number for number in SIGNALS)
"""Exit codes of a worker that was stopped before it could listen, while it still imported."""


@dataclass
class Report:
    """What became of a plan.

    Attributes:
        trained: runs that were completed.
        failures: one line for each run that failed, dataset that is missing, or worker that died.
        stopped: why it ended before the plan's end; None if it did not.
    """

    trained: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopped: str | None = None


def run_queue(
    specs: Sequence[RunSpec],
    *,
    results: Path,
    device: str = "auto",
    jobs: int = 1,
    time_limit: float | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Train every run of a plan that is not done, most urgent first, runs that were begun before new ones.

    A run that another process trains is left to it, one that failed before is left alone, and one that fails now
    does not keep the others from being trained. Several calls, on several machines too, may share a results folder.

    Args:
        specs: the plan, see :func:`fer_lib.queue.plan.matrix`.
        results: folder that holds ``runs/``.
        device: see :func:`fer_lib.training.choose_device`; of several GPUs ``auto`` and ``cuda`` mean all that no
            other queue of this user holds.
        jobs: worker processes on each device; of a CPU each gets its share of the threads.
        time_limit: stop after this many seconds, with checkpoints.
        say: receives the lines of progress.
    """
    check_least("--jobs", jobs)
    check_output(results / "runs", folder=True)
    choose_device(device)
    with Stop(time_limit) as stop, _free_devices(device) as devices:
        if len(devices) > 1:
            say(f"{len(devices)} GPUs at work: {', '.join(devices)}")
        open_runs = sum(run_status(spec, results / "runs").state not in ("done", "failed") for spec in specs)
        places = (devices * jobs)[: max(1, open_runs)]  # no more workers than runs
        if len(places) == 1:
            return _work(specs, results, places[0], stop, say)
        return _share(specs, results, places, stop, time_limit, say)


# ---------------------------------------------------------------- one process


def _work(specs: Sequence[RunSpec], results: Path, device: str, stop: Stop, say: Callable[[str], None]) -> Report:
    report = Report()
    tried: set[str] = set()
    datasets: dict[str, FaceDataset | None] = {}
    while (spec := _next(specs, results / "runs", tried)) is not None:
        if stop.reason:
            report.stopped = stop.reason
            break
        name = spec.recipe.dataset
        if name not in datasets:
            try:
                datasets[name] = load_dataset(name)
            except UserError as error:
                datasets[name] = None
                report.failures.append(f"no run on {name}: {error}")
                say(report.failures[-1])
        tried.add(spec.run_id)
        if datasets[name] is None:
            continue
        try:
            train_run(spec, results=results, device=device, stop=stop, say=say, dataset=datasets[name])
            report.trained.append(spec.run_id)
        except Interrupted as stopped:
            say(str(stopped))
            report.stopped = stop.reason
            break
        except Busy:
            tried.discard(spec.run_id)  # the next look finds it locked, or free again
        except Exception as error:  # whatever it is, the other runs can still be trained
            if not isinstance(error, UserError | OSError):  # of the disk, the line says enough
                say(traceback.format_exc().rstrip())
            report.failures.append(f"{spec.run_id}: {first_line(error).removeprefix(f'{spec.run_id}: ')}")
            say(f"failed, going on with the next: {report.failures[-1]}")
    return report


def _next(specs: Sequence[RunSpec], runs: Path, tried: set[str]) -> RunSpec | None:
    """The first run that was begun and stopped, else the first that is missing."""
    states = [(spec, run_status(spec, runs).state) for spec in specs if spec.run_id not in tried]
    for wanted in ("partial", "missing"):
        for spec, state in states:
            if state == wanted:
                return spec
    return None


@contextmanager
def _free_devices(device: str) -> Iterator[list[str]]:
    """Of several GPUs those that no other queue of this user holds; any other device as it is named."""
    gpus = usable_gpus() if device in ("auto", "cuda") else []
    if len(gpus) < 2:
        yield [device]
        return
    with ExitStack() as held:
        free, user = [], os.getuid() if hasattr(os, "getuid") else "all"  # Windows has no such number
        for gpu in gpus:
            uuid = torch.cuda.get_device_properties(gpu).uuid
            with suppress(Busy):
                held.enter_context(locked(Path(tempfile.gettempdir()) / f"fer-{user}-{uuid}"))
                free.append(str(gpu))
        if not free:
            raise UserError(f"other queues hold all {len(gpus)} GPUs; name one to share it, as in --device cuda:0")
        yield free


# ---------------------------------------------------------------- several processes


def _share(
    specs: Sequence[RunSpec],
    results: Path,
    devices: Sequence[str],
    stop: Stop,
    time_limit: float | None,
    say: Callable[[str], None],
) -> Report:
    # A process with CUDA in use cannot be forked. Each worker has a pipe of its own, so that one that is killed
    # while it writes blocks no other.
    context = multiprocessing.get_context("spawn")
    deadline = None if time_limit is None else time.time() + time_limit
    workers, threads = {}, max(1, torch.get_num_threads() // len(devices))
    for number, device in enumerate(devices, 1):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (specs, FROM_FILES, results, device, threads, deadline, theirs)
        process = context.Process(target=_worker, args=arguments, daemon=True)
        process.start()
        theirs.close()
        workers[ours] = (number, process)
    report, told = Report(), False
    while workers:
        if stop.reason and not told:
            told = True
            for _, process in workers.values():
                process.terminate()  # a worker ends at its next step, with a checkpoint
        ready = multiprocessing.connection.wait(list(workers), timeout=0.5)
        for pipe in [pipe for pipe in workers if pipe in ready]:
            number, process = workers[pipe]
            try:
                message = pipe.recv()
            except EOFError:
                process.join()
                del workers[pipe]
                if process.exitcode and not (told and process.exitcode in ENDED):
                    report.failures.append(f"worker {number} ended with status {process.exitcode}; the others went on")
                    say(report.failures[-1])
                continue
            if isinstance(message, Report):
                report.trained += message.trained
                report.failures += [line for line in message.failures if line not in report.failures]
                report.stopped = report.stopped or message.stopped
            else:
                say(f"[{number}] {message}")
    if told:  # the workers were stopped by us, whatever they were told
        report.stopped = stop.reason
    return report


def _worker(
    specs: Sequence[RunSpec],
    modules: Sequence[tuple[str, str]],
    results: Path,
    device: str,
    threads: int,
    deadline: float | None,
    pipe: Connection,
) -> None:
    torch.set_num_threads(threads)
    for reference, slot in modules:
        register_file(reference, slot)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(line: str) -> None:
        with suppress(OSError):  # nobody listens any more: the run still ends with a checkpoint
            pipe.send(line)

    with Stop(None if deadline is None else deadline - time.time()) as stop:
        report = _work(specs, results, device, stop, say)
    with suppress(OSError):
        pipe.send(report)


def _end_with_parent() -> None:
    """Ask this worker to stop once the process that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent, "a worker has one"
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
