"""What needs no run: the papers' text against their tables, and accuracies against numbers of pictures."""

import dataclasses
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from fer_lib.claims import list_claims
from fer_lib.paths import ROOT
from fer_lib.runs import read_records
from fer_lib.study import evidence, exploration
from fer_lib.study.evidence import CONTRADICTED, CUT, IMPOSSIBLE, ROUNDED, UNDECIDABLE, paper_finding
from fer_lib.study.results import Study


def claim(name):
    return next(claim for claim in list_claims() if claim.id == name)


def found(word):
    return {claim.id for claim in list_claims() if (finding := paper_finding(claim)) and finding.word == word}


def accuracies(paper, dataset):
    return [
        c.percent for c in list_claims(paper) if c.kind == "level" and c.dataset == dataset and c.metric == "accuracy"
    ]


def test_five_gains_of_the_text_are_none_of_its_tables():
    assert found(CONTRADICTED) == {
        "gu/fer2013/basic_joint_gain_text",
        "gu/fer2013/psa_joint_gain_text",
        "gu/ckplus/psa_joint_gain_text",
        "gu/ckplus/resnet_gain_text",
        "gu/fer2013/resnet_gain_text",
    }


def test_a_gain_that_the_table_has_is_not_contradicted():
    text = claim("gu/fer2013/basic_joint_gain_text")
    assert "71.67 − 69.92 = 1.75" in paper_finding(text).sentence
    for printed in ("1.75", "1.7", "1.8"):  # as it is, cut, and rounded
        assert paper_finding(dataclasses.replace(text, printed=printed)) is None
    assert paper_finding(dataclasses.replace(text, printed="1.6")).word == CONTRADICTED


@pytest.mark.parametrize("printed", ["about 3", "1.2.3"])
def test_a_gain_that_is_no_plain_number_is_held_against_no_table(printed):
    assert paper_finding(dataclasses.replace(claim("gu/fer2013/basic_joint_gain_text"), printed=printed)) is None


def test_a_printed_loss_is_a_number():
    text = dataclasses.replace(claim("gu/fer2013/basic_joint_gain_text"), printed="-1.75")
    assert text.percent == Decimal("-1.75")
    assert paper_finding(text).word == CONTRADICTED


def test_counts_of_data_that_are_not_at_hand_are_not_judged(monkeypatch):
    counts = [c for c in list_claims("gu") if c.kind == "count"]
    elsewhere = [dataclasses.replace(c, dataset="rafdb") for c in counts]
    for module in (evidence, exploration):
        monkeypatch.setattr(module, "list_claims", lambda: elsewhere)
    assert {row[3] for row in evidence._of_counts()} == {"not testable"}


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_an_accuracy_is_possible_where_some_number_of_pictures_prints_it(decimals):
    step = Decimal(1).scaleb(-decimals)
    rng = np.random.default_rng(0)
    for pictures in (1, 3, 7, 40, 327, 378):
        exact = [Fraction(100 * right, pictures) for right in range(pictures + 1)]
        shares = [Decimal(share.numerator) / Decimal(share.denominator) for share in exact]
        rounded = {share.quantize(step, way) for share in shares for way in (ROUND_HALF_UP, ROUND_HALF_DOWN)}
        cut = {share.quantize(step, ROUND_DOWN) for share in shares}
        for value in {Decimal(int(n)).scaleb(-decimals) for n in rng.integers(0, 100 * 10**decimals + 1, 300)}:
            assert evidence.is_possible(value, pictures, [ROUNDED]) == (value in rounded), (value, pictures)
            assert evidence.is_possible(value, pictures, [CUT]) == (value in cut), (value, pictures)


def test_the_smallest_test_sets():
    gu = [value for value in accuracies("gu", "ckplus") if value != Decimal("97.21")]  # the introduction's
    assert len(gu) == 12
    assert evidence.smallest_test_set(gu) == 4505
    assert evidence.smallest_test_set(gu, [ROUNDED]) == 6961
    assert [sum(evidence.is_possible(value, n, [ROUNDED]) for value in gu) for n in (436, 327, 981, 1308)] == [
        0,
        1,
        1,
        1,
    ]
    hu = accuracies("hu", "own")
    assert evidence.smallest_test_set(hu, but=1) == 378
    assert evidence.smallest_test_set(hu) == 1512
    assert evidence.smallest_test_set([Decimal("33.3")]) == 3
    assert evidence.smallest_test_set([Decimal("0.0001"), Decimal("50.0001")]) is None


def test_these_accuracies_are_of_no_number_of_pictures():
    ids = found(IMPOSSIBLE)
    assert {name for name in ids if name.startswith("li/")} == {
        f"li/fer2013/{n}" for n in ("resnet34", "vgg19", "densenet")
    }
    assert {name for name in ids if name.startswith("hu/")} == {"hu/own/ca_simam_sc"}
    assert not {
        name for name in ids if name.startswith("zhang/")
    }  # three decimals of 3,589 pictures are always possible
    fer2013 = {name for name in ids if name.startswith("gu/fer2013/")}
    assert {str(claim(name).percent) for name in fer2013} == {"74.26", "69.92", "71.67", "72.45"}
    ckplus = {str(claim(name).percent) for name in ids if name.startswith("gu/ckplus/")}
    assert "98.35" in ckplus
    for value in ckplus:
        shares = [100 * right / n for n in range(433, 440) for right in range(n + 1)]
        assert not any(f"{share:.2f}" == value or f"{int(100 * share) / 100:.2f}" == value for share in shares), value


@pytest.mark.parametrize(
    ("gain", "disagreeing"), [(12, 38), (-12, 38), (9, 39), (1, 1), (5, 5), (0, 10), (0, 0), (3, 4)]
)
def test_mcnemars_p_is_that_of_a_fair_coin(gain, disagreeing):
    n = disagreeing + (disagreeing - gain) % 2
    more = (n + abs(gain)) // 2
    tail = sum(comb(n, k) for k in range(more, n + 1)) / 2**n
    assert evidence.mcnemar_p(gain, disagreeing) == pytest.approx(min(1, 2 * tail))


def test_none_of_hus_gains_is_told_from_zero_on_its_pictures():
    gains = {claim.id for claim in list_claims("hu") if claim.kind == "gain"}
    assert found(UNDECIDABLE) == gains
    assert "12 of 378" in paper_finding(claim("hu/own/ca_simam_sc/gain_fer2013")).sentence
    assert "p = 0.07" in paper_finding(claim("hu/own/ca_simam_sc/gain_fer2013")).sentence
    larger = dataclasses.replace(claim("hu/own/ca_simam_sc/gain_fer2013"), value=0.06, printed="")
    assert paper_finding(larger) is None


def test_our_nets_disagree_as_much_as_is_assumed():
    records, _ = read_records(ROOT / "results" / "runs")
    measured = evidence.disagreement(Study(records))
    assert evidence.DISAGREEMENT[0] <= measured <= evidence.DISAGREEMENT[1]
    assert evidence.disagreement(Study()) is None


def test_the_table_has_every_finding_once():
    table = evidence.evidence_table(Study())
    assert table.columns.tolist() == list(evidence.COLUMNS)
    words = table["finding"].value_counts()
    assert words["counted right"] + words["counted otherwise"] == 15
    assert words[UNDECIDABLE] == 10  # two recipes test each of hu's ten
    named = set(" ".join(table["claims"]).split())
    assert named >= found(CONTRADICTED) | found(IMPOSSIBLE) | found(UNDECIDABLE)
    assert named <= {claim.id for claim in list_claims()}
    plain = table[table["calculation"].str.contains("in place of a gain")]
    assert sorted(plain["claims"]) == ["gu/ckplus/basic_joint_gain", "gu/ckplus/psa_gain"]
    assert plain["calculation"].str.contains("has 97.80").all()
