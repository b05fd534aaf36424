"""Fetch ABIDE's public time series and its phenotypic table, by nilearn; no pipeline does this."""

from collections.abc import Collection
from pathlib import Path

from ukb_brain.errors import InputError
from ukb_brain.imaging.roi_series import ROI_FIELDS

ATLASES = tuple(ROI_FIELDS)
# Of the project's four pipelines and four strategies, those of the figures in docs/abide.md:
# C-PAC, not band-pass filtered, with the global signal.
PIPELINE, FILTERED, WITHOUT_GLOBAL_SIGNAL = "cpac", False, False


def get_abide(folder: Path, atlases: Collection[str]) -> int:
    """Fetch what is not there yet into a folder ``ABIDE_pcp``, and count people with series.

    ``atlases`` are of `ATLASES`. Raises `InputError` if the files cannot be fetched.
    """
    from nilearn.datasets import fetch_abide_pcp

    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = fetch_abide_pcp(
            data_dir=folder,
            pipeline=PIPELINE,
            band_pass_filtering=FILTERED,
            global_signal_regression=WITHOUT_GLOBAL_SIGNAL,
            derivatives=[f"rois_{atlas}" for atlas in atlases],
            # Its default keeps the 871 whom all raters passed, and the map would be of these alone.
            quality_checked=False,
        )
    except OSError as error:  # requests' own errors are such
        raise InputError(
            f"ABIDE cannot be fetched from s3.amazonaws.com into {folder} "
            f"({type(error).__name__}). What came stays: see that this machine reaches the "
            "internet and has some 700 MB free, and run the same command again."
        ) from error
    return len(found["phenotypic"])
