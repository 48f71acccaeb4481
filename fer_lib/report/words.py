"""What the report calls things: papers, data, verdicts, fidelities and protocols in a reader's words."""

from functools import cache
from typing import Any

from fer_lib.claims import Claim
from fer_lib.recipe import load_papers, paper_names
from fer_lib.study.exploration import counts_in_words

TITLE = "Do attention modules improve facial-expression recognition?"
STUDY = "Attention in facial-expression recognition: a reproducibility study"
DESCRIPTION = (
    "Four papers add attention modules to residual networks (FER2013, CK+). Every accuracy they print stands beside "
    "ours, with its interval, its protocol and a verdict."
)

BIBTEX = """@software{fer_attention_study,
  title   = {Do attention modules improve facial-expression recognition? A reproducibility study of four papers},
  year    = {2026},
  note    = {Cite the commit; licence: MIT}
}"""

VERDICTS = {
    "consistent": "the printed value lies in the interval for one new run of ours",
    "exceeded": "a smaller net, a shorter training or no net of ours is above the printed value",
    "excluded: ours is lower": "the printed value lies above the interval for one new run of ours",
    "excluded: ours is higher": "the printed value lies below the interval for one new run of ours",
    "undecided": "our runs leave room for the printed value and for its opposite",
    "contradicted by its own table": "the paper's own table has another number",
    "contradicted": "what was computed says otherwise",
    "impossible on that test set": "no whole number of the test pictures that the paper states or implies gives this "
    "percentage, so that it is not the result of one run on them",
    "undecidable from the paper's own data": "the paper's test pictures are too few to tell such a gain from none",
    "not testable": "the pictures are unpublished, or no computation would test it",
    "not run": "no run of the paper's length yet",
    "holds": "what was computed agrees",
    "holds in part": "what was computed agrees for some of the nets that are compared",
    "seen in a stand-in": "our smaller net or training shows it, which proves nothing of the paper's",
    "not seen in a stand-in": "our smaller net or training does not show it, which contradicts no paper",
    "counted right": "the data have as many pictures",
    "counted otherwise": "the data have another number of pictures",
}


@cache
def paper(name: str) -> dict[str, Any]:
    """A paper's ``[paper]`` table with ``short`` (who) and ``cited`` (who, when)."""
    content = load_papers()[name]
    about = dict(content["paper"])
    about.setdefault("short", about.get("title", name))
    about["cited"] = paper_names()[name]
    return about


def percent(claim: Claim) -> str:
    """A claim's number as a reader wants it, with its unit."""
    if claim.kind == "count":
        return counts_in_words(claim.values)
    if claim.value is None:
        return ""
    digits = f"{claim.percent:f}" if claim.percent is not None else f"{100 * claim.value:.4g}"
    if claim.kind == "gain":
        sign = "" if digits.startswith("-") or not claim.value else "+"
        return f"{sign}{digits} points".replace("-", "\N{MINUS SIGN}")
    return f"{digits} %"


def page_of_claim(name: str) -> str:
    """The address of a claim's page, from the report's folder."""
    return f"claims/{name.replace('/', '-')}.html"
