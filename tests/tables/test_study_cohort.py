"""The cohort of Ruffle et al., NeuroImage 291:120600 (2024), by the counts that it gives."""

import numpy as np
import pandas as pd
import pytest

from ukb_brain.tables.exclusions import DataEngineering, count_scans, select_cohort, usable_scans
from ukb_brain.tables.people_lists import read_withdrawals
from ukb_brain.tables.splits import Splitting, make_splits
from ukb_brain.tables.visits import describe_participants

EVERYBODY, ALL_FOUR, ARTEFACTS = 502_505, 23_810, 8
WITH = {"t1": 34_041, "flair": 39_276, "dwi": 38_909, "rsfmri": 31_748}
SPLIT = {"train": 19_048, "validation": 2_381, "test": 2_381}
FIELDS = {"t1": 20252, "flair": 20253, "dwi": 20250, "rsfmri": 31016}
COMPLETE = DataEngineering(imaging_instances=(2,), cohort="complete")
NO_PAIRS = pd.DataFrame({"ID1": [], "ID2": [], "Kinship": []})


def visitors():
    """Whom each modality was taken of: so many have all four, and nobody else more than two."""
    both = ALL_FOUR + ARTEFACTS
    # T1 beside FLAIR and DWI beside rsfMRI, of other people.
    first = {"t1": both, "flair": both}
    first["dwi"] = first["rsfmri"] = WITH["flair"]
    return {name: np.r_[:both, first[name] : first[name] + n - both] for name, n in WITH.items()}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Everybody's table in no order, an index of scans and a list of artefacts on the disk."""
    random = np.random.default_rng(0)
    eid = random.permutation(np.arange(1_000_000, 1_000_000 + EVERYBODY))
    scanned = visitors()
    taken = np.unique(np.concatenate([*scanned.values()]))
    date = np.full(EVERYBODY, np.datetime64("NaT"), dtype="datetime64[s]")
    date[taken] = np.datetime64("2016-01-01")
    there = np.isin(np.arange(EVERYBODY), taken)
    table = pd.DataFrame({"eid": eid, "53-2.0": date, "31-0.0": random.integers(0, 2, EVERYBODY)})
    table["21003-2.0"] = np.where(there, random.integers(45, 82, EVERYBODY), np.nan)
    table["54-2.0"] = np.where(there, random.choice([11025, 11026, 11027], EVERYBODY), np.nan)
    index = pd.concat(
        pd.DataFrame({"eid": eid[who], "field": FIELDS[name]}) for name, who in scanned.items()
    ).assign(instance=2, array=0, state="ok")
    raw = tmp_path_factory.mktemp("raw")
    listed = "".join(f"{number}\n" for number in eid[:ARTEFACTS])
    (raw / "exclude_artefact.csv").write_text(listed)
    return table, index.sample(frac=1, random_state=0), read_withdrawals(raw)


def test_the_studys_counts_come_out(cohort):
    table, index, lists = cohort
    scans = usable_scans(index, FIELDS)
    stay, flow = select_cohort(table, lists, scans, NO_PAIRS, COMPLETE)
    steps = flow.set_index("reason")
    assert steps.loc["in the table", "remaining"] == EVERYBODY
    assert steps.loc["left out by list: artefact", "excluded"] == ARTEFACTS
    assert len(stay) == ALL_FOUR == flow["remaining"].iloc[-1]
    counts = count_scans(scans, table, stay, COMPLETE).set_index("modality")
    assert counts["people"].to_dict() == WITH
    assert (counts["in_cohort"] == ALL_FOUR).all() and (counts["undated"] == 0).all()

    participants = describe_participants(stay, NO_PAIRS, scans, COMPLETE)
    splits = make_splits(participants, Splitting(), seed=0)
    assert splits["part"].value_counts().to_dict() == SPLIT
