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
