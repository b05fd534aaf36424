"""A run that is killed at any moment ends, once it is started again, as one left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from modelling_cases import EVERY, changed, invented_cohort, run

TESTS = Path(__file__).parents[1]
KILLS, READY = 10, "ready"
TRAINED = ("06_models/encoders", "06_models/dedicated")
STATE, PREDICTIONS = "scratch-*/state.safetensors", "07_model_output/predictions.parquet"
# Long enough that most moments are within a training; stopping and averages are states too. Shared
# encoders have bins.
SETTINGS = changed(
    EVERY,
    encoders__loop=EVERY.encoders.loop.model_dump()
    | {"epochs": 50, "patience": 40, "ema": 0.9, "bins": 12},
    encoders__pretrain={"epochs": 8, "cube": 2},
    encoders__refine={"rank": 2, "epochs": 12},
    dedicated__loop__epochs=25,
    dedicated__cells=2,
)


def start(root):
    """Fit everything that is missing, in a process of its own and the leader of its group."""
    return subprocess.Popen(
        [sys.executable, __file__, str(root)],
        env=os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until_ready(child):
    for line in child.stdout:
        if line.strip() == READY:
            return
    raise AssertionError("the run ended before it began")


def finish(root):
    """Run to the end; give the seconds from the first work on."""
    child = start(root)
    wait_until_ready(child)
    started = time.monotonic()
    output = child.stdout.read()
    assert child.wait() == 0, output
    return time.monotonic() - started


def kill(root, seconds, network=""):
    """Kill a run, so long after it began, or after a network's first epoch.

    Say whether it was still at work, and how many trainings left their state.
    """
    child = start(root)
    wait_until_ready(child)
    while network and child.poll() is None and not list(root.glob(f"{network}/{STATE}")):
        time.sleep(0.01)
    time.sleep(seconds)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.stdout.close()
    killed = child.wait() == -signal.SIGKILL
    return killed, len(list(root.glob(f"06_models/*/*/{STATE}")))


def files_of(root):
    models = sorted(root.glob("06_models/*/*/model.safetensors"))
    return {str(p.relative_to(root)): p.read_bytes() for p in [*models, root / PREDICTIONS]}


def moments_of(alone, duration):
    """Half of them anywhere in a run, the others within the training of one of its networks."""
    rng = np.random.default_rng(0)
    anywhere = [(seconds, "") for seconds in rng.uniform(0.02, 0.9, KILLS // 2) * duration]
    networks = [path.parent for kind in TRAINED for path in alone.glob(f"{kind}/*/card.json")]
    within = []
    for network in rng.permutation(sorted(networks) * KILLS)[: KILLS - len(anywhere)]:
        took = json.loads((network / "card.json").read_text())["seconds"]
        within.append((rng.uniform(0, 0.5) * took, str(network.relative_to(alone))))
    return anywhere + within


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_as_one_left_alone(tmp_path):
    invented_cohort().save_scans(tmp_path / "scans")

    def root_of(name):
        root = tmp_path / name
        shutil.copytree(tmp_path / "scans", root)
        return root

    alone = root_of("alone")
    duration = finish(alone)
    expected = files_of(alone)
    # References, vectors, products, sets of groups, encoders, targets, networks, predictions.
    assert len(expected) == 1 + 1 + 3 + 8 + 2 + 7 + 2 + 1
    moments = moments_of(alone, duration)

    def check(number):
        root, (seconds, network) = root_of(f"killed-{number}"), moments[number]
        killed, states = kill(root, seconds, network)
        while not killed:
            # The machine was faster than before: earlier, with everything still to be done.
            shutil.rmtree(root)
            seconds /= 2
            killed, states = kill(root_of(f"killed-{number}"), seconds, network)
        finish(root)
        found = files_of(root)
        assert set(found) == set(expected)
        differ = [name for name in expected if found[name] != expected[name]]
        assert not differ, f"killed {seconds:.2f} of {duration:.2f} s after {network}: {differ}"
        shutil.rmtree(root)
        return states

    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(check, range(KILLS)))
    assert len(states) == KILLS
    # Within a training there was a state to go on from.
    assert sum(each > 0 for each in states) >= 3, states


if __name__ == "__main__":
    print(READY, flush=True)
    nobody = np.array([], dtype=np.int64)
    run(Path(sys.argv[1]), invented_cohort(), altered=nobody, modelling=SETTINGS)
