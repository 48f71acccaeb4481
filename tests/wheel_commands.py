"""What an installed library is asked to do, one command after the other, in a folder outside the tree.

The interpreter that runs this file is the one of the installation: ``VENV/bin/python wheel_commands.py``. It prints a
line a command and ends with 1 where one fails. The continuous integration runs it on a real installation of the
wheel's core, ``tests/test_wheel.py`` on the wheel beside the packages at hand.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CORE = {
    "--version": "fer 0.",
    "--help": "examples:",
    "recipes zhang": "zhang/cbam_ends/fer2013",
    "models resnet18 --device cpu": "narrow_resnet18",
    "train narrow/none/fer2013 --dataset synthetic --epochs 1 --limit-train 64 --limit-test 32 --device cpu": "test",
    "study status --recipes narrow/none/fer2013 --device cpu": "narrow",
    "study verify": "1 sound runs, 0 faults",
}
"""Commands of the core, and a word of what they print."""
CODE = """
from fer_lib.models import create_model, list_models
from fer_lib.predict import Predictor
(name,) = list_models(pretrained=True)
print(Predictor(name, "cpu")("face.png", "one")[0].label, create_model(name, pretrained=True).pretrained_cfg)
"""
EXTRAS = {
    "predict face.png --detector none --device cpu --views one": ("demo", "probabilities"),
    "export narrow_resnet18": ("onnx", "narrow_resnet18.onnx"),
    "study table claims": ("study", "Gu"),
    "compare se --dry-run": ("study", "recorded, with"),
    "notebook 09_verdict --scale smoke": ("study", "09_verdict.ipynb"),
}
"""Commands of an extra and what they print; where the extra is not installed, one line names it."""


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)).save(folder / "face.png")
        asked = [(["-m", "fer_lib", *command.split()], "", word) for command, word in CORE.items()]
        asked += [(["-c", CODE], "", "label_names")]
        asked += [(["-m", "fer_lib", *command.split()], *expected) for command, expected in EXTRAS.items()]
        for arguments, extra, word in asked:
            done = run(arguments, folder)
            refused = done.returncode == 2 and f"fer-attention-study[{extra}]" in done.stderr
            sound = len(done.stderr.splitlines()) == 1 if refused else done.returncode == 0 and word in done.stdout
            shown = " ".join(arguments[2:]) if arguments[0] == "-m" else "create_model and Predictor"
            print("refused" if refused and sound else "done" if sound else "FAILED", shown, flush=True)
            if not sound:
                print(done.stdout, done.stderr, sep="\n", flush=True)
            bad += not sound
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
