import logging
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from reporting_cases import study_grid
from scan_cases import imaging

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.hooks import ProjectHooks
from ukb_brain.imaging.bulk_index import index_bulk
from ukb_brain.lock import LOCK
from ukb_brain.statistics.settings import Reporting
from ukb_brain.tables.people_lists import Withdrawals

NOTHING = Pipeline([])


class Loader(dict):
    runtime_params: dict
    conf_source = str(Path(__file__).parents[1] / "conf")


def context(runtime=None, source="synthetic", project="."):
    loader = Loader(globals={"data_root": "data", "preset": "demo", "source": source})
    loader.runtime_params = runtime
    return SimpleNamespace(config_loader=loader, env="test", project_path=project)


def catalog(participants=(), withdrawn=()):
    return DataCatalog(
        {
            "primary.participants": MemoryDataset(pd.DataFrame({"eid": [*participants]})),
            "raw.withdrawals": MemoryDataset(Withdrawals(frozenset(withdrawn), 1, "x")),
        }
    )


@pytest.mark.parametrize(
    "run",
    [
        {"pipeline_names": ["modelling"]},
        {"pipeline_names": ["reporting"]},
        {"pipeline_names": [], "only_missing_outputs": True},
    ],
)
def test_a_run_stops_where_somebody_withdrew_since_tables_were_made(run):
    hooks = ProjectHooks()
    hooks.before_pipeline_run(run, NOTHING, catalog([1, 2, 3], [4]))
    with pytest.raises(InputError, match="2 of 3 participants have withdrawn"):
        hooks.before_pipeline_run(run, NOTHING, catalog([1, 2, 3], [2, 3, 4]))


@pytest.mark.parametrize("names", [[], ["data_engineering"]])
def test_a_run_that_drops_the_withdrawn_goes_on(names):
    ProjectHooks().before_pipeline_run({"pipeline_names": names}, NOTHING, catalog([1, 2], [2]))


@pytest.mark.parametrize(
    ("runtime", "source", "said"),
    [
        (None, "synthetic", ["data root data ", "preset demo", "SYNTHETIC"]),
        ({"data_root": "elsewhere", "preset": "study64"}, "ukb", ["elsewhere", "study64", "ukb"]),
    ],
)
def test_a_run_says_in_one_line_on_what_it_works(caplog, tmp_path, runtime, source, said):
    with warnings.catch_warnings():
        hooks = ProjectHooks()
    hooks.after_context_created(context(runtime, source, tmp_path))
    with caplog.at_level(logging.INFO, logger="ukb_brain"):
        run = {"env": "test", "pipeline_names": ["reporting"]}
        hooks.before_pipeline_run(run, NOTHING, catalog())
    (line,) = caplog.messages
    for words in [*said, "environment test", "reporting"]:
        assert words in line


@pytest.mark.parametrize(
    ("names", "held"),
    [([], True), (["modelling", "check"], True), (["purge"], True), (["check"], False)],
)
@pytest.mark.parametrize("ends", ["well", "in an error", "before its first step"])
def test_a_run_that_writes_holds_its_data_root_until_it_ends(tmp_path, names, held, ends):
    hooks = ProjectHooks()
    hooks.after_context_created(context(project=tmp_path))
    lock, run = tmp_path / "data" / LOCK, {"pipeline_names": names}
    if ends == "before its first step":
        hooks._look = lambda *_: 1 / 0
        with pytest.raises(ZeroDivisionError):
            hooks.before_pipeline_run(run, NOTHING, catalog())
    else:
        hooks.before_pipeline_run(run, NOTHING, catalog())
        assert lock.exists() == held
        hooks.after_pipeline_run() if ends == "well" else hooks.on_pipeline_error()
    assert not lock.exists()


def test_known_warnings_are_silent_and_others_are_not():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ProjectHooks()
        warnings.warn("One or more dataset names contain '.' characters, which", stacklevel=1)
        warnings.warn("something new", stacklevel=1)
    assert [str(w.message) for w in caught] == ["something new"]


def test_steps_are_counted(caplog):
    nodes = [Node(lambda: 0, inputs=None, outputs=name, name=name) for name in ("a_b", "c")]
    hooks = ProjectHooks()
    hooks.before_pipeline_run({"pipeline_names": ["reporting"]}, Pipeline(nodes), catalog())
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="ukb_brain"):
        for node in nodes:
            hooks.before_node_run(node)
    assert caplog.messages == ["Step 1 of 2: a b", "Step 2 of 2: c"]


def test_a_name_that_nothing_reads_stops_with_the_nearest_one():
    with pytest.raises(InputError, match=r"'presett', .* did you mean 'preset'\?"):
        ProjectHooks().after_context_created(context({"presett": "study64"}))


@pytest.mark.bad_input(
    given="new scans since the last run, and `--only-missing-outputs`",
    says="are new or changed since they were last listed, and --only-missing-outputs would not "
    "read them: run without it",
)
@pytest.mark.parametrize("typed", [True, False])
def test_scans_that_came_stop_a_run_of_missing_outputs(tmp_path, says, typed):
    def scan(name):
        (tmp_path / name).write_bytes(b"a zip")

    scan("1234567_20252_2_0.zip")
    index, _ = index_bulk(tmp_path, (20252,))
    settings, grid = imaging(), study_grid()
    entries = {
        "raw.bulk": tmp_path,
        "intermediate.bulk_index": index,
        "raw.withdrawals": Withdrawals(frozenset(), 1, "x"),
        "params:imaging_preprocess": settings if typed else settings.model_dump(),
        "params:grid": grid if typed else grid.model_dump(),
    }
    of_run = DataCatalog({name: MemoryDataset(value) for name, value in entries.items()})
    missing = {"pipeline_names": [], "only_missing_outputs": True}
    run = ProjectHooks().before_pipeline_run
    run(missing, Pipeline([]), of_run)
    # A field that no modality needs.
    scan("1234567_20227_2_0.zip")
    run(missing, Pipeline([]), of_run)
    scan("2345678_20252_2_0.zip")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        run(missing, Pipeline([]), of_run)
    assert str(caught.value).startswith("1 bulk file(s)")
    assert "2345678" not in str(caught.value)
    run({"pipeline_names": []}, Pipeline([]), of_run)


def reporting_run(grid, strategies):
    """What the hook looks at before a run that trains and reports."""
    entries = {
        "grid": grid,
        "modelling": SimpleNamespace(strategies=strategies),
        "reporting": Reporting(),
        "claims": {},
    }
    of_run = DataCatalog(
        {f"params:{k}": MemoryDataset(v, copy_mode="assign") for k, v in entries.items()}
    )
    nodes = [Node(lambda *_: 1, inputs=[f"params:{name}" for name in entries], outputs="y")]
    ProjectHooks().before_pipeline_run({"pipeline_names": ["x"]}, Pipeline(nodes), of_run)


def test_a_part_of_the_grid_is_told_at_the_start(caplog):
    caplog.set_level(logging.INFO)
    reporting_run(study_grid(), ["linear"])
    assert "Not in this grid" not in caplog.text
    part = Grid.model_validate(study_grid().model_dump() | {"only": "age+rsfmri"})
    # The map takes another strategy than the first that it would like.
    reporting_run(part, ["linear"])
    assert (
        "1 target of 1 domain, 1 imaging group (rsfmri), 1 cell. Not in this grid: " in caplog.text
    )
    with pytest.raises(InputError, match=r"reporting.strategy names amortised.* are another"):
        reporting_run(part, ["another"])
