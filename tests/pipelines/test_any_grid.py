"""Any part of the grid, and any cohort, runs to a report that says what it has."""

import shutil

import numpy as np
import pandas as pd
import pytest
from grid_cases import STRATEGIES, measured, random_part, report_of
from modelling_cases import GRID as INVENTED
from modelling_cases import MODELLING, N, changed, invented_cohort
from reporting_cases import study_grid

from ukb_brain.grid import Grid
from ukb_brain.tables import reported

STUDY = study_grid()
ABSENT = [target for target in STUDY.targets if target not in INVENTED.targets]
TINY = changed(
    MODELLING,
    encoders__loop__epochs=1,
    dedicated__loop__epochs=1,
    dedicated__cells=2,
)
KEYS = ["eid", "instance"]


def part_of(only, leave_out=()):
    return Grid.model_validate(
        STUDY.model_dump() | {"only": only, "leave_out": [*ABSENT, *leave_out]}
    )


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """An invented cohort, and a data root with its scans."""
    root, cohort = tmp_path_factory.mktemp("scanned"), invented_cohort()
    cohort.save_scans(root)
    return root, cohort


def report_on(scanned, root, grid, strategies, **changes):
    """Run an invented cohort to its report; ``changes`` are made to its tables."""
    home, cohort = scanned
    shutil.copytree(home / "02_intermediate", root / "02_intermediate")
    tables = {name: table.copy() for name, table in cohort.tables.items()}
    for name, change in changes.items():
        tables[f"primary.{name}"] = change(tables[f"primary.{name}"])
    visits = tables["primary.participants"][KEYS]
    for name in ("targets", "quality"):
        tables[f"primary.{name}"] = tables[f"primary.{name}"].merge(visits, on=KEYS)
    tables |= measured(tables["primary.participants"], tables["primary.targets"])
    return report_of(root, grid, TINY, tables, strategies=strategies)


def check(made, grid, strategies):
    """Every table is what it promises, and the pages say what the grid has."""
    performance = made["reporting.performance"]
    reported.performance.validate(performance)
    assert performance[["target", "inputs"]].to_numpy().tolist() == [
        [cell.target, cell.inputs.name] for cell in grid.cells
    ]
    wanted = next(s for s in ("amortised", "kernels", "linear", "dedicated") if s in strategies)
    assert set(performance["strategy"]) == {wanted}
    everything = set(made["reporting.performance_all"]["strategy"])
    assert everything - {"linear"} == {*strategies} - {"linear"}
    for page in ("report", "dashboard", "summary"):
        assert f"This grid: {grid.in_words()}" in made[f"reporting.{page}"]
    assert {*made["reporting.verdicts"]["target"]} == {*grid.targets}
    terms = made["reporting.mixed_models"].groupby("domain")["term"].agg(set)
    assert {*terms.index} == {*grid.domains}
    inputs = {*grid.modalities, *grid.domains, "intercept", "t1:dwi"}
    assert all(found <= inputs for found in terms)
    claims = made["reporting.claims"]
    reported.claims.validate(claims)
    absent = claims["verdict"] == "not in this grid"
    assert claims.loc[absent & (claims["part"] != "all"), "reason"].str.startswith("not in").all()
    return performance


@pytest.mark.parametrize(
    ("only", "leave_out", "strategies"),
    [
        (["age", "functional"], [], ["linear"]),
        # A domain whose base block is gone, read from one channel of a group.
        pytest.param(["body_fat", "worry", "flair"], [], ["linear"], marks=pytest.mark.slow),
        pytest.param(["sex", "smoking"], ["flair"], ["amortised"], marks=pytest.mark.slow),
        pytest.param(["disease"], ["functional"], ["dedicated"], marks=pytest.mark.slow),
        pytest.param([], [], list(STRATEGIES), marks=pytest.mark.slow),
    ],
)
def test_a_part_of_the_grid_runs_to_a_report(scanned, tmp_path, only, leave_out, strategies):
    grid = part_of(only, leave_out)
    made = report_on(scanned, tmp_path, grid, strategies)
    check(made, grid, strategies)


def test_without_any_score_there_is_still_a_report(scanned, tmp_path):
    """A trait that nobody among the test people has; others do."""
    grid = part_of(["sex", "functional"])

    def nobody(targets):
        return targets.assign(sex=targets["sex"].where(targets["eid"] < 9_000_001 + N - 16, 0.0))

    made = report_on(scanned, tmp_path, grid, ["linear"], targets=nobody)
    performance = check(made, grid, ["linear"])
    assert set(performance["status"]) == {"one class in test"}
    assert made["reporting.comparisons"].empty
    assert made["reporting.intervals"].empty


def kept(table, eids):
    return table[table["eid"].isin(eids)].reset_index(drop=True)


FIRST = 9_000_001
EIDS = FIRST + np.arange(N)
# Of each part; whole families.
SIXTY = [*EIDS[:44], *EIDS[64:72], *EIDS[80:88]]
FEW = [*EIDS[:64], *EIDS[64:67], *EIDS[80:84]]
COHORTS = {
    "sixty people": {"participants": lambda t: kept(t, SIXTY), "splits": lambda t: kept(t, SIXTY)},
    "fewer than five in a part": {
        "participants": lambda t: kept(t, FEW), "splits": lambda t: kept(t, FEW),
    },
    "one site, one sex": {"targets": lambda t: t.assign(sex=1.0)},
    "no family, no repeat visit": {
        "participants": lambda t: t[t["chosen"]].assign(family=np.arange(N)),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sixty people", marks=pytest.mark.slow),
        pytest.param("fewer than five in a part", marks=pytest.mark.slow),
        pytest.param("one site, one sex", marks=pytest.mark.slow),
        pytest.param("no family, no repeat visit", marks=pytest.mark.slow),
    ],
)
def test_a_small_or_plain_cohort_runs_to_a_report(scanned, tmp_path, name):
    grid = part_of(["sex", "age", "smoking", "diffusion", "functional"])
    made = report_on(scanned, tmp_path, grid, ["linear"], **COHORTS[name])
    check(made, grid, ["linear"])


@pytest.mark.slow
def test_with_functional_scans_alone_a_run_as_users_run_it_ends_in_a_report(
    cohort, run_kedro, tmp_path
):
    images = shutil.ignore_patterns("20250", "20252", "20253")
    shutil.copytree(cohort / "01_raw", tmp_path / "01_raw", ignore=images)
    given = {"grid__only": "[age,sex,worry]", "modelling__strategies": "linear"}
    stopped = run_kedro(root=tmp_path, **given)
    told = " ".join((stopped.stdout + stopped.stderr).split())
    assert stopped.returncode
    assert "--params grid.leave_out=structural+diffusion." in told
    done = run_kedro(root=tmp_path, grid__leave_out="structural+diffusion", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    performance = pd.read_parquet(tmp_path / "08_reporting/performance.parquet")
    assert len(performance) == 2 * 1 + 2
    assert set(performance["status"]) == {"ok"}
    page = (tmp_path / "08_reporting/report.html").read_text()
    assert "3 targets of 2 domains, 1 imaging group (rsfmri), 4 cells. Not in this grid" in page


@pytest.fixture(scope="module")
def tiny_cohort(cohort, run_kedro):
    """Data root of the tiny cohort, as far as modelling, and its tables."""
    done = run_kedro("--pipelines", "data_engineering,imaging_preprocess", root=cohort)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("participants", "targets", "target_sources", "confounds", "splits", "quality")
    return cohort, {
        f"primary.{name}": pd.read_parquet(cohort / f"03_primary/{name}.parquet") for name in names
    }


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(30))
def test_thirty_grids_at_random_each_end_in_a_report(tiny_cohort, tmp_path, draw):
    home, tables = tiny_cohort
    drawn = random_part(STUDY, np.random.default_rng([20240, draw]))
    grid = Grid.model_validate(STUDY.model_dump() | {"only": drawn["only"]})
    (tmp_path / "02_intermediate").symlink_to(home / "02_intermediate")
    made = report_of(tmp_path, grid, TINY, tables, strategies=drawn["strategies"])
    performance = check(made, grid, drawn["strategies"])
    assert (performance["status"] == "ok").any() or {*drawn["strategies"]} == {"dedicated"}
