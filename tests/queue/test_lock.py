"""The lock of a run, against real processes."""

import signal
import subprocess
import sys

import pytest

from fer_lib.queue.lock import Busy, is_locked, locked

HOLD = """
import sys
from pathlib import Path
from fer_lib.queue.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "runs" / "a-run.partial"


@pytest.fixture
def holder(partial):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, partial], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_without_a_folder_is_not_locked(partial):
    assert not is_locked(partial)
    assert not partial.exists()  # asking leaves nothing behind


def test_another_process_is_kept_out_until_the_first_ends(partial, holder):
    assert is_locked(partial)
    with pytest.raises(Busy, match="a-run: another process"), locked(partial):
        pass
    assert is_locked(partial)  # the failed attempt took nothing away
    holder.communicate()
    assert not is_locked(partial)
    with locked(partial):
        assert is_locked(partial)


def test_kill_9_releases_it(partial, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_locked(partial)


def test_a_folder_that_vanishes_meanwhile_is_made_again(partial, monkeypatch):
    """Another process finished the run and removed its folder just after this one made it."""
    partial.parent.mkdir()
    make, made = type(partial).mkdir, []

    def mkdir(path, **options):
        if made:
            make(path, **options)
        made.append(path)

    monkeypatch.setattr(type(partial), "mkdir", mkdir)
    with locked(partial):
        assert is_locked(partial)
    assert len(made) > 1
