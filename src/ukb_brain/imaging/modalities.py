"""A modality is one record of `imaging_preprocess.modalities`; and the settings all share."""

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ukb_brain.imaging.affines import common_grid, named_grid
from ukb_brain.imaging.connectome import EdgeScale
from ukb_brain.imaging.resampling import Filter, Interpolation
from ukb_brain.imaging.roi_series import ROI_FIELDS
from ukb_brain.imaging.time_series import SERIES_FIELDS, Wanted
from ukb_brain.settings_base import Settings

MNI, Z_SCORE, RANGE = "mni", "z_score", "range"
# The reader of numbers of the main table, which are in no bulk file.
NUMBERS = "numbers"
# Readers of functional connectivity, and of structural.
CONNECTIVITY, CONNECTOME = "connectivity", "connectome"
# What says where the common grid is.
PLACE = ("common_grid", "shape", "centre_mm", "voxel_mm")
# Atlases of ABIDE's time series.
Roi = Literal["aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt"]
# UK Biobank's time series and matrices, and those.
Source = Literal[31014, 31015, 31016, 31018, 31019, 25750, 25751, 25752, 25753] | Roi
# What connectivity of time series is read as.
Kind = Literal["tangent", "correlation", "partial"]


class Scale(Settings):
    """One scale for everybody, of a physical measure: clamped, less `centre`, over `spread`."""

    clamp: tuple[float, float]
    centre: float
    spread: float = Field(gt=0)


Intensity = Literal["z_score", "range"] | Scale


def _listed(given: Any) -> Any:
    """Read one text, number or list of them as a list; on the command line ``+`` parts them."""
    if isinstance(given, int):
        return (given,)
    return tuple(given.split("+")) if isinstance(given, str) and given else given or ()


Range = int | Annotated[str, Field(pattern=r"^\s*\d+\s*(-\s*\d+\s*)?$")]


def _inside(names: str) -> re.Pattern[str]:
    # Some zip a folder around everything.
    return re.compile(rf"(?:.*/)?(?:{names})")


class Modality(Settings):
    """Which file a modality lies in and how it is read; its group and name are the grid's.

    Attributes
    ----------
    reader : str
        One of `ukb_brain.imaging.readers.READERS`.
    field : int or str, optional
        Bulk field, or an atlas of ABIDE's time series; None stands for ``connectivity_field``.
    member : str or tuple of str
        Path inside the zip of the image or matrix; of several, the first that is there.
    space : str
        Where the image lies: ``mni``, or the native space of the modality of this name.
    matrix : str
        Path inside the zip of the FLIRT matrix that takes this native space to MNI.
    intensity : {"z_score", "range"} or Scale
        Clamped at ``clamp_percentiles`` of each brain and z-scored in it, or put between −1 and 1,
        as the study does; or on one scale for all.
    sparse : bool
        Whether the image may be 0 nearly everywhere, as a mask is, or throughout.
    fields : tuple of int or str
        Of numbers: fields of the main table, or ranges of them, ``25001-25025``.
    categories : tuple of int
        Of numbers: categories of UK Biobank's dictionary, each all its fields of numbers.
    most_missing : float
        Of numbers: share that a visit may lack; one that lacks more is left out.
    atlas : str, optional
        Of time series of a field of their own, such as ``Schaefer7n200p``.
    kind : {"tangent", "correlation", "partial"}, optional
        Of time series: what models read; None stands for ``modelling.connectivity``.
    scale : {"none", "log1p"}
        Of structural connectomes: what is done to edges.
    """

    reader: str = ""
    field: int | Roi | None = None
    member: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    space: str = MNI
    matrix: str = ""
    interpolation: Interpolation = "linear"
    intensity: Intensity = "z_score"
    sparse: bool = False
    fields: Annotated[tuple[Range, ...], BeforeValidator(_listed)] = ()
    categories: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()
    most_missing: float = Field(default=0.5, ge=0, lt=1)
    atlas: str | None = None
    kind: Kind | None = None
    scale: EdgeScale = "none"

    @model_validator(mode="after")
    def _has_fields(self) -> Self:
        asked = bool(self.fields or self.categories)
        if asked != (self.reader == NUMBERS):
            raise ValueError(
                f"reader {NUMBERS} takes `fields` or `categories` of the main table, and no other "
                f"reader does: reader {self.reader!r} has {'some' if asked else 'none'}"
            )
        return self


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

    def taking(self, modalities: Collection[str]) -> Self:
        """Keep the records of some modalities, and of those by whose matrix they are placed."""
        spaces = {self.modalities[key].space for key in modalities if key in self.modalities}
        kept = {k: r for k, r in self.modalities.items() if k in {*modalities, *spaces}}
        return self.model_copy(update={"modalities": kept})

    @property
    def numbers(self) -> dict[str, tuple[tuple[int | str, ...], tuple[int, ...]]]:
        """Fields or their ranges, and categories, of each modality that is numbers."""
        every = self.modalities.items()
        return {k: (r.fields, r.categories) for k, r in every if r.reader == NUMBERS}

    @property
    def fields(self) -> dict[str, int]:
        """Bulk field of each modality; numbers of the main table have none.

        Atlases of ABIDE have numbers that no bulk field has.
        """
        own = {k: record.field for k, record in self.modalities.items() if record.reader != NUMBERS}
        said = {k: self.connectivity_field if field is None else field for k, field in own.items()}
        return {k: ROI_FIELDS[of] if isinstance(of, str) else of for k, of in said.items()}

    def fields_of(self, modalities: Iterable[str]) -> dict[str, int]:
        """Bulk fields of those of some modalities that have one, in their order."""
        return {key: self.fields[key] for key in modalities if key in self.fields}

    @property
    def series(self) -> dict[str, Wanted]:
        """Time series of each modality whose connectivity is made of such."""
        found = {}
        for key, field in self.fields.items():
            record = self.modalities[key]
            if record.reader != CONNECTIVITY or field not in (*SERIES_FIELDS, *ROI_FIELDS.values()):
                continue
            if record.field is None and record.atlas is None:
                found[key] = Wanted(field, self.atlas, "atlas")
            else:
                found[key] = Wanted(field, record.atlas, f"modalities.{key}.atlas")
        return found

    @property
    def members(self) -> dict[int, re.Pattern[str]]:
        """Pattern of the members of which each field's zips must hold one; text files have none."""
        wanted: dict[int, list[str]] = {}
        for key, names in self._members.items():
            wanted.setdefault(self.fields[key], []).append(names)
        return {field: _inside("|".join(names)) for field, names in wanted.items()}

    @property
    def members_of(self) -> dict[str, tuple[int, re.Pattern[str]]]:
        """Field of each modality that is read from zips, and pattern of its own member."""
        return {key: (self.fields[key], _inside(names)) for key, names in self._members.items()}

    @property
    def _members(self) -> dict[str, str]:
        found = {
            key: "|".join(map(re.escape, record.member))
            for key, record in self.modalities.items()
            if record.member
        }
        for key, (field, atlas, _) in self.series.items():
            if field in SERIES_FIELDS:
                found[key] = rf"fMRI\.{re.escape(atlas) if atlas else '.+'}\.csv\.gz"
        return found

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel to world of the common grid."""
        return common_grid(self.shape, self.voxel_mm, self.centre_mm)
