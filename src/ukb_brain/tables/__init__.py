"""From the rows of the main table to participants, targets, confounds, splits and blocks."""
