"""Claims and comparisons in plain words."""

from __future__ import annotations

import pandas as pd

from ukb_brain.figures.stamp import NOTICE, is_synthetic
from ukb_brain.statistics.claims import BY_CELLS, BY_TARGETS, BY_TEST_SIZE

WORDS = {
    "supported": "holds here",
    "contradicted": "does not hold here",
    "undecided": "cannot be told from these people or targets",
    "cannot be tested": "cannot be tested: cells are missing",
    "not in this grid": "not in this grid",
}


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}".replace("-", "−")


def _p(value: float) -> str:
    return "" if pd.isna(value) else "< .001" if value < 0.001 else f"{value:.3f}"


def write_claims(claims: pd.DataFrame, source: str) -> str:
    """Write the verdicts on claims as a table.

    Parameters
    ----------
    claims : pandas.DataFrame
        From `ukb_brain.statistics.claims.evaluate_claims`.
    source : str
        ``synthetic`` is stamped; ``published`` is a table from outside.

    Returns
    -------
    str
        Markdown.
    """
    lines = ["# The study's claims", ""]
    lines += [f"**{NOTICE}.**", ""] if is_synthetic(source) else []
    lines += ["| claim | verdict | part | skill [95 %] | bound | p |", "| --- " * 6 + "|"]
    for _, rows in claims.groupby("claim", sort=False):
        whole = rows[rows["part"] == "all"].iloc[0]
        head = f"| {whole['text']} | **{WORDS[whole['verdict']]}** "
        for _, row in rows[rows["part"] != "all"].iterrows():
            bounds = f" [{_number(row['low'])}, {_number(row['high'])}]"
            none = "" if pd.isna(row["statistic"]) else ", no interval"
            shown = _number(row["statistic"]) + (none if pd.isna(row["low"]) else bounds)
            part = row["part"]
            if row["basis"] == BY_CELLS:
                part = f"{part} ({WORDS[row['verdict']]})"
            lines.append(f"{head}| {part} | {shown} | {row['bound']:g} | {_p(row['p'])} |")
            head = "| | "
    bases = set(claims["basis"].dropna()) - {""}
    lines += [line for basis in sorted(bases) for line in ("", _basis(basis))]
    return "\n".join(lines) + "\n"


def _basis(basis: str) -> str:
    if basis == BY_TARGETS:
        return (
            "A table of scores says nothing of its test people: intervals and p values of several "
            "targets are over these (Student's t), as if they were drawn from many such "
            "characteristics. Skill of binary targets is 2·BA − 1 there, for the table's AUC is "
            "not that of the trait; of continuous ones R², which has no interval for one target."
        )
    if basis == BY_TEST_SIZE:
        return (
            "One binary target of a table, or one that is read without fail: by the sizes of its "
            "classes, which a table's precision and F1 give away."
        )
    if basis == BY_CELLS:
        return (
            "“The study's mixed model”: its own test, told beside ours, in balanced accuracy. It "
            "takes cells of the same test people for independent; it decides nothing here."
        )
    return (
        "Skill is R², or 2·AUC − 1. Intervals and p values are from bootstrap draws of whole "
        "families of test people; networks are not retrained. All parts of a claim must hold; "
        "its p is the largest of theirs. Bounds stand in `conf/base/parameters/claims.yml`."
    )


def write_comparison(cells: pd.DataFrame, source: str) -> str:
    """Count how many cells of another run are told apart from this one's.

    Parameters
    ----------
    cells : pandas.DataFrame
        From `ukb_brain.statistics.map_comparison.compare_maps`.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    str
        Markdown.
    """
    counts = pd.crosstab(cells["domain"], cells["verdict"])
    counts = counts.loc[cells["domain"].unique()]
    lines = ["# The other run against this one", ""]
    lines += [f"**{NOTICE}.**", ""] if is_synthetic(source) else []
    lines += [f"| domain | {' | '.join(counts.columns)} | mean difference |"]
    lines += ["| --- " * (len(counts.columns) + 2) + "|"]
    mean = cells.groupby("domain", sort=False)["difference"].mean()
    for domain, row in counts.iterrows():
        numbers = " | ".join(str(n) for n in row)
        lines.append(f"| {domain} | {numbers} | {_number(float(mean.loc[str(domain)]))} |")
    lines += [
        "",
        "Differences are in AUC or R², the other's less this one's. Standard errors are read off "
        "both runs' intervals, which are taken for independent; p values are adjusted within a "
        "domain (Benjamini and Hochberg).",
    ]
    return "\n".join(lines) + "\n"
