"""The map and the targets as interactive plots."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.colors import to_hex

from ukb_brain.figures.heat_maps import COLOURS, NORM, inputs_of, part_labels, score_table
from ukb_brain.figures.legibility import in_full
from ukb_brain.figures.stamp import INK, MUTED, WARNING, colour_of, notice_of
from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.skill import fullest_cells
from ukb_brain.words import number

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
BELOW_CHANCE = "#efe9e3"
ROW_HEIGHT = 23
LEAST_HEIGHT = 400
HOVER = "%{hovertext}<extra></extra>"
COLOUR_BAR = {
    "title": {"text": "skill", "side": "right"},
    **{"thickness": 12, "outlinewidth": 0, "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1]},
}
METHOD = {
    "AUC": "area under the ROC curve of the predicted probability",
    "R²": "1 − squared error / variance about the test mean, own units",
}


def _colour_scale() -> list[tuple[float, str]]:
    """Take the colours of the figures on skill from −0.2 to 1; beige at and under 0."""
    at = np.linspace(0, 1, 13)
    above = [((0.2 + skill) / 1.2, to_hex(COLOURS(NORM(skill)))) for skill in at]
    return [(0.0, BELOW_CHANCE), (0.2 / 1.2, BELOW_CHANCE), *above]


def _short(inputs: Inputs, labels: dict[str, str]) -> str:
    groups = " · ".join(labels[g] for g in inputs.groups) or "no imaging"
    blocks = " + ".join(sorted(labels[b] for b in inputs.blocks))
    return f"{groups}  |  {blocks}" if blocks else groups


def hover_texts(table: pd.DataFrame, grid: Grid, below: int) -> pd.Series:
    """Say in HTML of each row of `with_skill` what it is and how its number was obtained.

    Counts under ``below`` are not shown.
    """
    shown = suppress_counts(table, ["n_train", "n_test"], below)
    texts = []
    for cell, counts in zip(table.to_dict("records"), shown.to_dict("records"), strict=True):
        words = in_full(cell) if cell["status"] == "ok" else f"no result: {cell['status']}"
        texts.append(
            f"<b>{grid.targets[cell['target']].name}</b><br>from {cell['inputs']}"
            f"<br><b>{words}</b><br>{METHOD[cell['metric']]}<br>"
            f"{counts['n_test']} held-out test people, {counts['n_train']} in training; "
            f"{cell['strategy']}"
        )
    return pd.Series(texts, index=table.index)


def _bare_layout(figure: go.Figure, source: str, height: int, left: int, top: int) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 12, "color": INK},
        height=height,
        margin={"l": left, "r": 20, "t": top, "b": 30},
        hoverlabel={"bgcolor": "white", "font": {"size": 12, "color": INK}, "align": "left"},
    )
    if notice := notice_of(source):
        corner = {"x": 1, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "right"}
        place = {"yanchor": "bottom", "yshift": top - 26, "showarrow": False, "name": "stamp"}
        font = {"color": WARNING, "size": 11}
        figure.add_annotation(text=f"<b>{notice}</b>", **corner, **place, font=font)
    return figure


def plot_domain(table: pd.DataFrame, domain: str, grid: Grid, source: str) -> go.Figure:
    """Plot the heat map of a domain: rows are inputs, columns targets, colour is skill.

    ``table`` is from `with_skill`, with a column ``hover``.
    """
    rows, keys = inputs_of(domain, grid), grid.targets_of(domain)
    score, skill, hover = (
        score_table(table, domain, grid, name) for name in ("score", "skill", "hover")
    )
    labels = part_labels(grid)
    targets = [grid.targets[key] for key in keys]
    figure = go.Figure(
        go.Heatmap(
            z=skill.tolist(),
            x=[f"{target.name}<br><i>{KINDS[target.kind].label}</i>" for target in targets],
            y=[_short(inputs, labels) for inputs in rows],
            text=[[number(value) for value in row] for row in score],
            texttemplate="%{text}",
            textfont={"size": 11},
            hovertext=hover.tolist(),
            hovertemplate=HOVER,
            hoverongaps=True,
            colorscale=_colour_scale(),
            colorbar=COLOUR_BAR,
            **{"zmin": -0.2, "zmax": 1, "xgap": 1, "ygap": 1},
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    figure.update_xaxes(side="top", showgrid=False, tickangle=-35 if len(keys) > 6 else 0)
    return _bare_layout(figure, source, max(ROW_HEIGHT * len(rows) + 150, LEAST_HEIGHT), 250, 110)


def plot_targets(table: pd.DataFrame, grid: Grid, source: str) -> go.Figure:
    """Plot each target's skill from its fullest inputs, with intervals, best read at the top.

    ``table`` is from `with_skill`, with a column ``hover``.
    """
    full = fullest_cells(table, grid).dropna(subset="skill").sort_values("skill", kind="stable")
    full = full.assign(name=[grid.targets[t].name for t in full["target"]])
    figure = go.Figure()
    look = {"type": "data", "symmetric": False, "thickness": 2, "width": 0}
    for domain in grid.domains:
        mine = full.loc[full["domain"] == domain]
        above, below = mine["skill_high"] - mine["skill"], mine["skill"] - mine["skill_low"]
        figure.add_scatter(
            x=mine["skill"].tolist(),
            y=mine["name"].tolist(),
            error_x=look | {"array": above.tolist(), "arrayminus": below.tolist()},
            mode="markers",
            name=domain,
            marker={"size": 10, "color": colour_of(domain, grid)},
            hovertext=mine["hover"].tolist(),
            hovertemplate=HOVER,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=full["name"].tolist())
    figure.update_xaxes(
        title={"text": "skill: R², or 2·AUC − 1", "font": {"color": MUTED}}, zerolinecolor=MUTED
    )
    _bare_layout(figure, source, 25 * max(len(full), 4) + 130, 130, 70)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}, margin={"b": 60}
    )
    return figure
