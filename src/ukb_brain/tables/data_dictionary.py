"""What each target, confound and covariate is, where it comes from, and how it is distributed."""

import numpy as np
import pandas as pd

from ukb_brain.grid import RULES, Grid, Target
from ukb_brain.tables.dictionary import AGE, DATE, SEX, SITE, Codings, known_of
from ukb_brain.tables.exclusions import KEYS
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.splits import PARTS
from ukb_brain.tables.thresholds import fit_thresholds, in_fold
from ukb_brain.tables.visits import (
    CONFOUND_FIELDS,
    GROUP_FIELDS,
    MEDICATION_FIELDS,
    MEDICATIONS,
    one_visit,
)

COUNTS = ("n", "missing", *(f"{part}_n" for part in PARTS))
DESCRIBED = {"site": SITE, "date": DATE, "age": AGE, "sex": SEX, **CONFOUND_FIELDS, **GROUP_FIELDS}
FIELDS = {key: (field,) for key, field in DESCRIBED.items()}
# What of confounds and covariates is not an amount as it was answered first.
OTHERS: dict[str, dict[str, object]] = {
    "date": {"derivation": "days from 2014-01-01 to the scan", "unit": "days"},
    "phase": {"derivation": "changes of the site's scanner before the scan", "unit": "changes"},
    "sex": {"derivation": "1 for male", "kind": "binary"},
    **{key: {"kind": "categorical"} for key in ("site", "ethnic_background")},
    **{
        key: {"derivation": f"1 where any answer is {code}, else 0", "kind": "binary"}
        for key, code in MEDICATIONS.items()
    },
}
# Fields that UK Biobank computes from others: in which words, and from which fields.
ALGEBRA: dict[int, tuple[str, tuple[int, ...]]] = {
    21001: ("weight by the square of height", (21002, 50)),
    23098: ("the same weight as field 21002, by the impedance scale", (21002,)),
    **{
        field: (f"{what} by the scale's formula of impedance, sex, age, height and weight", used)
        for used in ((31, 21003, 50, 21002, 23098),)
        for field, what in {
            23099: "estimated",
            23100: "fat mass estimated",
            23101: "fat-free mass estimated",
            23102: "water mass estimated",
            23105: "metabolic rate estimated",
        }.items()
    },
    23104: ("weight by the square of height", (21002, 23098, 50)),
    30050: ("haemoglobin by red cell count", (30020, 30010)),
    30060: ("haemoglobin by haematocrit", (30020, 30030)),
    22189: ("of the area of the home, not of the person", ()),
    189: ("of the area of the home, not of the person", ()),
}
ABBREVIATED = {word.lower(): word for word in ("T1", "FLAIR", "dMRI", "rfMRI", "SNR", "CNR")}
VISITS = {
    "imaging": "of the scan's own visit",
    "latest": "of the latest visit not after the scan",
    "nearest": "of the visit nearest to the scan",
}


def in_words(target: Target, codings: Codings, threshold: float | None = None) -> str:
    """Say how a target is derived, with the cut-off that was fitted, if one was."""
    labels = codings.labels(known_of(target.fields[0]).coding)

    def named(codes: tuple[int, ...]) -> str:
        return ", ".join(f"{c} ({labels[c]})" if c in labels else f"{c}" for c in codes)

    codes = named(target.values)
    at = f"{target.threshold:g}" if target.threshold is not None else ""
    if target.quantile is not None:
        at = f"quantile {target.quantile:g} of training people"
        at += f", {threshold:.4g} in the first fold" if threshold is not None else ""
    several = f" of {' and '.join(map(str, target.fields))}" if len(target.fields) > 1 else ""
    words = RULES[target.rule].words.format(
        *target.fields, codes=codes, of_fields=several, direction=target.direction, at=at
    )
    absent = f"; {named(target.missing)}: no answer" if target.missing else ""
    return f"{words}, {VISITS[target.visit]}{absent}"


def describe(
    values: pd.DataFrame,
    lags: pd.DataFrame,
    sources: pd.DataFrame,
    confounds: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    grid: Grid,
    codings: Codings,
    tables: TableFolder,
) -> pd.DataFrame:
    """Describe every target, confound and covariate at the chosen visit of each person.

    Parameters
    ----------
    values, lags, sources : DataFrame
        ``eid, instance`` and a column a target: as measured, years to the scan, and the instance
        that the answer is of.
    confounds : DataFrame
        ``eid, instance`` and a column each.
    participants : DataFrame
        ``eid, instance, chosen``.
    splits : DataFrame
        ``eid, fold, part``; distributions are by part of the first fold.
    grid : Grid
        Its targets.
    codings : Codings
        What codes mean.
    tables : TableFolder
        Where the user's own files of codings lie.

    Returns
    -------
    DataFrame
        One row each: ``role, key, name, fields, title, coding, derivation, kind, unit, algebra, n,
        missing``, by part ``_n, _events, _mean, _sd``, ``lag_median, lag_low, lag_high`` (years;
        quartiles) and ``from_<instance>`` (people whose answer is of it).
    """
    labels = codings.extended(tables.codings)
    fold = int(splits["fold"].min())
    mine = splits[splits["fold"] == fold]
    part = mine.set_index("eid")["part"]
    thresholds = fit_thresholds(values, participants, mine, grid)
    of_fold = dict(zip(thresholds["target"], thresholds["threshold"], strict=True))
    places = pd.MultiIndex.from_frame(one_visit(participants)[KEYS])
    cut, lag, source, others = (
        table.set_index(KEYS).reindex(places)
        for table in (in_fold(values, thresholds, grid, fold), lags, sources, confounds)
    )
    rows: list[dict[str, object]] = []
    for key, target in grid.targets.items():
        about = _about("target", key, target.fields) | {
            "name": target.name,
            "derivation": in_words(target, labels, of_fold.get(key)),
            "kind": target.kind,
            "unit": target.unit,
            "algebra": algebra_of(key, grid),
        }
        rows.append(about | _distribution(cut[key], part, target.kind))
        rows[-1] |= _where_from(lag[key], source[key])
    for key in others.columns.astype(str):
        fields = MEDICATION_FIELDS if key in MEDICATIONS else FIELDS.get(key, ())
        role = "covariate" if key in (*GROUP_FIELDS, *MEDICATIONS) else "confound"
        about = _about(role, key, fields) | OTHERS.get(key, {})
        rows.append(about | _distribution(others[key], part, str(about["kind"])))
    table = pd.DataFrame(rows)
    counted = [n for n in table.columns.astype(str) if n in COUNTS or n.startswith("from_")]
    return table.assign(**{name: table[name].fillna(0).astype(np.int64) for name in counted})


def algebra_of(key: str, grid: Grid) -> str:
    """Say which targets have something in common with one by the way they are made, if any has."""
    own = set(grid.targets[key].fields)
    said = []
    for field in sorted(own & set(ALGEBRA)):
        words, used = ALGEBRA[field]
        among = [k for k, t in grid.targets.items() if k != key and set(t.fields) & set(used)]
        said.append(words + (f"; targets here: {', '.join(among)}" if among else ""))
    same = [k for k, t in grid.targets.items() if k != key and set(t.fields) & own]
    if same:
        said.append(f"of the same field as {', '.join(same)}")
    return "; ".join(said)


def _about(role: str, key: str, fields: tuple[int, ...]) -> dict[str, object]:
    entry = known_of(fields[0]) if fields else None
    return {
        "role": role,
        "key": key,
        "name": " ".join(ABBREVIATED.get(word, word) for word in key.split("_")),
        "fields": ", ".join(str(field) for field in fields),
        "title": entry.title if entry else "",
        "coding": f"{entry.coding}" if entry and entry.coding else "",
        "derivation": "the first answer",
        "kind": "continuous",
        "unit": entry.unit.lower() if entry else "",
        "algebra": ALGEBRA[fields[0]][0] if fields and fields[0] in ALGEBRA else "",
    }


def _distribution(answered: pd.Series, part: pd.Series, kind: str) -> dict[str, float]:
    told: dict[str, float] = {"n": answered.notna().sum(), "missing": answered.isna().sum()}
    of = part.reindex(answered.index.get_level_values("eid")).to_numpy()
    for name in PARTS:
        mine = answered[of == name].dropna()
        told[f"{name}_n"] = len(mine)
        told[f"{name}_events"] = mine.sum() if kind == "binary" else np.nan
        told[f"{name}_mean"] = np.nan if kind == "categorical" else mine.mean()
        told[f"{name}_sd"] = mine.std() if kind == "continuous" else np.nan
    return told


def _where_from(lag: pd.Series, source: pd.Series) -> dict[str, float]:
    low, median, high = lag.quantile([0.25, 0.5, 0.75])
    counts = source[source >= 0].value_counts().sort_index()
    spread = {"lag_median": median, "lag_low": low, "lag_high": high}
    return spread | {f"from_{instance:g}": n for instance, n in counts.items()}
