"""The answer in words against counts made by hand."""

import re

from mini_study import MINI, demo_paper
from tiny import write_run

from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import read_records
from fer_lib.study.answer import answer
from fer_lib.study.claim_table import claim_table


def test_claims_and_comparisons_are_counted():
    with demo_paper():
        records = read_records(MINI / "runs")[0]
        text, table = answer(records), claim_table(records)
    assert "SE +25.6 (+9.0 to +42.1), gain" in text
    assert "ECA +0.6 (-4.3 to +5.4), undecided" in text
    assert "CBAM" not in text  # two seeds of three
    assert "2 comparisons have enough runs: 1 gain, 1 undecided; 2 exploratory." in text
    judged = table["verdict"].value_counts()
    for word in ("consistent", "excluded: ours is lower", "undecided"):
        assert f"{judged[word]} {word}" in text
    numbers = [
        int(number)
        for number in re.findall(r"judge (\d+)|; (\d+) need|; (\d+) cannot|and (\d+) have", text)[0]
        if number
    ]
    assert numbers == [
        judged[[w for w in judged.index if w in ("consistent", "excluded: ours is lower", "undecided")]].sum()
    ]


def test_without_runs_nothing_is_claimed():
    text = answer([])
    assert "our runs judge 0; " in text
    assert "is open" in text
    assert "PrivateTest" not in text


def test_the_net_is_chosen_by_validation(tmp_path):
    # Made-up records are right about half of the validation pictures, rounded down: 10 of 21, and 10 of 20.
    write_run(tmp_path, RunSpec(get_recipe("narrow/none/fer2013")), correct=30, test=40, val=21)
    write_run(tmp_path, RunSpec(get_recipe("narrow/se/fer2013")), correct=20, test=40, val=20)
    write_run(tmp_path, RunSpec(get_recipe("classical/hog_svm/fer2013")), correct=10, test=40)
    assert answer(read_records(tmp_path)[0]).endswith(
        "Best accuracy on PrivateTest, chosen by PublicTest: narrow ResNet18 + SE 50.0 % (1 seed, 10 of 10 epochs); "
        "HOG + linear SVM 25.0 % (without a net)."
    )
