"""The dashboard: one HTML file with the map, every cell and the cohort, that needs no network."""

import re

import pandas as pd
from itables import JavascriptFunction, to_html_datatable
from itables import options as itables_options
from itables.javascript import generate_init_offline_itables_html
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from ukb_brain.figures.interactive import hover_texts, plot_domain, plot_targets
from ukb_brain.figures.legibility import RULE
from ukb_brain.figures.stamp import modality_names
from ukb_brain.figures.suppression import suppress_counts, too_few
from ukb_brain.grid import Grid
from ukb_brain.reports.html import render
from ukb_brain.reports.summary import named_with
from ukb_brain.statistics.scores.skill import fullest_cells, why_no_interval, with_skill

OUTWARD = re.compile(r"<a href=['\"]?https?://[^>]*>.*?</a>")
CELL_COLUMNS = {
    "domain": "Domain",
    "name": "Target",
    "inputs": "Inputs",
    "metric": "Metric",
    "score": "Score",
    "score_low": "95 % low",
    "score_high": "95 % high",
    "skill": "Skill",
    "n_test": "Test people",
    "status": "Status",
}
TARGET_COLUMNS = (
    *("Target", "Domain", "People", "No answer", "Value"),
    "Years before the scan (median)",
)

LAYOUT = {"topStart": "info", "topEnd": "pageLength", "bottomStart": "paging", "bottomEnd": None}
# Sorting and filtering see the number, the reader two digits of it.
TWO_DIGITS = r"""function (value, type) {
    const number = value !== null && value !== "" && !isNaN(value);
    if (type !== "display" || !number) return value;
    return Number(value).toFixed(2).replace(/^-0\.00$/, "0.00");
}"""


def cell_table(table: pd.DataFrame, grid: Grid, below: int) -> pd.DataFrame:
    """Choose and name the columns of the table of all cells, as from `with_skill`.

    Counts under ``below`` are not shown; numbers have three digits after the point.
    """
    why = [why_no_interval(cell) for cell in table.to_dict("records")]
    named = table.assign(
        name=[grid.targets[t].name for t in table["target"]],
        status=[f"no interval: {w}" if w else s for s, w in zip(table["status"], why, strict=True)],
    )
    shown = suppress_counts(named, ["n_test"], below)[list(CELL_COLUMNS)]
    return shown.round(3).rename(columns=CELL_COLUMNS)


def target_table(target_summary: pd.DataFrame, grid: Grid, below: int) -> pd.DataFrame:
    """Describe the targets in text, without what fewer people than allowed would show.

    ``target_summary`` is ``target, name, n, missing, mean_or_prevalence, sd, median_lag_years``;
    that of an earlier run may describe more targets than this grid has. Neither a count under
    ``below`` is shown nor a prevalence that is such a count of people.
    """
    counts = suppress_counts(target_summary, ["n", "missing"], below)
    known = target_summary.assign(People=counts["n"], unknown=counts["missing"])
    rows = []
    for row in known[known["target"].isin(list(grid.targets))].to_dict("records"):
        target, average = grid.targets[row["target"]], row["mean_or_prevalence"]
        binary = target.kind == "binary"
        yes = row["n"] * average if row["n"] else 0.0
        few = too_few(row["n"], yes, binary, below)
        if few:
            value = "too few"
        elif target.is_fitted:
            value = f"cut at quantile {target.quantile:g} of training people"
        elif binary:
            value = f"{100 * average:.0f} % yes"
        else:
            value = f"{average:.4g} ± {row['sd']:.3g} {target.unit}".strip()
        lag = "" if few or pd.isna(row["median_lag_years"]) else f"{row['median_lag_years']:.1f}"
        rows.append((row["name"], target.domain, row["People"], row["unknown"], value, lag))
    return pd.DataFrame(rows, columns=TARGET_COLUMNS)


def quality_table(quality_summary: pd.DataFrame, grid: Grid, below: int) -> pd.DataFrame:
    """Arrange the scans' states, ``modality, status, n``, as modality by status, in text."""
    states = list(dict.fromkeys(["ok", *quality_summary["status"]]))
    modality = quality_summary["modality"].replace(modality_names(grid)).rename("Modality")
    wide = quality_summary.pivot_table(
        index=modality, columns="status", values="n", aggfunc="sum", fill_value=0, sort=False
    ).reindex(columns=states, fill_value=0)
    return suppress_counts(wide.reset_index(), states, below).rename_axis(columns=None)


def flow_table(exclusion_flow: pd.DataFrame, below: int) -> pd.DataFrame:
    """Write the exclusion flow, ``reason, excluded, remaining``, without small counts."""
    names = {"reason": "Step", "excluded": "Left out", "remaining": "Remaining"}
    shown = suppress_counts(exclusion_flow, ["excluded", "remaining"], below)
    return shown[list(names)].rename(columns=names)


def _plain(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, classes="plain", justify="left")


def _plot(figure: Figure, name: str) -> str:
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={
            **{"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d"]},
            # plotly offers to upload a chart unless it is told not to.
            "showSendToCloud": False,
        },
    )


def _table_library() -> str:
    """Give the script of the sortable table, without the logo that notebooks show."""
    html = generate_init_offline_itables_html(itables_options.dt_bundle)
    return "".join(html.partition("</script>")[:2])


def _sortable(table: pd.DataFrame) -> str:
    place = {name: at for at, name in enumerate(table.columns)}
    numbers = [place[name] for name in ("Score", "95 % low", "95 % high", "Skill")]
    html = to_html_datatable(
        table,
        connected=False,
        table_id="cells",
        showIndex=False,
        maxBytes=0,
        classes="display compact",
        style="width:100%",
        pageLength=25,
        lengthMenu=[10, 25, 100, 1000],
        layout=LAYOUT,
        order=[[place["Skill"], "desc"]],
        columnDefs=[{"targets": numbers, "render": JavascriptFunction(TWO_DIGITS)}],
    )
    # Its note for readers without scripts leads to the library's site.
    return OUTWARD.sub("", html)


def build_dashboard(
    performance: pd.DataFrame,
    exclusion_flow: pd.DataFrame,
    target_summary: pd.DataFrame,
    quality_summary: pd.DataFrame,
    grid: Grid,
    source: str,
    suppress_below: int = 10,
) -> str:
    """Build the dashboard: HTML that loads nothing from elsewhere and holds no individual's data.

    ``performance`` is one row a cell. Of people, ``exclusion_flow, target_summary`` and
    ``quality_summary`` hold counts; those under ``suppress_below`` are not shown.
    """
    table = with_skill(performance)
    table["hover"] = hover_texts(table, grid, suppress_below)
    cells = cell_table(table, grid, suppress_below)
    full = fullest_cells(table, grid)
    maps = {
        domain: _plot(plot_domain(table, domain, grid, source), f"map-{domain}")
        for domain in grid.domains
        if grid.targets_of(domain)
    }
    return render(
        "dashboard",
        source,
        suppress_below,
        contents=[],
        rule=RULE,
        grid=grid.in_words(),
        plotly=get_plotlyjs(),
        maps=maps,
        letters={key: domain.letter for key, domain in grid.domains.items()},
        without=named_with(full[full["skill"].isna()], "status", grid),
        targets_plot=_plot(plot_targets(table, grid, source), "targets"),
        table_library=_table_library(),
        cells=_sortable(cells),
        target_names=[target.name for target in grid.targets.values()],
        columns=list(cells.columns),
        flow=_plain(flow_table(exclusion_flow, suppress_below)),
        quality=_plain(quality_table(quality_summary, grid, suppress_below)),
        target_table=_plain(target_table(target_summary, grid, suppress_below)),
        n_cells=len(table),
        n_ok=int((table["status"] == "ok").sum()),
        strategy=table["strategy"].iloc[0],
    )
