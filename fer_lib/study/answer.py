"""The answer so far, in sentences that the tables carry; a front page links the numbers, a README does not."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from fer_lib.claims import Claim, list_claims
from fer_lib.queue.plan import choose_recipes, matrix
from fer_lib.recipe import claimed_papers, get_recipe, headlines, load_papers
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import UNDECIDABLE, evidence_table
from fer_lib.study.gains import READINGS, ablation_table
from fer_lib.study.modules import linked_gain, module_comparisons, net_words, trained_on
from fer_lib.study.results import MIN_SEEDS, Study, once
from fer_lib.study.statements import statement_table
from fer_lib.study.verdicts import FROM_RUNS, NOT_RUN, NOT_TESTABLE
from fer_lib.texts import added_part, interval, numeral, span

SHOWN = 5
"""Studies whose nets the answer tells, a line each; of further ones it counts the readings."""


class Progress(NamedTuple):
    """How far the study is.

    Attributes:
        done: planned runs that are recorded.
        planned: planned runs.
        headlines: recipes that the papers are quoted for, with at least three seeds of full length.
        of_headlines: such recipes.
    """

    done: int
    planned: int
    headlines: int
    of_headlines: int


def answer(study: Study, links: bool = False) -> str:
    """What the runs say of attention, and what there is to say of the papers' numbers.

    Args:
        study: the study's results.
        links: whether numbers link the report's pages.

    Returns:
        Markdown: a paragraph with a list of the nets tried, and a paragraph on the papers' numbers.
    """
    alike = ablation_table(study, claimed=False, question="alike")
    attention = attention_sentences(module_comparisons(study), alike, progress(study))
    printed = printed_sentences(claim_table(study), evidence_table(study), statement_table(study))
    text = f"{attention}\n\n{printed}"
    return text if links else without_links(text)


def without_links(markdown: str) -> str:
    """The same text, of its links only the words."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


# ---------------------------------------------------------------- attention


def attention_sentences(plain: pd.DataFrame, alike: pd.DataFrame, state: Progress) -> str:
    """What modules add, net by net: what holds in a small net need not hold in another.

    Args:
        plain: of :func:`module_comparisons`.
        alike: those with plain nets that start as the modules leave theirs.
        state: of :func:`progress`.
    """
    studies = [rows for _, rows in plain.groupby("paper", sort=False)]
    studies.sort(key=lambda rows: (rows["paper"].iloc[0] not in ("control", "narrow"), -len(rows)))
    found = [
        " ".join(filter(None, [_study_sentences(rows, brief=number > 0), _start_sentence(rows, alike)]))
        for number, rows in enumerate(studies[:SHOWN])
    ]
    if studies[SHOWN:]:
        further = pd.concat(studies[SHOWN:])
        counts = further["reading"].value_counts()
        found.append(
            f"{numeral(further['baseline'].nunique()).capitalize()} further nets, {len(further)} comparisons: "
            f"[{_listed(_counted(counts, READINGS))}](gains.html)."
        )
    trained = "No headline training of the papers has three full runs yet"
    if state.headlines:
        have = "has" if state.headlines == 1 else "have"
        trained = f"Of the papers' {state.of_headlines} headline trainings {state.headlines} {have} three full runs"
    done = f"{state.done:,} of {state.planned:,} planned [runs](runs.html) are done"
    first = f"**{verdict_words(plain, state)}** {_how_many(plain)}{trained}: {done}."
    text = "\n- ".join(filter(None, [first, *found]))
    for word, meaning in STANDINGS.items():  # explained once
        first, *later = text.split(meaning)
        text = first + (meaning + word.join(later) if later else "")
    return text


def verdict_words(read: pd.DataFrame, state: Progress) -> str:
    """The answer in a few words.

    Args:
        read: comparisons that have a reading.
        state: of :func:`progress`.
    """
    gains = int((read["reading"] == "gain").sum())
    if read.empty:
        return "Not known yet."
    if not gains:
        complete = state.headlines == state.of_headlines
        return "Not shown." if complete else "Not shown so far, and not yet ruled out."
    return (
        "Yes, in every comparison so far." if gains == len(read) else f"In {gains} of {len(read)} comparisons so far."
    )


def _how_many(read: pd.DataFrame) -> str:
    """How many comparisons have which reading; nothing where the few words before say it."""
    numbers = read["reading"].value_counts().drop("gain", errors="ignore")
    if numbers.empty or len(read) < 2:
        return ""
    said = [
        f"{numeral(numbers[word])} {more if numbers[word] > 1 else one}"
        for word, (one, more) in SAID.items()
        if word in numbers
    ]
    listed = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
    if numbers.sum() < len(read):
        return f"Of the others {listed}. "
    return f"Of {numeral(len(read))} comparisons none is a gain, {listed}. "


SAID = {
    "loss": ("is a loss", "are losses"),
    "within ±1 point": ("lies within ±1 point", "lie within ±1 point"),
    "undecided": ("is undecided", "are undecided"),
}
"""What is said of one comparison that is no gain, and of more, by the reading."""


def _study_sentences(rows: pd.DataFrame, brief: bool) -> str:
    """What the modules of a study add, a sentence a net; in brief, our own nets that are trained alike share one."""
    nets = rows["baseline"]
    if brief and rows["paper"].iloc[0] not in claimed_papers():
        nets = nets.map(lambda name: trained_on(get_recipe(name)))
    sentences = [_net_sentence(of_net, brief) for _, of_net in rows.groupby(nets, sort=False)]
    seeds = span(numeral(rows["seeds"].min()), numeral(rows["seeds"].max()))
    marks = "; ".join(words for standing, words in STANDINGS.items() if standing in set(rows["standing"]))
    return f"{'. '.join(sentences)}; {seeds} seeds each ({marks})."


def _net_sentence(rows: pd.DataFrame, brief: bool) -> str:
    """What modules add to a net: the least and the most of it.

    In brief modules that all read within a point have no interval, as the reading is one.
    """
    paper, baseline = rows["paper"].iloc[0], get_recipe(rows["baseline"].iloc[0])
    about = load_papers()[paper]["paper"]
    same = brief and (rows["reading"] == "within ±1 point").all()
    effects = [
        f"{added_part(row['system'], get_recipe(row['baseline']).title)} {linked_gain(row)}"
        + ("" if same else f" ({interval(row['low'], row['high'])})")
        for _, row in rows.round({"gain": 6}).sort_values("gain", ascending=False, kind="stable").iterrows()
    ]
    listed = f"{effects[-1]} to {effects[0]}" if len(effects) > 2 else ", ".join(effects)
    net = about["idea"] if rows["baseline"].nunique() > 1 else net_words(baseline)
    short = about.get("short", "")
    if paper in claimed_papers() and short not in net:
        net = f"{short}'s {net}"
    return (
        f"{net[0].upper()}{net[1:]}, {trained_on(baseline)}: "
        f"{_outcome(rows, 'nets with a module' if brief else 'modules')} "
        f"{'the same' if brief else 'the same net'} without it: {listed}"
        f"{'' if brief else ' points, with 95 % intervals'}"
    )


def _outcome(rows: pd.DataFrame, modules: str) -> str:
    """What modules do to a net: ``none of five modules beats, and four fall behind,``.

    Args:
        rows: comparisons with it.
        modules: what they are called.
    """
    gain, loss, same = (int((rows["reading"] == word).sum()) for word in ("gain", "loss", "within ±1 point"))
    if len(rows) == 1:
        return ALONE[rows["reading"].iloc[0]]
    if same == len(rows):
        return f"{'both' if same == 2 else f'all {numeral(same)}'} {modules} lie within ±1 point (90 % intervals) of"
    none = "neither" if len(rows) == 2 else "none"
    beaten = f"{numeral(gain) if gain else none} of {numeral(len(rows))} {modules} beat{'s' if gain < 2 else ''}"
    behind = f", and {numeral(loss)} fall{'s' if loss == 1 else ''} behind," if loss else ""
    return beaten + behind


ALONE = {
    "gain": "the module beats",
    "loss": "the module falls behind",
    "within ±1 point": "the module reads within ±1 point of",
    "undecided": "it is undecided whether the module beats",
}
"""What the only module does to the net, by its reading."""
STANDINGS = {
    "exploratory": "exploratory: rules came after the first runs",
    "confirmed": "confirmed by runs made after the rules were registered",
    "confirmatory": "confirmatory: run under registered rules",
}


def _start_sentence(rows: pd.DataFrame, alike: pd.DataFrame) -> str:
    """What is left of a study's losses beside plain nets whose residual branches start as small."""
    lost = rows[rows["reading"] == "loss"].set_index("recipe")["gain"]
    beside = alike[alike["reading"].isin(READINGS) & alike["recipe"].isin(lost.index)]
    beside = beside[[bool(get_recipe(name).model_options.get("branch_scale")) for name in beside["baseline"]]]
    if beside.empty:
        return ""
    left = beside["gain"].sum() / lost[beside["recipe"]].sum()
    share = "Most" if left < 0.5 else "Some" if left < 1 else "None"
    found = [
        f"{added_part(row['system'], get_recipe(row['baseline']).title)} {linked_gain(row)}"
        for _, row in beside.sort_values("gain", kind="stable").iterrows()
    ]
    listed = f"{found[0]} to {found[-1]}" if len(found) > 2 else ", ".join(found)
    start = "the small initial scale of the branches: over nets of that scale"
    return f"{share} of that loss goes with {start}, {listed}."


# ---------------------------------------------------------------- printed numbers


def printed_numbers(claims: pd.DataFrame) -> pd.DataFrame:
    """The rows of a claim table that stand for numbers on paper, each number once.

    Differences of two printed rows, which we form, are left out. A number that is tested in several ways (other data,
    other sizes of the pictures) is spoken for by the test that is nearest to the paper.
    """
    printed = {claim.id: claim for claim in list_claims() if claim.kind != "gain" or claim.printed}
    rows = claims[claims["claim"].isin(printed)].sort_values("fidelity", kind="stable", na_position="last")
    keys = rows["claim"].map(lambda name: _number_key(printed[name]))
    return rows[~keys.duplicated()].sort_index()


def _number_key(claim: Claim) -> tuple[Any, ...]:
    system = claim.system.removesuffix(", at 224 px")
    return claim.paper, claim.dataset, claim.split, claim.kind, claim.metric, claim.class_name, system, claim.value


def printed_sentences(claims: pd.DataFrame, evidence: pd.DataFrame, statements: pd.DataFrame) -> str:
    """How many printed numbers have which verdict, and what the papers' own numbers say of the rest.

    Args:
        claims: of :func:`fer_lib.study.claim_table.claim_table`.
        evidence: of :func:`fer_lib.study.evidence.evidence_table`.
        statements: of :func:`fer_lib.study.statements.statement_table`.
    """
    numbers = printed_numbers(claims)
    verdicts = numbers["verdict"].value_counts()
    runs = _counted(verdicts, FROM_RUNS)
    settled = numbers["settled"] != ""
    free = numbers.loc[settled, "settled"].value_counts().to_dict()
    both = int((settled & numbers["verdict"].isin(FROM_RUNS)).sum())
    counts = evidence.loc[evidence["finding"].str.startswith("counted "), "finding"]
    right, counted = (counts == "counted right").sum(), len(counts)
    contradicted = statements["finding"].str.startswith("contradicted").sum()
    held = statements["finding"].str.startswith("holds").sum()
    alike = (evidence["finding"] == UNDECIDABLE).sum()
    sentences = [
        f"The {numeral(numbers['paper'].nunique())} papers print {len(numbers)} different accuracies, other scores "
        "and gains."
    ]
    if free:
        sentences.append(
            f"[{sum(free.values())} are settled](evidence.html) without a run of ours, by the papers' own tables and "
            f"test sets ({_listed(free)})."
        )
    if runs:
        again = f", {numeral(both)} of which {'is' if both == 1 else 'are'} settled without them" if both else ""
        sentences.append(f"Our runs have tested [{sum(runs.values())}](claims.html) ({_listed(runs)}){again}.")
    sentences.append(
        f"{verdicts.get(NOT_TESTABLE, 0)} cannot be tested, as their pictures are unpublished; "
        f"{verdicts.get(NOT_RUN, 0)} wait for runs of the papers' length. "
        f"Of {counted} printed counts of pictures [{right} agree](evidence.html#counts) with the data. "
        f"Of {len(statements)} [tests of statements in words](evidence.html#statements) {contradicted} contradict and "
        f"{held} agree, at least in part. On as few test pictures as one paper's accuracies imply, none of its "
        f"{alike} gains can be told from zero if its nets differ as ours do."
    )
    return " ".join(sentences)


# ---------------------------------------------------------------- how far the study is


@once
def progress(study: Study) -> Progress:
    """Runs done of those planned, and headlines with enough seeds."""
    names = {record.id for record in study.records}
    planned = matrix(choose_recipes())
    complete = [name for name in headlines() if (group := study.full(name)) and len(group.seeds) >= MIN_SEEDS]
    return Progress(sum(spec.run_id in names for spec in planned), len(planned), len(complete), len(headlines()))


def _counted(verdicts: pd.Series, words: Sequence[str]) -> dict[str, int]:
    return {word: int(verdicts[word]) for word in words if word in verdicts}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())
