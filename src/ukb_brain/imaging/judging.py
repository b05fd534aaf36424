"""Which of the scans that can be read are not to be trusted: limits, and one image twice."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ukb_brain.imaging.quality import CONTENT, MEASURES
from ukb_brain.imaging.time_series import SERIES_FIELDS
from ukb_brain.settings_base import Settings

Limits = dict[str, tuple[float | None, float | None]]

KEYS = ["eid", "instance"]
# Status of scans that are in the stores.
READ = ("ok", "poor")
# Measured of every brain, and of every vector, for other ends too.
FURTHER = {
    "brain_ml": "volume of what has a value (ml)",
    "mean_intensity": "mean of the brain, in the file's units",
    "coefficient_of_variation": "standard deviation of the brain over its mean",
    "mean_connectivity": "mean of a vector",
}
# UK Biobank's own, as `primary.confounds` names them.
OWN_MEASURES = {
    "t1_snr_inverted": "UK Biobank's own: inverted signal to noise of T1 (25734)",
    "t1_cnr_inverted": "UK Biobank's own: inverted contrast to noise of T1 (25735)",
    "flair_t1_discrepancy": "UK Biobank's own: discrepancy of FLAIR and T1 (25736)",
    "dmri_t1_discrepancy": "UK Biobank's own: discrepancy of diffusion and T1 (25737)",
    "dmri_outlier_slices": "UK Biobank's own: outlier slices of diffusion (25746)",
    "rfmri_t1_discrepancy": "UK Biobank's own: discrepancy of resting fMRI and T1 (25739)",
    "head_motion": "UK Biobank's own: mean head motion (mm) in resting fMRI (25741)",
}
WORDS = MEASURES | FURTHER | OWN_MEASURES
# What is measured of the records of each store.
MEASURED_IN = {
    "volumes": {
        *("overlap", "empty", "snr", "clipped", "not_finite"),
        *("brain_ml", "mean_intensity", "coefficient_of_variation"),
    },
    "vectors": {"empty", "constant", "largest", "mean_connectivity"},
}
DIFFUSION = ("dmri_t1_discrepancy", "dmri_outlier_slices")
FUNCTIONAL = ("rfmri_t1_discrepancy", "head_motion")
OF_FIELD = {
    20252: ("t1_snr_inverted", "t1_cnr_inverted"),
    20253: ("flair_t1_discrepancy",),
    **dict.fromkeys((20250, *range(31020, 31027)), DIFFUSION),
    **dict.fromkeys((*SERIES_FIELDS, 25750, 25751, 25752, 25753), FUNCTIONAL),
}


class Quality(Settings):
    """What a scan that can be read must be like.

    Attributes
    ----------
    limits : dict of str to dict of str to (float, float)
        By modality and measure (`WORDS`) the lowest and the highest value, null for none. A scan
        beyond one is left out as ``poor``; one of which a measure is not known is not judged by it.
    leave_out_duplicates : bool
        Whether scans that are one image, under two participants' numbers or of two visits, are
        left out as ``poor``: nobody knows whose it is. Otherwise they are only flagged.
    """

    limits: dict[str, Limits] = Field(default_factory=dict)
    leave_out_duplicates: bool = True

    @field_validator("limits")
    @classmethod
    def _of_measures_in_order(cls, given: dict[str, Limits]) -> dict[str, Limits]:
        for modality, limits in given.items():
            for name, (low, high) in limits.items():
                if name not in WORDS:
                    raise ValueError(f"{modality}.{name} is no measure, expected {sorted(WORDS)}")
                if low is not None and high is not None and low > high:
                    raise ValueError(f"{modality}.{name} has its lowest value above its highest")
        return given


def with_own_measures(
    scans: pd.DataFrame, confounds: pd.DataFrame, fields: Mapping[str, int]
) -> pd.DataFrame:
    """Add what UK Biobank measured of each scan, where the table has it.

    Parameters
    ----------
    scans : pandas.DataFrame
        One row a visit and modality: ``eid, instance, modality``.
    confounds : pandas.DataFrame
        One row a visit; see `ukb_brain.tables.visits.derive_confounds`.
    fields : mapping of str to int
        Bulk field of each modality.
    """
    known = [name for name in OWN_MEASURES if name in confounds and confounds[name].notna().any()]
    out = scans.merge(confounds[[*KEYS, *known]], on=KEYS, how="left", validate="many_to_one")
    for name in known:
        mine = [m for m, field in fields.items() if name in OF_FIELD.get(field, ())]
        out[name] = out[name].where(out["modality"].isin(mine))
    return out


def same_images(scans: pd.DataFrame) -> pd.Series:
    """Say of each scan of which image it is one of several, in words; empty where it is not.

    ``scans`` has one row a visit and modality: ``eid, modality, content``.
    """
    content = scans[CONTENT] if CONTENT in scans else pd.Series(np.nan, scans.index)
    group = scans.assign(content=content).groupby(["modality", "content"], dropna=True)
    several = content.notna() & (group["eid"].transform("size") > 1)
    people = group["eid"].transform("nunique") > 1
    words = np.where(people, "the same image as another participant's", "")
    words = np.where(~people, "the same image as another visit's of this participant", words)
    return pd.Series(np.where(several, words, ""), scans.index)


def judge(
    scans: pd.DataFrame, quality: Quality, spaces: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Turn those ``ok`` scans ``poor`` that are beyond limits or one image, and say why.

    Parameters
    ----------
    scans : pandas.DataFrame
        One row a visit and modality: ``eid, instance, modality, status, reason`` and measures.
    quality : Quality
        Limits, and what becomes of duplicates.
    spaces : mapping of str to str
        Modalities whose place is by another one's file, and that one.
    """
    visits = list(zip(scans["eid"], scans["instance"], scans["modality"], strict=True))
    same = same_images(scans) if quality.leave_out_duplicates else [""] * len(visits)
    twice = {visit: words for visit, words in zip(visits, same, strict=True) if words}
    why = [[twice[visit]] if visit in twice else [] for visit in visits]
    for reasons, (eid, instance, modality) in zip(why, visits, strict=True):
        by = (spaces or {}).get(modality, modality)
        if not reasons and (eid, instance, by) in twice:
            reasons.append(f"its place is by {by}, {twice[eid, instance, by]}")
    for modality, limits in quality.limits.items():
        for name, (low, high) in limits.items():
            if name not in scans:
                continue
            values = scans[name].where(scans["modality"] == modality)
            below, above = beyond(values, low, high)
            for side, end, there in (("below", low, below), ("above", high, above)):
                for row in np.flatnonzero(there):
                    why[row].append(f"{name} {values.iloc[row]:.3g} is {side} {end:g}")
    reason = pd.Series(["; ".join(words) for words in why], scans.index, dtype=str)
    poor = (scans["status"] == "ok") & (reason != "")
    return scans.assign(
        status=scans["status"].mask(poor, "poor"), reason=scans["reason"].mask(poor, reason)
    )


def beyond(values: pd.Series, low: float | None, high: float | None) -> tuple[pd.Series, pd.Series]:
    """Tell which values lie below a lowest and which above a highest one.

    What is not known, NaN, is on no side of a limit.
    """
    return values < (-np.inf if low is None else low), values > (np.inf if high is None else high)
