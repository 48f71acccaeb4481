"""A light core, and extras: each part says in one line which of them it needs."""

import json
import subprocess
import sys
import tomllib
from importlib import import_module, reload
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fer_lib.extras import PROJECT, MissingExtra, from_extra, need
from fer_lib.paths import ROOT

TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {"torch", "torchvision", "numpy", "pillow", "safetensors", "msgspec", "filelock"}
# Installs nothing: it hides packages, and runs commands one after the other in one process.
SCRIPT = """
import importlib.util, io, json, sys
from contextlib import redirect_stderr, redirect_stdout
hidden = set({hidden!r})
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
    del sys.modules[name]
sys.meta_path.insert(0, Hide())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.partition(".")[0] in hidden else found(name, package)
from fer_lib.cli import main
answers = {{}}
for arguments in {commands!r}:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments.split())
        except SystemExit as end:
            answers[arguments] = [end.code, out.getvalue(), err.getvalue()]
{code}
answers["loaded"] = sorted(hidden & {{name.partition(".")[0] for name in sys.modules}})
print(json.dumps(answers))
"""
PARTS = """
import numpy as np, torch
from fer_lib import augment, checkpoints, claims, data, frames, losses, metrics, models, predict, recipe, runs
from fer_lib.models import conformance, describe, pretrained, registry
net = models.create_model("resnet18_cbam", width=16)
losses.create_loss("focal", 7)(net(torch.zeros(2, 1, 48, 48)), torch.tensor([0, 1])).backward()
predictor = predict.Predictor(checkpoints.best_checkpoint(), "cpu")
answers["label"] = predictor(np.zeros((96, 96, 3), np.uint8), "one")[0].label
answers["vgg"] = list(models.create_model("vgg16_bn")(torch.zeros(2, 1, 48, 48)).shape)
for module in ("explain", "plots", "statistics"):
    try:
        importlib.import_module(f"fer_lib.{module}")
    except ImportError as error:
        answers[module] = [type(error).__name__, str(error)]
"""
CORE_COMMANDS = (
    "recipes li",
    "models resnet18 --device cpu",
    "train narrow/none/fer2013 --dataset synthetic --epochs 1 --limit-train 32 --limit-test 16 --device cpu"
    " --results results",
    "study status --recipes narrow/none/fer2013 --device cpu",
)
MISSING = {
    "predict picture.png": "demo",
    "demo": "demo",
    "lab": "notebooks",
    "study tables": "study",
    "study table claims": "study",
    "compare se": "study",
    "notebook 05_zhang_cbam": "study",
    "report": "study",
    "export narrow_resnet18": "onnx",
}


def brought(extras: tuple[str, ...]) -> set[str]:
    """Names of the packages that the core and some extras install, and of those that these ask for in turn."""
    waiting = [Requirement(f"{PROJECT}[{','.join(extras)}]")]
    seen, found = set(), set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            name = canonicalize_name(wanted.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if wanted.name == PROJECT:
                lines = TABLE["optional-dependencies"][extra] if extra else TABLE["dependencies"]
            else:
                found.add(name)
                try:
                    lines = requires(name) or []
                except PackageNotFoundError:
                    continue
            needed = map(Requirement, lines)
            waiting += [other for other in needed if not other.marker or other.marker.evaluate({"extra": extra})]
    return found


def with_only(extras: tuple[str, ...], commands: list[str], folder: Path, code: str = "") -> dict[str, Any]:
    """Exit status, output and errors of commands where only the core and some extras are installed."""
    there = brought(extras)
    owners = packages_distributions().items()
    hidden = sorted({name for name, of in owners if not {canonicalize_name(owner) for owner in of} & there})
    script = SCRIPT.format(hidden=[name for name in hidden if name != "fer_lib"], commands=commands, code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_core_is_light():
    assert {Requirement(line).name for line in TABLE["dependencies"]} == CORE
    accelerators = ("nvidia-", "cuda-", "triton")
    assert len([name for name in brought(()) if not name.startswith(accelerators)]) < 25


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> dict[str, Any]:
    return with_only((), [*MISSING], tmp_path_factory.mktemp("core"), PARTS)


def test_the_parts_of_the_core_need_the_core_only(core):
    assert core["label"] in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert core["vgg"] == [2, 7]
    assert core["loaded"] == []


@pytest.mark.heavy
def test_commands_of_the_core_need_the_core_only(tmp_path):
    answers = with_only((), [*CORE_COMMANDS], tmp_path)
    for arguments in CORE_COMMANDS:
        status, out, errors = answers[arguments]
        assert status == 0, errors
        assert out


@pytest.mark.parametrize("arguments", MISSING)
def test_a_missing_extra_is_one_line_that_names_it(core, arguments):
    status, _, errors = core[arguments]
    assert status == 2
    (line,) = errors.splitlines()
    assert line.endswith(f"is not installed: pip install '{PROJECT}[{MISSING[arguments]}]'"), line


SAID = {"explain": "explain", "plots": "analysis", "statistics": "analysis"}


@pytest.mark.parametrize("module", SAID)
def test_a_missing_extra_is_said_to_python_too(core, module):
    kind, message = core[module]
    assert kind == "MissingExtra"
    assert message.endswith(f"pip install '{PROJECT}[{SAID[module]}]'")


@pytest.mark.heavy
@pytest.mark.parametrize("extra", ["demo", "study", "onnx"])
def test_the_extra_that_is_named_is_enough(extra, tmp_path):
    commands = {
        "demo": ["predict picture.png"],
        "study": ["compare nothing", "notebook nothing", f"study table claims --results {tmp_path}"],
        "onnx": ["export narrow_resnet18"],
    }[extra]
    answers = with_only((extra,), commands, tmp_path)
    for name in commands:
        assert "is not installed" not in answers[name][2]


def test_what_is_ours_and_missing_is_no_extra():
    with pytest.raises(ModuleNotFoundError, match="fer_lib") as caught, from_extra("demo"):
        import fer_lib.nowhere  # noqa: F401
    assert not isinstance(caught.value, MissingExtra)
    with pytest.raises(MissingExtra, match="nowhere is not installed"):
        need("demo", "json", "nowhere")


def test_packages_that_are_needed_are_brought_by_their_extra():
    """`need` in the packages of the library names imports; the extra must bring each."""
    owners = packages_distributions()
    for package in ("demo", "explore", "report"):
        asked = []
        with patch("fer_lib.extras.need", lambda *given, asked=asked: asked.append(given)):
            reload(import_module(f"fer_lib.{package}"))
        extra, *imports = asked[-1]
        there = brought((extra,))
        for name in imports:
            assert {canonicalize_name(owner) for owner in owners[name]} & there, (extra, name)
