"""The ``fer`` command with a recipe that trains in seconds: ``python tests/tiny_fer.py ARGUMENTS``.

It writes a checkpoint after every step. When a line of progress contains the value of FER_KILL_AT, the process kills
itself with signal 9, which no program can notice.
"""

import os
import signal
import sys

from tiny import tiny_dataset, tiny_recipe

from fer_lib import cli, commands
from fer_lib.data import load_dataset
from fer_lib.queue import train, work
from fer_lib.recipe import list_recipes
from fer_lib.training import loop

RECIPE = "test/tiny/synthetic"
REAL = "test/tiny/fer2013"


def install() -> None:
    """Add the recipes, and make the drawn faces few."""
    list_recipes()[RECIPE] = tiny_recipe()
    list_recipes()[REAL] = tiny_recipe(name=REAL, dataset="fer2013", batch_size=64, epochs=2)
    work.load_dataset = train.load_dataset = lambda name: tiny_dataset() if name == "synthetic" else load_dataset(name)


def _say(line: str) -> None:
    print(line, flush=True)
    if os.environ["FER_KILL_AT"] in line:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ in ("__main__", "__mp_main__"):  # the second in the worker processes of `study run --jobs`
    install()
if __name__ == "__main__":
    if os.environ.get("FER_KILL_AT"):
        loop.CHECKPOINT_SECONDS = 0
        commands._say = _say
    cli.main(sys.argv[1:])
