"""Claims: the papers' files say what the papers print, and bad tables are named."""

import pytest

from fer_lib.claims import list_claims, parse_claim
from fer_lib.errors import UserError
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


def test_no_two_claims_share_a_name():
    names = [claim.id for claim in list_claims()]
    assert len(names) == len(set(names))


def test_a_tested_claim_and_its_recipe_speak_of_the_same_data():
    tested = [claim for claim in list_claims() if claim.tested and claim.kind == "level"]
    assert {claim.id for claim in tested} >= {"zhang/fer2013/ours", "zhang/ckplus/ours"}
    for claim in tested:
        assert get_recipe(claim.recipe).dataset == claim.dataset
        assert claim.recipe.startswith(f"{claim.paper}/")


def test_every_contradiction_has_a_reading():
    for paper, content in load_papers().items():
        assert content["paper"]["id"] == paper
        for entry in content.get("contradiction", []):
            assert entry.keys() == {"place", "problem", "reading"}


def test_an_unknown_paper_suggests_the_nearest():
    with pytest.raises(UserError, match="unknown paper 'zang': did you mean zhang"):
        list_claims("zang")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (table(vale=0.7), "unknown field 'vale': did you mean value"),
        (table(place=None), "missing place"),
        (table(kind="levle"), "unknown kind 'levle': did you mean level"),
        (table(value=None), "needs a value from 0 to 1"),
        (table(value=74.9), "needs a value from 0 to 1"),
        (table(value=-0.1), "needs a value from 0 to 1"),
        (table(value="0.749"), "needs a value from 0 to 1"),
        (table(kind="count", value=None), "needs values"),
        (table(kind="count", value=None, values=[1, "2"]), "needs values"),
    ],
)
def test_a_bad_table_is_named_in_one_line(bad, words):
    with pytest.raises(UserError) as caught:
        parse_claim("demo", bad)
    message = str(caught.value)
    assert message.startswith("papers/demo.toml, claim fer2013/net: ")
    assert words in message
    assert "\n" not in message
