"""A study in miniature: the papers ``mini/*.toml``, made-up records in ``mini/runs``, and the tables they give.

``python tests/study/mini_study.py`` writes the folder again, after a change of the records or of the tables.
"""

import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import write_run

from fer_lib import claims, recipe
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.study.tables import write_tables

MINI = Path(__file__).parent / "mini"
CORRECT = {  # of 40 test pictures, seed by seed
    "demo/good/synthetic": (30, 29, 31),
    "demo/noisy/synthetic": (30, 26, 34),
    "demo/bad/synthetic": (20, 20, 21),
    "demo/lonely/synthetic": (28,),
}
CONTROL = {
    "control/none/synthetic": (20, 21, 20),
    "control/se/synthetic": (35, 36, 36),
    "control/eca/synthetic": (20, 20, 22),
    "control/cbam/synthetic": (27, 30),
}
BEST = {  # the first picture that each net is right about
    "best/one/synthetic": 0,
    "best/two/synthetic": 13,
    "best/three/synthetic": 26,
}


@contextlib.contextmanager
def demo_paper() -> Iterator[None]:
    """Let ``mini/*.toml`` be the only papers."""
    caches = (recipe.load_papers, recipe.paper_names, recipe.list_recipes, recipe.headlines, claims.list_claims)
    try:
        with mock.patch.object(recipe, "PAPERS_DIR", MINI):
            for cached in caches:
                cached.cache_clear()
            yield
    finally:
        for cached in caches:
            cached.cache_clear()


def write_runs(runs: Path) -> None:
    """Write the records."""
    pictures = {"test": 40, "val": 20}
    for name, counts in (CORRECT | CONTROL).items():
        for seed, correct in enumerate(counts):
            offset = seed if name in CONTROL else 0
            write_run(runs, RunSpec(get_recipe(name), seed), correct=correct, offset=offset, **pictures)
    for name, correct in (("demo/short/synthetic", 25), ("control/simam/synthetic", 20)):
        write_run(runs, RunSpec(dataclasses.replace(get_recipe(name), epochs=1)), correct=correct, **pictures)
    for name, offset in BEST.items():
        for seed in range(2):
            write_run(runs, RunSpec(get_recipe(name), seed), correct=26 + seed, offset=offset, **pictures)
    for partial in runs.glob("*.partial"):
        shutil.rmtree(partial)


if __name__ == "__main__":
    with demo_paper():
        shutil.rmtree(MINI / "runs", ignore_errors=True)
        write_runs(MINI / "runs")
        write_tables(MINI)
    shutil.rmtree(MINI / "figures")  # its bytes change with matplotlib's version
    shutil.rmtree(MINI / "logs")
