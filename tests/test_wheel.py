"""The wheel and the sources: what is in them, and what an installation does where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from fer_lib import __version__
from fer_lib.kept import code_digest
from fer_lib.paths import PACKAGE, ROOT

COMMANDS = Path(__file__).with_name("wheel_commands.py")
OURS = ("PYTHONPATH", "FER_RESULTS", "FER_PAPERS", "FER_DATA")
ALONE = {key: value for key, value in os.environ.items() if key not in OURS}
"""The environment without what would lead an interpreter back to the tree."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of what is packed, so that the repository is left alone."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    for name in ("fer_lib", "notebooks", "results/checkpoints", "workflow"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "mine"))
    (tree / "results" / "tables").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "results/tables/control.csv"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "tests").mkdir()
    shutil.copy(__file__, tree / "tests")
    return tree


@pytest.fixture(scope="module")
def sources(tree) -> Path:
    """The archive of the sources."""
    code = "from setuptools.build_meta import build_sdist; build_sdist('../sources')"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    (archive,) = (tree.parent / "sources").glob("*.tar.gz")
    return archive


def built(given: Path, folder: Path) -> Path:
    """The wheel of a tree or an archive."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", str(folder), str(given)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    """Built from the archive of the sources, as packagers do."""
    return built(sources, tmp_path_factory.mktemp("of_sources"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and of the packages at hand all others.

    It lies in a foreign project with a repository of its own, as environments do.
    """
    project = tmp_path_factory.mktemp("project")
    git = ["git", "-C", str(project), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(project / "venv")], check=True)
    made = project / "venv" / "bin" / "python"
    (site,) = (project / "venv" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(made), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, env=ALONE)
    # Only now, or pip would find the library installed. As a line of a .pth file: of such a folder the .pth files, that
    # of our editable installation among them, are not read.
    (site / "at_hand.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def ask(python: Path, *arguments: str, folder: Path) -> str:
    done = subprocess.run([str(python), *arguments], cwd=folder, env=ALONE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.heavy
def test_the_wheel_holds_all_that_is_not_code(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert f"fer_lib/{path.relative_to(PACKAGE).as_posix()}" in names
    tracked = [
        *ROOT.glob("notebooks/*.*"), *ROOT.glob("results/checkpoints/*"), ROOT / "results" / "tables" / "control.csv"
    ]  # fmt: skip
    assert len(tracked) > 13
    assert {f"fer_lib/shipped/{path.relative_to(ROOT).as_posix()}" for path in tracked} <= names


@pytest.mark.heavy
def test_the_sources_give_the_wheel_that_the_tree_gives(tree, sources, wheel, tmp_path):
    direct = built(tree, tmp_path)
    ours, theirs = zipfile.ZipFile(wheel), zipfile.ZipFile(direct)
    assert sorted(ours.namelist()) == sorted(theirs.namelist())
    assert [name for name in ours.namelist() if ours.read(name) != theirs.read(name)] == []
    with tarfile.open(sources) as archive:
        assert not [name for name in archive.getnames() if "/tests" in name]


@pytest.mark.heavy
def test_an_installed_wheel_does_what_it_says_and_writes_nothing_into_itself(python, tmp_path):
    (library,) = (python.parents[1] / "lib").glob("python*/site-packages/fer_lib")

    def files() -> set[Path]:
        return {path for path in library.parent.rglob("*") if "__pycache__" not in path.parts}

    before = files()
    said = ask(python, str(COMMANDS), folder=tmp_path)
    assert said.count("done ") == len(said.splitlines())  # all packages are at hand, so none is refused
    assert files() == before


@pytest.mark.heavy
def test_a_run_of_a_wheel_tells_its_version_and_digest_and_no_foreign_commit(python, tmp_path):
    code = "import json; from fer_lib.runs import code_version; print(json.dumps(code_version()))"
    version = json.loads(ask(python, "-c", code, folder=python.parents[2]))
    assert version == {"version": __version__, "commit": None, "modified": None, "digest": code_digest()}
    code = "from fer_lib import paths; print(paths.ROOT, paths.results_dir(), sep='\\n')"
    root, results = ask(python, "-c", code, folder=tmp_path).split()
    assert "site-packages" in root
    assert results == str(tmp_path.resolve() / "results")
