"""Claims: the papers' files say what the papers print, and bad tables are named."""

from collections import Counter

import pytest

from fer_lib.claims import list_claims, parse_claim, tables_of
from fer_lib.data import CKPLUS_CLASSES, FER2013_CLASSES
from fer_lib.errors import UserError
from fer_lib.models.describe import meta_net
from fer_lib.recipe import get_recipe, load_papers


def table(**changes):
    values = {
        "id": "fer2013/net",
        "place": "Table 1",
        "system": "Net",
        "kind": "level",
        "dataset": "fer2013",
        "split": "test",
        "metric": "accuracy",
        "value": 0.7,
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def test_zhang_prints_these_accuracies():
    levels = {claim.id: claim.value for claim in list_claims("zhang") if claim.kind == "level"}
    assert levels == {
        "zhang/fer2013/ours": 0.749,
        "zhang/fer2013/vgg16": 0.628,
        "zhang/fer2013/lbcnn": 0.574,
        "zhang/fer2013/vggface": 0.702,
        "zhang/fer2013/microexpnet": 0.682,
        "zhang/ckplus/ours": 0.951,
        "zhang/ckplus/fei": 0.935,
        "zhang/ckplus/gps": 0.951,
        "zhang/ckplus/roi": 0.947,
    }


def test_zhang_table_one_adds_up_to_fer2013():
    counts = {claim.id.removeprefix("zhang/counts/"): claim.values for claim in list_claims("zhang")}
    sizes = [sum(counts[f"fer2013/{part}"]) for part in ("train", "val", "test")]
    assert sizes == [28709, 3589, 3589]
    assert counts["fer2013/text"] == (28708, 3589, 3589)  # the paper's own slip


def test_lis_classes_lie_as_far_apart_as_its_text_says():
    counts = {claim.id.removeprefix("li/counts/fer2013/"): claim.values for claim in list_claims("li")}
    assert round(100 * (counts["happy"][0] - counts["disgust"][0]) / counts["splits"][0], 1) == 23.6


def percent(paper, kind):
    """Printed values of one kind in percent, by claim without the paper's name."""
    return {
        claim.id.removeprefix(f"{paper}/"): round(100 * claim.value, 4)
        for claim in list_claims(paper)
        if claim.kind == kind
    }


@pytest.mark.parametrize(
    ("paper", "kinds"),
    [
        ("zhang", {"level": 9, "count": 5, "statement": 4}),
        ("li", {"level": 10, "gain": 2, "recall": 2, "count": 4, "statement": 10}),
        ("hu", {"level": 38, "gain": 20, "statement": 3}),  # ten gains, each on two datasets
        ("gu", {"level": 24, "gain": 17, "recall": 2, "count": 6, "statement": 7}),
        ("control", {}),
        ("best", {}),
        ("classical", {}),
    ],
)
def test_every_number_is_there(paper, kinds):
    assert Counter(claim.kind for claim in list_claims(paper)) == kinds


def test_these_are_what_the_papers_are_quoted_for():
    headlines = {claim.id: round(100 * claim.value, 2) for claim in list_claims() if claim.headline}
    assert headlines == {
        "gu/fer2013/psa_joint": 74.26,
        "gu/ckplus/psa_joint": 98.35,
        "hu/own/simam_ca": 76.45,
        "hu/own/ca_simam_sc": 76.91,
        "li/fer2013/ours": 73.7,
        "li/fer2013/ours/val": 72.86,
        "zhang/fer2013/ours": 74.9,
        "zhang/ckplus/ours": 95.1,
    }


def test_li_prints_these_figures():
    assert percent("li", "level") == {
        "fer2013/ours": 73.7,
        "fer2013/ours/val": 72.86,
        "fer2013/parallel_cnn": 65.6,
        "fer2013/resnet18": 66.7,
        "fer2013/resnet34": 70.61,
        "fer2013/vgg19": 69.47,
        "fer2013/densenet": 71.06,
        "fer2013/senet18": 70.32,
        "fer2013/resnet34/val": 68,
        "fer2013/resnet34_unaugmented/val": 60,
    }
    assert percent("li", "gain") == {"fer2013/augmentation_gain": 8, "fer2013/ours_gain": 3.09}
    assert percent("li", "recall") == {"fer2013/ours/happy": 89, "fer2013/ours/fear": 57}


# Accuracy, precision, recall and F1 of Tables 1 and 2.
HU = {
    "resnet50": (73.81, 71.92, 71.42, 71.49),
    "sc": (75.13, 72.57, 72.41, 72.44),
    "ca": (75.13, 73.18, 72.78, 72.65),
    "sc_ca": (75.40, 73.68, 72.68, 72.89),
    "bam": (73.81, 72.19, 72.25, 72.11),
    "eca": (74.07, 71.82, 72.04, 71.81),
    "acmix": (74.87, 72.71, 72.09, 72.18),
    "coord": (75.13, 72.14, 72.04, 72.03),
    "simam": (76.19, 73.64, 73.31, 73.39),
}


def test_hu_prints_these_figures():
    expected = {"own/simam_ca": 76.45, "own/ca_simam_sc": 76.91}
    for row, values in HU.items():
        names = (f"own/{row}", f"own/{row}/precision", f"own/{row}/recall", f"own/{row}/f1")
        expected |= dict(zip(names, values, strict=True))
    assert percent("hu", "level") == expected


def test_hus_gains_are_the_differences_of_its_rows():
    levels, gains = percent("hu", "level"), percent("hu", "gain")
    for name, gain in gains.items():
        row = name.rsplit("/", 1)[0]
        assert gain == pytest.approx(levels[row] - levels["own/resnet50"], abs=1e-6), name
    assert gains["own/ca_simam_sc/gain_fer2013"] == 3.1  # the abstract's


def test_gu_prints_these_figures():
    assert percent("gu", "level") == {
        "fer2013/basic": 69.92,
        "fer2013/basic_joint": 71.67,
        "fer2013/psa": 72.45,
        "fer2013/psa_joint": 74.26,
        "ckplus/basic": 94.80,
        "ckplus/basic_joint": 95.43,
        "ckplus/psa": 96.32,
        "ckplus/psa_joint": 98.35,
        "ckplus/se": 96.80,
        "ckplus/cbam": 97.62,
        "ckplus/eca": 97.82,
        "ckplus/aff": 98.07,
        "fer2013/vgg": 68.79,
        "fer2013/resnet": 69.01,
        "fer2013/mobilenetv2": 70.80,
        "fer2013/densenet": 72.30,
        "ckplus/vgg": 97.26,
        "ckplus/resnet": 97.80,
        "ckplus/mobilenetv2": 98.16,
        "ckplus/densenet": 98.05,
        "fer2013/resnet_intro": 69.50,
        "ckplus/resnet_intro": 97.21,
        # the same two once more, for a test at 224 px
        "fer2013/basic_224": 69.92,
        "fer2013/psa_joint_224": 74.26,
    }
    assert percent("gu", "recall") == {"fer2013/psa_joint/happy": 84, "fer2013/psa_joint/surprise": 82}


def test_gus_gains_are_the_differences_of_its_rows_and_its_text_says_otherwise():
    levels, gains = percent("gu", "level"), percent("gu", "gain")
    text = {name: gains.pop(name) for name in list(gains) if name.endswith("_text")}
    # Table 3's PSA has the joint loss, its Basic has not; the comparison has it on both sides.
    assert gains.pop("ckplus/psa_joint_over_joint_gain") == pytest.approx(98.35 - 94.80)
    assert get_recipe("gu/psa_joint_weighted/ckplus").loss == get_recipe("gu/basic_joint_weighted/ckplus").loss
    for name, gain in gains.items():
        dataset = name.split("/")[0]
        assert gain == pytest.approx(levels[name.removesuffix("_gain")] - levels[f"{dataset}/basic"], abs=1e-6), name
    assert text == {
        "fer2013/basic_joint_gain_text": 1.45,
        "fer2013/psa_joint_gain_text": 3.5,
        "ckplus/psa_joint_gain_text": 4.3,
        "ckplus/resnet_gain_text": 1.07,
        "fer2013/resnet_gain_text": 1.14,
    }
    for name, printed in text.items():
        assert abs(gains.get(name.removesuffix("_text"), 0) - printed) > 0.1


def test_a_value_is_what_is_printed():
    for claim in list_claims():
        if claim.printed:
            number = float(claim.printed.split()[-1])  # "about 68", "below 60"
            assert round(100 * claim.value, 4) == number, claim.id


@pytest.mark.parametrize(
    ("place", "numbers"),
    [
        ("Table 2, row SENet18", "2"),
        ("section 1, Tables 4 and 5", "4 5"),
        ("Tables 3 to 5 against the other papers", "3 4 5"),
        ("Table II, row 3; Table III", "II III"),
        ("section 4.4, Fig. 11", ""),
    ],
)
def test_the_tables_that_a_place_names(place, numbers):
    assert tables_of(place) == {f"Table {number}" for number in numbers.split()}


def test_no_two_claims_share_a_name():
    names = [claim.id for claim in list_claims()]
    assert len(names) == len(set(names))


def test_a_tested_claim_and_its_recipe_speak_of_the_same_data():
    tested = [claim for claim in list_claims() if claim.tested]
    assert {claim.id for claim in tested} >= {"zhang/fer2013/ours", "zhang/ckplus/ours", "gu/ckplus/psa_joint_gain"}
    for claim in tested:
        recipe = get_recipe(claim.recipe)
        # A gain on unpublished pictures is tested on others.
        assert recipe.dataset == claim.dataset or (claim.dataset, claim.kind) == ("own", "gain"), claim.id
        assert claim.recipe.startswith(f"{claim.paper}/") or claim.kind == "statement", claim.id
        if claim.baseline:
            other = get_recipe(claim.baseline)
            assert (other.dataset, other.protocol) == (recipe.dataset, recipe.protocol), claim.id


def test_every_recipe_a_claim_names_is_there():
    assert not [claim.id for claim in list_claims() if claim.recipe and not claim.tested]


def test_the_sides_of_an_attention_gain_differ_in_the_model_alone():
    for claim in list_claims("hu"):
        if claim.kind == "gain":
            ours, base = get_recipe(claim.recipe).training(), get_recipe(claim.baseline).training()
            assert {key for key in ours if ours[key] != base.get(key)} == {"name", "model"}, claim.id


def test_what_stands_in_for_a_paper_says_so():
    """The comparators that a paper only names, or quotes from others, never speak against it."""
    stand_ins = {claim.id for claim in list_claims() if claim.fidelity == "C" and claim.kind == "level"}
    assert stand_ins == {
        "li/fer2013/parallel_cnn",
        "zhang/fer2013/lbcnn",
        "zhang/fer2013/vggface",
        "zhang/fer2013/microexpnet",
        "zhang/ckplus/fei",
        "zhang/ckplus/gps",
        "zhang/ckplus/roi",
        "gu/fer2013/resnet_intro",
        "gu/ckplus/resnet_intro",
        # ImageNet's net at 48 px
        "gu/fer2013/basic",
        "gu/fer2013/basic_joint",
        "gu/fer2013/psa",
        "gu/fer2013/psa_joint",
        "gu/fer2013/resnet",
    }
    gains = {claim.fidelity for claim in list_claims("hu") if claim.kind == "gain"}
    assert gains == {"C"}  # other pictures and another training than the paper's


def test_only_a_claim_with_a_recipe_has_a_fidelity():
    for claim in list_claims():
        assert (claim.fidelity is None) == (claim.recipe is None), claim.id
        assert bool(claim.gaps) == (claim.fidelity in ("B", "C")), claim.id


def test_a_statement_is_in_words_and_names_nets_there_are():
    for claim in list_claims():
        assert bool(claim.statement) == (claim.kind == "statement"), claim.id
        assert claim.kind == "statement" or not (claim.check or claim.models), claim.id
        for name in claim.models:
            assert meta_net(name) is not None


def test_a_class_is_one_of_the_datasets():
    classes = {"fer2013": FER2013_CLASSES, "ckplus": CKPLUS_CLASSES}
    for claim in list_claims():
        assert claim.class_name is None or claim.class_name in classes[claim.dataset], claim.id


def test_every_contradiction_has_a_reading():
    for paper, content in load_papers().items():
        assert content["paper"]["id"] == paper
        for entry in content.get("contradiction", []):
            assert entry.keys() == {"place", "problem", "reading"}


@pytest.mark.parametrize(
    ("recipe", "other", "differ"),
    [
        ("li/hybrid/fer2013", "li/hybrid_resnet34_depth/fer2013", {"model_options"}),
        ("li/hybrid/fer2013", "li/hybrid_batch256/fer2013", {"batch_size"}),
        ("li/hybrid/fer2013", "li/hybrid_step/fer2013", {"schedule"}),
        ("li/hybrid/fer2013", "li/hybrid_cross_entropy/fer2013", {"loss"}),
        ("hu/coord/fer2013", "hu/channel/fer2013", {"model"}),
        ("hu/coord_simam_sc/fer2013", "hu/channel_simam_sc/fer2013", {"model_options"}),
        ("gu/psa_joint_weighted/fer2013", "gu/psa_joint_weighted_eq2_groups/fer2013", {"model_options"}),
        ("gu/psa_joint_weighted/fer2013", "gu/psa_joint/fer2013", {"loss"}),
        ("gu/psa_joint_weighted/ckplus", "gu/psa_joint/ckplus", {"loss"}),
        ("gu/aff_joint_weighted/ckplus", "gu/aff_joint/ckplus", {"loss"}),
        ("gu/psa_joint_weighted/fer2013", "gu/psa_joint_weighted_cleaned/fer2013", {"leave_out"}),
        ("gu/psa_joint_weighted/fer2013", "gu/psa_joint_weighted_224/fer2013", {"augment"}),
        ("gu/basic/fer2013", "gu/basic_224/fer2013", {"augment"}),
        ("gu/psa_joint_weighted/ckplus", "gu/psa_joint_weighted_subject_folds/ckplus", {"protocol"}),
        ("zhang/cbam_ends/fer2013", "zhang/cbam_ends_ten_crop/fer2013", {"test_views"}),
        ("zhang/cbam_ends/ckplus", "zhang/cbam_ends_picture_folds/ckplus", {"protocol"}),
        ("zhang/googlenet/ckplus", "zhang/alexnet/ckplus", {"model"}),
    ],
)
def test_another_reading_is_a_recipe_that_differs_in_it_alone(recipe, other, differ):
    ours, theirs = get_recipe(recipe).training(), get_recipe(other).training()
    assert {key for key in ours | theirs if ours.get(key) != theirs.get(key)} == {"name"} | differ


def test_an_unknown_paper_suggests_the_nearest():
    with pytest.raises(UserError, match="unknown paper 'zang': did you mean zhang"):
        list_claims("zang")


def test_two_claims_of_one_name_are_refused(monkeypatch):
    monkeypatch.setitem(load_papers()["zhang"], "claim", [table(), table(value=0.5)])
    with pytest.raises(UserError, match=r"papers/zhang.toml, claim fer2013/net: 2 claims have this id"):
        list_claims.__wrapped__("zhang")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (table(vale=0.7), "unknown key 'vale': did you mean value"),
        (table(place=None), "lacks place"),
        (table(kind="levle"), "kind: unknown value 'levle': did you mean level"),
        (table(value=None), "needs a value from 0 to 1"),
        (table(value=74.9), "value = 74.9: expected a number <= 1"),
        (table(value=-0.1), "needs a value from 0 to 1"),
        (table(value="0.749"), "value = '0.749': expected a number or nothing, got text"),
        (table(kind="recall", value=89, class_name="happy"), "value = 89: expected a number <= 1"),
        (table(kind="recall"), "needs a class_name"),
        (table(recipe="demo/a"), "recipe and fidelity, A, B, C, go together"),
        (table(fidelity="A"), "recipe and fidelity, A, B, C, go together"),
        (table(recipe="demo/a", fidelity="D"), "fidelity: unknown value 'D': choose from: A, B, C"),
        (table(recipe="demo/a", fidelity="B"), "'gaps' says what fills them"),
        (table(recipe="demo/a", fidelity="A", gaps="ours"), "'gaps' says what fills them"),
        (table(kind="statement", value=None), "a statement needs 'statement'"),
        (table(kind="gain", value=2.53, recipe="demo/a", baseline="demo/b"), "value = 2.53: expected a number <= 1"),
        (table(kind="gain", value=0.1, recipe="demo/a"), "needs a recipe and a baseline"),
        (table(kind="gain", value=0.1, baseline="demo/b"), "needs a recipe and a baseline"),
        (table(kind="count", value=None), "needs values"),
        (table(metric="acuracy"), "unknown metric 'acuracy': did you mean accuracy"),
        (table(kind="gain", metric="F1", value=0.1, recipe="demo/a", baseline="demo/b"), "choose from: accuracy"),
        (table(kind="count", value=None, values=[1], metric="picture"), "unknown metric 'picture': did you mean pict"),
        (table(printed="fifty"), "printed = 'fifty' must end in the value in percent, which is 70 %, as in '73.70' or"),
        (table(printed="70 %"), "printed = '70 %' must end in the value in percent"),
        (table(printed="0.7"), "printed = '0.7' must end in the value in percent"),
        (table(printed="1,70"), "printed = '1,70' must end in the value in percent"),
        (table(printed="71"), "which is 70 %"),
        (table(kind="count", value=None, values=[1], metric="pictures", printed="1"), "which is none"),
        (table(split="tst"), "unknown split 'tst': did you mean test"),
        (
            table(recipe="a/fer2013", fidelity="A"),
            "a/fer2013: a recipe's whole name begins with its paper's, as in demo/a",
        ),
        (table(kind="count", value=None, values=[1, "2"]), "values[1] = '2': expected a whole number, got text"),
    ],
)
def test_a_bad_table_is_named_in_one_line(bad, words):
    with pytest.raises(UserError) as caught:
        parse_claim("demo", bad)
    message = str(caught.value)
    assert message.startswith("papers/demo.toml, claim fer2013/net: ")
    assert words in message
    assert "\n" not in message
