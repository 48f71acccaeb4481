"""`fer demo` becomes JupyterLab with the notebook, for this machine alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_lib.cli import main


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("browser", [True, False])
def test_the_notebook_is_opened_on_this_machine_only(monkeypatch, browser, user):
    """As root too, which JupyterLab refuses unless it is told that this is meant."""
    started = []
    monkeypatch.chdir(".")  # back to it afterwards
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "execv", lambda program, command: started.append((program, command)))
    with pytest.raises(SystemExit):
        main(["demo", "--port", "8899", *([] if browser else ["--no-browser"])])
    ((program, command),) = started
    assert program == command[0] == sys.executable
    assert {"--ip=127.0.0.1", "--port=8899"} <= set(command)
    assert ("--no-browser" in command) == (not browser)
    assert ("--allow-root" in command) == (user == 0)
    (notebook,) = (Path(word) for word in command if word.endswith(".ipynb"))
    assert notebook.name == "08_webcam_demo.ipynb"
    assert notebook.exists()


def test_what_kills_the_command_kills_the_server(tmp_path):
    (tmp_path / "jupyterlab.py").write_text("import os\nprint(os.getpid(), flush=True)\ninput()\n")
    folders = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "fer_lib.cli", "demo"], env=os.environ | {"PYTHONPATH": folders},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert int(process.stdout.readline()) == process.pid
        process.kill()
