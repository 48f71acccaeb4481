"""Build the reference of the library from its docstrings: python docs/reference.py build/api"""

import pkgutil
import re
import sys
from pathlib import Path

import pdoc

import fer_lib

PARTS = (
    "augment", "checkpoints", "data", "explain", "losses", "metrics", "models", "plots", "plugins", "predict", "queue",
    "recipe", "runs", "statistics", "training",
)  # fmt: skip
"""What is of use to others; the rest serves the study's own pages and commands."""
ROLE = re.compile(r":\w+:`[~.]*([\w.]+)`")


def modules() -> list[str]:
    """The parts, and every module of those that are packages."""
    found = (info.name for info in pkgutil.walk_packages(fer_lib.__path__, "fer_lib."))
    return ["fer_lib", *(name for name in found if name.split(".")[1] in PARTS)]


def build(folder: Path) -> None:
    """Write the pages."""
    google = pdoc.docstrings.google
    # References are written for Sphinx; pdoc links any name in backticks.
    pdoc.docstrings.google = lambda text: google(ROLE.sub(r"`\1`", text))
    pdoc.render.configure(docformat="google", footer_text=f"fer_lib {fer_lib.__version__}")
    pdoc.pdoc(*modules(), output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
