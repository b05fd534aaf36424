from dataclasses import replace

import numpy as np
import pytest

from ukb_brain.synthetic import brains, depth
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.factors import FACTORS, factor_values, older, own_at
from ukb_brain.synthetic.people import DEEP, LESIONS, VARIATES, latents, traits, variates
from ukb_brain.synthetic.scans import PeopleBatch, Session
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import visits_of

SIZES = {"participants": 10, "regions": 25, "time_points": 60, "seed": 3, "depth": True}
COARSE, FINE = (SyntheticCohort(voxel_mm=mm, **SIZES) for mm in (8, 3))
N = 40_000


def population(deep=(*DEEP, *LESIONS)):
    names = [*VARIATES, *deep]
    drawn = np.random.default_rng(8).standard_normal((len(names), N))
    e = dict(zip(names, drawn, strict=True))
    z = latents(e)
    return z, traits(z, e)


@pytest.fixture(scope="module")
def people():
    return population()


def explained(X, y):
    design = np.column_stack([np.ones(len(y)), X])
    return 1 - np.var(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) / np.var(y)


def skill(score, yes):
    """Twice the area under the curve, less one."""
    ranks, n = np.argsort(np.argsort(score)) + 1, int(yes.sum())
    return 2 * (ranks[yes > 0].sum() - n * (n + 1) / 2) / (n * (len(yes) - n)) - 1


def test_a_cohort_without_depth_has_the_people_that_it_had():
    plain, deep = variates(5, range(1, 30)), variates(5, range(1, 30), FINE.deep)
    assert list(plain) == list(VARIATES)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, deep[name])
    assert set(deep) - set(plain) == {*DEEP, *LESIONS}


def test_lesions_are_of_cohorts_whose_voxels_show_them():
    assert set(FINE.deep) - set(COARSE.deep) == set(LESIONS)
    assert SyntheticCohort(**SIZES | {"voxel_mm": 3, "depth": False}).deep == ()


def test_shapes_and_texture_say_of_age_what_was_planted(people):
    """Exact readers: .69 without the texture, .87 with it, by the issue of depth."""
    z, _ = people
    own = np.random.default_rng(1).standard_normal((N, len(FACTORS["structural"])))
    shown = factor_values("structural", z, own)
    assert np.corrcoef(z["rim"], z["age"])[0, 1] == pytest.approx(0.9, abs=0.01)
    assert explained(shown, z["age"]) == pytest.approx(0.69, abs=0.02)
    both = explained(np.column_stack([shown, z["rim"]]), z["age"])
    assert both == pytest.approx(0.87, abs=0.01)


@pytest.mark.parametrize(
    ("target", "gate"),
    [("weight", "weight"), ("hypertension", "hypertension"), ("sensitivity", "sensitivity")],
)
def test_a_field_says_nothing_until_its_sex_is_known(people, target, gate):
    z, values = people
    field, y = z[f"gate_{gate}"], values[target]
    assert abs(np.corrcoef(field, y)[0, 1]) < 0.02
    men = z["male"] > 0
    apart = [np.corrcoef(field[of], y[of])[0, 1] for of in (men, ~men)]
    assert apart[0] > 0.15
    assert apart[1] < -0.15


def test_depth_adds_to_skill_what_was_asked(people):
    """Between .05 and .15 each, beside all that is linear."""
    z, values = people
    linear = np.stack([z[n] for n in ("age", "sex", "vascular", "complaint", "neuroticism")], 1)

    def fitted(X, y):
        design = np.column_stack([np.ones(len(y)), X])
        return design @ np.linalg.lstsq(design, y, rcond=None)[0]

    for target in ("hypertension", "sensitivity"):
        yes, signed = values[target], z[f"signed_{target}"]
        gain = skill(fitted(np.column_stack([linear, signed]), yes), yes) - skill(
            fitted(linear, yes), yes
        )
        assert 0.05 < gain < 0.15, target
    body = np.stack([z["sex"], z["body"]], 1)
    gain = explained(np.column_stack([body, z["signed_weight"]]), values["weight"]) - explained(
        body, values["weight"]
    )
    assert 0.05 < gain < 0.15


def test_traits_stay_as_common_and_as_wide_as_they_were(people):
    _z, values = people
    _, before = population(())
    for target in ("weight", "sensitivity", "hypertension", "smoking"):
        assert values[target].mean() == pytest.approx(before[target].mean(), rel=0.03)
        assert values[target].std() == pytest.approx(before[target].std(), rel=0.03)


def test_hypertension_and_smoking_follow_the_number_of_lesions(people):
    z, values = people
    assert z["lesion_count"].mean() == pytest.approx(0, abs=0.02)
    assert z["lesion_count"].std() == pytest.approx(1, abs=0.03)
    for target in ("hypertension", "smoking"):
        assert skill(z["lesion_count"], values[target]) > 0.15
    assert abs(skill(z["lesion_count"], values["lonely"])) < 0.02


def test_a_texture_has_the_wavelengths_of_its_band_alone():
    for band in (depth.COARSE_BAND, depth.FINE_BAND):
        noise, affine = depth.texture(np.random.default_rng(1), band)
        assert noise.std() == pytest.approx(1, abs=1e-4)
        power = np.abs(np.fft.fftn(noise)) ** 2
        step = abs(affine[0, 0])
        along = [np.fft.fftfreq(n, step) for n in noise.shape]
        cycles = np.sqrt(sum(f**2 for f in np.meshgrid(*along, indexing="ij")))
        inside = (cycles >= 1 / band[1] - 1e-9) & (cycles <= 1 / band[0] + 1e-9)
        assert power[inside].sum() / power.sum() > 0.999


def kept_after_averaging(band, voxel_mm, edge):
    """Share of a texture's variance that is left in cubes of so many voxels."""
    noise, affine = depth.texture(np.random.default_rng(2), band)
    shape = np.array([24, 24, 24]) * edge
    places = voxel_mm * np.stack(np.indices(shape), -1).reshape(-1, 3) + [-70.0, -100, -60]
    seen = brains._sample(noise[..., None], affine, places.astype(np.float32)).reshape(shape)
    cubes = seen.reshape(24, edge, 24, edge, 24, edge).mean((1, 3, 5))
    return cubes.var() / seen.var()


def test_little_of_the_fine_texture_is_left_at_6_mm():
    assert kept_after_averaging(depth.FINE_BAND, 3, 2) < 0.25
    assert kept_after_averaging(depth.COARSE_BAND, 3, 2) > 0.4


def deep_brain(anatomy, cohort, number, **changes):
    z = latents(variates(cohort.seed, [number], cohort.deep))
    z |= {name: np.array([value]) for name, value in changes.items()}
    mask, world = brains.brain_points(anatomy)
    drawn = depth.draw_depth(cohort, number, z, anatomy.lesions[mask], world)
    return replace(brains.mean_brain(anatomy), depth=drawn), world


@pytest.fixture(scope="module")
def gated():
    return build_anatomy(8, depth.GATES)


@pytest.fixture(scope="module")
def fine():
    return build_anatomy(3, depth.GATES)


def test_age_makes_the_texture_stronger_and_moves_nothing(gated):
    young, world = deep_brain(gated, COARSE, 1, rim=-1.0)
    old, _ = deep_brain(gated, COARSE, 1, rim=1.0)
    ratio = old.depth.waves[..., 0] / young.depth.waves[..., 0]
    np.testing.assert_allclose(ratio, np.exp(2 * depth.GROWTH), rtol=1e-4)
    np.testing.assert_array_equal(old.depth.waves[..., 1], young.depth.waves[..., 1])
    plain = brains.draw(gated, replace(old, depth=None), world)
    drawn = brains.draw(gated, old, world)
    gates = brains.draw(
        gated, replace(old, depth=replace(old.depth, waves=0 * old.depth.waves)), world
    )
    rim = drawn["t1"] - gates["t1"]
    np.testing.assert_array_equal(drawn["dwi"], plain["dwi"])
    np.testing.assert_array_equal(drawn["flair"], gates["flair"])
    older_by_two = drawn["t1"] - brains.draw(gated, young, world)["t1"]
    middle = np.linalg.norm(world - [0, -18, 8], axis=1) < 30
    assert older_by_two[middle].std() < 0.05 * older_by_two[~middle].std()
    assert older_by_two[~middle].std() == pytest.approx(
        (1 - np.exp(-2 * depth.GROWTH)) * rim[~middle].std(), rel=0.3
    )


def test_another_person_has_another_texture(gated):
    first, _ = deep_brain(gated, COARSE, 1)
    other, _ = deep_brain(gated, COARSE, 2)
    pair = [b.depth.waves[..., 0].ravel() for b in (first, other)]
    assert abs(np.corrcoef(pair)[0, 1]) < 0.1


def test_a_shape_does_not_show_a_field_another_way_round(gated):
    """A shape that goes with sex would else multiply the field, for linear readers to see."""
    brain, world = deep_brain(gated, COARSE, 1)
    still = replace(brain.depth, waves=0 * brain.depth.waves)
    shape = [f.effect for f in FACTORS["structural"]].index("shape")

    def drawn(gate, sex):
        structural = np.zeros(len(FACTORS["structural"]))
        structural[shape] = sex
        gates = np.array([gate, 0.0, 0.0])
        one = replace(brain, structural=structural, depth=replace(still, gates=gates))
        return brains.draw(gated, one, world)

    men, women = ({k: drawn(k, sex) for k in (-1.0, 1.0)} for sex in (1.0, -1.0))
    for key in ("t1", "flair"):
        field = men[1.0][key] - men[-1.0][key]
        np.testing.assert_allclose(field, women[1.0][key] - women[-1.0][key], atol=1e-6)
        assert field.std() > 0.01


def test_no_date_and_no_scan_tells_anything_of_depth():
    """Dates are confounds, and who was scanned is what everything is of."""
    numbers = range(1, 2001)
    e = variates(3, numbers, FINE.deep)
    visits = [visits_of(3, number) for number in numbers]
    scanned = np.array([float(2 in v.dates) for v in visits])
    first = np.array([v.dates[0].toordinal() for v in visits], dtype=float)
    here = scanned > 0
    second = np.array([v.dates[2].toordinal() if 2 in v.dates else 0 for v in visits], dtype=float)
    for name in FINE.deep:
        assert abs(np.corrcoef(e[name], scanned)[0, 1]) < 0.1, name
        assert abs(np.corrcoef(e[name][here], (second - first)[here])[0, 1]) < 0.1, name


def test_depth_stays_from_visit_to_visit_but_for_what_years_do(gated, tmp_path):
    gated.save(tmp_path / "anatomy.npz")
    number = next(n for n in range(1, 3000) if 3 in visits_of(COARSE.seed, n).dates)
    batch = PeopleBatch((number,), COARSE, tmp_path / "anatomy.npz", tmp_path, {})
    first, later = (Session(batch, number, visit).brain.depth for visit in (2, 3))
    np.testing.assert_array_equal(first.gates, later.gates)
    np.testing.assert_array_equal(first.waves[..., 1], later.waves[..., 1])
    grown = later.waves[..., 0] / first.waves[..., 0]
    assert grown.min() > 1.01
    assert np.ptp(grown) < 1e-3


@pytest.mark.parametrize("visit", [2, 3])
def test_the_truth_knows_the_brains_that_are_drawn(gated, tmp_path, visit):
    gated.save(tmp_path / "anatomy.npz")
    number = next(n for n in range(1, 3000) if visit in visits_of(COARSE.seed, n).dates)
    batch = PeopleBatch((number,), COARSE, tmp_path / "anatomy.npz", tmp_path, {})
    drawn = Session(batch, number, visit).brain
    z, dates = latents(variates(COARSE.seed, [number], COARSE.deep)), visits_of(3, number).dates
    if visit == 3:
        z = older(z, (dates[3] - dates[2]).days / 365.25)
    own = own_at(visit, COARSE.seed, number)
    np.testing.assert_allclose(
        drawn.structural, factor_values("structural", z, own["structural"])[0]
    )


def test_years_make_the_texture_stronger():
    z = latents(variates(3, [1], COARSE.deep))
    later = older(z, 7.7)
    assert later["rim"] - z["rim"] == pytest.approx(0.9)


def test_a_field_changes_the_structural_images_by_its_weight(gated):
    brain, world = deep_brain(gated, COARSE, 1, gate_weight=1.0)
    still = replace(brain.depth, waves=0 * brain.depth.waves)
    one, two = (
        brains.draw(
            gated, replace(brain, depth=replace(still, gates=k * np.array([1.0, 0, 0]))), world
        )
        for k in (1, 2)
    )
    plain = brains.draw(gated, replace(brain, depth=None), world)
    np.testing.assert_allclose(two["t1"] - plain["t1"], 2 * (one["t1"] - plain["t1"]), atol=1e-5)
    assert (one["t1"] - plain["t1"]).std() > 0.01
    np.testing.assert_array_equal(one["dwi"], plain["dwi"])


def test_lesions_are_seen_as_many_as_there_are(fine):
    brain, world = deep_brain(fine, FINE, 4, lesions=12.0)
    places = brain.depth.lesions
    assert len(places) == 12
    none = replace(brain, depth=replace(brain.depth, lesions=places[:0]))
    more, less = (brains.draw(fine, b, world) for b in (brain, none))
    at = np.array([np.linalg.norm(world - p[:3], axis=1).argmin() for p in places])
    assert (more["flair"] - less["flair"])[at].min() > 0.1
    assert (more["t1"] - less["t1"])[at].max() < -0.05
    far = np.min([np.linalg.norm(world - p[:3], axis=1) / p[3] for p in places], axis=0) > 5
    np.testing.assert_array_equal(more["flair"][far], less["flair"][far])


def test_the_load_of_lesions_says_less_than_half_of_their_number(fine):
    """What a linear reader sees of lesions is the load of all voxels together."""
    mask, world = brains.brain_points(fine)
    likely, white = fine.lesions[mask], fine.white[mask]
    z = latents(variates(9, range(1, 401), FINE.deep))
    load = []
    for number in range(1, 401):
        own = {name: values[number - 1 : number] for name, values in z.items()}
        lesions = depth.draw_lesions(np.random.default_rng([9, number, 31]), own, likely, world)
        load.append((white * depth.load_of(lesions, world)).sum())
    assert np.corrcoef(load, z["lesions"])[0, 1] ** 2 < 0.5
    assert z["lesions"].mean() == pytest.approx(10, abs=0.9)
