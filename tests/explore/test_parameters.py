"""papermill by hand: a misspelt parameter stops the notebook, which papermill itself only warns of."""

import pytest

from fer_lib.errors import UserError
from fer_lib.explore.parameters import check_parameters

OWN = 'MODULES = []\nSEED = 0  # of the run\nRATE = 0.5\nNAME = "a"\nTRAIN = False'
CALL = "check_parameters(In)"


def given(text):
    return ["", "import this", OWN, f"# Parameters\n{text}\n", CALL]


@pytest.mark.parametrize("text", ["SEED = 3", "RATE = 1", 'NAME = "b"\nTRAIN = True', ""])
def test_what_fits_passes(text):
    check_parameters(given(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SED = 3", "unknown parameter 'SED': did you mean SEED?"),
        ("SEED = 1.5", "parameter SEED must be a whole number, not 1.5"),
        ("MODULES = 1", "parameter MODULES must be texts in a list, not 1"),
        ("TRAIN = 1", "parameter TRAIN must be True or False, not 1"),
    ],
)
def test_what_does_not_stops_the_notebook_in_one_line(text, words):
    with pytest.raises(UserError, match="^" + words.replace("?", r"\?")) as caught:
        check_parameters(given(text))
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_without_papermill_a_reader_may_write_what_he_likes():
    check_parameters(["", "import this", OWN + "\nMINE = 3", CALL])
    check_parameters(["", CALL])
