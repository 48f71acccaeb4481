"""Fixtures that more than one folder of tests uses."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="session")
def fer_data() -> Path:
    """The folder of the real datasets, or a skip that says why."""
    root = os.environ.get("FER_DATA")
    if not root or not (Path(root) / "fer2013" / "fer2013.csv").exists():
        pytest.skip("real FER2013 is not at hand: set FER_DATA to a folder that holds fer2013/fer2013.csv")
    return Path(root)
