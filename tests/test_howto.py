"""The how-tos and the README's Python: what a reader would type and run, typed and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fer_lib
from fer_lib.paths import ROOT

HOWTO = ROOT / "docs" / "howto"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# ([\w/]+\.(?:py|toml))\n")


def page_of(name):
    return ROOT / "README.md" if name == "README" else HOWTO / f"{name}.md"


@pytest.fixture
def follow(tmp_path):
    """Run the blocks of a page in their order, in a folder of their own; gives what was printed."""
    fer = tmp_path / "bin" / "fer"
    fer.parent.mkdir()
    fer.write_text(f'#!/bin/sh\nexec {sys.executable} -m fer_lib.cli "$@"\n')
    fer.chmod(0o755)

    def follow(page, **environment):
        script, program = ["set -euo pipefail"], ""
        for kind, text in [*FENCE.findall(page_of(page).read_text()), ("end", "")]:
            if name := NAMED.match(text):
                (tmp_path / name[1]).parent.mkdir(exist_ok=True)
                (tmp_path / name[1]).write_text(text)
            elif kind == "python":
                program += text  # blocks that follow each other share a process
            else:
                script += [f"{sys.executable} - <<'PYTHON'\n{program}PYTHON"] if program else []
                script += [text] if kind == "sh" else []
                program = ""
        defaults = {
            "PATH": f"{fer.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(fer_lib.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
            "FER_DATA": str(tmp_path / "nothing"),
            "FER_RESULTS": str(tmp_path / "results"),
        }
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)], capture_output=True, text=True, cwd=tmp_path,
            env=os.environ | defaults | environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return follow


def test_every_page_is_followed_and_linked():
    pages = {path.stem for path in HOWTO.glob("*.md")}
    followed = {*re.findall(r'follow\("(\w+)"', Path(__file__).read_text()), "colab_kaggle"}
    assert pages == followed - {"README"}
    linked = set(re.findall(r"\(docs/howto/(\w+)\.md\)", (ROOT / "README.md").read_text()))
    assert linked == pages
    for page in pages:
        for link in re.findall(r"\]\((\w+)\.md\)", (HOWTO / f"{page}.md").read_text()):
            assert link in pages


@pytest.mark.heavy
def test_the_readme(follow):
    follow("README", FER_RESULTS="")


@pytest.mark.heavy
def test_the_parts_alone(follow):
    printed = follow("parts", FER_RESULTS="")
    assert re.search(r"^[+-]\d+\.\d points, [+-]\d+\.\d to [+-]\d+\.\d$", printed, re.MULTILINE)


@pytest.mark.heavy
def test_a_module_of_ones_own(follow, tmp_path):
    printed = follow("own_module")
    assert "FAULT" not in printed
    assert printed.splitlines()[-1].endswith("index.html")
    table = (tmp_path / "results/own/compare/narrow-none-myattention-synthetic/table.md").read_text()
    assert "MyAttention" in table or "myattention" in table


@pytest.mark.heavy
def test_pictures_of_ones_own(follow, tmp_path):
    printed = follow("own_data")
    assert len(re.findall(r"^narrow-none-\S+: test accuracy", printed, re.MULTILINE)) == 2
    assert "own/narrow-none-se/folder" in printed
    assert len(list((tmp_path / "results" / "runs").glob("*/run.json"))) == 2


@pytest.mark.heavy
def test_a_paper_of_ones_own(follow, tmp_path):
    printed = follow("own_paper", FER_RESULTS="")
    assert "mine/gate/drawn" in printed
    assert "FAULT" not in printed
    assert "too few: 1 of 3 seeds" in printed
    assert len(list((tmp_path / "papers" / "results" / "runs").glob("*/run.json"))) == 2


@pytest.mark.heavy
def test_devices(follow):
    printed = follow("devices")
    assert re.search(r"^ok +step in float32 +losses", printed, re.MULTILINE)
    assert "FAULT" not in printed


def test_kaggles_cell_takes_over_what_an_earlier_session_trained(tmp_path):
    cell = next(
        text for kind, text in FENCE.findall((HOWTO / "colab_kaggle.md").read_text()) if "/kaggle/input" in text
    )
    (line,) = (line[1:] for line in cell.splitlines() if line.startswith("!find"))
    here = tmp_path / "working/fer/results/runs"
    (here / "recorded").mkdir(parents=True)
    (here / "recorded" / "run.json").write_text("the checkout's")
    for place in ("input/my-notebook", "input/notebooks/me/my-notebook"):
        earlier = tmp_path / place / "fer/results/runs"
        for name, file in (("recorded", "run.json"), (f"new-{len(place)}.partial", "checkpoint.pt")):
            (earlier / name).mkdir(parents=True)
            (earlier / name / file).write_text("the earlier session's")
    command = line.replace("/kaggle/input", str(tmp_path / "input"))
    subprocess.run(["bash", "-c", command], cwd=tmp_path / "working", check=True)
    assert sorted(path.name for path in here.iterdir()) == ["new-17.partial", "new-30.partial", "recorded"]
    assert (here / "recorded" / "run.json").read_text() == "the checkout's"


def test_cells_name_commands_and_options_that_exist():
    from fer_lib.cli import build_parser

    page = (HOWTO / "colab_kaggle.md").read_text()
    lines = re.findall(r"^!fer (.*)$", page, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        build_parser().parse_args(line.split())
