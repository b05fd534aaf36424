from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from ukb_brain.errors import InputError
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.store import RecordStore
from ukb_brain.training.feed import StoredVolumes, in_half
from ukb_brain.training.scans import GroupScans

N, SHAPE, MODALITIES = 9, (5, 6, 7), ("flair", "t1")
CPU = torch.device("cpu")
KEYS = np.array([(9_000_001 + k, 2 + k % 2) for k in range(N)])
HAS = np.arange(N) % 4 != 1
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def volume(row, channel):
    return np.random.default_rng([row, channel]).normal(size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Volumes in 8 bits, each with a code of its own; some people lack the first modality."""
    path = tmp_path_factory.mktemp("feed") / "volumes"
    store = RecordStore(path)
    for row, key in enumerate(KEYS.tolist()):
        for channel, modality in enumerate(MODALITIES):
            if HAS[row] or channel:
                values = volume(row, channel)
                code = Code.of(float(values.min()), float(values.max()))
                store.write(modality, tuple(key), code.encode(values), {}, code)
    return path


def stored(folder, pooling=1, **more):
    return StoredVolumes(folder, MODALITIES, KEYS, HAS, pooling, **more)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pooling", [1, 2, 3])
def test_values_are_those_that_everything_else_reads(folder, pooling, device):
    volumes = stored(folder, pooling, pinned=device == "cuda")
    rows = np.array([8, 0, 5, 1, 2])
    batch = volumes[rows]
    assert batch.numbers.dtype == torch.uint8
    values = batch.values(torch.device(device)).cpu()
    assert values.shape[1:] == volumes.pooled_shape
    scans = GroupScans(MODALITIES, folder, folder.parent / "none", pooling)
    there = HAS[rows]
    expected = in_half(torch.from_numpy(scans.read([tuple(KEYS[row]) for row in rows[there]])))
    if device == "cpu":
        assert torch.equal(values[torch.from_numpy(there)], expected)
    torch.testing.assert_close(values[torch.from_numpy(there)], expected, atol=2e-3, rtol=1e-3)
    assert (values[torch.from_numpy(~there)] == 0).all() and not there.all()


def test_eight_bits_err_by_no_more_than_half_a_step(folder):
    values = stored(folder)[np.arange(N)].values(CPU)
    for row in np.flatnonzero(HAS):
        for channel in range(2):
            exact = volume(row, channel)
            step = np.ptp(exact) / 255
            # Beside it the rounding of half precision.
            assert np.abs(values[row, channel].numpy() - exact).max() <= step / 2 + 2e-3


def test_volumes_of_sixteen_bits_travel_as_they_are(tmp_path):
    store, made = RecordStore(tmp_path), {}
    for row, key in enumerate(KEYS.tolist()):
        made[row] = volume(row, 0).astype(np.float16)
        store.write("t1", tuple(key), made[row], {})
    volumes = StoredVolumes(tmp_path, ("t1",), KEYS, np.ones(N, dtype=bool))
    batch = volumes[[3, 1]]
    assert batch.numbers.dtype == torch.float16
    np.testing.assert_array_equal(batch.values(CPU)[:, 0], [made[3], made[1]])


def test_records_of_several_kinds_are_told(folder, tmp_path):
    store = RecordStore(tmp_path)
    store.write("t1", tuple(KEYS[0].tolist()), volume(0, 0).astype(np.float16), {})
    for key in KEYS[1:3].tolist():
        store.write("t1", tuple(key), np.zeros(SHAPE, np.uint8), {}, Code(1, 0))
    volumes = StoredVolumes(tmp_path, ("t1",), KEYS, np.ones(N, dtype=bool))
    for rows in ([0, 1], [1, 2]):
        with pytest.raises(InputError, match="several shapes"):
            volumes[rows]


def test_a_part_is_a_view(folder):
    batch = stored(folder)[np.arange(N)]
    part = batch.part(2, 5)
    assert torch.equal(part.values(CPU), batch.values(CPU)[2:5])
    assert part.numbers.data_ptr() == batch.numbers[2:].data_ptr()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_torchs_own_loader_reads_batches(folder, workers):
    volumes = stored(folder)
    sampler = BatchSampler(SequentialSampler(volumes), 4, drop_last=False)
    spawned = {"num_workers": workers, "multiprocessing_context": "spawn"} if workers else {}
    batches = list(DataLoader(volumes, sampler=sampler, batch_size=None, **spawned))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    whole = volumes[np.arange(N)].values(CPU)
    assert torch.equal(torch.cat([batch.values(CPU) for batch in batches]), whole)


def test_what_goes_to_another_process_is_small(folder):
    volumes = stored(folder)
    volumes[np.arange(N)]
    assert len(ForkingPickler.dumps(volumes)) < 2000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_batches_for_a_card_lie_in_pinned_memory_whole_and_in_parts(folder):
    batch = stored(folder, pinned=True)[np.arange(N)]
    assert batch.numbers.is_pinned() and batch.codes.is_pinned()
    assert batch.part(2, 5).numbers.is_pinned()
