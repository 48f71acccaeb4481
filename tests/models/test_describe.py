"""The table of models."""

import itertools

import pytest

from fer_lib.errors import UserError
from fer_lib.models import list_models
from fer_lib.models.describe import describe


def test_rows_hold_sizes_and_costs():
    rows = {row.name: row for row in describe(["resnet50", "vggface", "microexpnet", "hog_svm"])}
    assert rows["resnet50"].pixels == 48
    assert rows["vggface"].pixels == 224
    # Published: 15,466,201,088 for three channels, with pooling; 134,289,223 parameters for three channels.
    assert rows["vggface"].parameters == 134_289_223 - 2 * 64 * 9
    assert 0.98 < rows["vggface"].macs / 15_466_201_088 < 1
    assert rows["microexpnet"].parameters == 64_951
    # By hand: 42*42*16*64 + 11*11*32*16*16 + 1152*48 + 48*7.
    assert rows["microexpnet"].macs == 42 * 42 * 16 * 64 + 11 * 11 * 32 * 256 + 1152 * 48 + 48 * 7
    assert (rows["hog_svm"].macs, rows["hog_svm"].milliseconds) == (None, None)
    # A picture takes VGG-Face five thousand times the multiplications that it takes MicroExpNet.
    assert 0 < 10 * rows["microexpnet"].milliseconds < rows["vggface"].milliseconds < 60_000


def test_rows_come_one_by_one_and_a_wrong_name_is_named():
    with pytest.raises(UserError, match="did you mean microexpnet"):
        next(describe(["microexpnet", "microexpnett"]))  # before any row
    names = [*list_models(), *list_models(classical=True)]
    assert [row.name for row in itertools.islice(describe(), 2)] == names[:2]


def test_a_size_that_a_net_does_not_take_is_named_with_the_net():
    with pytest.raises(UserError, match=r"^resnet50_sc at 47 px: x must be .* multiples of 2"):
        next(describe(["resnet50_sc"], pixels=47))


@pytest.mark.heavy
def test_every_model_has_a_row(monkeypatch):
    monkeypatch.setattr("fer_lib.models.describe.milliseconds", lambda *_: 1.0)  # above, three are timed
    names = [*list_models(), *list_models(classical=True)]
    assert [row.name for row in describe()] == names
