import numpy as np
import pytest
from scan_cases import imaging

from ukb_brain.synthetic import linear_reader
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.depth import GATES
from ukb_brain.synthetic.linear_reader import draw_reference, read_linearly, reference_batches
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.truth import reference_people


def files(tmp_path, X, size=50):
    paths = []
    for k in range(0, len(X), size):
        paths.append(tmp_path / f"people-{k:06d}.npy")
        np.save(paths[-1], X[k : k + size].astype(np.float16))
    return paths


def planted(n, voxels, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, voxels))
    seen = X[:, :3].sum(1) + 0.5 * rng.standard_normal(n)
    return X, np.column_stack([seen, X[:, 0] * X[:, 1], rng.standard_normal(n)])


def explained(read, outputs):
    y = (outputs - outputs.mean(0)) / outputs.std(0)
    return 1 - ((read - y) ** 2).mean(0)


def test_it_reads_what_is_linear_and_nothing_else(tmp_path):
    X, outputs = planted(1000, 20)
    linear, product, nothing = explained(read_linearly(files(tmp_path, X), outputs), outputs)
    assert linear == pytest.approx(3 / 3.25, abs=0.02)
    assert product < 0.01
    assert nothing < 0.01


def test_both_ways_are_one_regression(tmp_path, monkeypatch):
    X, outputs = planted(400, 60)
    paths = files(tmp_path, X)
    by_voxels = read_linearly(paths, outputs)
    monkeypatch.setattr(linear_reader, "_by_voxels", linear_reader._by_people)
    np.testing.assert_allclose(read_linearly(paths, outputs), by_voxels, atol=2e-3)


def test_nobody_is_read_by_what_was_learnt_of_them(tmp_path):
    """More voxels than people: what was learnt of oneself would be known by heart."""
    X, outputs = planted(200, 400)
    assert explained(read_linearly(files(tmp_path, X), outputs), outputs)[2] < 0.05


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    sizes = {"participants": 3, "regions": 25, "time_points": 60, "seed": 1}
    cohort = SyntheticCohort(voxel_mm=8, depth=True, reference_people=240, **sizes)
    build_anatomy(8, GATES).save(folder / "anatomy.npz")
    batches = reference_batches(cohort, folder / "anatomy.npz", imaging(), folder)
    return cohort, batches, [draw_reference(batch) for batch in batches]


def test_images_are_of_the_people_whose_traits_are_known(drawn):
    cohort, batches, paths = drawn
    assert [len(b.numbers) for b in batches] == [60, 60, 60, 60]
    z, *_ = reference_people(cohort)
    held = [np.load(path) for path in paths]
    assert sum(map(len, held)) == len(z["age"]) == 240
    # Sex is among what varies most.
    X = np.concatenate(held).astype(float)
    X -= X.mean(0)
    main = np.linalg.svd(X, full_matrices=False)[0][:, :40]
    assert np.square(main.T @ (z["sex"] / np.linalg.norm(z["sex"]))).sum() > 0.6


def test_a_stopped_run_keeps_what_it_drew(drawn):
    _, batches, paths = drawn
    before = [path.stat().st_mtime_ns for path in paths]
    for batch in batches:
        draw_reference(batch)
    assert [path.stat().st_mtime_ns for path in paths] == before
