"""Settings of the synthetic cohort."""

from typing import Literal

from pydantic import Field

from ukb_brain.settings_base import Settings
from ukb_brain.synthetic.people import DEEP, LESIONS
from ukb_brain.synthetic.table_styles import Style
from ukb_brain.tables.exclusions import FIRST_SYNTHETIC_EID

FIRST_EID = FIRST_SYNTHETIC_EID
# Lesions are drawn where voxels are no larger.
LESIONS_MM = 3.0
Arrangement = Literal["by_field", "flat", "by_person", "platform"]


class SyntheticCohort(Settings):
    """How many people are made, and how finely their brains are sampled.

    Attributes
    ----------
    voxel_mm : float
        Voxel edge of all scans; 1 gives UK Biobank's own shapes.
    regions : int
        Regions of the time series of field 31016; the Glasser parcellation has 360.
    time_points : int
        UK Biobank's time series have 490.
    seed : int
        A participant's files follow from this and its own number only.
    style : str
        In which the main table is written: one of `ukb_brain.synthetic.table_styles.STYLES`.
    arrangement : {"by_field", "flat", "by_person", "platform"}
        How bulk files lie: a folder a field, all in one folder, a folder a person, or as on the
        Research Analysis Platform.
    idps : int
        Imaging-derived phenotypes in the main table: of those of `ukb_brain.synthetic.idps` so
        many of the first ones. More may be added later.
    depth : bool
        Whether images also show what no linear reader sees: `ukb_brain.synthetic.depth`.
    reference_people : int
        Of whose images the truth of a cohort with depth learns what the best linear reader reads.
    written_as : int
        Rises when files of the same settings are written otherwise than before.
    """

    participants: int = Field(ge=1)
    voxel_mm: float = Field(ge=1, le=10)
    regions: int = Field(ge=25, le=360)
    time_points: int = Field(ge=60)
    seed: int = Field(ge=0)
    style: Style = "ukbconv csv"
    arrangement: Arrangement = "by_field"
    idps: int = Field(default=0, ge=0, le=840)
    depth: bool = False
    reference_people: int = Field(default=50_000, ge=100)
    written_as: Literal[2] = 2

    @property
    def deep(self) -> tuple[str, ...]:
        """Further variates of its people; none without depth."""
        if not self.depth:
            return ()
        return (*DEEP, *LESIONS) if self.voxel_mm <= LESIONS_MM else DEEP
