"""Pages that gather: our comparisons, what the papers' own numbers say, methods and limitations."""

from typing import Any

import pandas as pd

from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import protocol_title
from fer_lib.recipe import claimed_papers, get_recipe, load_papers
from fer_lib.report import words
from fer_lib.report.front import leaked_of
from fer_lib.report.run_pages import pages_of
from fer_lib.study.answer import printed_numbers, progress
from fer_lib.study.audits import ceiling_table
from fer_lib.study.claim_table import claim_table
from fer_lib.study.columns import Column, readable
from fer_lib.study.evidence import COLUMNS, CONTRADICTED, IMPOSSIBLE, UNDECIDABLE, evidence_table
from fer_lib.study.gains import ablation_table, family_sentences
from fer_lib.study.modules import comparison_anchor
from fer_lib.study.results import Study
from fer_lib.study.statements import statement_table
from fer_lib.study.verdicts import OPEN
from fer_lib.texts import many

ASKED = {
    "": "{net}: what modules add",
    "start": "{net}: what the start of the branches takes away",
    "alike": "{net}: modules beside a plain net that starts as they do",
    "leak": "{net}: training without the copies of test pictures",
}


def limitations(study: Study) -> list[str]:
    """What keeps the study's answer from being more than it is."""
    leaked, tested = leaked_of("test")
    labels = ceiling_table().set_index(["labeller", "split"])["accuracy"]
    state = progress(study)
    return [
        f"{state.headlines} of the papers' {state.of_headlines} headline trainings have three full runs. "
        "Findings about modules hold for the nets and the lengths of training that are named beside them.",
        "FER2013's labels are noisy: the most frequent choice of FER+'s ten annotators is theirs on "
        f"{labels['FER+, most frequent choice', 'test']:.1f} % of PrivateTest. Small differences may be about "
        "labels, not faces.",
        f"{leaked} of the {tested:,} PrivateTest pictures also occur in training, pixel for pixel. Every accuracy on "
        "FER2013 counts them, as the papers' do.",
        "Of Hu, Tang, Zhu & Zhu only the abstract, captions and tables were at hand, and their pictures are "
        "unpublished. The abstract says channel attention (CA) and interval sampling (SC); that these are coordinate "
        "attention and space-to-depth is our reading.",
        "A test of fidelity C is a stand-in of ours and never excludes a printed number.",
        "Runs before the registration of the rules are exploratory: they were seen when the rules were written.",
    ]


# ---------------------------------------------------------------- our comparisons


def families(study: Study) -> tuple[list[dict[str, Any]], int]:
    """Every family of comparisons that has a gain, and how many comparisons have none."""
    tables = [(title, ablation_table(study, claimed=False, question=asked)) for asked, title in ASKED.items()]
    tables.append(("{paper}: its own ablation over {net}", ablation_table(study, claimed=True)))
    found, waiting, seen = [], 0, set()
    for title, table in tables:
        for _, rows in table.groupby((table["baseline"] == "").cumsum()):  # a plain net, then what is compared with it
            for named, compared in rows[1:].groupby("family", sort=False):
                known = compared[compared["gain"].notna()]
                waiting += len(compared) - len(known)
                if len(known):
                    family = _family(
                        f"{named[0].upper()}{named[1:]}" if named else title,
                        pd.concat([rows[:1], compared]),
                        known,
                        study,
                    )
                    for row in family["rows"]:
                        row["anchor"] = row["anchor"] if row["anchor"] not in seen else ""
                        seen.add(row["anchor"])
                    found.append(family)
    return found, waiting


COMPARED = (
    Column("system", "{system}"),
    Column("accuracy", "{accuracy:.2f}[ ± {sd:.2f}]"),
    Column("gain", "{gain:signed}"),
    Column("interval", "{low:signed} to {high:signed}"),
    Column("smallest", "{smallest:.1f}"),
    Column("reading", "{reading}"),
    Column("standing", "{standing}"),
)
"""A row of a family, by the names of the page's template."""


def _family(title: str, whole: pd.DataFrame, known: pd.DataFrame, study: Study) -> dict[str, Any]:
    baseline, known = whole.iloc[0], known.sort_values("gain", ascending=False, kind="stable")
    recipe = get_recipe(baseline["recipe"])
    net = baseline["system"][0].upper() + baseline["system"][1:]
    name = title.format(net=net, paper=words.paper(baseline["paper"])["short"])
    data = f"{dataset_title(recipe.dataset)}, {protocol_title(recipe.protocol)}, {many(recipe.epochs, 'epoch')}"
    return {
        "title": f"{name} ({dataset_title(recipe.dataset)})",
        "anchor": comparison_anchor(
            baseline["recipe"], title.split(":")[-1].strip().replace(" ", "-").replace("{net}", "net")
        ),
        "baseline": baseline["system"],
        "accuracy": f"{baseline['accuracy']:.2f}",
        "runs": pages_of(baseline["runs"].split(), study),
        "spread": family_sentences(whole),
        "caption": f"Gain over {baseline['system']}, {data}",
        "rows": [
            shown | {"anchor": comparison_anchor(row.recipe, row.baseline), "runs": pages_of(row.runs.split(), study)}
            for shown, row in zip(readable(known, COMPARED).to_dict("records"), known.itertuples(), strict=True)
        ],
    }


# ---------------------------------------------------------------- the papers' own numbers


def evidence_context(study: Study) -> dict[str, Any]:
    """What the page of the papers' own numbers holds."""
    table = evidence_table(study)
    settled = printed_numbers(claim_table(study))["settled"].value_counts()
    leaked, tested = leaked_of("test")
    counts = table[table["finding"].str.startswith("counted ")]
    right = int((counts["finding"] == "counted right").sum())
    found = {word: rows.assign(finding="") for word, rows in table.groupby("finding")}
    sections = [
        _section("impossible", "Accuracies that no test set of that size can give", found.get(IMPOSSIBLE),
                 "An accuracy is a whole number of right pictures over all pictures. No such number gives these, "
                 "rounded or cut, so that they are not the result of one run on the test pictures that the papers "
                 "state or imply: they come from other pictures, or are means over runs, folds or batches."),
        _section("swapped", "Gains that the tables contradict", found.get(CONTRADICTED),
                 "The text names a gain that its table does not have, or a gain over a weak row of a baseline that "
                 "the paper's other rows beat."),
        _section("small", "Gains on too few pictures", found.get(UNDECIDABLE),
                 "Hu, Tang, Zhu & Zhu's accuracies fit a test set of 378 pictures. On so few, gains of this size "
                 "cannot be told from zero if two nets disagree as often as ours do; a paired test of unusually "
                 "similar nets might."),
        _leaks(),
        _section("counts", "Numbers of pictures", counts, "The papers' counts beside the datasets'."),
        _statements(statement_table(study)),
    ]  # fmt: skip
    brief = [
        f"{settled.get(IMPOSSIBLE, 0)} printed accuracies are impossible on their test sets.",
        f"{settled.get(CONTRADICTED, 0)} printed gains are contradicted by the paper's own table; two of them, Gu & "
        "Jin's 3.5 and 4.3 points, are swapped between FER2013 and CK+.",
        "Zhang, Chen & Wei's conclusion calls a tie a win: 95.1 % on CK+, for their net and for Gabor filters.",
        f"{leaked} of FER2013's {tested:,} test pictures ({100 * leaked / tested:.0f} %) also occur in training.",
        "Ten of eleven accuracies of Hu, Tang, Zhu & Zhu fit 378 test pictures; the eleventh, their best, does not, "
        "and its gain of 3.1 points would be 12 pictures.",
        f"{right} of {len(counts)} printed numbers of pictures agree with the data.",
    ]
    papers = [
        words.paper(name) | {"contradictions": load_papers()[name].get("contradiction", [])}
        for name in claimed_papers()
    ]
    return {"sections": [section for section in sections if section], "brief": brief, "papers": papers}


def _section(
    anchor: str, title: str, table: pd.DataFrame | None, text: str, caption: str = "", column: str = "calculation"
) -> dict[str, Any] | None:
    """A section of the page, its rows as a table of evidence has them; a row links the first of its one or two claims.

    None without rows.
    """
    if table is None:
        return None
    rows = table.assign(
        paper=[name and words.paper(name)["short"] for name in table["paper"]],
        page=[words.page_of_claim(ids[0]) if 0 < len(ids) <= 2 else "" for ids in table["claims"].str.split()],
    )
    found = {"anchor": anchor, "title": title, "text": text, "caption": caption or title, "column": column}
    return found | {"rows": rows.to_dict("records")}


def _leaks() -> dict[str, Any] | None:
    rows = [
        ("", name, f"{pictures:,} pictures", "", f"{leaked} also occur in training, pixel for pixel", "")
        for name, part in (("PrivateTest", "test"), ("PublicTest", "val"))
        for leaked, pictures in [leaked_of(part)]
    ]
    return _section(
        "leaks", "Test pictures that training has seen", pd.DataFrame(rows, columns=COLUMNS),
        "No paper mentions them. The appendix has each net's accuracy with and without them.",
        "Copies of FER2013's test pictures in its training set", "copies",
    )  # fmt: skip


def _statements(table: pd.DataFrame) -> dict[str, Any] | None:
    judged = table[~table["finding"].isin(OPEN)]
    return _section(
        "statements", "Statements", judged.rename(columns={"statement": "printed", "claim": "claims"}),
        f"{len(judged)} of {len(table)} statements are settled by counting weights or reading the paper's own tables; "
        "the others wait for runs or cannot be tested.",
        "Statements that need no full training", "finding",
    )  # fmt: skip
