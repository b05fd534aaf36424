"""What more people, other sites or other models would give."""

import pandas as pd

from ukb_brain.figures.learning_curves import draw_learning_curves
from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.words import number


def curve_rows(learning_curve_fits: pd.DataFrame, grid: Grid) -> show.Table:
    """List what ten times the training people would give."""
    return show.Table(
        "Learning curves.",
        show.rows_of(learning_curve_fits, grid),
        show.TARGET_OF_CELL,
        show.text("Inputs: Of the cell", "{inputs}"),
        show.STRATEGY,
        show.text(
            "Shape: Rising where the largest size beats the smallest, by its interval", "{shape}"
        ),
        show.measured(
            "Skill at 10×: Of a power law at ten times the largest training set",
            "at_10x",
            "Skill, extrapolated",
        ),
        show.plain(
            "Scenario at 100×: Of the same curve; no interval that one may rest on",
            "at_100x_scenario",
            "A scenario: nothing measured",
        ),
    )


def site_rows(left_out_sites: pd.DataFrame, grid: Grid) -> show.Table:
    """List scores on sites that were not learned from; numbers of people are not shown."""
    cell = ["target", "inputs", "strategy"]
    every = left_out_sites["site"] == "all"
    ends = left_out_sites[~every].groupby(cell)["skill"].agg(["min", "max"])
    table = left_out_sites[every].join(ends, on=cell)
    table["ends"] = [
        f"{number(low)} to {number(high)}"
        for low, high in zip(table["min"], table["max"], strict=True)
    ]
    return show.Table(
        "Skill on sites that the models have not seen.",
        show.rows_of(table, grid),
        show.TARGET_OF_CELL,
        show.STRATEGY,
        show.measured(
            "All sites: Skill over everybody, each predicted by models of the other sites",
            "skill",
            "From {inputs}",
        ),
        show.numeral(
            "Worst to best site: Skill of single sites; too few people each for an interval",
            "{ends}",
        ),
    )


def scale_rows(model_scale: pd.DataFrame, grid: Grid) -> list[show.Table]:
    """Count the cells that models of other sizes and strategies read better, and list these.

    Those listed have a gain whose interval lies off 0. Numbers of people are not shown.
    """
    table = model_scale.assign(
        above=model_scale["gain_low"] > 0,
        below=model_scale["gain_high"] < 0,
        model=model_scale["variant"].str.replace("_", " "),
    )
    models = table.groupby(["model", "strategy"], sort=False).agg(
        {"parameters": "first", "gain": "count", "above": "sum", "below": "sum"}
    )
    sizes = models["parameters"].map(lambda n: "–" if pd.isna(n) else f"{n:,.0f}")
    how = "As in the configuration: evidence.model_scale.variants"
    paired = "By its own paired interval"
    return [
        show.Table(
            "Models of other sizes against the map's.",
            models.assign(parameters=sizes).reset_index().to_dict("records"),
            show.text(f"Models: {how}", "{model}"),
            show.STRATEGY,
            show.numeral("Parameters: Trained weights of the encoders", "{parameters}"),
            show.numeral("Cells: Compared on the same test people", "{gain}"),
            show.numeral(
                "Better: Cells whose gain has a 95 % interval above 0; 2.5 % are so by chance",
                "{above}",
                paired,
            ),
            show.numeral(
                "Worse: Cells whose gain has a 95 % interval below 0; 2.5 % are so by chance",
                "{below}",
                paired,
            ),
        ),
        show.Table(
            "Cells that another model reads better or worse.",
            show.rows_of(table[table["above"] | table["below"]], grid),
            show.TARGET_OF_CELL,
            show.text(f"Models: {how}", "{model}, {strategy}"),
            show.measured("Skill: R², or 2·AUC − 1, on test people", "skill", "From {inputs}"),
            show.measured(
                "Gain: Over the map's models, with a paired interval over families",
                "gain",
                "Skill less that of the map's models, same test people",
                digits=3,
            ),
        ),
    ]


SECTION = show.Section(
    "What would more people, other sites or other models give?",
    "Models trained again on fewer people show whether skill still rises, and those tested on a "
    "site that they have not seen show whether it travels. Tenfold is an extrapolation with an "
    "interval; a hundredfold is a scenario only.",
    "Random subsets of training people, the same test people throughout; a power law with an "
    "asymptote, fitted in each bootstrap draw. Left-out sites: each site is predicted by models of "
    "the others. Models of other sizes are trained on the map's own people.",
    {
        draw_learning_curves: "Panels by target: skill by number of training people, extrapolated "
        "to tenfold.",
        curve_rows: "",
        site_rows: "",
        scale_rows: "",
    },
    missing="Nothing was retrained yet. Learning curves and left-out sites are made by kedro run "
    "--pipelines evidence, with the same --env and --params as this run; then run kedro run "
    "--pipelines reporting again, with these too.",
)
