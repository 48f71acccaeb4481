"""Power as the sliders show it, against studies drawn by chance and judged by the study's own rule."""

import math

import numpy as np
import pytest

from fer_lib.errors import UserError
from fer_lib.explore.power import power, power_figure, power_panel, power_words
from fer_lib.statistics import fit, smallest_gain


@pytest.mark.parametrize(("gain", "seeds", "sd"), [(1.0, 3, 0.6), (1.0, 10, 0.6), (0.0, 3, 0.6)])
def test_as_many_studies_find_a_gain_as_is_said(gain, seeds, sd):
    rng, found, studies = np.random.default_rng(0), 0, 400
    for _ in range(studies):
        values = {name: rng.normal(gain if name == "b" else 0, sd, seeds) for name in "abcde"}
        family = fit(values).gains(list("bcde"), "a")
        found += family[0].low > 0 or family[0].high < 0
    assert found / studies == pytest.approx(power(gain, seeds, sd), abs=0.07)


def test_the_smallest_gain_is_found_in_80_of_100():
    assert power(smallest_gain(0.6, 5, 4), 5, 0.6) == pytest.approx(0.8, abs=1e-3)
    assert f"a true gain of 1 point is found in {100 * power(1.0, 3, 0.6):.0f} of 100 studies" in power_words(
        1.0, 3, 0.6
    )


def test_a_slider_moves_the_words_and_the_curve():
    panel = power_panel(0.6)
    panel.redraw()
    assert panel.figures.count == 1
    before = panel.words.value
    panel.controls["seeds"].value = 20
    assert panel.words.value != before
    assert "With 20 seeds" in panel.words.value


def test_the_curve_of_more_seeds_lies_higher():
    lines = power_figure(0.6).axes[0].lines
    few, many = lines[0].get_ydata(), lines[3].get_ydata()
    assert (many[5:40] > few[5:40]).all()
    assert np.isfinite(many).all()
    assert many[-1] == pytest.approx(100)


@pytest.mark.parametrize("sd", [math.nan, 0.0, -1.0, math.inf])
def test_a_spread_that_is_no_number_is_refused(sd):
    with pytest.raises(UserError, match="give one above 0"):
        power_panel(sd)
