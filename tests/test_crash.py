"""Processes killed at any moment: what they leave is whole or not there, and the same command then ends as it should.

The moments are drawn at random, and a failure names the seed: FER_CRASH_SEED=N draws the same ones again.
"""

import os
import random
import re
import signal
import time
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
import tiny_fer
from PIL import Image
from tiny import tiny_recipe

from fer_lib.demo.example import example_picture
from fer_lib.recipe import RunSpec
from fer_lib.runs import read_record, verify_record

pytestmark = pytest.mark.heavy
SEED = int(os.environ.get("FER_CRASH_SEED") or time.time_ns() % 1_000_000)
KILLS = 3


class Command:
    """A command of `fer` that is run in a folder of its own, over and over."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.words, self.folder, self.output = words, folder, folder.with_suffix(".said")

    def start(self) -> ForkServerProcess:
        return tiny_fer.start(self.words, self.folder, self.output, FER_RESULTS=str(self.folder / "results"))

    def run(self, status: int = 0) -> tuple[float, str]:
        """To the end, which is a status; gives the seconds that it took, and the lines it printed."""
        started = time.monotonic()
        process = self.start()
        process.join()
        said = self.output.read_text()
        assert process.exitcode == status, f"seed {SEED}: {said}"
        said = re.sub(r"\d+ s$", "… s", said.replace(str(self.folder), "…"), flags=re.MULTILINE)
        return time.monotonic() - started, said

    def kill(self, after: float) -> None:
        process = self.start()
        process.join(after)
        if process.exitcode is None:
            process.kill()
            # It leads a group of its own, so that the kernel of a notebook dies with it, as in a power cut.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.join()


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; caches, which lie in folders whose names begin with a dot, are left out."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if not any(part.startswith(".") for part in name.parts[:-1])
    }


def shown(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those that people and programs look at: names that begin with a dot are unfinished work."""
    return {name: data for name, data in files.items() if not Path(name).name.startswith(".")}


def ends_the_same(words: list[str], prepare, tmp_path: Path, status: int = 0) -> None:
    """Run a command to its end in one folder; in another kill it a few times first, and compare what they hold."""
    moments = random.Random(SEED)
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
        prepare(folder)
    before = content(folders[1])
    whole, killed = (Command(words, folder) for folder in folders)
    seconds, said = whole.run(status)
    expected = content(folders[0])
    for _ in range(KILLS):
        killed.kill(moments.uniform(0.3, 1) * seconds)
        for name, data in shown(content(folders[1])).items():
            assert data == expected.get(name) or data == before.get(name), f"seed {SEED}: {name} is half written"
    assert killed.run(status)[1] == said, f"seed {SEED}"
    assert content(folders[1]) == expected, f"seed {SEED}"


def test_training(tmp_path):
    words = ["train", "test/tiny/synthetic", "--device", "cpu", "--results", "results"]
    moments = random.Random(SEED)
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    seconds, _ = Command(words, folders[0]).run()
    killed = Command(words, folders[1])
    for _ in range(2 * KILLS):
        killed.kill(moments.uniform(0.3, 1) * seconds)
    killed.run()
    run = RunSpec(tiny_recipe()).run_id
    assert [path.name for path in (folders[1] / "results" / "runs").iterdir()] == [run], f"seed {SEED}"
    one, other = (read_record(folder / "results" / "runs" / run) for folder in folders)
    assert verify_record(other) == []
    assert one.content["metrics"] == other.content["metrics"], f"seed {SEED}"
    for name in ("predictions.npz", "weights.safetensors"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), f"seed {SEED}: {name}"


def test_predict(tmp_path, weight_files):
    def prepare(folder):
        (folder / "album").mkdir()
        Image.fromarray(example_picture()).save(folder / "album" / "faces.png")
        film = cv2.VideoWriter(str(folder / "album" / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (640, 480))
        for _ in range(20):
            film.write(example_picture()[..., ::-1])
        film.release()
        (folder / "faces.csv").write_text("what was there before\n")
        (folder / "results").mkdir()
        (folder / "results" / "checkpoints").symlink_to(weight_files)

    ends_the_same(["predict", "album", "--format", "csv", "--output", "faces.csv"], prepare, tmp_path)


def test_data_check(tmp_path):
    def prepare(folder):
        rng, lines = np.random.default_rng(0), ["emotion,pixels,Usage"]
        for usage in ("Training", "PublicTest", "PrivateTest"):
            lines += [f"{n % 7},{' '.join(map(str, rng.integers(0, 256, 2304)))},{usage}" for n in range(70)]
        (folder / "data" / "fer2013").mkdir(parents=True)
        (folder / "data" / "fer2013" / "fer2013.csv").write_text("\n".join(lines) + "\n")

    ends_the_same(["data", "check", "--root", "data"], prepare, tmp_path, status=1)  # no published pictures


def test_report(tmp_path):
    def prepare(folder):
        cells = [
            nbformat.v4.new_markdown_cell("# Title\n\nLead.", id="0"),
            nbformat.v4.new_code_cell("1", id="1", outputs=[nbformat.v4.new_output("stream", text="x" * 100_000)]),
        ]
        stamp = {"source": "notebooks/x.ipynb", "scale": "smoke", "parameters": {}}
        executed = folder / "results" / "smoke" / "executed"
        executed.mkdir(parents=True)
        for name in ("01_data_exploration", "06_ablations", "09_verdict"):
            nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"fer": stamp}), executed / f"{name}.ipynb")

    ends_the_same(["report", "--scale", "smoke"], prepare, tmp_path)


def test_notebook(tmp_path):
    def prepare(folder):
        (folder / "results").mkdir()
        (folder / "notebooks").mkdir()
        (folder / "notebooks" / "scales.toml").write_text("[cell_seconds]\nsmoke = 600\n[smoke]\n")
        cells = [
            nbformat.v4.new_markdown_cell("# Title\n\nLead.", id="0"),
            nbformat.v4.new_code_cell("NUMBER = 3", id="1", metadata={"tags": ["parameters"]}),
            *(nbformat.v4.new_code_cell(f"100_000 * '{n}'", id=f"{n}") for n in range(2, 8)),
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / "notebooks" / "01_small.ipynb")

    ends_the_same(["notebook", "01_small", "--scale", "smoke"], prepare, tmp_path)
