"""What limits legibility: confounds, and how well a target was measured."""

import pandas as pd

from ukb_brain.figures.limits import draw_ceilings, draw_confounds
from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.statistics.kinds import KINDS


def confound_rows(confounds: pd.DataFrame, grid: Grid, suppress_below: int) -> show.Table:
    """List the imaging cell, within-site score and gain over confounds of each target."""
    how = "{scale}, held-out test people, from {inputs}"
    return show.Table(
        "Images against confounds.",
        show.rows_of(confounds, grid, suppress_below),
        show.TARGET,
        show.SCALE,
        show.numeral("Test people: With images and the target; small counts are hidden", "{n}"),
        show.measured("Imaging cell: All imaging and as few blocks as may be", "score", how),
        show.measured(
            "Within sites: The same predictions, compared among people of one site only",
            "within_site",
            how,
        ),
        show.measured(
            "Confounds alone: Site, date, sex, age, head size, head motion, as far as known, less "
            "the target itself",
            "confounds",
            "{scale} from confounds alone",
        ),
        show.measured(
            "Added by images: Confounds, the cell's block and images together, less the first two",
            "gain",
            "Difference in {scale}",
            digits=3,
        ),
        show.REMARK,
    )


def ceiling_rows(
    reliability: pd.DataFrame,
    grid: Grid,
    suppress_below: int,
    repeatability: pd.DataFrame | None = None,
) -> show.Table:
    """List each target's test-retest ceiling, the share reached, and how predictions repeat."""
    kinds = {key: KINDS[target.kind].label for key, target in grid.targets.items()}
    known = reliability.assign(scale=reliability["target"].map(kinds))
    if repeatability is not None:
        again = repeatability.drop(columns=["n", "status", "pearson_r"], errors="ignore")
        known = known.merge(again, on="target", how="left", suffixes=("", "_again"))
    return show.Table(
        "What each target's own measurement allows.",
        show.rows_of(known, grid, suppress_below),
        show.TARGET,
        show.text("Scale: Of the ceiling", "{scale}"),
        show.numeral(
            "People measured twice: At two imaging visits; small counts are hidden", "{n}"
        ),
        show.measured(
            "Ceiling: Best score of a perfect reader, from how two measurements agree", "ceiling"
        ),
        show.measured(
            "Share reached: Skill of the fullest inputs over the skill at the ceiling",
            "share",
            "Fullest inputs: {inputs}",
        ),
        show.measured(
            "Prediction repeats: Intraclass correlation (agreement) of what the imaging cell "
            "predicts of test people scanned twice, by models that have seen neither scan",
            "icc",
            "ICC of predictions from {inputs_again}",
        ),
        show.REMARK,
    )


def scan_rows(scan_agreement: pd.DataFrame, suppress_below: int) -> show.Table:
    """List how well the scans of people scanned twice agree."""
    n = scan_agreement[["n"]].fillna(0)
    rows = scan_agreement.assign(
        n=suppress_counts(n, ["n"], suppress_below)["n"],
        remark=scan_agreement["status"].where(scan_agreement["status"] != "ok", ""),
    )
    return show.Table(
        "What is the same in two scans of a person.",
        rows.to_dict("records"),
        show.text(
            "Scans: A modality's volumes in the brain's grid, or a vector of a group", "{scans}"
        ),
        show.text("Sites: Whether vectors of different sites were made alike (ComBat)", "{sites}"),
        show.numeral("People scanned twice: Test people of the first fold", "{n}"),
        show.measured(
            "Agreement: Intraclass correlation of two visits, over all numbers of a scan", "icc"
        ),
        show.REMARK,
    )


SECTION = show.Section(
    "What limits legibility?",
    "A score from images may rest on what goes along with them: site, sex, age, head size, head "
    "motion, of which those are taken that are known. Where confounds alone read as well, images "
    "have not been shown to tell anything of their own. A score that falls within sites leant on "
    "differences between them. And no one can read a characteristic better than it was measured: "
    "the test-retest ceiling. A ceiling of exactly 1 says that both visits hold the very same "
    "values, as where one measurement serves both: that is no evidence that the measurement is "
    "reliable.",
    "Confounds: a ridge or logistic model on training people, joined with the cell of the block, "
    "and then with the imaging cell, on validation people; scored on test people. Within sites: "
    "people are compared with people of their own site only. Ceiling: from the agreement of two "
    "imaging visits, under the assumption that errors of both are alike and independent. Intervals "
    "are percentile intervals over families.",
    {
        draw_confounds: "Forest plot: skill of each target's imaging cell, the same within sites, "
        "confounds alone, and what images add to confounds, with 95 % intervals.",
        confound_rows: "",
        draw_ceilings: "Forest plot: each target's test-retest ceiling, and the share of it that "
        "its fullest inputs reach, with 95 % intervals.",
        ceiling_rows: "",
        scan_rows: "",
    },
)
