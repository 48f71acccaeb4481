"""The answer in words against counts made by hand."""

from mini_study import MINI, demo_paper
from tiny import write_run

from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import read_records
from fer_lib.study.answer import answer


def test_claims_and_comparisons_are_counted():
    with demo_paper():
        text = answer(read_records(MINI / "runs")[0])
    assert text == (
        "Of the 18 accuracies, recalls and gains that the papers print, 9 are judged (2 reproduced, 5 within noise, "
        "2 not reproduced), 1 cannot be, since the pictures are unpublished, and 8 wait for runs of the papers' "
        "length. All else equal, 2 of 5 comparisons with attention are judged: in ResNet18 on synthetic (3 epochs) "
        "1 with a gain beyond noise, 0 with a loss, 1 with no difference seen. Beside plain nets whose residual "
        "branches start as small as the modules leave theirs, 2 are judged: 1 with a gain beyond noise, 0 with a loss, "
        "1 with no difference seen."
    )


def test_without_runs_nothing_is_claimed():
    text = answer([])
    assert "0 are judged, " in text
    assert "is open" in text
    assert "PrivateTest" not in text


def test_the_net_is_chosen_by_validation(tmp_path):
    # Made-up records are right about half of the validation pictures, rounded down: 10 of 21, and 10 of 20.
    write_run(tmp_path, RunSpec(get_recipe("narrow/none/fer2013")), correct=30, test=40, val=21)
    write_run(tmp_path, RunSpec(get_recipe("narrow/se/fer2013")), correct=20, test=40, val=20)
    write_run(tmp_path, RunSpec(get_recipe("classical/hog_svm/fer2013")), correct=10, test=40)
    assert answer(read_records(tmp_path)[0]).endswith(
        "Of our runs on FER2013, chosen by PublicTest, “narrow ResNet18 + SE” names 50.0 % of PrivateTest "
        "(1 seed, 10 of 10 epochs), and “HOG + linear SVM” names 25.0 % of PrivateTest (without a net)."
    )
