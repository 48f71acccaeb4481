"""Modules, plug-ins, papers and pictures of one's own, through the command line with two workers."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_own_parts import GATE

import fer_lib
from fer_lib.data import synthetic
from fer_lib.paths import ROOT

pytestmark = pytest.mark.heavy


@pytest.fixture
def fer(tmp_path):
    """Run the command in a process of its own, far from the study's results; gives its output."""
    environment = os.environ | {"FER_RESULTS": str(tmp_path / "results"), "OMP_NUM_THREADS": "1"}

    def fer(*arguments, status=0, **more):
        path = os.pathsep.join([*more.pop("path", ()), str(Path(fer_lib.__file__).parents[1])])
        done = subprocess.run(
            [sys.executable, "-m", "fer_lib.cli", *map(str, arguments)],
            capture_output=True, text=True, env=environment | {"PYTHONPATH": path} | more, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return fer


@pytest.fixture
def class_folder(tmp_path):
    dataset = synthetic(train=28, val=14, test=14)
    for index, (label, split) in enumerate(zip(dataset.labels, dataset.split, strict=True)):
        folder = tmp_path / "faces" / str(split) / dataset.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.images[index]).save(folder / f"{index}.png")
    return tmp_path / "faces"


def contents(runs):
    return {path.parent.name: json.loads(path.read_text()) for path in runs.glob("*/run.json")}


def test_a_module_of_a_file_on_a_folder_of_faces(fer, class_folder, tmp_path):
    module = tmp_path / "my_module.py"
    module.write_text(GATE)
    command = (
        "compare", f"{module}:MyAttention", "--dataset", f"folder:{class_folder}", "--epochs", 1, "--seeds", 1,
        "--batch-size", 14, "--set", "model_options={width=8, layers=[1,1,1,1]}", "--set", "optimizer.lr=0.05",
        "--set", "model_options.myattention.strength=2.0", "--jobs", 2, "--device", "cpu",
    )  # fmt: skip
    planned = fer(*command, "--dry-run")
    assert "own/narrow-none-myattention/folder" in planned
    assert "1 seed of each: a reading needs 3" in planned
    own = tmp_path / "results" / "own"
    assert not own.exists()

    fer(*command)
    runs = contents(own / "runs")
    assert len(runs) == 2
    (ours,) = (run for run in runs.values() if "code" in run["spec"]["recipe"])
    assert ours["spec"]["recipe"]["model"] == "resnet18_myattention"
    assert ours["spec"]["recipe"]["model_options"]["myattention"] == {"strength": 2.0}
    assert {run["spec"]["recipe"]["optimizer"]["lr"] for run in runs.values()} == {0.05}
    (folder,) = (own / "compare").iterdir()
    assert {path.name for path in folder.iterdir()} == {"gains.png", "gains.svg", "index.html", "table.csv", "table.md"}
    assert "MyAttention" in (folder / "index.html").read_text()

    assert "epoch" not in fer(*command).split("a reading needs 3")[1]  # both are there: nothing is trained again
    module.write_text(GATE.replace("sigmoid", "tanh"))
    fer(*command)
    changed = contents(own / "runs").keys() - runs.keys()
    assert len(changed) == 1  # the plain net is the same


def test_a_paper_of_ones_own_with_a_plug_in(fer, tmp_path):
    site, papers = tmp_path / "site", tmp_path / "papers"
    about = site / "gateplug-1.0.dist-info"
    about.mkdir(parents=True)
    papers.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gateplug\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fer_lib.plugins]\ngate = gateplug:register\n")
    (site / "gateplug.py").write_text(
        f"{GATE}\n\ndef register():\n    from fer_lib.models import register_block\n\n    register_block(MyAttention)\n"
    )
    page = (ROOT / "docs" / "howto" / "own_paper.md").read_text()
    for name, text in re.findall(r"^```\w+\n# papers/(\w+\.\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        (papers / name).write_text(text.replace("resnet18_gate", "resnet18_myattention"))
    setting = {"path": [str(site)], "FER_PAPERS": str(papers), "FER_RESULTS": ""}

    assert "mine/gate/drawn" in fer("recipes", "mine", **setting)
    fer("study", "run", "--papers", "mine", "--seeds", 1, "--jobs", 2, "--device", "cpu", **setting)
    runs = contents(papers / "results" / "runs")  # not among the study's
    assert {run["spec"]["recipe"]["name"]: set(run["spec"]["recipe"]["code"]) for run in runs.values()} == {
        "mine/plain/drawn": {"dataset drawn", "loss doubled"},
        "mine/gate/drawn": {"block myattention", "dataset drawn", "loss doubled"},
    }
    rows = list(csv.DictReader(io.StringIO(fer("study", "table", "control", "--csv", **setting))))
    (row,) = (row for row in rows if row["recipe"] == "mine/gate/drawn")
    assert (row["reading"], row["seeds"]) == ("too few: 1 of 3 seeds", "1")
    compared = fer("compare", "myattention", "--check", **setting)
    assert "FAULT" not in compared
