import pytest
from pydantic import ValidationError
from scan_cases import imaging

from ukb_brain.imaging.modalities import ImagingPreprocess


def section(**given):
    return imaging().model_dump(include={"modalities"}) | given


def test_a_preset_gives_whatever_the_section_does_not_say():
    preset = {"shape": (4, 5, 6), "voxel_mm": 9.0, "most_regions_missing": 0.2}
    found = ImagingPreprocess(**section(preset=preset, voxel_mm=8.0, shape=None))
    assert (found.shape, found.voxel_mm, found.most_regions_missing) == ((4, 5, 6), 8.0, 0.2)


def test_a_preset_with_a_name_that_nothing_reads_is_refused():
    with pytest.raises(ValidationError, match="voxels_mm"):
        ImagingPreprocess(**section(preset={"shape": (4, 5, 6), "voxel_mm": 9.0, "voxels_mm": 9.0}))
