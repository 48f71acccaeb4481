"""What modules do to a net's start, and the nets that start alike, on answers that are known."""

import numpy as np
import pytest
from many_runs import write_fake

from fer_lib import plots
from fer_lib.data.facts import load_facts
from fer_lib.models.grammar import BLOCKS
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.selection import RULES
from fer_lib.study.gains import ablation_table
from fer_lib.study.results import Study
from fer_lib.study.start import branch_size, readable_start, start_table

FACES = load_facts("fer2013").faces
TRUTH = {part: FACES.labels[FACES.indices(part)] for part in ("val", "test")}
PLAIN = 2300
LOST = {  # pictures of PrivateTest that a net names wrong and the plain one right, seed by seed
    "none": (0, 0, 0),
    "eca": (35, 36, 37),
    "coord": (139, 140, 141),
    "none_half": (34, 36, 38),
    "none_quarter": (109, 108, 107),
    "coord_whole": (1, 0, -1),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")

    def write(name, seed, lost):
        right = np.arange(3589) < PLAIN + 5 * seed - lost
        test = np.where(right, TRUTH["test"], (TRUTH["test"] + 1) % 7)
        answers = {rule: {"val": TRUTH["val"], "test": test} for rule in RULES}
        return write_fake(runs, RunSpec(get_recipe(f"narrow/{name}/fer2013"), seed), answers=answers)

    return [write(name, seed, lost) for name, counts in LOST.items() for seed, lost in enumerate(counts)]


@pytest.mark.parametrize(
    ("model", "options", "least", "most"),
    [
        ("resnet18", "{}", 1, 1),  # a branch ends normalised
        ("resnet18", '{"branch_scale": 0.25}', 0.25, 0.25),
        ("resnet18_simam", "{}", 1, 1),  # before the normalisation
        ("resnet18_se", "{}", 0.49, 0.51),  # the sigmoid of nearly 0
        ("resnet18_eca", "{}", 0.49, 0.51),
        ("resnet18_cbam", "{}", 0.25, 0.32),  # two of them; the channel half's is somewhat above 0
        ("resnet18_coord", "{}", 0.25, 0.28),
        ("resnet18_coord", '{"branch_scale": 4.0}', 1, 1.12),
        ("resnet50_se", "{}", 0.49, 0.51),
    ],
)
def test_what_a_branch_adds_before_any_training(model, options, least, most):
    narrow = options.replace("{", '{"width": 16, ').replace(", }", "}")
    assert least <= branch_size(model, narrow) <= most


def test_the_scaled_nets_stand_beside_the_modules(records):
    table = start_table(Study(records)).set_index("recipe")
    assert table.index.is_unique
    for name in ("none", "se", "eca", "cbam", "coord", "simam", "none_half", "none_quarter", "coord_whole"):
        assert table.loc[f"narrow/{name}/fer2013", "attention"] == (name.split("_")[0] in BLOCKS)
    for name, lost in LOST.items():
        row = table.loc[f"narrow/{name}/fer2013"]
        if name == "none":
            assert (row["baseline"], row["reading"]) == ("", "baseline")
        else:
            assert row["baseline"] == "narrow/none/fer2013"
            assert row["gain"] == pytest.approx(-100 * np.mean(lost) / 7178)
    assert table.loc["narrow/none_quarter/fer2013", ["reading", "branch_size"]].tolist() == ["loss", 0.25]
    assert table.loc["narrow/coord_whole/fer2013", "reading"] == "within ±1 point"
    assert table.loc["narrow/se/fer2013", "reading"] == "not run"
    shown = readable_start(table.reset_index())
    assert shown["branch at the start"].tolist()[:2] == ["1.00", "0.50"]


def test_modules_against_a_plain_net_that_starts_alike(records):
    table = ablation_table(Study(records), "narrow", question="alike")
    pairs = table[table["baseline"] != ""].set_index("recipe")["baseline"]
    sizes = start_table(Study()).set_index("recipe")["branch_size"]
    for recipe, baseline in pairs.items():
        assert sizes[baseline] == pytest.approx(sizes[recipe], rel=0.15), recipe
    gains = table.set_index("recipe")["gain"]
    assert gains["narrow/coord/fer2013"] == pytest.approx(-100 * (140 - 108) / 7178)
    assert gains["narrow/eca/fer2013"] == pytest.approx(0)


def test_what_the_figure_shows(records):
    axes = plots.start(start_table(Study(records))).axes[0]
    plain = next(line for line in axes.get_lines() if line.get_label() == "no module")
    expected = [(0.25, -108), (0.5, -36), (1, 0)]
    np.testing.assert_allclose(plain.get_xydata(), [(size, 100 * lost / 7178) for size, lost in expected])
    names = {text.get_text().replace("\n", " ") for text in axes.texts}
    assert names == {
        "ResNet18 of width 16", "branches halved at the start", "branches quartered at the start", "ECA",
        "coordinate attention", "coordinate attention, branches whole at the start",
    }  # fmt: skip
    empty = plots.start(start_table(Study())).axes[0]
    assert [text.get_text() for text in empty.texts] == ["ResNet18 of width 16"]
