"""The workflow: stale locks, and folders of results with any name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_lib.paths import ROOT

UNLOCK = ROOT / "workflow" / "unlock.py"


def unlock(folder: Path) -> str:
    done = subprocess.run([sys.executable, str(UNLOCK)], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def locked(tmp_path):
    """A folder with the lock of a run of Snakemake."""
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").write_text("results/tables/claims.csv\n")
    return tmp_path


def test_the_lock_of_a_killed_run_is_cleared_and_said(locked):
    assert "left by a run that was killed: cleared" in unlock(locked)
    assert not (locked / ".snakemake" / "locks").exists()
    assert unlock(locked) == ""


def test_the_lock_of_a_run_that_goes_on_stays(locked):
    program = locked / "bin" / "snakemake"
    program.parent.mkdir()
    program.write_text("print(flush=True)\ninput()\n")
    with subprocess.Popen(
        [sys.executable, str(program)], cwd=locked, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert unlock(locked) == ""
        assert (locked / ".snakemake" / "locks" / "0.output.lock").exists()
        process.communicate(b"\n")
    assert "cleared" in unlock(locked)


@pytest.mark.heavy
def test_results_may_lie_in_a_folder_with_spaces_and_other_letters(tmp_path):
    results = tmp_path / "My Drive" / "Ergebnisse für $HOME 'n Мы"
    results.mkdir(parents=True)
    environment = os.environ | {
        "FER_RESULTS": str(results),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--nolock", "--cores", "1",
        "--profile", "workflow/profiles/local", "tables",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The logs hold which records were found sound, so that nothing verifies them twice.
    assert {path.name for path in results.iterdir()} == {"tables", "figures", "logs"}
    assert [path.name for path in tmp_path.iterdir()] == ["My Drive"]
    assert (results / "tables" / "claims.csv").stat().st_size > 1000
