import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ukb_brain import lock
from ukb_brain.errors import InputError
from ukb_brain.imaging.store import open_store
from ukb_brain.lock import LOCK, SILENT, RootLock

PROJECT = Path(__file__).parents[1]
HOLDS = """
import sys, time
from pathlib import Path
from ukb_brain.errors import InputError
from ukb_brain.lock import RootLock
try:
    held = RootLock(Path(sys.argv[1]), "modelling")
except InputError as error:
    sys.exit(str(error))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def hold(root, seconds=60):
    """Another process that takes a data root."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, root, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left(root):
    return [path.name for path in root.iterdir()]


@pytest.fixture
def other(tmp_path):
    """A process that holds the data root."""
    process = hold(tmp_path)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def of_another_machine(root, silent):
    """What a run on another machine left, or is holding."""
    path = root / LOCK
    holder = lock.Holder("node17", os.getppid(), 0.0, "2026-11-02 09:00:00 UTC", "search", "abc")
    path.write_text(json.dumps(holder._asdict()))
    at = time.time() - silent
    os.utime(path, (at, at))


def test_a_root_that_is_held_is_refused_in_a_line_that_says_by_whom(tmp_path, other):
    with pytest.raises(InputError) as caught:
        RootLock(tmp_path, "reporting")
    told = str(caught.value)
    assert "\n" not in told
    for words in (f"process {other.pid} on {platform.node()}, since 20", "for modelling", "Two at"):
        assert words in told
    assert other.poll() is None
    assert left(tmp_path) == [LOCK]


def test_a_killed_run_is_taken_over_at_once_and_said(tmp_path, other, caplog):
    other.kill()
    # Not waited for: a zombie is no run.
    while psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with caplog.at_level("INFO"):
        held = RootLock(tmp_path, "reporting")
    assert f"held by a run that is over: process {other.pid} on" in caplog.text
    held.release()
    assert left(tmp_path) == []


def test_another_process_of_the_same_number_does_not_hold_it(tmp_path, other):
    path = tmp_path / LOCK
    path.write_text(json.dumps(json.loads(path.read_text()) | {"born": time.time() - 86400}))
    RootLock(tmp_path, "reporting").release()


@pytest.mark.parametrize("ends", ["in order", "by Ctrl-C"])
def test_a_run_that_ends_leaves_nothing(tmp_path, ends):
    process = hold(tmp_path, 0.1 if ends == "in order" else 60)
    assert process.stdout.readline() == "held\n"
    if ends == "by Ctrl-C":
        process.send_signal(2)
    process.communicate()
    assert left(tmp_path) == []


def test_of_many_that_begin_at_once_over_a_stale_one_one_has_it(tmp_path, other):
    other.kill()
    other.wait()
    many = [hold(tmp_path, 3) for _ in range(5)]
    ended = [process.communicate() for process in many]
    assert sorted(out for out, _ in ended) == ["", "", "", "", "held\n"]
    assert sum("Another run works on" in err for _, err in ended) == 4


def test_a_run_of_another_machine_is_over_once_it_is_silent(tmp_path):
    of_another_machine(tmp_path, SILENT / 2)
    with pytest.raises(InputError, match=rf"on node17, .* for search\..* remove {tmp_path}/\.lock"):
        RootLock(tmp_path, "reporting")
    assert left(tmp_path) == [LOCK]
    of_another_machine(tmp_path, SILENT + 1)
    RootLock(tmp_path, "reporting").release()


def test_a_run_that_lives_gives_signs_of_it_in_its_own_file_only(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    held = RootLock(tmp_path, "reporting")

    def touched():
        os.utime(tmp_path / LOCK, (1, 1))
        time.sleep(0.3)
        return (tmp_path / LOCK).stat().st_mtime > 1

    assert touched()
    of_another_machine(tmp_path, 0)
    assert not touched()
    held.release()
    assert (tmp_path / LOCK).exists()


def test_a_file_that_says_nothing_holds_until_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "LOOKS", 1)
    (tmp_path / LOCK).write_text("{")
    with pytest.raises(InputError, match="unknown machine"):
        RootLock(tmp_path, "reporting")
    os.utime(tmp_path / LOCK, (1, 1))
    RootLock(tmp_path, "reporting").release()


@pytest.mark.parametrize("part", [{"process": "abc"}, {"process": -5}, {"born": None}, {"host": 3}])
def test_a_file_of_the_wrong_kinds_says_nothing_either(tmp_path, monkeypatch, part):
    monkeypatch.setattr(lock, "LOOKS", 1)
    holder = lock.Holder("here", 5, 0.0, "now", "modelling", "x")
    (tmp_path / LOCK).write_text(json.dumps(holder._asdict() | part))
    with pytest.raises(InputError, match="unknown machine"):
        RootLock(tmp_path, "reporting")


def test_what_a_process_held_before_is_its_own(tmp_path):
    first = RootLock(tmp_path, "modelling")
    second = RootLock(tmp_path, "reporting")
    first.release()
    assert (tmp_path / LOCK).exists()
    second.release()
    assert not (tmp_path / LOCK).exists()


def test_a_root_that_nothing_was_written_to_is_not_left(tmp_path):
    RootLock(tmp_path / "new", "reporting").release()
    assert not (tmp_path / "new").exists()
    held = RootLock(tmp_path / "new", "reporting")
    (tmp_path / "new/02_intermediate").mkdir()
    held.release()
    assert left(tmp_path / "new") == ["02_intermediate"]


@pytest.mark.bad_input(
    given="a data root that may not be written to, or is no folder", says="cannot be written to"
)
def test_a_root_that_cannot_be_written_to_is_one_line(tmp_path, monkeypatch, says):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{says} .*File exists.*data_root=…"):
        RootLock(tmp_path / "file", "reporting")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock.Path, "open", refused)
    with pytest.raises(InputError, match=f"{says} .*Permission denied"):
        RootLock(tmp_path, "reporting")


def test_a_full_disk_leaves_no_file_that_would_hold_it(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.json, "dumps", full)
    with pytest.raises(InputError, match="No space left"):
        RootLock(tmp_path, "reporting")
    assert left(tmp_path) == []


@pytest.mark.slow
def test_a_second_run_stops_and_a_killed_one_is_in_nobodys_way(tmp_path, other, run_kedro):
    """As a user sees it."""
    second = run_kedro("--pipelines", "purge", root=tmp_path)
    told = second.stdout + second.stderr
    assert second.returncode == 1
    assert f"Error: Another run works on the data root {tmp_path}: process {other.pid} on" in told
    assert "Traceback" not in told
    assert left(tmp_path) == [LOCK]
    other.kill()
    other.wait()
    third = run_kedro("--pipelines", "purge", root=tmp_path)
    told = " ".join((third.stdout + third.stderr).split())
    assert third.returncode == 0, told
    assert f"held by a run that is over: process {other.pid}" in told
    assert not (tmp_path / LOCK).exists()


def records(root):
    stores = [open_store(path) for path in sorted((root / "02_intermediate").glob("*.store"))]
    return {
        (modality, *key): store.read(modality, key).tobytes()
        for store in stores
        for modality in store.modalities()
        for key in store.keys(modality)
    }


@pytest.mark.slow
def test_a_run_killed_while_it_preprocesses_goes_on_and_comes_out_the_same(
    cohort, tmp_path, run_kedro
):
    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    steps = ("--pipelines", "data_engineering,imaging_preprocess")
    for root in (undisturbed, killed):
        shutil.copytree(cohort / "01_raw", root / "01_raw")
    assert run_kedro(*steps, root=undisturbed).returncode == 0
    kedro = str(Path(sys.executable).with_name("kedro"))
    given = ("--env", "test", "--params", f"data_root={killed},compute.workers=2")
    first = subprocess.Popen(
        [sys.executable, kedro, "run", *steps, *given], cwd=PROJECT, stdout=subprocess.DEVNULL
    )
    indices = (killed / "02_intermediate").glob
    while not any(path.stat().st_size for path in indices("*.store/*/*.index")):
        assert first.poll() is None
        time.sleep(0.01)
    # Stopped, it is still there, and in the middle of its work.
    first.send_signal(signal.SIGSTOP)
    second = run_kedro(*steps, root=killed)
    assert second.returncode == 1
    assert f"process {first.pid} on" in " ".join((second.stdout + second.stderr).split())
    workers = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    # No worker of it goes on writing.
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    assert run_kedro(*steps, root=killed).returncode == 0
    assert records(killed) == records(undisturbed)
    for table in ("quality", "quality_summary"):
        path = f"03_primary/{table}.parquet"
        assert (killed / path).read_bytes() == (undisturbed / path).read_bytes()
    assert not (killed / LOCK).exists()
