"""The first screen: the answer, the figure, how sure we are, and the four papers."""

from typing import Any

import pandas as pd

from fer_lib.claims import list_claims
from fer_lib.data.catalog import dataset_title
from fer_lib.data.facts import load_facts
from fer_lib.queue.plan import HEADLINE_SEEDS
from fer_lib.recipe import claimed_papers
from fer_lib.report import words
from fer_lib.study.answer import printed_numbers, progress
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import IMPOSSIBLE
from fer_lib.study.modules import module_comparisons
from fer_lib.study.protocols import protocol_audit
from fer_lib.study.results import Study
from fer_lib.study.verdicts import NOT_RUN, OPEN
from fer_lib.texts import many, span

# ---------------------------------------------------------------- how sure


def leaked_of(part: str) -> tuple[int, int]:
    """How many pictures of a held-out part of FER2013 also occur in training, and how many it has."""
    facts = load_facts("fer2013")
    return int(facts.in_train(part).sum()), len(facts.faces.indices(part))


CKPLUS_PAGE = "10_what_ckplus_measures.html"
"""The page that tells what CK+ accuracies measure."""


def how_sure(study: Study, ckplus_page: bool) -> dict[str, str]:
    """What is known well, weakly and not at all, as HTML with links.

    Args:
        study: the study's results.
        ckplus_page: whether :data:`CKPLUS_PAGE` is there to be linked.
    """
    leaked, pictures = leaked_of("test")
    strong = [
        f"{leaked} of FER2013's {pictures:,} test pictures are <a href='evidence.html#leaks'>also in training</a>"
    ]
    if inflation := _inflation(study, ckplus_page):
        strong.append(inflation)
    impossible = int((printed_numbers(claim_table(study))["settled"] == IMPOSSIBLE).sum())
    strong.append(
        f"<a href='evidence.html#impossible'>{impossible} printed accuracies</a> are no whole number of the "
        "pictures stated or implied"
    )
    read = module_comparisons(study)
    found = {"Strong": "; ".join(strong) + "."}
    if len(read):
        marks = ", ".join(f"{count} {name}" for name, count in read["standing"].value_counts().items())
        nets = read["baseline"].nunique()
        epochs = span(f"{read['epochs'].min():.0f}", many(int(read["epochs"].max()), "epoch"))
        sizes = span(f"{read['smallest'].min():.1f}", f"{read['smallest'].max():.1f}")
        found["Weak"] = (
            f"the <a href='gains.html'>comparison of modules</a>: {many(nets, 'net')}, "
            f"{epochs}, {int(read['seeds'].min())} seeds or more ({marks}). In 80 of 100 "
            f"such studies it would find a gain of {sizes} points."
        )
    state = progress(study)
    found["None"] = (
        f"the papers' <a href='claims.html'>headline accuracies</a>: {state.headlines} of the {state.of_headlines} "
        f"trainings behind them {'has' if state.headlines == 1 else 'have'} three full runs."
    )
    return found


def _inflation(study: Study, linked: bool) -> str:
    """What a split by picture is worth on CK+: the least and the most of it."""
    table = protocol_audit(study)
    rows = table[(table["split"] == "picture_10fold") & table["inflation"].notna()].sort_values("inflation")
    if rows.empty:
        return ""
    points = span(*(f"{rows['inflation'].iloc[end]:.0f}" for end in (0, -1)))
    most = rows.iloc[-1]
    before = most["accuracy"] - most["inflation"]
    worth = f"<a href='{CKPLUS_PAGE}'>{points} points</a>" if linked else f"{points} points"
    return (
        f"on CK+ folds by picture, not by person, are worth {worth} "
        f"({most['system'].split(',')[0]}: {before:.1f} → {most['accuracy']:.1f} %)"
    )


# ---------------------------------------------------------------- the papers


def cards(study: Study) -> list[dict[str, Any]]:
    """What each paper is quoted for, what can be said of it, and its weightiest contradiction."""
    claims = claim_table(study)
    numbers, found = printed_numbers(claims), []
    for name in claimed_papers():
        headlines = [claim for claim in list_claims(name) if claim.headline]
        rows = claims[claims["claim"].isin([claim.id for claim in headlines])]
        counts = numbers[numbers["paper"] == name]["verdict"].value_counts()
        wanted = {claim.recipe for claim in headlines if claim.recipe}
        seeds = {recipe: len(group.seeds) if (group := study.full(recipe)) else 0 for recipe in wanted}
        done = f"; {sum(seeds.values())} of {HEADLINE_SEEDS * len(seeds)} full runs" if wanted else ""
        found.append(
            {
                "name": words.paper(name)["cited"],
                "idea": words.paper(name)["idea"],
                "claims": [
                    {
                        "page": words.page_of_claim(c.id),
                        "printed": words.percent(c),
                        "data": dataset_title(c.dataset) + (", validation" if c.split == "val" else ""),
                    }
                    for c in headlines
                ],
                "verdict": _card_verdict(rows["verdict"].tolist(), counts, done),
                "caveat": words.paper(name).get("caveat", ""),
            }
        )
    return found


def _card_verdict(headlines: list[str], counts: pd.Series, done: str) -> str:
    words_of = list(dict.fromkeys(headlines))
    told = "; ".join("not run yet" if word == NOT_RUN else word for word in words_of)
    total = int(counts.sum())
    settled = int(counts.drop(list(OPEN), errors="ignore").sum())
    return f"{told[0].upper()}{told[1:]}{done}; {settled} of {total} numbers judged"


def progress_line(study: Study) -> str:
    """Runs done of planned, and what a GPU could test."""
    state = progress(study)
    waiting = int((printed_numbers(claim_table(study))["verdict"] == NOT_RUN).sum())
    return (
        f"{state.done:,} of {state.planned:,} planned runs are done. A GPU could test {waiting} printed numbers that "
        "wait for runs of the papers' length, the full-width comparison of all modules, and the headline accuracies."
    )
