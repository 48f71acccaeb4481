"""The ``fer`` command with a recipe that trains in seconds: ``python tests/tiny_fer.py ARGUMENTS``, or `start`.

It writes a checkpoint after every step. When a line of progress contains the value of FER_KILL_AT, the process kills
itself with signal 9, which no program can notice.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tiny import tiny_dataset, tiny_recipe

from fer_lib import cli, commands
from fer_lib.data import load_dataset
from fer_lib.queue import train, work
from fer_lib.recipe import list_recipes
from fer_lib.training import loop

RECIPE = "test/tiny/synthetic"
REAL = "test/tiny/fer2013"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    # PyTorch loads the first of these with an optimiser.
    ["torch._dynamo", "fer_lib.queue.work", "fer_lib.demo.files", "fer_lib.data.check", "fer_lib.report.pages"]
)


def install() -> None:
    """Add the recipes, and make the drawn faces few."""
    list_recipes()[RECIPE] = tiny_recipe()
    list_recipes()[REAL] = tiny_recipe(name=REAL, dataset="fer2013", batch_size=64, epochs=2)
    work.load_dataset = train.load_dataset = lambda name: tiny_dataset() if name == "synthetic" else load_dataset(name)


def _say(line: str) -> None:
    print(line, flush=True)
    if os.environ.get("FER_KILL_AT", "(never said)") in line:
        os.kill(os.getpid(), signal.SIGKILL)


def start(words: Iterable[object], folder: Path, output: Path, **environment: str) -> ForkServerProcess:
    """Start the command in a folder and a group of its own; a file takes what it prints.

    The process is forked from one that has loaded the library: it costs no imports, and a kill hits its work.
    """
    process = FORKS.Process(target=_forked, args=([*map(str, words)], folder, output, environment))
    process.start()
    return process


def _forked(words: list[str], folder: Path, output: Path, environment: dict[str, str]) -> None:
    os.setsid()
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.update(environment)
    from fer_lib.report import notebooks  # slow, and loaded by now

    if Path("notebooks").is_dir():
        notebooks.NOTEBOOKS = Path("notebooks").resolve()
    install()
    loop.CHECKPOINT_SECONDS = 0
    commands._say = _say
    cli.main(words)


if __name__ in ("__main__", "__mp_main__"):  # the second in the worker processes of `study run --jobs`
    install()
if __name__ == "__main__":
    if os.environ.get("FER_KILL_AT"):
        loop.CHECKPOINT_SECONDS = 0
        commands._say = _say
    cli.main(sys.argv[1:])
