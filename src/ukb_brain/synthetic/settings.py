"""Settings of the synthetic cohort."""

from pydantic import BaseModel, ConfigDict, Field

from ukb_brain.tables.exclusions import FIRST_SYNTHETIC_EID

FIRST_EID = FIRST_SYNTHETIC_EID


class SyntheticCohort(BaseModel):
    """How many people are made, and how finely their brains are sampled.

    Attributes
    ----------
    participants : int
        Number of people in the main table.
    voxel_mm : float
        Voxel edge of all scans; 1 gives UK Biobank's own shapes.
    regions : int
        Regions of the time series of field 31016; the Glasser parcellation has 360.
    time_points : int
        Length of the time series; UK Biobank's have 490.
    seed : int
        A participant's files follow from this and its own number only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    participants: int = Field(ge=1)
    voxel_mm: float = Field(ge=1, le=10)
    regions: int = Field(ge=25, le=360)
    time_points: int = Field(ge=60)
    seed: int = Field(ge=0)
