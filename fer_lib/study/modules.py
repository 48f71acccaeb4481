"""What attention modules add here, net by net, beside the gains that papers print for the same modules."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.claims import list_claims
from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import PROTOCOL_WORDS, kind_of
from fer_lib.errors import UserError
from fer_lib.nets import parse
from fer_lib.recipe import Recipe, claimed_papers, get_recipe, list_recipes, load_papers
from fer_lib.study.columns import Column, readable
from fer_lib.study.gains import READINGS, ablation_table
from fer_lib.study.results import Study
from fer_lib.texts import added_part, interval, many, numeral, signed

# ---------------------------------------------------------------- every comparison


def module_comparisons(study: Study) -> pd.DataFrame:
    """The comparisons that have a reading and in which the net differs and the loss does not.

    A paper's own net may be another as a whole; one of ours is the baseline's with a module.
    """
    table = ablation_table(study)
    read = table[table["reading"].isin(READINGS)]
    return read[np.array([_adds_module(row) for _, row in read.iterrows()], dtype=bool)]


def _adds_module(row: pd.Series) -> bool:
    ours, theirs = get_recipe(row["recipe"]), get_recipe(row["baseline"])
    changed = (ours.model, ours.model_options) != (theirs.model, theirs.model_options)
    added = row["paper"] in claimed_papers() or ours.model.startswith(theirs.model)
    return changed and added and ours.loss == theirs.loss


def net_words(baseline: Recipe) -> str:
    """The net that modules are added to, without how long and on which split it trains."""
    return baseline.title.removesuffix(f" for {baseline.epochs} epochs").removesuffix(f", {_split(baseline)}")


def trained_on(recipe: Recipe) -> str:
    """On what and for how long a recipe trains."""
    data, split = dataset_title(recipe.dataset), _split(recipe)
    return f"{many(recipe.epochs, 'epoch', numeral)} on {data}" + (f" ({split})" if split else "")


def _split(recipe: Recipe) -> str:
    """The protocol in words; empty for the publisher's own."""
    return "" if recipe.protocol == "official" else PROTOCOL_WORDS[kind_of(recipe.protocol)].replace(",", "")


def linked_gain(row: pd.Series) -> str:
    """A gain that links its row of the report's comparisons."""
    return f"[{signed(row['gain'])}](gains.html#{comparison_anchor(row['recipe'], row['baseline'])})"


def comparison_anchor(recipe: str, baseline: str) -> str:
    """The anchor of a comparison in the report."""
    return f"{recipe}--{baseline}".replace("/", "-")


# ---------------------------------------------------------------- module by module

BY_NET = (
    "module", "net", "training", "gain", "low", "high", "reading", "standing", "seeds", "dataset", "epochs", "recipe",
    "baseline",
)  # fmt: skip
LEGEND = (
    "Points of accuracy over the same net without the module, with simultaneous 95 % intervals. A net with branches as "
    "small at the start is a plain one that begins as the module's does."
)
"""What a reader of the table of modules must know."""


def modules_by_net(study: Study) -> pd.DataFrame:
    """Every comparison of a module that has a reading: the modules tried in most nets first, then those that add most.

    Of a module those on FER2013 come first, then the shortest trainings, then the nets with most modules. Those with
    plain nets whose branches start as small as the module's are among them, and those of modules whose branches start
    whole.

    Returns:
        ``module`` and ``net`` in words, ``training`` (on what, how long), then columns of
        :func:`fer_lib.study.gains.gain_table`.
    """
    start = ablation_table(study, question="start")
    start = start[[bool(parse(get_recipe(name).model)[1]) for name in start["recipe"]]]
    alike = ablation_table(study, question="alike")
    table = pd.concat([module_comparisons(study), alike, start], ignore_index=True)
    table = table[table["reading"].isin(READINGS)].drop_duplicates(["recipe", "baseline"], ignore_index=True)
    baselines = [get_recipe(name) for name in table["baseline"]]
    table["module"] = [added_part(name, net.title) for name, net in zip(table["system"], baselines, strict=True)]
    table["net"] = [_started(net) for net in baselines]
    table["training"] = [trained_on(net) for net in baselines]
    gains, nets = table.groupby("module")["gain"], table.groupby(["net", "training"])["gain"]
    keys = {
        "nets": -gains.transform("size"), "mean": -gains.transform("mean"), "module": table["module"],
        "other": table["dataset"] != "fer2013", "epochs": table["epochs"], "modules": -nets.transform("size"),
    }  # fmt: skip
    order = table.assign(**keys).sort_values(list(keys), kind="stable").index
    return table.loc[order, list(BY_NET)].reset_index(drop=True)


def _started(baseline: Recipe) -> str:
    """A net in words, and that its branches start small where they do."""
    scaled = "branch_scale" in baseline.model_options
    return net_words(baseline).partition(", branches")[0] + ", branches as small at the start" * scaled


def readable_by_net(table: pd.DataFrame, links: bool = False) -> pd.DataFrame:
    """A row per comparison; a module is named in its first.

    Args:
        table: of :func:`modules_by_net`.
        links: whether gains link the report's comparisons; the cells are Markdown then.
    """
    gains = [
        f"{linked_gain(row) if links else signed(row['gain'])} ({interval(row['low'], row['high'])})"
        for _, row in table.iterrows()
    ]
    named = table["module"].mask(table["module"].duplicated(), "")
    shown = table.assign(module=named, **{"gain, points": gains})
    return shown[["module", "net", "training", "gain, points", "reading"]]


# ---------------------------------------------------------------- one family, and the papers


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


def module_caption(control: pd.DataFrame) -> str:
    """What a reader of the figure must know: what zero is, and which printed gains our intervals leave out."""
    ours, printed = module_gains(control)
    told = "Zero is the same net without the module."
    if printed.empty:
        return told
    highs = printed["module"].map(ours.set_index("module")["high"])
    above = int((printed["gain"] > highs).sum())
    count = numeral(above) if above else "none"
    share = f"all {count}" if above == len(printed) else f"{count} of {numeral(len(printed))}"
    return (
        f"{told} Printed gains are of other nets, data or splits; {share} lie{'s' * (above == 1)} above our interval "
        "of the same module."
    )


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
