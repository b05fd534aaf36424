"""What is kept of a search: a table of everything that was tried, and what was best in words.

Both hold settings and mean losses over hundreds of people and all targets, and nothing of one
person, so both are exportable.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial, TrialState
from scipy import stats

from ukb_brain.search.space import changed, put
from ukb_brain.search.study import STATES
from ukb_brain.tables.table import COUNT, TEXT, declared, one_of
from ukb_brain.training.settings import Modelling

FIRST = ["study", "number", "state", "value", "epochs", "seconds"]
LEVEL = 0.95
# With fewer a ranking of importance says little.
ENOUGH_TO_RANK = 10
SECTIONS = {"encoders": ("encoders",), "heads": ("cross_fits", "heads", "ladder")}
PLACES = {
    "encoders": "Into the preset in `conf/base/parameters_presets.yml`:",
    "heads": "Into `conf/base/parameters_modelling.yml`:",
}


# Everything that was tried: one row a trial, and a column for each parameter of any study.
SearchTrials = declared(
    "study number state value epochs seconds reason",
    "study number",
    strict=False,
    coerce=True,
    kinds={"study": TEXT, "state": one_of(*STATES), "number epochs": COUNT},
)


def trials_table(storage: optuna.storages.BaseStorage) -> pd.DataFrame:
    """List all trials of all studies, those of spaces and settings that have changed among them.

    Returns
    -------
    pandas.DataFrame
        ``study, number, state, value`` (mean over targets of the loss relative to naming the mean:
        lower is better; of a pruned trial that of its last epoch)``, epochs, seconds``, a column
        for each parameter by its dotted path (text as JSON where any value is not a number; empty
        where a study does not vary it), and ``reason`` where a trial failed.
    """
    tables = [pd.DataFrame(columns=[*FIRST, "values", "reason"])]
    for name in sorted(optuna.get_all_study_names(storage)):
        study = optuna.load_study(study_name=name, storage=storage)
        own = study.trials_dataframe(("number", "state", "value", "user_attrs"))
        own.columns = own.columns.str.removeprefix("user_attrs_")
        tables.append(own.assign(study=name))
    table = pd.concat([own for own in tables if len(own)] or tables, ignore_index=True)
    names = {state.name: word for word, state in STATES.items()}
    texts = [{path: json.dumps(v) for path, v in own.items()} for own in table["values"]]
    values = pd.DataFrame(texts, index=table.index).sort_index(axis=1).apply(_numbers)
    first = table[FIRST].assign(state=table["state"].map(names))
    return SearchTrials.validate(pd.concat([first, values, table["reason"]], axis=1))


def _numbers(texts: pd.Series) -> pd.Series:
    try:
        return texts.astype(np.float64)
    except ValueError:
        return texts.astype("str")


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Find the trial that ended in full with the lowest value; the earlier one of equals.

    None where none ended in full.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda t: (t.value, t.number), default=None)


def improvement(first: FrozenTrial, best: FrozenTrial) -> tuple[float, float, float]:
    """Compare two trials that ended in full, paired over targets.

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
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(gains) - 1) * stats.sem(gains))
    return mean, mean - half, mean + half


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Rank parameters by the share of the values' variance that they explain.

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
    """Say what was best, how sure that is, and what to paste where, as Markdown.

    Studies are by kind, ``encoders`` and ``heads``, without trials where one was left out. The
    notice, which stands at the top, may be empty.
    """
    lines = ["# Search of settings", "", *([f"**{notice}.**", ""] if notice else [])]
    lines += [
        "Values are mean losses over targets, relative to naming the mean: 1 is worth nothing, and "
        "lower is better. Test people had no part in any of it.",
        "",
    ]
    for kind, trials in studies.items():
        lines += [f"## {kind.capitalize()}", ""]
        if not trials:
            lines += ["Not searched.", ""]
            continue
        lines += [*_counts(trials), "", *_verdict(kind, trials, modelling), ""]
        if ranked := importances(trials):
            lines += ["Share of the values' variance by parameter (fANOVA), a rough guide:", ""]
            lines += [*(f"- `{path}` {share:.2f}" for path, share in ranked.items()), ""]
    return "\n".join(lines)


def _counts(trials: Sequence[FrozenTrial]) -> list[str]:
    seconds = np.nansum([trial.user_attrs["seconds"] for trial in trials])
    states = [trial.state for trial in trials]
    said = ", ".join(f"{states.count(state)} {word}" for word, state in STATES.items())
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    reasons = [f"- Trial {t.number} failed: {t.user_attrs['reason']}" for t in failed]
    return [f"{len(trials)} trials: {said}; {seconds / 60:.0f} minutes of work.", *reasons]


def _verdict(kind: str, trials: Sequence[FrozenTrial], modelling: Modelling) -> list[str]:
    best, first = best_of(trials), trials[0]
    if best is None:
        return ["No trial ended in full, so nothing can be said."]
    if best.number == 0:
        return [f"Nothing was better than the settings as they are ({best.value:.4f})."]
    line = f"Best is trial {best.number} with {best.value:.4f}. The settings as they are "
    if first.state == TrialState.COMPLETE:
        mean, low, high = improvement(first, best)
        line += (
            f"have {first.value:.4f}: lower by {mean:.4f} (95 % interval {low:.4f} to {high:.4f}, "
            f"paired over {len(best.user_attrs['losses'])} targets)."
        )
        line += "" if low > 0 else " The interval includes 0: keep the settings as they are."
    else:
        line += "did not end in full, so there is no comparison."
    return [
        line,
        "It is the best of many on the same people, which flatters it; a run with it, judged by "
        "other people or another seed, shows what is left.",
        "",
        PLACES[kind],
        "",
        f"```yaml\n{_to_paste(kind, best.user_attrs['values'], modelling)}```",
    ]


def _to_paste(kind: str, values: Mapping[str, Any], modelling: Modelling) -> str:
    dump = changed(modelling, values).model_dump(mode="json", exclude_defaults=True)
    full = modelling.model_dump(mode="json")
    touched = [s for s in SECTIONS[kind] if any(p.split(".")[0] == s for p in values)]
    # What equals a default is not in the dump, unless it was varied.
    kept = put({section: dump.get(section, full[section]) for section in touched}, values)
    return yaml.safe_dump(kept, sort_keys=False, default_flow_style=None)
