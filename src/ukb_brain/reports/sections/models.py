"""The study's mixed models, beside intervals over resampled people."""

import pandas as pd

from ukb_brain.figures.coefficients import as_in_the_study, draw_coefficients, in_points, term_name
from ukb_brain.grid import Grid
from ukb_brain.reports import show

RESAMPLED = (
    "Families of test people drawn anew, all cells rescored and the model refitted: rest on this, "
    "for these targets and trained networks"
)
PSEUDO = (
    "Takes cells of the same test people as independent (pseudo-replication): for comparison with "
    "the paper only"
)


def mixed_models_table(
    mixed_models_resampled: pd.DataFrame, grid: Grid, mixed_models: pd.DataFrame | None = None
) -> show.Table:
    """Set the mixed models' own numbers beside those over resampled people."""
    ours = in_points(as_in_the_study(mixed_models_resampled)).query("term != 'intercept'")
    if mixed_models is not None:
        names = {"estimate": "own", "low": "own_low", "high": "own_high"}
        own = in_points(mixed_models).rename(columns=names)
        own = own[["domain", "term", *names.values(), "p"]]
        ours = ours.merge(own, on=["domain", "term"], how="left")
    ours["name"] = [term_name(term, grid) for term in ours["term"]]
    by_domain = [ours[ours["domain"] == domain] for domain in grid.domains]
    rows = pd.concat(by_domain).assign(domain=lambda table: table["domain"].str.capitalize())
    return show.Table(
        "Change in balanced accuracy, percentage points, with each input.",
        rows.to_dict("records"),
        show.text(
            "Domain and input: A mixed model a domain, a random intercept a target",
            "{domain}: {name}",
        ),
        show.measured(f"Over resampled people: {RESAMPLED}", "estimate", RESAMPLED),
        show.measured(f"The model's own: {PSEUDO}", "own", PSEUDO),
        show.p(f"p as in the study: {PSEUDO}", "p", PSEUDO),
    )


SECTION = show.Section(
    "The study's mixed models",
    "The study summarises the map by a mixed model a domain. Its p values take the cells of a "
    "target as independent observations, but these are predictions for the same people "
    "(pseudo-replication): they are given for comparison with the paper only. Rest on the "
    "intervals over resampled people. Those hold for these targets, not for characteristics at "
    "large; the model's own may be wider, since to it differences between targets are noise.",
    "Balanced accuracy on inputs with a random intercept a target, by REML, as the study did. "
    "Resampled: in each bootstrap draw of families all cells are rescored, and the model is "
    "refitted, all cells weighted alike.",
    {
        draw_coefficients: "Panels by domain: change in balanced accuracy with each input, the "
        "mixed model's own interval beside that over resampled people.",
        mixed_models_table: "",
    },
)
