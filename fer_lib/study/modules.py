"""What attention modules add here, beside the gains that papers print for the same modules."""

import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.claims import list_claims
from fer_lib.data.catalog import dataset_title
from fer_lib.errors import UserError
from fer_lib.nets import parse
from fer_lib.recipe import list_recipes, load_papers
from fer_lib.study.columns import Column, readable
from fer_lib.study.gains import READINGS
from fer_lib.texts import added_part, many, signed


def module_gains(control: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Our gains in the family with most readings, best first, and what papers print for its modules.

    Args:
        control: our own comparisons, see :func:`fer_lib.study.gains.ablation_table`; families with a name of their own
            are left out.

    Returns:
        The rows of ``control`` with ``module`` (its name), ``block`` (of :data:`fer_lib.models.grammar.BLOCKS`) and
        ``values`` (a gain per seed); and a table of module, gain and label (who prints it, on which data). Points.
        Both are empty without a gain.
    """
    known = control[control["gain"].notna() & (control["family"] == "")]
    if known.empty:
        return pd.DataFrame(), pd.DataFrame()
    if (faces := known["dataset"] == "fer2013").any():  # the data of most printed gains, and the larger test set
        known = known[faces]
    sizes = known.assign(read=known["reading"].isin(READINGS)).groupby("baseline", sort=False)["read"].sum()
    chosen = sizes.idxmax()
    baseline = control[(control["recipe"] == chosen) & (control["baseline"] == "")].iloc[0]
    ours = known[known["baseline"] == chosen].sort_values("gain", ascending=False, kind="stable")
    ours = ours.assign(
        module=[added_part(system, baseline["system"]) for system in ours["system"]],
        block=[_module(name, chosen) for name in ours["recipe"]],
        values=[[float(value) - baseline["accuracy"] for value in values.split()] for values in ours["values"]],
    )
    names = {block: name for block, name in zip(ours["block"], ours["module"], strict=True) if block}
    printed = {
        (names[block], 100 * claim.number, f"{short_name(claim.paper)}, {dataset_title(claim.dataset)}")
        for claim in list_claims()
        if claim.kind == "gain" and claim.tested and (block := _module(claim.recipe, claim.baseline)) in names
    }
    return ours, pd.DataFrame(sorted(printed), columns=["module", "gain", "label"])


def short_name(paper: str) -> str:
    """A paper's authors, the first of more than two."""
    short = load_papers()[paper]["paper"].get("short", paper)
    return f"{short.split(',')[0]} et al." if "," in short else short


def _module(recipe: str | None, baseline: str | None) -> str | None:
    """The attention module that a net has and its baseline has not; None unless it is one alone."""
    try:
        ours, theirs = (parse(list_recipes()[name or ""].model)[1] for name in (recipe, baseline))
    except UserError:  # a net outside the grammar
        return None
    added = [block for block in ours if block not in theirs]
    return added[0] if len(added) == 1 and set(theirs) <= set(ours) else None


def module_figure(control: pd.DataFrame, tall: bool = False) -> Figure:
    """Our gains with intervals beside the printed ones.

    Args:
        control: see :func:`module_gains`.
        tall: for a phone.
    """
    ours, printed = module_gains(control)
    if ours.empty:
        return plots.only_text("no comparison of modules has its runs yet")
    return plots.modules(ours, printed, _title(ours), tall)


def module_words(control: pd.DataFrame) -> str:
    """The figure for those who do not see it."""
    ours, printed = module_gains(control)
    if ours.empty:
        return "No comparison of modules has its runs yet."
    found = [f"{row['module']} {signed(row['gain'])}" for _, row in ours.iterrows()]
    papers = [f"{row.module} {signed(row.gain)} ({row.label})" for row in printed.itertuples()]
    return f"{_title(ours)}, in points: {', '.join(found)}. Printed by papers: {', '.join(papers) or 'none'}."


def _title(ours: pd.DataFrame) -> str:
    recipe = list_recipes()[ours["baseline"].iloc[0]]
    return f"Gain over {recipe.title}, {dataset_title(recipe.dataset)}, {many(recipe.epochs, 'epoch')}"


SHOWN = (
    Column("module", "{module}"),
    Column("seeds", "{seeds}"),
    Column("accuracy, %", "{accuracy:.1f}"),
    Column("gain, points", "{gain:signed}"),
    Column("95 % interval", "{low:signed} to {high:signed}"),
    Column("smallest gain found", "{smallest:.1f}"),
    Column("reading", "{reading}"),
    Column("runs", "{standing}"),
)


def readable_modules(control: pd.DataFrame) -> pd.DataFrame:
    """The figure's numbers of ours, for a reader."""
    return readable(module_gains(control)[0], SHOWN)
