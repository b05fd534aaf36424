"""What is kept of a search: a table of everything that was tried, and what was best in words.

Both hold settings and mean losses over hundreds of people and all targets, and nothing of one
person, so both are exportable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pandera.pandas as pa
from optuna.trial import FrozenTrial, TrialState
from pandera.typing import Series
from scipy import stats

from ukb_brain.search.space import changed
from ukb_brain.training.settings import Modelling

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
FIRST = ["study", "number", "state", "value", "epochs", "seconds"]
LEVEL = 0.95
# With fewer a ranking of importance says little.
ENOUGH_TO_RANK = 10
SECTIONS = {
    "encoders": ("encoders",),
    "heads": ("cross_fits", "heads", "ladder"),
}
TITLES = {"encoders": "Encoders", "heads": "Heads"}


class SearchTrials(pa.DataFrameModel):
    """Everything that was tried: one row a trial, and a column for each parameter of any study."""

    study: Series[str]
    number: Series[int] = pa.Field(ge=0)
    state: Series[str] = pa.Field(isin=list(STATES.values()))
    value: Series[float] = pa.Field(nullable=True)
    epochs: Series[int] = pa.Field(ge=0)
    seconds: Series[float] = pa.Field(nullable=True)
    reason: Series[str]

    class Config:
        """Settings of pandera."""

        unique = ("study", "number")


def trials_table(storage: optuna.storages.BaseStorage) -> pd.DataFrame:
    """List all trials of all studies, those of spaces and settings that have changed among them.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        Of all studies.

    Returns
    -------
    pandas.DataFrame
        ``study, number, state, value`` (mean over targets of the loss relative to naming the mean:
        lower is better; of a pruned trial that of its last epoch)``, epochs, seconds``, a column
        for each parameter by its dotted path (text as JSON where any value is not a number; empty
        where a study does not vary it), and ``reason`` where a trial failed.
    """
    rows, paths = [], set()
    for name in sorted(optuna.get_all_study_names(storage)):
        for trial in optuna.load_study(study_name=name, storage=storage).get_trials():
            values = trial.user_attrs["values"]
            paths |= set(values)
            head = {"study": name, "number": trial.number, "state": STATES[trial.state]}
            head |= {"value": np.nan if trial.value is None else trial.value}
            head |= {key: trial.user_attrs[key] for key in ("epochs", "seconds", "reason")}
            rows.append(head | {f"param {path}": value for path, value in values.items()})
    columns = [*FIRST, *(f"param {path}" for path in sorted(paths)), "reason"]
    table = pd.DataFrame(rows, columns=columns)
    for path in sorted(paths):
        table[f"param {path}"] = _column(table[f"param {path}"])
    types: dict[str, Any] = {"number": int, "epochs": int, "value": float, "seconds": float}
    table = table.astype(types | dict.fromkeys(("study", "state", "reason"), str))
    return table.rename(columns={f"param {path}": path for path in paths})


def _column(values: pd.Series) -> pd.Series:
    absent = [isinstance(v, float) and np.isnan(v) for v in values]
    if all(
        gone or (isinstance(v, int | float) and not isinstance(v, bool))
        for v, gone in zip(values, absent, strict=True)
    ):
        return values.astype(np.float64)
    texts = [None if gone else json.dumps(v) for v, gone in zip(values, absent, strict=True)]
    return pd.Series(texts, index=values.index, dtype="str")


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Find the trial with the lowest value; the earlier one of equals.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        Of one study.

    Returns
    -------
    FrozenTrial or None
        None where none ended in full.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda t: (t.value, t.number), default=None)


def improvement(first: FrozenTrial, best: FrozenTrial) -> tuple[float, float, float]:
    """Compare two trials, paired over targets.

    Parameters
    ----------
    first, best : FrozenTrial
        Both ended in full.

    Returns
    -------
    mean, low, high : float
        By how much the loss of the second is lower, over targets that both have, with its 95 %
        interval (Student's t); the interval is NaN with fewer than three targets.
    """
    one, two = first.user_attrs["losses"], best.user_attrs["losses"]
    gains = np.array([one[target] - two[target] for target in one if target in two])
    mean = float(gains.mean())
    if len(gains) < 3:
        return mean, np.nan, np.nan
    half = float(
        stats.t.ppf((1 + LEVEL) / 2, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    )
    return mean, mean - half, mean + half


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Rank parameters by the share of the values' variance that they explain.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        Of one study.

    Returns
    -------
    dict of str to float
        By path, the most important first; shares of 1. Empty where fewer than ten trials ended in
        full.

    Notes
    -----
    Functional analysis of variance on a forest (Hutter et al. 2014), by Optuna and scikit-learn.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    wide = max((len(trial.params) for trial in complete), default=0)
    # The settings as they are may lie outside the space in part.
    complete = [trial for trial in complete if len(trial.params) == wide]
    if len(complete) < ENOUGH_TO_RANK or len({trial.value for trial in complete}) < 2:
        return {}
    view = optuna.create_study()
    view.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(view, evaluator=evaluator)


def report(studies: Mapping[str, Sequence[FrozenTrial]], modelling: Modelling, notice: str) -> str:
    """Say what was best, how sure that is, and what to paste where.

    Parameters
    ----------
    studies : dict of str to sequence of FrozenTrial
        By kind, ``encoders`` and ``heads``; none where a study was left out.
    modelling : Modelling
        Settings as they are.
    notice : str
        Stands at the top, such as that the data are synthetic; may be empty.

    Returns
    -------
    str
        Markdown.
    """
    lines = ["# Search of settings", ""]
    lines += [f"**{notice}.**", ""] if notice else []
    lines += [
        "Values are mean losses over targets, relative to naming the mean: 1 is worth nothing, and "
        "lower is better. Test people had no part in any of it.",
        "",
    ]
    for kind, trials in studies.items():
        lines += [f"## {TITLES[kind]}", ""]
        if not trials:
            lines += ["Not searched.", ""]
            continue
        lines += [*_counts(trials), "", *_verdict(kind, trials, modelling)]
        ranked = importances(trials)
        if ranked:
            lines += ["Share of the values' variance by parameter (fANOVA), a rough guide:", ""]
            lines += [f"- `{path}` {share:.2f}" for path, share in ranked.items()]
            lines += [""]
    return "\n".join(lines)


def _counts(trials: Sequence[FrozenTrial]) -> list[str]:
    states = [STATES[trial.state] for trial in trials]
    seconds = np.nansum([trial.user_attrs["seconds"] for trial in trials])
    said = ", ".join(f"{states.count(state)} {state}" for state in STATES.values())
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    reasons = [f"- Trial {t.number} failed: {t.user_attrs['reason']}" for t in failed]
    return [f"{len(trials)} trials: {said}; {seconds / 60:.0f} minutes of work.", *reasons]


def _verdict(kind: str, trials: Sequence[FrozenTrial], modelling: Modelling) -> list[str]:
    best, first = best_of(trials), trials[0]
    if best is None:
        return ["No trial ended in full, so nothing can be said.", ""]
    if best.number == 0:
        return [f"Nothing was better than the settings as they are ({best.value:.4f}).", ""]
    lines = [f"Best is trial {best.number} with {best.value:.4f}."]
    if first.state == TrialState.COMPLETE:
        mean, low, high = improvement(first, best)
        surely = "" if low > 0 else " The interval includes 0: keep the settings as they are."
        lines = [
            f"{lines[0]} The settings as they are have {first.value:.4f}: lower by {mean:.4f} "
            f"(95 % interval {low:.4f} to {high:.4f}, paired over "
            f"{len(best.user_attrs['losses'])} targets).{surely}"
        ]
    else:
        lines += ["The settings as they are did not end in full, so there is no comparison."]
    lines += [
        "It is the best of many on the same people, which flatters it; a run with it, judged by "
        "other people or another seed, shows what is left.",
        "",
        *_to_paste(kind, best.user_attrs["values"], modelling),
    ]
    return lines


def _to_paste(kind: str, values: Mapping[str, Any], modelling: Modelling) -> list[str]:
    dump = changed(modelling, values).model_dump(mode="json", exclude_defaults=True)
    touched = [s for s in SECTIONS[kind] if any(p.split(".")[0] == s for p in values)]
    where = {
        "encoders": "Into the preset in `conf/base/parameters_presets.yml`:",
        "heads": "Into `conf/base/parameters_modelling.yml`:",
    }
    full = modelling.model_dump(mode="json")
    kept = {section: dump.get(section, full[section]) for section in touched}
    # What equals a default is not in the dump, unless it was varied.
    for path, value in values.items():
        *way, last = path.split(".")
        inner = kept
        for key in way:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return [where[kind], "", "```yaml", *yaml_lines(kept), "```", ""]


def yaml_lines(content: Mapping[str, Any], indent: str = "") -> list[str]:
    """Write nested settings as YAML.

    Parameters
    ----------
    content : mapping
        Mappings are nested, and everything else is on one line, as JSON, which is YAML.
    indent : str
        Of all lines.

    Returns
    -------
    list of str
    """
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", *yaml_lines(value, indent + "  ")]
        else:
            lines += [f"{indent}{key}: {json.dumps(value)}"]
    return lines
