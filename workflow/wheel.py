"""What a wheel brings along of the repository, in ``fer_lib/shipped``: notebooks, trained weights, recorded gains.

An installed library finds them by :func:`fer_lib.paths.shipped`. setuptools is told of this file in pyproject.toml.
"""

import shutil
from pathlib import Path
from typing import ClassVar

from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

SHIPPED = ("notebooks/*.ipynb", "notebooks/scales.toml", "results/checkpoints/*", "results/tables/control.csv")


def shipped_files() -> list[Path]:
    """The files, from the root of the repository, which is where a build stands."""
    return sorted(path for pattern in SHIPPED for path in Path().glob(pattern))


class Build(build_py):
    """Puts them into the package, unless it is installed in editable form, which reads them where they are."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left is no part of this one
        super().run()
        if self.editable_mode:
            return
        for path in shipped_files():
            target = Path(self.build_lib, "fer_lib", "shipped", path)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


class Source(sdist):
    """Puts them, and this file, into the archive of the sources, from which the same wheel can then be built.

    The tests stay out: setuptools would take those of one folder, which do not run without the others.
    """

    sub_commands: ClassVar = sdist.sub_commands

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        wanted = [file for file in files if Path(file).parts[0] != "tests"]
        super().make_release_tree(base_dir, [*wanted, "workflow/wheel.py", *map(str, shipped_files())])
