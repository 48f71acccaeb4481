"""The answer so far, in sentences that the tables carry; a front page links the numbers, a README does not."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from fer_lib.claims import Claim, list_claims
from fer_lib.nets import parse
from fer_lib.queue.plan import choose_recipes, matrix
from fer_lib.recipe import claimed_papers, get_recipe, headlines, load_papers
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import UNDECIDABLE, evidence_table
from fer_lib.study.gains import READINGS, ablation_table
from fer_lib.study.modules import linked_gain, module_comparisons, net_words, trained_on
from fer_lib.study.results import MIN_SEEDS, Study, once
from fer_lib.study.statements import statement_table
from fer_lib.study.verdicts import FROM_RUNS, NOT_RUN, NOT_TESTABLE
from fer_lib.texts import added_part, interval, many, numeral, span


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
        Markdown: a paragraph with a list of what has been compared, and a paragraph on the papers' numbers.
    """
    compared = ablation_table(study)
    attention = attention_sentences(
        module_comparisons(study),
        ablation_table(study, claimed=False, question="alike"),
        ablation_table(study, claimed=False, question="start"),
        compared[[_trained_otherwise(row) for _, row in compared.iterrows()]],
        progress(study),
    )
    printed = printed_sentences(claim_table(study), evidence_table(study), statement_table(study))
    text = f"{attention}\n\n{printed}"
    return text if links else without_links(text)


def net_by_net(study: Study, links: bool = False) -> str:
    """What modules do to each net, as a Markdown list.

    Args:
        study: the study's results.
        links: whether numbers link the report's pages.
    """
    text = net_sentences(module_comparisons(study))
    return text if links else without_links(text)


def without_links(markdown: str) -> str:
    """The same text, of its links only the words."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


# ---------------------------------------------------------------- attention


def attention_sentences(
    plain: pd.DataFrame, alike: pd.DataFrame, start: pd.DataFrame, trainings: pd.DataFrame, state: Progress
) -> str:
    """What modules add: the study with most of them in numbers, the readings of the others, and what else was tried.

    Args:
        plain: of :func:`module_comparisons`.
        alike: those with plain nets that start as the modules leave theirs.
        start: those of nets that start otherwise, the modules' with whole branches among them.
        trainings: those of nets that differ in their loss function or augmentation alone.
        state: of :func:`progress`.
    """
    trained = "No headline training of the papers has three full runs yet"
    if state.headlines:
        have = "has" if state.headlines == 1 else "have"
        trained = f"Of the papers' {state.of_headlines} headline trainings {state.headlines} {have} three full runs"
    done = f"{state.done:,} of {state.planned:,} planned [runs](runs.html) are done"
    found = [" ".join(filter(None, [f"**{verdict_words(plain, state)}**", _how_many(plain), f"{trained}: {done}."]))]
    if studies := _studies(plain):
        first, *others = studies
        found.append(
            " ".join(filter(None, [_study_sentences(first, brief=False), _start_sentence(first, alike, start)]))
        )
        if others:
            found.append(_further_sentences(pd.concat(others), first["epochs"].max()))
    if len(trainings):
        found.append(_other_sentences(trainings))
    return "\n- ".join(found)


def net_sentences(plain: pd.DataFrame) -> str:
    """A list: what modules do to the nets of each study, what holds in a small net need not hold in another.

    Args:
        plain: of :func:`module_comparisons`.
    """
    text = "\n".join(f"- {_study_sentences(rows, brief=True)}" for rows in _studies(plain))
    for word, meaning in STANDINGS.items():  # explained once
        first, *later = text.split(meaning)
        text = first + (meaning + word.join(later) if later else "")
    return text


def _studies(plain: pd.DataFrame) -> list[pd.DataFrame]:
    """Comparisons of a paper's file each: our controlled ones first, then the files with most."""
    studies = [rows for _, rows in plain.groupby("paper", sort=False)]
    return sorted(studies, key=lambda rows: (rows["paper"].iloc[0] not in ("control", "narrow"), -len(rows)))


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
    others = read[read["reading"] != "gain"]
    if others.empty or len(read) < 2:
        return ""
    if len(others) < len(read):
        return f"Of the others {_readings(others)}."
    comparisons = f"{numeral(len(read))} comparisons of the same net with and without a module"
    return f"Of {comparisons} none is a gain, {_readings(read)}."


def _further_sentences(rows: pd.DataFrame, epochs: int) -> str:
    """How many comparisons in further nets have which reading: those trained no longer than the first, and the rest."""
    longer = rows["epochs"] > epochs
    found = []
    for chosen, where in ((rows[~longer], "{} further net{}, {}"), (rows[longer], "{} net{} in longer trainings, {}")):
        if len(chosen):
            nets, lengths = chosen["baseline"].nunique(), sorted(set(chosen["epochs"]))
            trained = span(numeral(lengths[0]), numeral(lengths[-1])) + f" epoch{'s' * (lengths[-1] != 1)}"
            told = where.format(numeral(nets), "s" * (nets != 1), trained).capitalize()
            none = "" if (chosen["reading"] == "gain").any() else "none is a gain, "
            comparisons = many(len(chosen), "comparison", numeral)
            found.append(f"{told}: of {comparisons} {none}{_readings(chosen)}.")
    return " ".join(found)


def _readings(rows: pd.DataFrame) -> str:
    """``two are losses and one is undecided``."""
    numbers = rows["reading"].value_counts()
    said = [
        f"{numeral(numbers[word])} {more if numbers[word] > 1 else one}"
        for word, (one, more) in SAID.items()
        if word in numbers
    ]
    return _joined(said)


SAID = {
    "gain": ("is a gain", "are gains"),
    "loss": ("is a loss", "are losses"),
    "within ±1 point": ("lies within ±1 point", "lie within ±1 point"),
    "undecided": ("is undecided", "are undecided"),
}
"""What is said of one comparison and of more, by the reading."""


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
    """What modules add to a net; in brief the least and the most of it.

    In brief modules that all read within a point have no interval, as the reading is one.
    """
    paper, baseline = rows["paper"].iloc[0], get_recipe(rows["baseline"].iloc[0])
    about = load_papers()[paper]["paper"]
    same = brief and (rows["reading"] == "within ±1 point").all()
    effects = [
        _effect(row, not same) for _, row in rows.round({"gain": 6}).sort_values("gain", kind="stable").iterrows()
    ]
    listed = _ends(effects) if brief else ", ".join(effects)
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


def _effect(row: pd.Series, with_interval: bool = False) -> str:
    """``SE −1.1 (−1.8 to −0.5)``."""
    name = added_part(row["system"], get_recipe(row["baseline"]).title)
    return f"{name} {linked_gain(row)}" + f" ({interval(row['low'], row['high'])})" * with_interval


def _effects(rows: pd.DataFrame) -> list[str]:
    return [_effect(row) for _, row in rows.sort_values("gain", kind="stable").iterrows()]


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


def _start_sentence(rows: pd.DataFrame, alike: pd.DataFrame, start: pd.DataFrame) -> str:
    """What is left of a study's losses beside plain nets whose residual branches start as small, and whole."""
    lost = rows[rows["reading"] == "loss"].set_index("recipe")["gain"]
    beside = alike[alike["reading"].isin(READINGS) & alike["recipe"].isin(lost.index)]
    beside = beside[["branch_scale" in get_recipe(name).model_options for name in beside["baseline"]]]
    if beside.empty:
        return ""
    left = beside["gain"].sum() / lost[beside["recipe"]].sum()
    share = "Most" if left < 0.5 else "Some" if left < 1 else "None"
    has_module = start["recipe"].map(lambda name: bool(parse(get_recipe(name).model)[1])).astype(bool)
    whole = start[start["reading"].isin(READINGS) & start["baseline"].isin(rows["baseline"]) & has_module]
    whole = whole.assign(system=whole["system"].str.removesuffix(", branches whole at the start"))
    text = (
        f"{share} of that loss goes with the small initial scale of the branches: over nets of that scale, "
        f"{_ends(_effects(beside))}"
    )
    return f"{text}; with branches whole at the start, {_ends(_effects(whole))}." if len(whole) else f"{text}."


def _ends(effects: Sequence[str]) -> str:
    """The first and the last of some effects; two or one as they are."""
    return f"{effects[0]} to {effects[-1]}" if len(effects) > 2 else ", ".join(effects)


# ---------------------------------------------------------------- losses and augmentation


def _trained_otherwise(row: pd.Series) -> bool:
    """Whether a comparison has a reading, and is of one net under two loss functions or augmentations."""
    ours, theirs = get_recipe(row["recipe"]), get_recipe(row["baseline"] or row["recipe"])
    same = (ours.model, ours.model_options) == (theirs.model, theirs.model_options)
    return row["reading"] in READINGS and same and (ours.loss, ours.augment) != (theirs.loss, theirs.augment)


def _other_sentences(rows: pd.DataFrame) -> str:
    """What loss functions and augmentations add to the same net, training by training, the largest gain first."""
    trainings = rows["recipe"].map(lambda name: trained_on(get_recipe(name)))
    groups = sorted((those for _, those in rows.groupby(trainings)), key=lambda those: -those["gain"].max())
    first, *later = [f"{trained_on(get_recipe(those['recipe'].iloc[0]))}: {_by_reading(those)}." for those in groups]
    return " ".join([f"Loss functions and augmentations, {first}", *(text[0].upper() + text[1:] for text in later)])


def _by_reading(rows: pd.DataFrame) -> str:
    """``crop alone +3.7 (+2.5 to +4.9) is a gain; one is undecided``."""
    found = []
    for reading, (one, more) in SAID.items():
        chosen = rows[rows["reading"] == reading].sort_values("gain", ascending=False, kind="stable")
        parts = [
            f"{_changed(row)} {linked_gain(row)}"
            + ("" if reading == "within ±1 point" else f" ({interval(row['low'], row['high'])})")
            for _, row in chosen.iterrows()
        ]
        if parts:
            told = numeral(len(parts)) if reading == "undecided" else _joined(parts)
            found.append(f"{told} {more if len(parts) > 1 else one}")
    return "; ".join(found)


def _changed(row: pd.Series) -> str:
    """What differs in a training, from the titles: ``crop alone``; what only its baseline is said to lack."""
    ours, theirs = row["system"].split(", "), get_recipe(row["baseline"]).title.split(", ")
    added = [part for part in ours if part not in theirs]
    lacking = [part.removeprefix("no ") for part in theirs if part not in ours]
    return " ".join(added or lacking)


def _joined(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


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
