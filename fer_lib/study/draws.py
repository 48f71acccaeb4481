"""One draw of a split after another: which net of a family each of them alone would call the best."""

import numpy as np
import pandas as pd

from fer_lib.data import is_drawn
from fer_lib.recipe import get_recipe, load_papers
from fer_lib.study.columns import markdown
from fer_lib.study.gains import list_ablations
from fer_lib.study.results import Study, once
from fer_lib.texts import added_part

COLUMNS = ("family", "seed", "recipe", "net", "accuracy", "best")


@once
def draw_table(study: Study) -> pd.DataFrame:
    """The nets of each family whose split is drawn with the seed, draw by draw.

    Args:
        study: the study's results.

    Returns:
        One row per net and draw that all nets of the family with runs of full length have: family (the baseline's
        name), seed (of the draw), recipe, net (the module, or plain), accuracy (percent, last epoch, the recipe's test
        views), best (whether no net of the family has more on that draw).
    """
    rows = []
    for ablation in (found for paper in load_papers() for found in list_ablations(paper)):
        baseline = get_recipe(ablation.baseline)
        names = (ablation.baseline, *ablation.recipes)
        groups = {name: group for name in names if (group := study.full(name))}
        if not is_drawn(baseline.protocol) or ablation.baseline not in groups or len(groups) < 2:
            continue
        found = {
            name: dict(zip(group.seeds, group.accuracies(rule="last"), strict=True)) for name, group in groups.items()
        }
        for seed in sorted(set.intersection(*map(set, found.values()))):
            most = max(of_seed[seed] for of_seed in found.values())
            for name, of_seed in found.items():
                net = "plain"
                if name != ablation.baseline:
                    net = added_part(get_recipe(name).title, baseline.title)
                rows.append((ablation.baseline, seed, name, net, 100 * of_seed[seed], of_seed[seed] == most))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def readable_draws(table: pd.DataFrame) -> pd.DataFrame:
    """One family for a reader: a row a draw, a column a net, and who is the best."""
    if table.empty:
        return pd.DataFrame(columns=["draw", "best"])
    order = list(dict.fromkeys(table["net"]))
    wide = table.pivot(index="seed", columns="net", values="accuracy")[order].map("{:.2f}".format)
    best = table[table["best"]].groupby("seed")["net"].agg(", ".join)
    return wide.assign(best=best).rename_axis(columns=None).rename_axis(index="draw").reset_index()


def draws_page(table: pd.DataFrame) -> str:
    """All families as Markdown."""
    pages = [
        f"### {get_recipe(str(family)).title}\n\n{markdown(readable_draws(rows))}\n{draw_sentence(rows)}\n"
        for family, rows in table.groupby("family", sort=False)
    ]
    return "\n".join(pages) or "No run yet.\n"


def draw_sentence(table: pd.DataFrame) -> str:
    """What a single draw of one family would have shown."""
    if table.empty:
        return "No run yet."
    wide = table.pivot(index="seed", columns="net", values="accuracy")
    spread, over_all = np.ptp(wide.to_numpy(), axis=1), np.ptp(wide.mean().to_numpy())
    best = table.loc[table["best"], "net"].nunique()
    if len(wide) == 1:
        return f"On the one draw that all {wide.shape[1]} nets have, best and worst differ by {over_all:.1f} points."
    return (
        f"On {len(wide)} draws of the split {best} of {wide.shape[1]} nets are the best at least once, alone or with "
        f"others. On one draw the best and the worst differ by {spread.min():.1f} to {spread.max():.1f} points, their "
        f"means over all draws by {over_all:.1f}."
    )
