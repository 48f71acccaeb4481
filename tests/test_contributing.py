"""What CONTRIBUTING says must be touched is enough: each is added to a copy of the library, in as many places."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from fer_lib.paths import ROOT

BLOCK = '''

class Halved(nn.Module):
    """Half of the map.

    Args:
        channels: C.
        factor: what the map is multiplied with.
    """

    def __init__(self, channels: int, factor: float = 0.5):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x
'''
RECIPE = """
[[recipe]]
name = "halved/fer2013"
title = "ResNet18 + halves"
extends = "none/fer2013"
model = "resnet18_halved"

[recipe.sources]
model = "a test"
"""
PAPER = """
[paper]
id = "fifth"
title = "A fifth paper"
authors = "Nobody"
short = "Nobody"
reference = "nowhere"
idea = "CBAM everywhere"

[[claim]]
id = "toy/ours"
place = "Table 1"
system = "CBAM"
kind = "level"
dataset = "fer2013"
split = "test"
metric = "accuracy"
value = 0.7
recipe = "fifth/cbam/toy"
fidelity = "C"
gaps = "everything"
"""
READER = '''"""A toy dataset."""

from dataclasses import replace
from pathlib import Path

from fer_lib.data.dataset import FaceDataset
from fer_lib.data.synthetic import synthetic


def read_toy(path: Path) -> FaceDataset:
    return replace(synthetic(), source="toy")
'''
TRY = """
import torch
from fer_lib.claims import list_claims
from fer_lib.data import load_dataset
from fer_lib.models import create_model, list_models
from fer_lib.queue.plan import choose_recipes, matrix
from fer_lib.recipe import get_recipe
assert "resnet18_halved" in list_models()
net = create_model("resnet18_halved", width=8, halved={"factor": 0.25})
assert net(torch.rand(2, 1, 44, 44)).shape == (2, 7)
assert get_recipe("control/halved/fer2013").epochs == get_recipe("control/none/fer2013").epochs
assert len(matrix(choose_recipes(["fifth"]))) == 3
assert [claim.recipe for claim in list_claims("fifth")] == ["fifth/cbam/toy"]
assert load_dataset("toy").source == "toy"
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The library with one of each, and how many edits each file took."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "fer_lib", root / "fer_lib", ignore=shutil.ignore_patterns("__pycache__"))
    edits = {}

    def edit(name, old, new):
        path = root / "fer_lib" / name
        text = path.read_text() if path.exists() else ""
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1) if old else text + new)
        edits.setdefault(name, []).append(new)

    edit("models/attention.py", "", BLOCK)
    edit("nets.py", '    "bam": (', '    "halved": ("branch", _options(factor=(NotNegative, 0.5))),\n    "bam": (')
    edit("nets.py", "    18: ", '    18: " _halved"')
    edit("models/grammar.py", '    "bam": ', '    "halved": attention.Halved,\n    "bam": ')
    assert (len(edits), sum(map(len, edits.values()))) == (3, 4)  # a block: three files, four edits
    edit("papers/control.toml", "", RECIPE)
    recipe = (ROOT / "fer_lib" / "papers" / "control.toml").read_text().split("[[recipe]]")[1]
    changed = recipe.replace('"none/fer2013"', '"cbam/toy"').replace('"fer2013"', '"toy"')
    edit("papers/fifth.toml", "", f"{PAPER}\n[[recipe]]{changed}")
    edit("data/toy.py", "", READER)
    edit(
        "data/catalog.py", "KNOWN = {", 'KNOWN = {\n    "toy": Known("toys", FER2013_CLASSES, ("official",), read_toy),'
    )
    edit("data/catalog.py", "from fer_lib.data.walk", "from fer_lib.data.toy import read_toy\nfrom fer_lib.data.walk")
    return root


def test_what_contributing_names_is_enough(copy):
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", TRY], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_contributing_names_what_there_is():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`((?:fer_lib|tests|notebooks)/[\w/.]+\.(?:py|toml))`", text):
        if not re.search(r"[A-Z]{2}", path):
            assert (ROOT / path).exists(), path
    for module, names in (("nets", "BLOCKS _STUDIED_BLOCKS OTHERS"), ("models/grammar", "MODULES")):
        for name in names.split():
            assert f"`{name}`" in text
            assert re.search(rf"^{name}\b", (ROOT / "fer_lib" / f"{module}.py").read_text(), re.MULTILINE), name
