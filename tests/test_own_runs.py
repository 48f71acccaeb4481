"""Modules, plug-ins, papers and pictures of one's own, through the command line with two workers."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_own_parts import GATE

import fer_lib
from fer_lib.data import synthetic

pytestmark = pytest.mark.heavy

PAPER = """
[paper]
id = "mine"
title = "Modules of mine"
authors = "I"
idea = "a gate of a plug-in, a loss and pictures of this folder"

[[ablation]]
baseline = "plain/mine"
recipes = ["gate/mine"]

[[recipe]]
name = "plain/mine"
title = "plain net"
dataset = "mine"
protocol = "official"
model = "resnet18"
model_options = { width = 8, layers = [1, 1, 1, 1] }
augment = { crop = 24 }
test_views = "one"
loss = { name = "doubled" }
optimizer = { name = "sgd", lr = 0.05 }
schedule = { name = "constant" }
batch_size = 14
epochs = 1

[recipe.sources]
model = "mine"
model_options = "mine"
augment = "mine"
test_views = "mine"
loss = "mine"
optimizer = "mine"
schedule = "mine"
batch_size = "mine"
epochs = "mine"

[[recipe]]
name = "gate/mine"
title = "plain net + gate"
extends = "plain/mine"
model = "resnet18_myattention"

[recipe.sources]
model = "mine"
"""
PARTS = """
from fer_lib.data import FER2013_CLASSES, register_dataset, synthetic
from fer_lib.losses import CrossEntropy, register_loss


@register_loss
class Doubled(CrossEntropy):
    def forward(self, logits, targets, features=None):
        return 2 * super().forward(logits, targets)


def few():
    return synthetic(train=28, val=14, test=14)


register_dataset("mine", few, FER2013_CLASSES)
"""


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
    (papers / "mine.toml").write_text(PAPER)
    (papers / "parts.py").write_text(PARTS)
    setting = {"path": [str(site)], "FER_PAPERS": str(papers), "FER_RESULTS": ""}

    assert "mine/gate/mine" in fer("recipes", "mine", **setting)
    fer("study", "run", "--papers", "mine", "--seeds", 1, "--jobs", 2, "--device", "cpu", **setting)
    runs = contents(papers / "results" / "runs")  # not among the study's
    assert {run["spec"]["recipe"]["name"]: set(run["spec"]["recipe"]["code"]) for run in runs.values()} == {
        "mine/plain/mine": {"dataset mine", "loss doubled"},
        "mine/gate/mine": {"block myattention", "dataset mine", "loss doubled"},
    }
    rows = list(csv.DictReader(io.StringIO(fer("study", "table", "control", "--csv", **setting))))
    (row,) = (row for row in rows if row["recipe"] == "mine/gate/mine")
    assert (row["reading"], row["seeds"]) == ("too few: 1 of 3 seeds", "1")
    compared = fer("compare", "myattention", "--check", **setting)
    assert "FAULT" not in compared


def test_the_how_to(fer, tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "howto" / "own_module.md").read_text()
    for block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
        (tmp_path / block[0]).write_text(block[1])
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 3
    outputs = [fer(*shlex.split(line)[1:]) for line in commands]
    assert "FAULT" not in outputs[0]
    assert outputs[2].splitlines()[-1].endswith("index.html")
    rows = list(csv.DictReader((tmp_path / "results/own/compare/narrow-none-myattention-synthetic/table.csv").open()))
    assert [row["seeds"] for row in rows[:2]] == ["3", "3"]
    assert {row["standing"] for row in rows[1:2]} == {"yours"}
    (tmp_path / "papers").mkdir()
    (tmp_path / "parts.py").rename(tmp_path / "papers" / "parts.py")
    assert "FAULT" not in fer("compare", "gate", "--check", FER_PAPERS=str(tmp_path / "papers"))
