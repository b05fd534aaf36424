"""How the characteristics are related."""

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.words import number

MOST_RELATIONS, MOST_CENTRAL = 8, 5
MEASURES = {
    "mutual_information": "Mutual information between what people have",
    "distance_correlation": "Distance correlation between what people have",
    "profile_similarity": "Similarity of what reads them",
}


def relation_rows(
    relations: pd.DataFrame, grid: Grid, centrality: pd.DataFrame | None = None
) -> list[show.Table]:
    """List the closest pairs of each measure of relation, its most central targets in a caption."""
    names = {key: target.name for key, target in grid.targets.items()}
    known = relations.dropna(subset=["estimate"]).sort_values(
        "estimate", ascending=False, kind="stable"
    )
    known = known.assign(one=known["target"].map(names), two=known["other"].map(names))
    tables = []
    for measure, words in MEASURES.items():
        mine = known[known["measure"] == measure]
        if mine.empty:
            continue
        closest = mine.head(MOST_RELATIONS)
        caption = f"{words}: the {len(closest)} closest of {len(mine)} pairs."
        if centrality is not None and (of := centrality[centrality["measure"] == measure]).size:
            first = of.sort_values("estimate", ascending=False).head(MOST_CENTRAL)
            pairs = zip(first["target"], first["estimate"], strict=True)
            listed = [f"{names[target]} ({number(value)})" for target, value in pairs]
            caption += f" Most central (eigenvector centrality): {', '.join(listed)}."
        tables.append(
            show.Table(
                caption,
                closest.to_dict("records"),
                show.text("Targets: A pair", "{one} – {two}"),
                show.measured(
                    f"Relation: {words}, with a 95 % interval over families", "estimate", words
                ),
                show.p(
                    "p, adjusted: Of no relation, where tested; Benjamini and Hochberg over pairs",
                    "p_adjusted",
                ),
            )
        )
    return tables


SECTION = show.Section(
    "How are the characteristics related?",
    "Which characteristics go together in people, and which are read from the same inputs.",
    "Mutual information and distance correlation of the measurements at people's first imaging "
    "visit; similarity of the skill that cells have (profiles over inputs). Intervals over "
    "families; p of mutual information by permutation, adjusted over pairs.",
    {relation_rows: ""},
)
