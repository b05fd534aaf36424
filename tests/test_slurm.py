"""Work items over jobs of a real Slurm on this machine, which the project's own script starts."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from reporting_cases import study_grid
from scan_cases import (
    dwi_members,
    flair_members,
    head,
    imaging,
    nifti,
    series_members,
    t1_members,
    zipped,
)

from ukb_brain.cluster import Compute, Jobs, run_items
from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk_index import index_bulk
from ukb_brain.ledger import WorkItem, fingerprint_of, run_ledger
from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.pipelines.imaging_preprocess import nodes

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        shutil.which("slurmctld") is None,
        reason="Slurm is not installed: tools/one_node_slurm.sh start installs it",
    ),
]

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "tools/one_node_slurm.sh"
NAMES = [f"item{k}" for k in range(8)]
STEPS = 8


def fit(payload, scratch):
    """Some seconds of work in steps, each kept, and a note of where it is done."""
    seed, notes = payload
    with (notes / f"{seed}.txt").open("a") as note:
        note.write(f"{os.getpid()} {os.environ.get('SLURM_JOB_ID')}\n")
    kept = sorted(scratch.glob("step-*.npy"))
    total = np.load(kept[-1]) if kept else np.zeros(50)
    for step in range(len(kept), STEPS):
        total = total + np.random.default_rng([seed, step]).standard_normal(50)
        time.sleep(0.25)
        np.save(scratch / f"part-{step}.npy", total)
        (scratch / f"part-{step}.npy").replace(scratch / f"step-{step}.npy")
    return Model({"total": total})


def where(number):
    return number, os.environ.get("SLURM_JOB_ID")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    # Its sockets have short names only where the folder's own is short.
    home = tmp_path_factory.mktemp("slurm")
    environment = os.environ | {"ONE_NODE_SLURM": str(home)}
    subprocess.run([SCRIPT, "start"], env=environment, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(home / "slurm.conf"))
        try:
            yield home
        finally:
            subprocess.run([SCRIPT, "stop"], env=environment, check=True)
    assert not home.exists()


@pytest.fixture
def compute(tmp_path, slurm):
    return Compute(
        backend="slurm",
        workers=2,
        device="cpu",
        jobs=Jobs(
            memory="1GB",
            walltime="00:10:00",
            interface="lo",
            shared_temp_directory=str(tmp_path / "shared"),
            # The functions above are in no installed package.
            job_script_prologue=(f"export PYTHONPATH={TESTS}:{TESTS.parent}/src",),
        ),
    )


def items(notes):
    notes.mkdir()
    return [WorkItem(n, fingerprint_of(k), (k, notes)) for k, n in enumerate(NAMES)]


def arrays(folder):
    return {name: read_model(folder / name).arrays["total"].tolist() for name in NAMES}


def begun(notes):
    """Process and job of every attempt."""
    return [line.split() for path in notes.glob("*.txt") for line in path.read_text().splitlines()]


def wait_for(something, seconds=90):
    end = time.monotonic() + seconds
    while not (found := something()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("accident", ["a killed process", "a cancelled job"])
def test_items_end_as_in_one_process_whatever_is_killed(tmp_path, compute, accident):
    run_ledger(fit, items(tmp_path / "there"), tmp_path / "serial", Compute(workers=1), "Fits")
    notes, killed = tmp_path / "notes", []

    def kill():
        process, job = wait_for(lambda: begun(notes))[0]
        wait_for(lambda: list((tmp_path / "jobs").glob("item*/scratch-*/step-1.npy")))
        if accident == "a killed process":
            os.kill(int(process), signal.SIGKILL)
        else:
            subprocess.run(["scancel", job], check=True)
        killed.append(process)

    killer = threading.Thread(target=kill, daemon=True)
    work = items(notes)
    killer.start()
    cards = run_ledger(fit, work, tmp_path / "jobs", compute, "Fits")
    killer.join()
    assert len(killed) == 1
    assert [card["status"] for card in cards] == ["ok"] * len(NAMES)
    assert sorted(card["attempts"] for card in cards) == [*([1] * (len(NAMES) - 1)), 2]
    assert arrays(tmp_path / "jobs") == arrays(tmp_path / "serial")
    jobs = {job for _, job in begun(notes)}
    assert "None" not in jobs
    assert len(jobs) >= 2
    assert not list((tmp_path / "jobs").glob("*/scratch-*"))
    # Neither the keys of its connections nor jobs are left.
    assert not list((tmp_path / "shared").glob("keys-*"))
    wait_for(lambda: not subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout)
    # A second run finds everything done, and asks for no job.
    assert run_ledger(fit, work, tmp_path / "jobs", compute, "Fits") == cards
    assert len(begun(notes)) == len(NAMES) + 1


PEOPLE = 40
SETTINGS = imaging(shape=(18, 22, 20), voxel_mm=8.0)
MEMBERS = {20252: t1_members, 20253: flair_members, 20250: dwi_members, 31016: series_members}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Bulk files of forty people, with a T1 of 1.2 mm that takes a while, and one broken one."""
    folder = tmp_path_factory.mktemp("bulk")
    affine = np.array([[1.2, 0, 0, -78], [0, 1.2, 0, -114], [0, 0, 1.2, -76], [0, 0, 0, 1]])
    for k in range(4):
        t1 = nifti(np.int16(1000 * head((130, 168, 140), affine, k)), affine)
        for field, make in MEMBERS.items():
            members = make(seed=10 + k)
            if field == 20252:
                members |= {"T1/T1_unbiased_brain.nii.gz": t1}
            for eid in range(9000001 + k, 9000001 + PEOPLE, 4):
                (folder / f"{eid}_{field}_2_0.zip").write_bytes(zipped(members))
    (folder / "9000002_20250_2_0.zip").write_bytes(b"<html>")
    return folder


def preprocessed(scans, folder, compute):
    """Quality table and records, by modality, person and visit."""
    people = pd.DataFrame({"eid": range(9000001, 9000001 + PEOPLE), "instance": 2})
    index, _ = index_bulk(scans, MEMBERS)
    given = (scans, index, people, folder, study_grid(), SETTINGS, "synthetic", compute)
    *stores, quality = nodes.preprocess_scans(*given)
    found = {}
    for store in stores:
        for modality in store.modalities():
            for key in store.keys(modality):
                found[modality, *key] = store.read(modality, key).tobytes()
            assert store.remove_damaged(modality) == []
    return quality, found


def workers_of(job):
    """Processes of a job in which work is done; the job's own only watches over them."""
    for process in psutil.process_iter():
        try:
            started = " ".join(process.cmdline())
            if "spawn_main" in started and process.environ().get("SLURM_JOB_ID") == job:
                yield process.pid
        except psutil.Error:
            continue


@pytest.mark.parametrize("accident", ["a killed process", "a cancelled job"])
def test_scans_are_preprocessed_as_in_one_process_whatever_is_killed(
    tmp_path, monkeypatch, scans, compute, accident
):
    monkeypatch.setattr(nodes, "VISITS_PER_BATCH", 2)
    quality, expected = preprocessed(scans, tmp_path / "there", Compute(workers=1))
    assert len(expected) == 4 * PEOPLE - 1
    done_then = []

    def kill():
        written = tmp_path / "jobs/volumes.store/t1"
        wait_for(lambda: [p for p in written.glob("*.index") if p.stat().st_size])
        running = subprocess.run(
            ["squeue", "-h", "-t", "R", "-o", "%A"], capture_output=True, check=True, text=True
        )
        job = running.stdout.split()[0]
        if accident == "a killed process":
            (process,) = workers_of(job)
            os.kill(process, signal.SIGKILL)
        else:
            subprocess.run(["scancel", job], check=True)
        done_then.append(sum(p.stat().st_size for p in written.glob("*.index")) // 56)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    told, found = preprocessed(scans, tmp_path / "jobs", compute)
    killer.join()
    # In the middle of it.
    assert 0 < done_then[0] < PEOPLE
    assert found == expected
    pd.testing.assert_frame_equal(told, quality)
    wait_for(lambda: not subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout)


def test_any_work_may_go_into_jobs_even_one_item(compute):
    ((number, job),) = run_items(where, [7], compute, "Looking")
    assert number == 7
    assert job is not None


def test_a_job_that_slurm_refuses_is_one_line(compute):
    jobs = compute.jobs.model_copy(update={"queue": "nowhere"})
    with pytest.raises(InputError, match=r"slurm refused a job, .*[Ii]nvalid partition") as caught:
        list(run_items(where, [1], compute.model_copy(update={"jobs": jobs}), "Looking"))
    assert "\n" not in str(caught.value)


def test_starting_twice_is_starting_once(slurm):
    environment = os.environ | {"ONE_NODE_SLURM": str(slurm)}
    ids = [(slurm / f"{daemon}.pid").read_text() for daemon in ("slurmctld", "slurmd", "munged")]
    started = subprocess.run([SCRIPT, "start"], env=environment, check=True, capture_output=True)
    assert started.stdout.decode() == f"export SLURM_CONF={slurm}/slurm.conf\n"
    assert ids == [(slurm / f"{d}.pid").read_text() for d in ("slurmctld", "slurmd", "munged")]
