import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from threadpoolctl import threadpool_info

from ukb_brain.cluster import (
    Compute,
    Jobs,
    pick_device,
    progress,
    run_items,
    settings,
    start,
    visible_gpus,
)
from ukb_brain.errors import InputError


def measure(item):
    """What a work item gives: a sum whose last bits depend on the number of threads."""
    number, size = item
    rng = np.random.default_rng([7, number])
    left = torch.from_numpy(rng.standard_normal((size, size)).astype(np.float32))
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return number, (left @ left.T).sum().item(), torch.get_num_threads(), max(pools), os.getpid()


def fail(item):
    raise ValueError(f"item {item}")


def die_until(item):
    """Kill its own process, as the system does where memory runs out, as often as asked."""
    folder, times = item
    deaths = len(list(folder.iterdir()))
    if deaths < times:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return deaths


def learn(item):
    tell = progress.told_by_epoch(f"Network {item}", 2)
    for epoch in (1, 2):
        tell(epoch, {"train": [0.5 / epoch], "validation": [0.7]})
    # A network is used and written after its last epoch; then the line has come.
    time.sleep(1)


def seen_gpus(item):
    # Long enough that one worker does not do all of them.
    time.sleep(0.5)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def listening(item):
    """Addresses at which this process and the one that started it listen."""
    sockets = set()
    for pid in (os.getpid(), os.getppid()):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                sockets.add(str(descriptor.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listens = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    return {tuple(row[1].split(":")) for row in listens}


ITEMS = [(number, 64 + number) for number in range(6)]
TWO = Compute(workers=2)


@pytest.fixture(scope="module")
def by_workers():
    return {n: list(run_items(measure, ITEMS, Compute(workers=n), "measuring")) for n in (1, 2)}


def test_results_do_not_depend_on_the_number_of_workers_or_the_order(by_workers):
    one, two = ({r[0]: r[1] for r in by_workers[n]} for n in (1, 2))
    turned = run_items(measure, ITEMS[::-1], Compute(workers=1), "measuring")
    assert one == two == {r[0]: r[1] for r in turned}
    assert sorted(one) == list(range(6))


def test_two_workers_are_two_other_processes(by_workers):
    processes = {r[4] for r in by_workers[2]}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert {r[4] for r in by_workers[1]} == {os.getpid()}


def test_every_item_has_the_same_fixed_number_of_threads(by_workers):
    threads = {(r[2], r[3]) for n in (1, 2) for r in by_workers[n]}
    assert threads == {(1, 1)}


def test_the_number_of_threads_is_given_back():
    before = torch.get_num_threads()
    list(run_items(measure, ITEMS[:1], Compute(workers=1, threads_per_item=1), "measuring"))
    assert torch.get_num_threads() == before


def test_no_items_is_no_work():
    assert list(run_items(measure, [], TWO, "measuring")) == []


def test_an_item_that_fails_stops_the_work():
    with pytest.raises(ValueError, match="item 3"):
        list(run_items(fail, [3], Compute(workers=1), "failing"))


def test_a_lost_process_is_replaced_and_its_item_done_again(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    items = list(zip(folders, (0, 1, 0), strict=True))
    assert sorted(run_items(die_until, items, TWO, "dying")) == [0, 0, 1]


def test_an_item_that_always_loses_its_process_ends_in_one_line(tmp_path):
    compute = Compute(workers=2, retries=0)
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    (tmp_path / "deadly").mkdir()
    items = [(tmp_path / "deadly", 9), (healthy, 0)]
    with pytest.raises(InputError, match="dying: a process was lost 1 times") as caught:
        list(run_items(die_until, items, compute, "dying"))
    assert "\n" not in str(caught.value)


def test_zero_workers_means_one_for_each_processor_but_must_be_said_for_jobs():
    assert Compute().processes >= 1
    assert Compute(workers=3).processes == 3
    with pytest.raises(InputError, match=r"compute\.workers is 0 with compute\.backend pbs"):
        _ = Compute(backend="pbs").processes


def process_of(item):
    return os.getpid()


def test_workers_that_are_kept_wait_for_the_next_work_and_end_with_it():
    def processes(compute, items=8):
        return set(run_items(process_of, range(items), compute, "asking"))

    with start.workers_kept():
        first = processes(TWO) | processes(TWO, items=2) | processes(TWO)
        assert len(first) <= 2
        assert os.getpid() not in first
        others = processes(Compute(workers=2, threads_per_item=2))
        assert not first & others
    after = processes(TWO)
    assert not (first | others) & after
    assert not [pid for pid in first | others | after if Path(f"/proc/{pid}").exists()]


def test_workers_that_could_not_be_replaced_are_not_asked_again(monkeypatch):
    opened = []

    @contextlib.contextmanager
    def opening(compute, workers, losses):
        if workers > 2:
            raise OSError("no more processes")
        opened.append("open")
        yield len(opened)
        opened.append("closed")

    monkeypatch.setattr(start, "open_client", opening)

    def client(workers):
        with start.client_for(TWO, workers, 0) as found:
            return found

    with start.workers_kept():
        assert client(2) == client(1) == 1
        with pytest.raises(OSError, match="no more"):
            client(3)
        assert opened == ["open", "closed"]
        assert client(2) == 3
    assert opened == ["open", "closed", "open", "closed"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_and_scheduler_listen_on_loopback_only():
    addresses = set().union(*run_items(listening, range(2), TWO, "listening"))
    assert addresses
    assert {address for address, _ in addresses} <= {"0100007F", "0" * 24 + "01000000"}


def test_nobody_without_the_keys_can_talk_to_the_scheduler():
    with start.open_client(TWO, 1, losses=0) as client:
        host, _, port = client.scheduler.address.removeprefix("tls://").rpartition(":")
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        anybody.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            pytest.raises(ssl.SSLError),
        ):
            anybody.wrap_socket(plain)
        assert client.submit(len, "abc").result() == 3


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_best_device_is_taken(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(settings.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(settings.torch.backends.mps, "is_available", lambda: mps)
    assert pick_device().type == expected
    assert pick_device("cpu").type == "cpu"


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count, given=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if given is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)

    return pretend


@pytest.mark.parametrize(
    ("count", "given", "expected"),
    [
        (0, None, []),
        (2, None, ["0", "1"]),
        (2, "5,3", ["5", "3"]),
        (1, "GPU-a7", ["GPU-a7"]),
        # CUDA ignores what follows a device that is not there.
        (1, "2,-1,3", ["2"]),
        (0, "", []),
    ],
)
def test_visible_gpus_are_those_that_the_user_left_visible(gpus, count, given, expected):
    gpus(count, given)
    assert visible_gpus() == expected


def test_each_process_sees_a_gpu_of_its_own(gpus):
    gpus(2, "5, 3")
    compute = Compute().for_training()
    assert compute.workers == 2
    assert set(run_items(seen_gpus, range(4), compute, "looking")) == {"5", "3"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5, 3"


def test_training_takes_one_process_for_each_accelerator(gpus, monkeypatch):
    gpus(4)
    assert Compute(workers=0).for_training().workers == 4
    assert Compute(workers=3).for_training().workers == 3
    assert Compute(workers=64).for_training().workers == 4
    assert Compute(workers=64, device="cpu").for_training().workers == 64
    # A job asks for its own, which this machine need not have.
    assert Compute(workers=64, backend="slurm").for_training().workers == 64
    gpus(0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert Compute(workers=8).for_training().workers == 1


JOBS = Jobs(
    queue="long",
    account="brains",
    memory="4GB",
    walltime="02:00:00",
    shared_temp_directory="shared",
    interface="lo",
    job_extra_directives=("--gres=gpu:1",),
    job_script_prologue=("module load cuda",),
)
SCRIPTS = {
    "slurm": ("#SBATCH -p long", "#SBATCH -A brains", "#SBATCH -t 02:00:00"),
    "pbs": ("#PBS -q long", "#PBS -A brains", "walltime=02:00:00"),
    "sge": ("#$ -q long", "#$ -P brains", "h_rt=02:00:00"),
    "lsf": ("#BSUB -q long", '#BSUB -P "brains"', "#BSUB -W 02:00:00"),
}


@pytest.mark.parametrize("backend", SCRIPTS)
def test_a_job_is_written_as_its_system_reads_it(tmp_path, monkeypatch, backend):
    import dask_jobqueue

    monkeypatch.chdir(tmp_path)
    compute = Compute(backend=backend, workers=2, threads_per_item=3, jobs=JOBS)
    kind = getattr(dask_jobqueue, f"{backend.upper()}Cluster")
    of_the_cluster = {"interface", "scheduler_options"}
    job = {k: v for k, v in start.job_of(compute).items() if k not in of_the_cluster}
    script = kind.job_cls("tls://10.0.0.1:1", name="worker", **job).job_script()
    for line in (*SCRIPTS[backend], "--gres=gpu:1", f"cd {tmp_path}", "export OMP_NUM_THREADS=3"):
        assert line in script
    # The user's own commands come last; a job does one item at a time; nothing is spilled to disk.
    assert script.index("module load cuda") > script.index("OMP_NUM_THREADS")
    assert script.rstrip().split("--nthreads ")[-1].startswith("1 ")
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o700


def test_a_batch_system_needs_its_commands_and_what_a_job_is(monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda command: None)
    compute = Compute(backend="lsf", workers=1)
    with pytest.raises(InputError, match="bsub is not on the path"):
        list(run_items(measure, ITEMS, compute, "measuring"))
    monkeypatch.setattr(start.shutil, "which", lambda command: "/usr/bin/bsub")
    with pytest.raises(InputError, match=r"lsf, which needs compute\.jobs\.memory, compute"):
        list(run_items(measure, ITEMS, compute, "measuring"))


def test_an_unknown_batch_system_or_property_is_refused():
    with pytest.raises(ValidationError, match="'local', 'slurm', 'pbs', 'sge' or 'lsf'"):
        Compute(backend="condor")
    with pytest.raises(ValidationError, match="partition"):
        Compute(jobs={"partition": "long"})


def test_a_log_file_gets_a_line_now_and_then(caplog, monkeypatch):
    clock = iter(range(0, 100_000, 7))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="ukb_brain"):
        assert list(progress.shown(range(1000), 1000, "Items")) == list(range(1000))
    lines = [record.getMessage() for record in caplog.records]
    # 1,000 items at 7 s are 7,000 s; one line for each full minute.
    assert len(lines) == pytest.approx(7000 / 63, abs=2)
    assert lines[0] == "Items: 9 of 1000 after 0:01:03, about 1:55:37 left."
    assert lines[-1].startswith("Items: 1000 of 1000 after 1:56:40, about 0:00:00 left")


def test_a_run_without_terminal_prints_no_bar(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from ukb_brain.cluster import Compute, run_items\n"
        "print(list(run_items(abs, range(-500, 0), Compute(workers=1), 'Numbers'))[0])\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "500\n"
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_epochs_are_told_from_whichever_process_trains(workers, caplog):
    with caplog.at_level(logging.INFO):
        list(run_items(learn, ["a", "b"], Compute(workers=workers), "learning"))
    told = [r.getMessage() for r in caplog.records if r.name == progress.EPOCHS]
    assert sorted(line.partition(", about")[0] for line in told) == [
        f"Network {name}: epoch {epoch} of 2, loss {0.5 / epoch:.3f}, validation 0.700"
        for name in "ab"
        for epoch in (1, 2)
    ]


def test_nothing_to_do_shows_no_bar(monkeypatch):
    class Terminal:
        is_terminal = True

    monkeypatch.setattr(progress, "Console", Terminal)
    monkeypatch.setattr(progress, "progress_bar", lambda: 1 / 0)
    assert list(progress.shown([], 0, "Nothing")) == []


def test_what_a_worker_tells_is_shown_once():
    """As a user sees it: Kedro gives every process a handler of its own."""
    code = (
        "import logging\n"
        "logging.basicConfig(format='told %(message)s', level=logging.INFO)\n"
        "from test_cluster import tell_of_an_epoch\n"
        "from ukb_brain.cluster import Compute, run_items\n"
        "if __name__ == '__main__':\n"
        "    list(run_items(tell_of_an_epoch, ['A'], Compute(workers=1, backend='local'), 'x'))\n"
        "    list(run_items(tell_of_an_epoch, ['B', 'C'], Compute(workers=2), 'x'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in "ABC":
        assert (done.stdout + done.stderr).count(f"{name}: epoch 1 of 1") == 1


def tell_of_an_epoch(name):
    logging.basicConfig(format="told %(message)s", level=logging.INFO)
    progress.told_by_epoch(name, 1)(1, {"train": [1.0], "validation": [1.0]})
