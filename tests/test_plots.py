"""Figures as files."""

import re

from matplotlib.figure import Figure

from fer_lib import plots


def drawn(width):
    """A line with markers in axes so wide."""
    figure = Figure()
    figure.add_axes((0.1, 0.1, width, 0.8)).plot([0, 1], [0, 1], "o-")
    return plots.svg(figure)


def test_the_bytes_of_a_figure_depend_on_what_it_shows_alone():
    assert drawn(0.8) == drawn(0.8 + 1e-12)
    assert drawn(0.8) != drawn(0.81)


def test_figures_on_one_page_share_no_clip_path_and_refer_to_their_own():
    names = []
    for width in (0.8, 0.81):
        figure = drawn(width).decode()
        names.append(set(re.findall(r'<clipPath id="([^"]+)"', figure)))
        assert set(re.findall(r"url\(#([^)]+)\)", figure)) == names[-1] != set()
        assert set(re.findall(r'href="#([^"]+)"', figure)) <= set(re.findall(r'id="([^"]+)"', figure))
    assert not names[0] & names[1]
