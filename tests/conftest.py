"""Fixtures that more than one folder of tests uses."""

import os
from pathlib import Path

import pytest

import fer_lib  # noqa: F401  sets how torch's threads wait, before a test imports torch


@pytest.fixture(scope="session")
def fer_data() -> Path:
    """The folder of the real datasets, or a skip that says why."""
    root = os.environ.get("FER_DATA")
    if not root or not (Path(root) / "fer2013" / "fer2013.csv").exists():
        pytest.skip("real FER2013 is not at hand: set FER_DATA to a folder that holds fer2013/fer2013.csv")
    return Path(root)


@pytest.fixture(scope="session")
def weight_files(tmp_path_factory) -> Path:
    """A folder with the weight file ``tiny``: a net trained for seconds on drawn faces."""
    from tiny import tiny_dataset, tiny_recipe

    from fer_lib.checkpoints import write_checkpoint
    from fer_lib.queue.train import train_run
    from fer_lib.recipe import RunSpec

    results = tmp_path_factory.mktemp("tiny")
    spec = RunSpec(tiny_recipe(epochs=1))
    record = train_run(spec, results=results, device="cpu", say=lambda line: None, dataset=tiny_dataset())
    write_checkpoint(record, "tiny", results / "checkpoints")
    return results / "checkpoints"
