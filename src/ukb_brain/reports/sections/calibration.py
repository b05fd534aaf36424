"""Whether predictions are of the right size."""

import pandas as pd

from ukb_brain.figures.calibration import draw_calibration
from ukb_brain.figures.suppression import without_small_counts
from ukb_brain.grid import Grid
from ukb_brain.reports import show
from ukb_brain.statistics.kinds import BINARY

MEASURES = {
    "calibration_slope": "slope",
    "calibration_intercept": "offset",
    "mean_error": "offset",
    "recalibration_change": "change",
}
ENDS = {"": "estimate", "_low": "low", "_high": "high"}


def calibration_rows(calibration: pd.DataFrame, grid: Grid, suppress_below: int) -> show.Table:
    """List slopes and offsets of calibration, one row a target.

    ``calibration`` has one row a target and measure.
    """
    by_target: dict[str, show.Row] = {}
    for row in show.rows_of(calibration, grid):
        target = grid.targets[row["target"]]
        binary = target.kind == BINARY.name
        name = MEASURES.get(row["measure"], row["measure"])
        by_target[target.name] = {
            "unit": "log-odds" if binary else target.unit,
            "judged": "Brier score" if binary else "R²",
            "remark": without_small_counts(row["note"], suppress_below),
            **by_target.get(target.name, row),
            **{f"{name}{end}": row[of] for end, of in ENDS.items()},
        }
    return show.Table(
        "Calibration of the fullest cell of each target.",
        by_target.values(),
        show.TARGET,
        show.measured(
            "Slope: Of the outcome on the prediction (log-odds where binary); 1 is right, less "
            "is too extreme, more too timid",
            "slope",
            "From {inputs}",
        ),
        show.measured(
            "Offset: Intercept at a slope of 1 (binary), or mean prediction less outcome; 0 is "
            "right",
            "offset",
            "In {unit}. From {inputs}",
        ),
        show.text("Unit: Of the offset", "{unit}"),
        show.measured(
            "Change by recalibration: By a line fitted on validation people: of the Brier score"
            " (binary; below 0 is better) or of R² (above 0 is better)",
            "change",
            "{judged}",
            digits=4,
        ),
        show.REMARK,
    )


SECTION = show.Section(
    "Are predictions of the right size?",
    "A prediction may rank people well and yet be too extreme or too timid. On the dashed line it "
    "means what it says.",
    "Fullest cell of each target, test people only. Bins hold equally many people; bars are Wilson "
    "intervals of binary and bootstrap intervals of continuous targets. Slopes and offsets have "
    "intervals over families.",
    {
        draw_calibration: "Panels by target: what was observed in bins of like predictions, with "
        "intervals.",
        calibration_rows: "",
    },
)
