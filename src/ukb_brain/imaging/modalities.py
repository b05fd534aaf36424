"""A modality is one record of `imaging_preprocess.modalities`; and the settings all share."""

import re
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from ukb_brain.imaging.affines import common_grid, named_grid
from ukb_brain.imaging.judging import Quality
from ukb_brain.imaging.resampling import Filter, Interpolation
from ukb_brain.imaging.roi_series import ROI_FIELDS
from ukb_brain.imaging.time_series import SERIES_FIELDS
from ukb_brain.settings_base import Settings

MNI, Z_SCORE, RANGE = "mni", "z_score", "range"
# What says where the common grid is.
PLACE = ("common_grid", "shape", "centre_mm", "voxel_mm")
# UK Biobank's time series and matrices, and atlases of ABIDE's time series.
Source = (
    Literal[31014, 31015, 31016, 31018, 31019, 25750, 25751, 25752, 25753]
    | Literal["aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt"]
)


class Scale(Settings):
    """One scale for everybody, of a physical measure: clamped, less `centre`, over `spread`."""

    clamp: tuple[float, float]
    centre: float
    spread: float = Field(gt=0)


Intensity = Literal["z_score", "range"] | Scale


class Modality(Settings):
    """Which file a modality lies in and how it is read; its group and name are the grid's.

    Attributes
    ----------
    reader : str
        One of `ukb_brain.imaging.readers.READERS`.
    field : int, optional
        Bulk field; None stands for ``connectivity_field``.
    member : str
        The image's path inside the zip.
    space : str
        Where the image lies: ``mni``, or the native space of the modality of this name.
    matrix : str
        Path inside the zip of the FLIRT matrix that takes this native space to MNI.
    intensity : {"z_score", "range"} or Scale
        Clamped at ``clamp_percentiles`` of each brain and z-scored in it, or put between −1 and 1,
        as the study does; or on one scale for all.
    """

    reader: str = ""
    field: int | None = None
    member: str = ""
    space: str = MNI
    matrix: str = ""
    interpolation: Interpolation = "linear"
    intensity: Intensity = "z_score"


class ImagingPreprocess(Settings):
    """Modalities, the common grid and the source of connectivity; what they lack `preset` may give.

    Attributes
    ----------
    modalities : dict of str to Modality
        By the grid's keys; null takes one out.
    common_grid : str, optional
        One of `ukb_brain.imaging.affines.NAMED_GRIDS`, in place of ``shape`` and ``centre_mm``.
    shape : tuple of int
        Voxels of the common grid in x, y and z.
    voxel_mm : float
        Their edge.
    centre_mm : tuple of float
        Middle of the grid in MNI space.
    filter : {"gaussian", "area", "none"}
        What of a scan's finer voxels goes into a coarser one: `ukb_brain.imaging.resampling`.
        Scans that are no finer are only interpolated.
    stored : {"uint8", "float16"}
        How volumes lie in the store.
    clamp_percentiles : tuple of float
        Of the brain.
    connectivity_field : int or str
        Time series (31014 to 31019 but for 31017, the global signal), one of UK Biobank's own
        matrices (25750 to 25753), or an atlas of ABIDE's time series (cc200, ho, …).
    atlas : str, optional
        Of the time series, such as ``Glasser``; must be given where a zip holds several.
    most_regions_missing : float
        Share of the cohort's regions that a person may lack. Their correlations are filled with
        the mean of each fold's training people; who lacks more is left out.
    quality : Quality
        What a scan that can be read must be like.
    """

    modalities: dict[str, Modality]
    common_grid: str | None = None
    shape: tuple[int, int, int]
    voxel_mm: float = Field(gt=0)
    centre_mm: tuple[float, float, float] = (0.0, -18.0, 8.0)
    filter: Filter = "gaussian"
    stored: Literal["uint8", "float16"] = "uint8"
    clamp_percentiles: tuple[float, float] = (0.5, 99.5)
    connectivity_field: Source = 31016
    atlas: str | None = None
    most_regions_missing: float = Field(default=0.05, ge=0, lt=1)
    quality: Quality = Quality()

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        said = {key: value for key, value in given.items() if value is not None}
        preset = said.pop("preset", {})
        # What is said of the grid stands in place of what the preset says.
        if "common_grid" in said:
            preset = {key: value for key, value in preset.items() if key not in PLACE}
        elif "shape" in said:
            preset = {key: value for key, value in preset.items() if key != "common_grid"}
        said = preset | said
        if "common_grid" not in said:
            return said
        grid = named_grid(said["common_grid"], said.get("voxel_mm"))
        for key, own in grid.items():
            if key in said and not np.array_equal(said[key], own):
                raise ValueError(
                    f"common_grid {said['common_grid']} has a {key} of its own, {own}, "
                    f"and {said[key]} is given: leave one of both out"
                )
        return said | grid

    @model_validator(mode="before")
    @classmethod
    def _limits_are_of_modalities(cls, given: Any) -> Any:
        """Tell a misspelt modality from one that was taken out, whose limits go with it."""
        if isinstance(given, dict) and (quality := given.get("quality")):
            known = given.get("modalities", {})
            unknown = sorted(set(Quality.model_validate(quality).limits) - set(known))
            if unknown:
                raise ValueError(f"quality.limits names {unknown}, modalities are {sorted(known)}")
        return given

    @field_validator("modalities", mode="before")
    @classmethod
    def _without_null(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {key: record for key, record in given.items() if record is not None}

    @model_validator(mode="after")
    def _spaces_have_a_matrix(self) -> Self:
        known = [MNI, *(key for key, record in self.modalities.items() if record.matrix)]
        for key, record in self.modalities.items():
            if record.space not in known:
                raise ValueError(
                    f"modality {key} lies in space {record.space!r}, expected one of {known}: "
                    "a native space goes by the modality whose zip has its `matrix`"
                )
        return self

    @property
    def fields(self) -> dict[str, int]:
        """Bulk field of each modality."""
        own = {key: record.field for key, record in self.modalities.items()}
        return {key: self.source if field is None else field for key, field in own.items()}

    @property
    def source(self) -> int:
        """Number of `connectivity_field`; atlases have numbers that no bulk field has."""
        source = self.connectivity_field
        return ROI_FIELDS[source] if isinstance(source, str) else source

    @property
    def has_series(self) -> bool:
        """Whether connectivity is made of time series."""
        return self.connectivity_field in (*SERIES_FIELDS, *ROI_FIELDS)

    @property
    def members(self) -> dict[int, re.Pattern[str]]:
        """Pattern of the members of which each field's zips must hold one; text files have none."""
        wanted: dict[int, list[str]] = {}
        for key, record in self.modalities.items():
            if record.member:
                wanted.setdefault(self.fields[key], []).append(re.escape(record.member))
        if self.connectivity_field in SERIES_FIELDS and self.source in self.fields.values():
            atlas = re.escape(self.atlas) if self.atlas else ".+"
            wanted[self.source] = [rf"fMRI\.{atlas}\.csv\.gz"]
        return {f: re.compile(rf"(?:.*/)?(?:{'|'.join(names)})") for f, names in wanted.items()}

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel to world of the common grid."""
        return common_grid(self.shape, self.voxel_mm, self.centre_mm)
