import os

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from ukb_brain import cluster
from ukb_brain.cluster import Compute, pick_device, run_items


def measure(item):
    """What a work item gives: a sum whose last bits depend on the number of threads."""
    number, size = item
    rng = np.random.default_rng([7, number])
    left = torch.from_numpy(rng.standard_normal((size, size)).astype(np.float32))
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return number, (left @ left.T).sum().item(), torch.get_num_threads(), max(pools), os.getpid()


def fail(item):
    raise ValueError(f"item {item}")


ITEMS = [(number, 64 + number) for number in range(6)]


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
    assert list(run_items(measure, [], Compute(workers=2), "measuring")) == []


def test_an_item_that_fails_stops_the_work():
    with pytest.raises(ValueError, match="item 3"):
        list(run_items(fail, [3], Compute(workers=1), "failing"))


def test_zero_workers_means_one_for_each_processor():
    assert Compute().processes >= 1
    assert Compute(workers=3).processes == 3


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_best_device_is_taken(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(cluster.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(cluster.torch.backends.mps, "is_available", lambda: mps)
    assert pick_device().type == expected
    assert pick_device("cpu").type == "cpu"
