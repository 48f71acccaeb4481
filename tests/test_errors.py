"""What a user is told of a name that does not exist, and which errors mean that memory is exhausted."""

import errno

import numpy as np
import pytest
import torch

from fer_lib.errors import MANY, is_out_of_memory, unknown

RUNS = [f"paper-net-s{seed}-0123abcd" for seed in range(MANY + 5)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("controll", ["claims", "control", "cost"], "did you mean control or cost?"),
        ("s21", RUNS, "did you mean paper-net-s21-0123abcd?"),
        ("", ["a", "b"], "choose from: a, b"),
        ("x", [], "there are none"),
        ("zzz", RUNS, f"choose from: {', '.join(sorted(RUNS)[:MANY])} and 5 more"),
    ],
)
def test_the_nearest_names_or_a_few_of_them(name, known, hint):
    assert str(unknown("thing", name, known)) == f"unknown thing {name!r}: {hint}"


TOO_MUCH = {
    "python": lambda: bytearray(2**62),
    "numpy": lambda: np.empty(2**58),
    "torch": lambda: torch.empty(2**58),
}


@pytest.mark.parametrize("library", TOO_MUCH)
def test_exhausted_memory_is_known_by_what_each_library_really_raises(library):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        TOO_MUCH[library]()
    assert is_out_of_memory(caught.value)


def test_other_errors_are_no_lack_of_memory():
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(ImportError("cv2.abi3.so: failed to map segment from shared object"))
    assert not is_out_of_memory(ImportError("cv2.abi3.so: cannot open shared object file"))
    for other in (OSError(errno.ENOSPC, "No space left on device"), RuntimeError("shape mismatch"), ValueError()):
        assert not is_out_of_memory(other)
