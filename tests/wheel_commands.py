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

TRAINED = "narrow-none-fer2013-s0-"
CORE = (
    (["--version"], "fer 0."),
    (["--help"], "examples:"),
    (["recipes", "zhang"], "zhang/cbam_ends/fer2013"),
    (["models", "resnet18_eca", "--device", "cpu"], "resnet18_eca"),
    (
        "train narrow/none/fer2013 --dataset synthetic --epochs 1 --limit-train 64 --limit-test 32 --device cpu".split(),
        "train",
    ),
    (["study", "status", "--papers", "narrow", "--device", "cpu"], "narrow"),
    (["study", "verify"], "1 sound runs, 0 faults"),
)
"""Commands of the core, and a word of what they print."""
CODE = """
from fer_lib.models import create_model, list_models
from fer_lib.checkpoints import read_checkpoint
from fer_lib.predict import Predictor
name = list_models(pretrained=True)[0]
print(Predictor(read_checkpoint(name), "cpu")("face.png", "one")[0].label, create_model(name, pretrained=True).classes)
"""
EXTRAS = (
    (["predict", "face.png", "--detector", "none", "--device", "cpu", "--views", "one"], "probabilities", "demo"),
    (["export", "narrow_resnet18"], "narrow_resnet18.onnx", "onnx"),
    (["study", "table", "claims"], "Gu", "study"),
    (["notebook", "09_verdict", "--scale", "smoke"], "09_verdict.ipynb", "study"),
)
"""Commands of an extra: where it is not installed, one line names it."""


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)).save(folder / "face.png")
        asked = [(["-m", "fer_lib", *arguments], word, "") for arguments, word in CORE]
        asked += [(["-c", CODE], "happy", "")]
        asked += [(["-m", "fer_lib", *arguments], word, extra) for arguments, word, extra in EXTRAS]
        for arguments, word, extra in asked:
            done = run(arguments, folder)
            refused = done.returncode == 2 and f"fer-attention-study[{extra}]" in done.stderr if extra else False
            sound = refused and len(done.stderr.splitlines()) == 1 or done.returncode == 0 and word in done.stdout
            shown = " ".join(arguments[2:]) if arguments[0] == "-m" else "create_model and Predictor"
            print(("refused " if refused else "done    ") if sound else "FAILED  ", shown, flush=True)
            if not sound:
                print(done.stdout, done.stderr, sep="\n", flush=True)
            bad += not sound
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
