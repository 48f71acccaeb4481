"""`fer demo` starts JupyterLab with the notebook, for this machine alone."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from fer_lib.cli import main


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("browser", [True, False])
def test_the_notebook_is_opened_on_this_machine_only(monkeypatch, browser, user):
    """As root too, which JupyterLab refuses unless it is told that this is meant."""
    started = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: started.append(command) or SimpleNamespace(returncode=0)
    )
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port", "8899", *([] if browser else ["--no-browser"])])
    assert ended.value.code == 0
    (command,) = started
    assert {"--ip=127.0.0.1", "--port=8899"} <= set(command)
    assert ("--no-browser" in command) == (not browser)
    assert ("--allow-root" in command) == (user == 0)
    (notebook,) = (Path(word) for word in command if word.endswith(".ipynb"))
    assert notebook.name == "08_webcam_demo.ipynb"
    assert notebook.exists()
