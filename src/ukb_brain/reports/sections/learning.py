"""What more people, other sites or other models would give."""

from __future__ import annotations

import pandas as pd

from ukb_brain.figures.learning_curves import draw_learning_curves
from ukb_brain.grid import Grid
from ukb_brain.reports import columns
from ukb_brain.reports.section import Part, Section
from ukb_brain.words import number


def curve_rows(learning_curve_fits: pd.DataFrame, grid: Grid) -> columns.Table:
    """List what ten times the training people would give."""
    return columns.table(
        "Learning curves.",
        columns.rows_of(learning_curve_fits, grid),
        columns.TARGET_OF_CELL,
        columns.text("Inputs", "Of the cell", "{inputs}"),
        columns.STRATEGY,
        columns.text(
            "Shape", "Rising where the largest size beats the smallest, by its interval", "{shape}"
        ),
        columns.measured(
            "Skill at 10×",
            "Of a power law at ten times the largest training set",
            "at_10x",
            "Skill, extrapolated",
        ),
        columns.plain(
            "Scenario at 100×",
            "Of the same curve; no interval that one may rest on",
            "at_100x_scenario",
            "A scenario: nothing measured",
        ),
    )


def site_rows(left_out_sites: pd.DataFrame, grid: Grid) -> columns.Table:
    """List scores on sites that were not learned from; numbers of people are not shown."""
    cell = ["target", "inputs", "strategy"]
    every = left_out_sites["site"] == "all"
    ends = left_out_sites[~every].groupby(cell)["skill"].agg(["min", "max"])
    table = left_out_sites[every].join(ends, on=cell)
    table["ends"] = [
        f"{number(low)} to {number(high)}"
        for low, high in zip(table["min"], table["max"], strict=True)
    ]
    return columns.table(
        "Skill on sites that the models have not seen.",
        columns.rows_of(table, grid),
        columns.TARGET_OF_CELL,
        columns.STRATEGY,
        columns.measured(
            "All sites",
            "Skill over everybody, each predicted by models of the other sites",
            "skill",
            "From {inputs}",
        ),
        columns.numeral(
            "Worst to best site",
            "Skill of single sites; too few people each for an interval",
            "{ends}",
        ),
    )


def scale_rows(model_scale: pd.DataFrame, grid: Grid) -> list[columns.Table]:
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
        columns.table(
            "Models of other sizes against the map's.",
            models.assign(parameters=sizes).reset_index().to_dict("records"),
            columns.text("Models", how, "{model}"),
            columns.STRATEGY,
            columns.numeral("Parameters", "Trained weights of the encoders", "{parameters}"),
            columns.numeral("Cells", "Compared on the same test people", "{gain}"),
            columns.numeral(
                "Better",
                "Cells whose gain has a 95 % interval above 0; 2.5 % are so by chance",
                "{above}",
                paired,
            ),
            columns.numeral(
                "Worse",
                "Cells whose gain has a 95 % interval below 0; 2.5 % are so by chance",
                "{below}",
                paired,
            ),
        ),
        columns.table(
            "Cells that another model reads better or worse.",
            columns.rows_of(table[table["above"] | table["below"]], grid),
            columns.TARGET_OF_CELL,
            columns.text("Models", how, "{model}, {strategy}"),
            columns.measured("Skill", "R², or 2·AUC − 1, on test people", "skill", "From {inputs}"),
            columns.measured(
                "Gain",
                "Over the map's models, with a paired interval over families",
                "gain",
                "Skill less that of the map's models, same test people",
                digits=3,
            ),
        ),
    ]


SECTION = Section(
    "What would more people, other sites or other models give?",
    "Models trained again on fewer people show whether skill still rises, and those tested on a "
    "site that they have not seen show whether it travels. Tenfold is an extrapolation with an "
    "interval; a hundredfold is a scenario only.",
    "Random subsets of training people, the same test people throughout; a power law with an "
    "asymptote, fitted in each bootstrap draw. Left-out sites: each site is predicted by models of "
    "the others. Models of other sizes are trained on the map's own people.",
    (
        Part(
            draw_learning_curves,
            "Panels by target: skill by number of training people, extrapolated to tenfold.",
        ),
        Part(curve_rows),
        Part(site_rows),
        Part(scale_rows),
    ),
    missing="Nothing was retrained yet. Learning curves and left-out sites are made by kedro run "
    "--pipelines evidence, with the same --env and --params as this run; then run kedro run "
    "--pipelines reporting again, with these too.",
)
