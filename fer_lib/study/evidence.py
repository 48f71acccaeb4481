"""What can be said of the papers' numbers before anything is trained: from their own tables, and by counting.

* contradicted by its own table: the text prints a gain that no two rows of one table have as their difference;
* impossible on that test set: no whole number of the test pictures that the paper states, or that its other
  accuracies imply, gives the printed one, rounded or cut: it is not the result of one run on them;
* undecidable from the paper's own data: on the paper's test pictures the gain cannot be told from zero, were the two
  nets as unlike each other as ours are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib.claims import FOUR_A_SEQUENCE, Claim, list_claims
from fer_lib.data.catalog import dataset_title
from fer_lib.data.facts import DATASETS, load_facts
from fer_lib.recipe import claimed_papers, load_papers
from fer_lib.study.columns import Column, table_of
from fer_lib.study.exploration import count_table
from fer_lib.study.modules import module_comparisons
from fer_lib.study.results import Study, once
from fer_lib.study.verdicts import NOT_TESTABLE
from fer_lib.texts import formatted

CONTRADICTED = "contradicted by its own table"
IMPOSSIBLE = "impossible on that test set"
UNDECIDABLE = "undecidable from the paper's own data"

DISAGREEMENT = (0.10, 0.15)
"""Shares of the test pictures of which one of two nets alone is right: what our nets with and without attention show
(:func:`disagreement`), and half as much again."""

LEVEL = 0.05
"""A gain with a smaller p is told from zero."""

LARGEST_SET = 20_000
"""Test sets up to this size are tried."""

ROUNDED, CUT = ROUND_HALF_UP, ROUND_DOWN


@dataclass(frozen=True)
class Finding:
    """What is found of a claim.

    Attributes:
        word: the finding, in a word or two.
        sentence: the calculation, or why there is none.
        place: where the paper prints the claim.
        runs: what it rests on, run ids.
    """

    word: str
    sentence: str
    place: str
    runs: tuple[str, ...] = ()


def paper_finding(claim: Claim) -> Finding | None:
    """What the paper's own numbers say of a claim; None where they leave it open."""
    for look in (_against_its_table, _on_its_test_set, _on_its_pictures):
        if found := look(claim):
            return found
    return None


# ---------------------------------------------------------------- the text against the tables


def _is_printed_accuracy(claim: Claim) -> bool:
    return claim.kind == "level" and claim.metric == "accuracy" and bool(claim.tables) and claim.percent is not None


def table_levels(paper: str) -> list[Claim]:
    """The accuracies that a paper's tables print, each once, however many recipes test it."""
    found: dict[tuple[Any, ...], Claim] = {}
    for claim in filter(_is_printed_accuracy, list_claims(paper)):
        found.setdefault((claim.dataset, claim.split, claim.place, claim.percent), claim)
    return list(found.values())


def _rows(claim: Claim, recipe: str | None) -> list[Claim]:
    """The rows of a paper's tables that one recipe tests, on the data of a claim."""
    wanted = (recipe, claim.dataset, claim.split)
    return [row for row in table_levels(claim.paper) if (row.recipe, row.dataset, row.split) == wanted]


def _against_its_table(claim: Claim) -> Finding | None:
    if claim.kind != "gain" or not claim.printed or claim.percent is None:
        return None
    printed = claim.exact
    found, differences = [], []
    for ours, base in product(_rows(claim, claim.recipe), _rows(claim, claim.baseline)):
        difference = ours.exact - base.exact
        for table in sorted(ours.tables & base.tables):
            found.append(f"{table} has {ours.exact} \N{MINUS SIGN} {base.exact} = {formatted(difference, '')}")
            differences.append(difference)
    if not found or any(
        difference.quantize(printed, way) == printed for difference in differences for way in (ROUNDED, CUT)
    ):
        return None
    return Finding(CONTRADICTED, f"the text says {claim.printed}; {'; '.join(found)}", claim.place)


# ---------------------------------------------------------------- whole pictures


def is_possible(printed: Decimal, pictures: int, ways: Iterable[str] = (ROUNDED, CUT)) -> bool:
    """Whether a whole number of pictures, as a percentage of all of them, is printed like this.

    Args:
        printed: a percentage; its decimals count.
        pictures: in the test set.
        ways: of shortening the percentage, :data:`ROUNDED` or :data:`CUT`.
    """
    return any(bool(_sizes_that_allow(printed, way)[pictures]) for way in ways)


def _sizes_that_allow(printed: Decimal, way: str) -> np.ndarray:
    """Of every size of a test set whether it allows a percentage: bool [LARGEST_SET + 1]; no picture allows none."""
    decimals = -int(printed.as_tuple().exponent)
    return _sizes_of(int(printed.scaleb(decimals)), 100 * 10**decimals, way)


@cache  # by whole numbers: 66 and 66.0, which are other prints, are equal
def _sizes_of(value: int, units: int, way: str) -> np.ndarray:
    """The same of a percentage that is ``value`` of ``units`` steps, as its last decimal counts them, from 0 to 100."""
    pictures = np.arange(LARGEST_SET + 1, dtype=np.int64)
    if way == CUT:  # value <= units * right / pictures < value + 1
        right = -(-value * pictures // units)
        fits = units * right < (value + 1) * pictures
    else:  # both halves may be rounded to the value
        right = -(-(2 * value - 1) * pictures // (2 * units))
        fits = 2 * units * right <= (2 * value + 1) * pictures
    return fits & (right <= pictures) & (pictures > 0)


def smallest_test_set(printed: Sequence[Decimal], ways: Iterable[str] = (ROUNDED, CUT), but: int = 0) -> int | None:
    """The fewest pictures on which every percentage is possible; None above :data:`LARGEST_SET`.

    Args:
        printed: percentages of one test set.
        ways: of shortening; each percentage by any of them.
        but: so many of the percentages need not be possible.
    """
    allowed = np.stack([np.logical_or.reduce([_sizes_that_allow(value, way) for way in ways]) for value in printed])
    sizes = np.flatnonzero(allowed.sum(0) >= len(printed) - but)
    sizes = sizes[sizes > 0]
    return int(sizes[0]) if sizes.size else None


def stated_sizes(claim: Claim) -> range | None:
    """The sizes that the test set of a level may have by what its paper says; None where it says nothing.

    FER2013's parts are counted by the papers. A third of CK+ is taken class by class, so that it may be off by half
    of the classes. Of unpublished pictures it is the smallest size that allows all accuracies but one.
    """
    if claim.dataset == "own":
        size = smallest_test_set([c.exact for c in table_levels(claim.paper)], but=1)
        return range(size, size + 1) if size else None
    for count in list_claims(claim.paper):
        if count.kind != "count" or count.dataset != claim.dataset:
            continue
        if count.split == "train, val, test" and claim.split in ("val", "test", "unstated"):
            size = count.values[1 if claim.split == "val" else 2]
            return range(size, size + 1)
        if count.metric == FOUR_A_SEQUENCE and claim.split == "2:1":
            third = round(count.values[0] / 3)
            return range(third - 3, third + 4)
    return None


def _on_its_test_set(claim: Claim) -> Finding | None:
    if not _is_printed_accuracy(claim):
        return None
    sizes = stated_sizes(claim)
    if sizes is None or any(is_possible(claim.exact, size) for size in sizes):
        return None
    size = sizes[len(sizes) // 2]
    below = int(claim.exact * size / 100)
    near = " and ".join(f"{right:,} are {100 * right / size:.3f} %" for right in (below, below + 1))
    others = f", nor of {sizes[0]} to {sizes[-1]}, as a third of every class may be rounded" if len(sizes) > 1 else ""
    inferred = (
        " (the smallest test set that allows all other accuracies of the paper)" if claim.dataset == "own" else ""
    )
    sentence = f"{claim.percent} % is no whole number of {size:,} pictures{inferred}: {near}{others}"
    return Finding(IMPOSSIBLE, sentence, claim.place)


# ---------------------------------------------------------------- gains on few pictures


def mcnemar_p(gain: int, disagreeing: int) -> float:
    """McNemar's exact two-sided p of a gain.

    Args:
        gain: pictures that the one net alone has right, less those that the other alone has right.
        disagreeing: pictures that one of them alone has right; one more is taken where the gain asks for it.
    """
    disagreeing = max(disagreeing, abs(gain))
    disagreeing += (disagreeing - gain) % 2
    return float(stats.binomtest((disagreeing + gain) // 2, disagreeing).pvalue) if disagreeing else 1.0


def _on_its_pictures(claim: Claim) -> Finding | None:
    """A gain on unpublished pictures: those on others are for our own runs to judge."""
    if claim.kind != "gain" or claim.dataset != "own":
        return None
    sizes = stated_sizes(claim)
    if sizes is None:
        return None
    size = sizes[0]
    gain = round(claim.number * size)
    p = {share: mcnemar_p(gain, round(share * size)) for share in DISAGREEMENT}
    if min(p.values()) < LEVEL:
        return None
    told = ", ".join(f"p = {value:.2f} if they disagree on {100 * share:.0f} % of them" for share, value in p.items())
    few = abs(gain)  # p grows with the pictures they disagree on
    while mcnemar_p(gain, few) < LEVEL:
        few += 2
    least = f"only on fewer than {few} pictures" if few > abs(gain) else "on no number of pictures"
    sentence = f"{gain} of {size} pictures between two nets (McNemar, exact): {told}; p < {LEVEL} {least}"
    return Finding(UNDECIDABLE, sentence, claim.place)


def disagreement(study: Study) -> float | None:
    """Of how many test pictures one of two of our nets alone is right, of which one has a module: a share.

    Args:
        study: the study's results; of these the modules that our own papers compare on FER2013, at every seed.

    Returns:
        The mean over the pairs; None without one.
    """
    compared = module_comparisons(study)
    compared = compared[(compared["dataset"] == "fer2013") & ~compared["paper"].isin(claimed_papers())]
    pairs = compared[["recipe", "baseline"]]
    right = {name: group.answers().correct for name in np.unique(pairs) if (group := study.full(name))}
    shares = [
        float(np.mean(ours != base))
        for net, baseline in pairs.itertuples(index=False)
        for ours in right[net]
        for base in right[baseline]
    ]
    return float(np.mean(shares)) if shares else None


# ---------------------------------------------------------------- as a table

COLUMNS = ("paper", "place", "printed", "finding", "calculation", "claims")
SHOWN = (
    Column("paper", lambda row: "{paper:paper}" if row["paper"] else "the data"),
    *(Column(key, f"{{{key}}}") for key in COLUMNS[1:]),
)


@once
def evidence_table(study: Study, paper: str | None = None) -> pd.DataFrame:
    """All that is known of the papers' numbers without a run of their recipes.

    Args:
        study: the study's results, for what our nets disagree on.
        paper: only this paper's.

    Returns:
        One row per finding: paper, place, printed (what the paper has there), finding (its word), calculation (in
        words), claims (ids of those it is about, separated by spaces).
    """
    rows = [*_of_claims(), *_of_baselines(), *_of_tables(), *_of_counts()]
    if (measured := disagreement(study)) is not None:
        calculation = f"two nets of ours, with and without attention, disagree on {100 * measured:.1f} % of PrivateTest"
        rows.append(("hu", "our runs", "", "measured", calculation, ""))  # what hu's gains are held against
    return table_of([row for row in rows if paper in (None, row[0])], COLUMNS)


Row = tuple[str, str, str, str, str, str]


def _of_claims() -> Iterator[Row]:
    """Claim by claim; those that test one printed number in several ways share a row."""
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    for claim in list_claims():
        if finding := paper_finding(claim):
            value = f"{formatted(claim.exact, '+f')} points" if claim.kind == "gain" else f"{claim.exact:f} %"
            printed = f"{claim.system.removesuffix(', at 224 px')}: {value}"
            row = (claim.paper, finding.place, printed, finding.word, finding.sentence)
            found.setdefault(row, []).append(claim.id)
    for row, claims in found.items():
        yield (*row, " ".join(claims))


def _of_baselines() -> Iterator[Row]:
    """Gains that are none over another of the paper's own rows of the same baseline."""
    for claim in list_claims():
        if claim.kind != "gain" or claim.number <= 0 or _against_its_table(claim):
            continue
        sides = (_rows(claim, recipe) for recipe in (claim.recipe, claim.baseline))
        ours, best = (max(rows, key=lambda row: row.number, default=None) for rows in sides)
        if ours and best and best.number > ours.number:
            difference = formatted(ours.exact - best.exact, "+")
            sentence = f"{best.place}, has {best.exact} without it: {difference} in place of a gain"
            printed = f"{claim.system}: {ours.exact} %, {claim.exact:+} over {ours.exact - claim.exact} %"
            yield claim.paper, f"{ours.place}, against {best.place}", printed, CONTRADICTED, sentence, claim.id


def _of_tables() -> Iterator[Row]:
    """Paper by paper and dataset by dataset: on which test sets the tables' accuracies are possible together."""
    families: dict[tuple[str, str], tuple[int, list[Claim]]] = {}
    for paper in load_papers():
        for claim in table_levels(paper):
            if sizes := stated_sizes(claim):
                _, claims = families.setdefault((paper, claim.dataset), (sizes[len(sizes) // 2], []))
                claims.append(claim)
    for (paper, dataset), (stated, claims) in families.items():
        printed = [claim.exact for claim in claims]
        tried = [stated]
        if dataset == "ckplus":  # a third of CK+48, all of it, and all of the paper's own pictures
            here = len(load_facts(dataset).faces)
            tried += [here // 3, here, 3 * stated]
        counts = [
            f"{sum(is_possible(value, size) for value in printed)} on {size:,}"
            f" ({sum(is_possible(value, size, [ROUNDED]) for value in printed)} if rounded)"
            for size in tried
        ]
        fits = all(is_possible(value, stated) for value in printed)
        sentence = (
            f"possible, rounded or cut: {', '.join(counts)}; the smallest test set that allows all has "
            f"{_size_words(smallest_test_set(printed))} pictures "
            f"({_size_words(smallest_test_set(printed, [ROUNDED]))} if rounded)"
        )
        place = ", ".join(sorted(frozenset().union(*(claim.tables for claim in claims))))
        yield (
            paper, place, f"{len(claims)} accuracies on {dataset_title(dataset)}",
            "possible on that test set" if fits else IMPOSSIBLE, sentence, " ".join(claim.id for claim in claims),
        )  # fmt: skip


def _size_words(size: int | None) -> str:
    return f"more than {LARGEST_SET:,}" if size is None else f"{size:,}"


def _of_counts() -> Iterator[Row]:
    """The pictures that the papers count, against the datasets' labels."""
    table = count_table([load_facts(name).faces for name in DATASETS])
    counts = [claim for claim in list_claims() if claim.kind == "count"]
    for claim, row in zip(counts, table.itertuples(), strict=True):
        word = {"yes": "counted right", "no": "counted otherwise"}.get(row.agree, NOT_TESTABLE)
        here = f"the data give {row.here}" if row.agree in ("yes", "no") else "the pictures are not known here"
        yield claim.paper, claim.place, f"{row.data}: {row.printed}", word, here, claim.id
