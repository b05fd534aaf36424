"""The data dictionary: what each variable is and how it is distributed, without small counts."""

from typing import Any

import pandas as pd

from ukb_brain.figures.suppression import suppress_counts, too_few
from ukb_brain.grid import Grid
from ukb_brain.reports.html import render
from ukb_brain.words import with_interval

PARTS = ("train", "validation", "test")
WORDS = ["role", "key", "name", "fields", "title", "coding", "derivation", "kind", "unit"]
ROLES = {
    "confound": "Confounds of scans",
    "covariate": "Covariates, which no model takes unless it is asked to",
}


def shown_dictionary(dictionary: pd.DataFrame, below: int) -> pd.DataFrame:
    """Write the dictionary of `ukb_brain.tables.data_dictionary.describe` as text that may leave.

    Parameters
    ----------
    dictionary : pandas.DataFrame
        One row a variable.
    below : int
        Smaller counts are not shown, and the row's other counts are then rounded. Where a part of
        the split has fewer people, or fewer with or without, no part's distribution is shown: the
        others would give it away.

    Returns
    -------
    pandas.DataFrame
        One row a variable: words, ``n, missing``, a column a part of the split, ``lag_years``,
        ``visits`` and ``algebra``; all text.
    """
    visits = sorted(name for name in map(str, dictionary) if name.startswith("from_"))
    rows: list[dict[str, str]] = []
    for position, row in enumerate(dictionary.to_dict("records")):
        one = dictionary.iloc[[position]]
        written = suppress_counts(one, ["n", "missing", *visits], below).iloc[0]
        at_visits = [f"{v.removeprefix('from_')}: {written[v]}" for v in visits if row[v] > 0]
        rows.append(
            {name: str(row[name]) for name in WORDS}
            | {"n": written["n"], "missing": written["missing"]}
            | _parts(row, below)
            | {"lag_years": _lag(row, below), "visits": ", ".join(at_visits)}
            | {"algebra": str(row["algebra"])}
        )
    return pd.DataFrame(rows)


def _parts(row: dict[Any, Any], below: int) -> dict[str, str]:
    binary = row["kind"] == "binary"
    if row["kind"] == "categorical":
        return dict.fromkeys(PARTS, "codes")
    if not row["n"]:
        return dict.fromkeys(PARTS, "not known")
    if any(too_few(row[f"{p}_n"], row[f"{p}_events"], binary, below) for p in PARTS):
        return dict.fromkeys(PARTS, "too few")
    if binary:
        return {part: f"{100 * row[f'{part}_mean']:.0f} %" for part in PARTS}
    amounts = {part: f"{row[f'{part}_mean']:.4g} ± {row[f'{part}_sd']:.3g}" for part in PARTS}
    return {part: amount.replace("-", "−") for part, amount in amounts.items()}


def _lag(row: dict[Any, Any], below: int) -> str:
    if row["n"] < below or pd.isna(row["lag_median"]):
        return ""
    return with_interval(row["lag_median"], row["lag_low"], row["lag_high"], 1)


def build_data_dictionary(shown: pd.DataFrame, grid: Grid, source: str, below: int = 10) -> str:
    """Build the page of `shown_dictionary`, its targets in the order of the grid's domains.

    HTML that loads nothing from elsewhere and names no participant.
    """
    domain = shown["key"].map({key: target.domain for key, target in grid.targets.items()})
    targets = shown["role"] == "target"
    parts = [
        (key, f"Targets: {key.replace('_', ' ')}", shown[targets & (domain == key)])
        for key in grid.domains
    ]
    parts += [(role, title, shown[shown["role"] == role]) for role, title in ROLES.items()]
    sections = [(key, title, rows.to_dict("records")) for key, title, rows in parts if len(rows)]
    contents = [(key, title) for key, title, _ in sections]
    return render("data_dictionary", source, below, contents, sections=sections)
