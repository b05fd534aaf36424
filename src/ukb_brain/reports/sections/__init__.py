"""The sections of the report, a file each, in their order."""

from ukb_brain.reports.sections import (
    calibration,
    certainty,
    conclusions,
    inputs,
    learning,
    limits,
    models,
    relations,
    subgroups,
)

SECTIONS = (
    conclusions.SECTION,
    certainty.SECTION,
    inputs.SECTION,
    models.SECTION,
    limits.SECTION,
    learning.SECTION,
    calibration.SECTION,
    subgroups.SECTION,
    relations.SECTION,
)
