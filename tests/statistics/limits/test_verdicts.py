from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting_cases import study_grid

from ukb_brain.statistics.limits.findings import RESTS_ON, Findings, Interval, gather_findings
from ukb_brain.statistics.limits.retrained import AS_IT_IS
from ukb_brain.statistics.limits.verdicts import (
    BY_DATA,
    BY_MEASUREMENT,
    BY_MODEL,
    LEGIBLE,
    NO_VERDICT,
    NOT_ADDED,
    NOT_APART,
    NOT_READ,
    VERDICTS,
    VerdictRules,
    judge,
    verdict_table,
)
from ukb_brain.tables import reported

RULES = VerdictRules()


def about(estimate, error=0.02):
    return Interval(estimate, estimate - 2 * error, estimate + 2 * error)


# A target that is read weakly, for which everything was run and nothing stands out.
WEAK = Findings(
    target="age",
    kind="continuous",
    status="ok",
    n_test=2000,
    skill=about(0.15),
    p=0.001,
    imaging_gain=about(0.1),
    imaging_cell=about(0.15),
    within_site=about(0.14),
    confounds_gain=about(0.1),
    left_out_sites=about(0.13),
    curve="level",
    at_10x=about(0.16),
    gain_10x=about(0.01),
    model="wide (amortised)",
    model_gain=about(0.001),
    model_skill=about(0.15),
    model_p=0.9,
    ceiling=about(0.9),
)
# One that is not read at all.
NONE = replace(
    WEAK,
    skill=about(0.0),
    imaging_cell=about(0.0),
    within_site=about(0.0),
    left_out_sites=about(0.0),
    confounds_gain=about(0.0),
    imaging_gain=about(0.0),
    p=0.4,
    curve="flat at zero",
    at_10x=about(0.0),
    model_skill=about(0.0),
)
RISING = {"curve": "rising", "at_10x": about(0.3), "gain_10x": about(0.15)}
BETTER = {"model_gain": about(0.05), "model_p": 0.001, "model_skill": about(0.2)}
NOISY = {"ceiling": about(0.2)}
# What IQ had on ABIDE, and a gain that may be anything.
BARELY, UNSURE = Interval(0.013, 0.001, 0.03), Interval(0.01, -0.02, 0.04)


@pytest.mark.parametrize(
    ("found", "verdict", "through"),
    [
        (WEAK, LEGIBLE, ""),
        (replace(WEAK, skill=about(0.6)), LEGIBLE, ""),
        (replace(WEAK, skill=about(0.6), **RISING, **BETTER, **NOISY), LEGIBLE, ""),
        (replace(WEAK, **RISING), BY_DATA, ""),
        (replace(WEAK, **BETTER), BY_MODEL, ""),
        (replace(WEAK, **NOISY), BY_MEASUREMENT, ""),
        (replace(WEAK, **RISING, **BETTER), BY_DATA, ""),
        (replace(WEAK, **RISING, **(BETTER | {"model_gain": about(0.3)})), BY_MODEL, ""),
        (replace(WEAK, **RISING, **BETTER, **NOISY), BY_MEASUREMENT, ""),
        # A rise that matters little, a gain that could be chance, a ceiling that is not reached.
        (replace(WEAK, **(RISING | {"gain_10x": about(0.01)})), LEGIBLE, ""),
        (replace(WEAK, **(BETTER | {"model_p": 0.2})), LEGIBLE, ""),
        (replace(WEAK, skill=about(0.09), ceiling=about(0.4)), LEGIBLE, ""),
        (NONE, NOT_READ, ""),
        (replace(NONE, **RISING), BY_DATA, ""),
        (replace(NONE, **(RISING | {"at_10x": Interval(0.1, -0.1, 0.3)})), NOT_READ, ""),
        (replace(NONE, **BETTER), BY_MODEL, ""),
        (replace(NONE, **(BETTER | {"model_skill": about(0.03)})), NOT_READ, ""),
        (replace(NONE, ceiling=Interval(0.001, 0.0, 0.002)), BY_MEASUREMENT, ""),
        # Above zero, and yet by chance, or from the blocks.
        (replace(WEAK, p=0.3), NOT_READ, ""),
        (replace(WEAK, imaging_gain=about(0.0)), NOT_ADDED, ""),
        # Only through site: even if the curve rises.
        (replace(WEAK, within_site=about(0.0), left_out_sites=about(0.0)), NOT_APART, "site"),
        (replace(WEAK, within_site=about(0.0), **RISING), NOT_APART, "site"),
        (replace(WEAK, within_site=None, left_out_sites=about(0.0)), NOT_APART, "site"),
        (replace(WEAK, left_out_sites=about(0.0)), LEGIBLE, ""),
        # Too few people within sites to tell: not called site, and shown beyond confounds.
        (replace(WEAK, within_site=Interval(0.1, -0.1, 0.3)), LEGIBLE, ""),
        (replace(WEAK, confounds_gain=Interval(0.001, -0.005, 0.01)), NOT_APART, "age and sex"),
        (replace(WEAK, confounds_gain=Interval(0.02, -0.02, 0.06)), LEGIBLE, ""),
        # An exact tie with confounds (no interval) says nothing, for or against.
        (replace(WEAK, confounds_gain=None), LEGIBLE, ""),
        # Shown neither within sites nor beyond confounds: however well it is read at all.
        (replace(WEAK, within_site=BARELY, confounds_gain=UNSURE), NOT_APART, ""),
        (replace(WEAK, skill=about(0.6), within_site=BARELY, confounds_gain=UNSURE), NOT_APART, ""),
        (replace(WEAK, within_site=None, confounds_gain=UNSURE, **RISING), NOT_APART, ""),
        (replace(WEAK, within_site=BARELY, confounds_gain=None), NOT_APART, ""),
        (replace(WEAK, within_site=None, confounds_gain=None), NO_VERDICT, ""),
        (replace(NONE, within_site=None, confounds_gain=None), NOT_READ, ""),
        (replace(WEAK, status="one class in test", skill=None), NO_VERDICT, ""),
    ],
)
def test_planted_cases(found, verdict, through):
    judged = judge(found, RULES)
    assert (judged.verdict, judged.through) == (verdict, through), judged.reasons


def test_what_was_not_run_is_named_and_cannot_speak():
    bare = Findings("age", "continuous", "ok", 2000, skill=about(0.15), within_site=about(0.15))
    judged = judge(bare, RULES)
    assert judged.verdict == LEGIBLE
    absent = [words for name, words in RESTS_ON.items() if name != "within_site"]
    assert judged.reasons[-1] == f"without {', '.join(absent)}"
    assert not any("without" in reason for reason in judge(WEAK, RULES).reasons)
    nothing = replace(bare, skill=about(0.0), within_site=about(0.0))
    assert judge(nothing, RULES).verdict == NOT_READ


def test_nothing_is_said_of_what_other_models_or_images_hold():
    """Neither a smallest effect, nor that something is not in the images."""
    for found in (NONE, replace(WEAK, p=0.3), replace(NONE, imaging_gain=None)):
        text = " ".join([(judged := judge(found, RULES)).verdict, *judged.reasons])
        assert "would have" not in text
        assert "not in these images" not in text
        assert not hasattr(judged, "smallest_effect")


def test_reasons_give_the_numbers():
    text = "; ".join(judge(replace(WEAK, **RISING), RULES).reasons)
    for part in ("0.15 [0.11, 0.19] of 2000", "p 0.001", "rising", "0.30 [0.26, 0.34]"):
        assert part in text


def test_thresholds_decide():
    found = replace(WEAK, skill=about(0.35), **BETTER)
    assert judge(found, RULES).verdict == LEGIBLE
    assert judge(found, RULES.model_copy(update={"legible": 0.5})).verdict == BY_MODEL
    strict = {"legible": 0.5, "gain": 0.06}
    assert judge(found, RULES.model_copy(update=strict)).verdict == LEGIBLE
    with pytest.raises(ValueError, match="legibel"):
        VerdictRules(legibel=0.3)


numbers = st.floats(-0.5, 0.9)
intervals = st.one_of(
    st.none(), st.builds(lambda e, w: Interval(e, e - w, e + w), numbers, st.floats(0, 0.4))
)


@given(
    skill=intervals,
    p=st.one_of(st.none(), st.floats(0, 1)),
    rest=st.fixed_dictionaries(
        dict.fromkeys(
            [
                "imaging_gain", "imaging_cell", "within_site", "confounds_gain", "left_out_sites",
                "at_10x", "gain_10x", "model_gain", "model_skill", "ceiling",
            ],
            intervals,
        )
    ),
    curve=st.sampled_from([None, "rising", "level", "flat at zero"]),
)  # fmt: skip
def test_laws_of_every_verdict(skill, p, rest, curve):
    found = replace(WEAK, skill=skill, p=p, curve=curve, **rest)
    judged = judge(found, RULES)
    assert judged.verdict in VERDICTS
    if skill is None:
        assert judged.verdict == NO_VERDICT
    elif judged.verdict == NO_VERDICT:
        assert rest["within_site"] is None
        assert rest["confounds_gain"] is None
    if judged.verdict == LEGIBLE:
        assert skill.low > 0
        assert p is None or p < RULES.alpha
        assert not judged.through
        shown = [rest["within_site"], rest["confounds_gain"]]
        assert any(one and one.low > 0 and one.estimate >= RULES.gain for one in shown)
    if judged.through:
        assert judged.verdict in (NOT_APART, NO_VERDICT)


GRID = study_grid()


def tables():
    """The map and what else is there, of two targets."""
    inputs = {
        "age": GRID.inputs(tuple(GRID.imaging), ()).name,
        "worry": GRID.inputs(tuple(GRID.imaging), ("constitutional", "disease", "serology")).name,
    }
    less = GRID.inputs(tuple(GRID.imaging), ("constitutional",)).name
    names = [inputs["age"], inputs["worry"], less]
    kinds, cells = (
        ["continuous", "binary", "binary"],
        zip(("age", "worry", "worry"), names, strict=True),
    )
    performance = pd.DataFrame(cells, columns=["target", "inputs"])
    performance = performance.assign(kind=kinds, status="ok", n_test=500)
    scores = {
        "r2": [0.5, np.nan, np.nan],
        "r2_low": [0.4, np.nan, np.nan],
        "r2_high": [0.6, np.nan, np.nan],
        "roc_auc": [np.nan, 0.6, 0.9],
        "roc_auc_low": [np.nan, 0.55, 0.8],
        "roc_auc_high": [np.nan, 0.65, 0.95],
    }
    return performance.assign(**scores), inputs, less


def ends(name, estimate, error):
    return {name: estimate, f"{name}_low": estimate - error, f"{name}_high": estimate + error}


def test_findings_are_those_of_the_fullest_cell_in_skill():
    performance, inputs, less = tables()
    keys = {"target": "worry", "inputs": inputs["worry"], "strategy": "amortised"}
    permutations = pd.DataFrame(
        [
            {"target": "worry", "inputs": less, "p_bh": 0.9},
            {"target": "worry", "inputs": inputs["worry"], "p_bh": 0.01},
        ]
    )
    confounds = pd.DataFrame(
        [{"target": "worry", "inputs": less}
         | ends("score", 0.58, 0.02) | ends("within_site", 0.57, 0.02) | ends("gain", 0.03, 0.01)]
    )  # fmt: skip
    sites = [
        keys | {"site": site} | ends("skill", value, 0.1)
        for site, value in (("all", 0.15), ("11025", 0.9))
    ] + [keys | {"site": "all", "strategy": "linear"} | ends("skill", 0.8, 0.1)]
    fits = keys | {"shape": "rising"} | ends("at_10x", 0.3, 0.1) | ends("gain_10x", 0.1, 0.05)
    scale = [
        keys | {"variant": v, "strategy": s, "gain_se": se}
        | ends("gain", gain, 2 * se) | ends("skill", 0.2 + gain, 0.1)
        for v, s, gain, se in (
            (AS_IT_IS, "amortised", 0.0, 0.0),
            (AS_IT_IS, "linear", -0.1, 0.02),
            ("wide", "amortised", 0.05, 0.02),
            ("narrow", "amortised", 0.01, 0.02),
        )
    ]  # fmt: skip
    reliability = pd.DataFrame([{"target": "worry"} | ends("ceiling", 0.8, 0.05)])
    age, worry = gather_findings(
        performance,
        GRID,
        "amortised",
        n_positive={"worry": 250},
        permutations=permutations,
        confounds=confounds,
        reliability=reliability,
        left_out_sites=pd.DataFrame(sites),
        learning_curve_fits=pd.DataFrame([fits]),
        model_scale=pd.DataFrame(scale),
    )
    assert (age.target, age.skill, age.p, age.curve) == ("age", Interval(0.5, 0.4, 0.6), None, None)
    assert age.model is None

    def close(found, *expected):
        np.testing.assert_allclose([found.estimate, found.low, found.high], expected)

    close(worry.skill, 0.2, 0.1, 0.3)
    close(worry.imaging_cell, 0.16, 0.12, 0.2)
    close(worry.within_site, 0.14, 0.1, 0.18)
    close(worry.confounds_gain, 0.06, 0.04, 0.08)
    close(worry.left_out_sites, 0.15, 0.05, 0.25)
    close(worry.ceiling, 0.6, 0.5, 0.7)
    close(worry.at_10x, 0.3, 0.2, 0.4)
    assert (worry.p, worry.curve, worry.n_positive) == (0.01, "rising", 250)
    assert worry.imaging_gain is None
    # Of three that were tried the widest gains most: z = 2.5, three times over.
    assert worry.model == "wide (amortised)"
    assert worry.model_p == pytest.approx(3 * 0.012419, rel=1e-3)


def test_the_table_keeps_its_schema():
    performance, _, _ = tables()
    performance.loc[1, ["status", "roc_auc", "roc_auc_low", "roc_auc_high"]] = [
        "one class in test", np.nan, np.nan, np.nan,
    ]  # fmt: skip
    table = verdict_table(gather_findings(performance, GRID, "amortised"), RULES)
    reported.verdicts.validate(table)
    # Read, but nobody looked within sites or beyond confounds.
    assert table["verdict"].tolist() == [NO_VERDICT, NO_VERDICT]
    assert "could be measured" in table["reasons"].iloc[0]
