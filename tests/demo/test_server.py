"""`fer demo` and `fer lab` start servers for this machine alone, and a reader's work leaves the sources as they are."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fer_lib.cli import main
from fer_lib.errors import UserError
from fer_lib.explore import lab


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The commands that would have been started, and copies in a folder of their own."""
    commands = []
    monkeypatch.setattr(lab, "mine", lambda: tmp_path / "mine")
    monkeypatch.chdir(".")  # back to it afterwards
    monkeypatch.setattr(os, "execv", lambda program, command: commands.append(command))
    return commands


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize("browser", [True, False])
def test_the_camera_is_a_page_of_its_own_with_a_token(started, browser, capsys):
    assert run("demo", "--port", "8899", *([] if browser else ["--no-browser"])) == 0
    (command,) = started
    assert {"voila", "--Voila.ip=127.0.0.1", "--port=8899", "--token"} <= set(command)
    assert ("--no-browser" in command) == (not browser)
    (page,) = (Path(word) for word in command if word.endswith(".ipynb"))
    code = [cell.source for cell in nbformat.read(page, 4).cells if cell.cell_type == "code"]
    assert code == ["from fer_lib.demo.camera import Camera\n\nCamera()"]
    said = capsys.readouterr()
    for words in ("localhost or https", "A phone: take the photo with it", "ssh -L 8899:127.0.0.1:8899 MACHINE"):
        assert words in said.out + said.err


@pytest.mark.parametrize("user", [0, 1000])
def test_the_lab_opens_a_copy(started, monkeypatch, user, tmp_path):
    """As root too, which JupyterLab refuses unless it is told that this is meant."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert run("lab", "06") == 0
    (command,) = started
    assert {"jupyterlab", "--ip=127.0.0.1", "--port=8888", str(tmp_path / "mine" / "06_ablations.ipynb")} <= set(
        command
    )
    assert ("--allow-root" in command) == (user == 0)


def test_an_unknown_notebook_is_refused(started, capsys):
    assert run("lab", "06_ablation") == 2
    assert capsys.readouterr().err.startswith("fer: unknown notebook '06_ablation': did you mean 06_ablations")
    assert not started


def test_a_readers_work_is_never_replaced(tmp_path):
    said = []
    first, *others = lab.working_copies(tmp_path, said.append)
    assert [path.name for path in (first, *others)] == sorted(path.name for path in lab.NOTEBOOKS.glob("[0-9]*.ipynb"))
    assert not said
    first.write_text("mine")
    os.utime(first, (0, 0))
    others[0].unlink()
    lab.working_copies(tmp_path, said.append)
    assert first.read_text() == "mine"
    assert others[0].exists()
    assert said == [f"{first}: older than its source; delete it to get the new one"]


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("fer_lib.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"voila is not installed: pip install 'fer-attention-study\[demo\]'"):
        lab.serve("voila", [], browser=False)


def test_what_kills_the_command_kills_the_server(tmp_path):
    (tmp_path / "voila.py").write_text("import os\nprint(os.getpid(), flush=True)\ninput()\n")
    folders = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "fer_lib.cli", "demo"], env=os.environ | {"PYTHONPATH": folders},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert "browsers of this machine" in process.stdout.readline()
        assert int(process.stdout.readline()) == process.pid
        process.kill()
