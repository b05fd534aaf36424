"""Claims and comparisons in plain words, as Markdown."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from ukb_brain.figures.stamp import titled
from ukb_brain.statistics.claims import BY_CELLS, BY_TARGETS, BY_TEST_SIZE
from ukb_brain.words import markdown_table, number, p_value, with_interval

WORDS = {
    "supported": "holds here",
    "contradicted": "does not hold here",
    "undecided": "cannot be told from these people or targets",
    "cannot be tested": "cannot be tested: cells are missing",
    "not in this grid": "not in this grid",
}
BASES = {
    BY_TARGETS: (
        "A table of scores says nothing of its test people: intervals and p values of several "
        "targets are over these (Student's t), as if they were drawn from many such "
        "characteristics. Skill of binary targets is 2·BA − 1 there, for the table's AUC is "
        "not that of the trait; of continuous ones R², which has no interval for one target."
    ),
    BY_TEST_SIZE: (
        "One binary target of a table, or one that is read without fail: by the sizes of its "
        "classes, which a table's precision and F1 give away."
    ),
    BY_CELLS: (
        "“The study's mixed model”: its own test, told beside ours, in balanced accuracy. It "
        "takes cells of the same test people for independent; it decides nothing here."
    ),
}
BY_DRAWS = (
    "Skill is R², or 2·AUC − 1. Intervals and p values are from bootstrap draws of whole "
    "families of test people; networks are not retrained. All parts of a claim must hold; "
    "its p is the largest of theirs. Bounds stand in `conf/base/parameters/claims.yml`."
)


def parts_of(claims: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """List the parts of claims, from `ukb_brain.statistics.claims.evaluate_claims`.

    ``text``, and the claim's verdict in ``words``, are told at the first part and empty after it;
    ``claim_reason`` is the claim's, ``study_says`` the verdict of the study's own test.
    """
    rows = []
    for _, group in claims.groupby("claim", sort=False):
        whole = group[group["part"] == "all"].iloc[0]
        told = {"text": whole["text"], "words": WORDS[whole["verdict"]]}
        for row in group[group["part"] != "all"].to_dict("records"):
            says = WORDS[row["verdict"]] if row["basis"] == BY_CELLS else ""
            rows.append(row | told | {"claim_reason": whole["reason"], "study_says": says})
            told = {"text": "", "words": ""}
    return rows


def write_claims(claims: pd.DataFrame, source: str) -> str:
    """Write the verdicts on claims; a table from outside has the source ``published``."""
    rows = []
    for row in parts_of(claims):
        skill = with_interval(row["statistic"], row["low"], row["high"], 3)
        words = f"**{row['words']}**" if row["words"] else ""
        part = row["part"] + (f" ({row['study_says']})" if row["study_says"] else "")
        rows.append([row["text"], words, part, skill, f"{row['bound']:g}", p_value(row["p"])])
    heads = ["claim", "verdict", "part", "skill [95 %]", "bound", "p"]
    lines = [*titled("The study's claims", source), *markdown_table(heads, rows)]
    for basis in sorted(set(claims["basis"].dropna()) - {""}):
        lines += ["", BASES.get(basis, BY_DRAWS)]
    return "\n".join(lines) + "\n"


def write_comparison(cells: pd.DataFrame, source: str) -> str:
    """Count by domain how many cells of another run are told apart from this one's.

    ``cells`` is from `ukb_brain.statistics.map_comparison.compare_maps`.
    """
    counts = pd.crosstab(cells["domain"], cells["verdict"])
    mean = cells.groupby("domain", sort=False)["difference"].mean()
    rows = [
        [d, *map(str, counts.loc[d]), number(m, 3)] for d, m in zip(mean.index, mean, strict=True)
    ]
    lines = [
        *titled("The other run against this one", source),
        *markdown_table(["domain", *counts.columns, "mean difference"], rows),
        "",
        "Differences are in AUC or R², the other's less this one's. Standard errors are read off "
        "both runs' intervals, which are taken for independent; p values are adjusted within a "
        "domain (Benjamini and Hochberg).",
    ]
    return "\n".join(lines) + "\n"
