import logging
from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import MODELLING, changed, invented_cohort, people_of, work_of
from sklearn.linear_model import Ridge, RidgeClassifier

from ukb_brain.errors import InputError
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger.artifact import Model, read_model, write_model
from ukb_brain.training import harmonised, items
from ukb_brain.training.harmonised import (
    Combat,
    check_scanners,
    made_alike,
    scanners_of,
)
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans, Scans
from ukb_brain.training.settings import Harmonise
from ukb_brain.training.steps import Fill, Zeros

GROUP, NUMBERS = "functional", 40
SITE = Harmonise(by="site")
OLD, NEW, SMALL = 11025, 11027, 11028


def people_at(sites, part):
    n = len(sites)
    zeros = np.zeros(n, dtype=np.int64)
    return People(
        fold=0,
        eid=9_000_001 + np.arange(n),
        instance=np.full(n, 2),
        family=np.arange(n),
        site=np.asarray(sites),
        phase=zeros,
        part=np.asarray(part, dtype=str),
        targets={"age": np.random.default_rng(5).normal(60, 8, n)},
        blocks={},
        has={GROUP: np.arange(n) % 17 != 3},
    )


def cohort(set_aside=40, times=1):
    """Two sites of training people, one that is left out, and one of few."""
    sites = np.repeat([OLD, OLD + 1, NEW, SMALL], [120 * times, 90 * times, 80, 6])
    part = np.where(np.arange(len(sites)) % 5 == 4, "test", "train")
    at = np.flatnonzero(sites == NEW)
    part[at] = "test"
    part = part.astype(object)
    part[at[:set_aside]] = "set_aside"
    return people_at(sites, part)


def values_of(people, seed=0):
    """Numbers that show age in a few directions, and the site in all of them."""
    rng = np.random.default_rng(seed)
    n, age = len(people.eid), (people.targets["age"] - 60) / 8
    x = np.outer(age, rng.normal(size=NUMBERS)) * 0.4 + rng.normal(size=(n, NUMBERS))
    for code in np.unique(people.site):
        own = np.random.default_rng(code)
        here = people.site == code
        x[here] = x[here] * own.uniform(0.6, 1.5, NUMBERS) + own.normal(0.5, 1, NUMBERS)
    return x.astype(np.float32)


def scans_of(folder, people, values, settings=SITE):
    store, has = RecordStore(folder / "store"), people.has[GROUP]
    for key, row in zip(people.keys(has), values[has], strict=True):
        store.write("rsfmri", key, row, {})
    makers = (Fill(), Combat.of(people, GROUP, settings))
    return GroupScans(("rsfmri",), folder / "none", folder / "store", 1, makers)


def fitted(scans, people):
    return scans.fitted(people.keys(people.has[GROUP] & people.train))


def decoded(x, site, learn, test):
    """Share of people whose site a linear model finds."""
    model = RidgeClassifier(alpha=10).fit(x[learn], site[learn])
    return float((model.predict(x[test]) == site[test]).mean())


def test_site_is_hardly_read_any_more_and_age_still_is(tmp_path):
    people = cohort(times=4)
    values = values_of(people)
    scans = fitted(scans_of(tmp_path, people, values), people)
    has = people.has[GROUP]
    made, site, age = scans.read(people.keys(has)), people.site[has], people.targets["age"][has]
    known = np.isin(site, (OLD, OLD + 1))
    learn, test = known & people.train[has], known & (people.part[has] == "test")
    chance = (site[test] == OLD).mean()
    assert decoded(values[has], site, learn, test) > 0.95
    # Three standard errors of 160 people.
    assert decoded(made, site, learn, test) < chance + 0.12
    skill = [
        Ridge(1.0).fit(x[learn], age[learn]).score(x[test], age[test]) for x in (values[has], made)
    ]
    assert skill[1] > 0.6 and skill[1] > skill[0] - 0.05


def test_test_people_touch_nothing(tmp_path):
    people = cohort()
    values = values_of(people)
    other = values.copy()
    other[np.isin(people.part, ("test", "validation"))] += 100
    one, two = (
        fitted(scans_of(tmp_path / name, people, x), people)
        for name, x in (("one", values), ("two", other))
    )
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(two.arrays()[name], array)
    # The canary sings: training people do.
    other[people.train] *= 2
    three = fitted(scans_of(tmp_path / "three", people, other), people)
    assert not np.array_equal(three.arrays()["combat.shift"], one.arrays()["combat.shift"])


def test_a_site_left_out_takes_location_and_scale_from_people_set_aside(tmp_path):
    people = cohort()
    values = values_of(people)
    scans = fitted(scans_of(tmp_path, people, values), people)
    tested = people.keys(people.has[GROUP] & (people.site == NEW) & (people.part == "test"))
    rows = people.has[GROUP] & (people.site == NEW) & (people.part == "test")
    train = people.keys(people.has[GROUP] & people.train & (people.site != SMALL))
    centre = scans.read(train).mean(axis=0)

    def away(x):
        return np.abs(x.mean(axis=0) - centre).mean()

    assert away(scans.read(tested)) < 0.4 * away(values[rows])
    nobody = replace(people, part=np.where(people.part == "set_aside", "test", people.part))
    passed = fitted(scans_of(tmp_path / "passed", nobody, values), nobody)
    np.testing.assert_array_equal(passed.read(tested), values[rows])
    # All else is the same.
    np.testing.assert_array_equal(passed.read(train), scans.read(train))


def test_people_set_aside_at_a_trained_site_are_not_learnt_from(tmp_path):
    people = cohort()
    at = np.flatnonzero((people.site == OLD) & (people.part == "test"))
    aside = people.part.astype(object)
    aside[at] = "set_aside"
    moved = replace(people, part=aside.astype(str))
    values = values_of(people)
    arrays = [
        fitted(scans_of(tmp_path / name, some, values), some).arrays()
        for name, some in (("one", people), ("two", moved))
    ]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(arrays[1][name], array)


def test_a_site_of_few_passes_and_that_is_said(tmp_path, caplog):
    people = cohort(set_aside=4)
    values = values_of(people)
    scans = fitted(scans_of(tmp_path, people, values), people)
    for site in (NEW, SMALL):
        rows = people.has[GROUP] & (people.site == site)
        np.testing.assert_array_equal(scans.read(people.keys(rows)), values[rows])
    with caplog.at_level(logging.WARNING):
        check_scanners(people, SITE)
    assert "people of site 11027, 11028 pass through" in caplog.text
    assert "splitting.set_aside" in caplog.text and "9000" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check_scanners(cohort(), Harmonise(by="site", least_people=4))
    assert not caplog.text


def test_where_no_site_has_enough_people_nothing_is_done(tmp_path):
    people = cohort()
    values = values_of(people)
    settings = Harmonise(by="site", least_people=1000)
    scans = fitted(scans_of(tmp_path, people, values, settings), people)
    assert not scans.arrays()
    keys = people.keys(people.has[GROUP])
    np.testing.assert_array_equal(scans.read(keys), values[people.has[GROUP]])


def test_it_is_kept_and_made_again(tmp_path):
    people = cohort()
    scans = fitted(scans_of(tmp_path, people, values_of(people)), people)
    write_model(tmp_path / "model", Model(scans.arrays()))
    again = replace(scans, steps={}).restored(read_model(tmp_path / "model").arrays)
    keys = people.keys(people.has[GROUP])[::-3]
    np.testing.assert_array_equal(again.read(keys), scans.read(keys))
    with pytest.raises(ValueError, match="whose site was not given"):
        scans.steps["combat"].apply(np.zeros((1, NUMBERS), np.float32), [(99_999_999, 2)])


def test_long_vectors_are_learnt_from_fewer_people_of_every_site(tmp_path, monkeypatch):
    people = cohort()
    values = values_of(people)
    whole = fitted(scans_of(tmp_path / "whole", people, values), people)
    monkeypatch.setattr(harmonised, "MOST_NUMBERS", NUMBERS * 80)
    monkeypatch.setattr(harmonised, "FEWEST_DRAWN", 10)
    fewer = fitted(scans_of(tmp_path / "fewer", people, values), people)
    keys = people.keys(people.has[GROUP])
    assert not np.array_equal(fewer.read(keys), whole.read(keys))
    assert np.corrcoef(fewer.read(keys).ravel(), whole.read(keys).ravel())[0, 1] > 0.98


def test_a_small_site_stays_whole_where_of_others_few_people_are_drawn(tmp_path, monkeypatch):
    sites = np.repeat([OLD, OLD + 1, SMALL], [400, 300, 12])
    people = people_at(sites, np.full(len(sites), "train"))
    values = values_of(people)
    monkeypatch.setattr(harmonised, "MOST_NUMBERS", NUMBERS * 60)
    monkeypatch.setattr(harmonised, "FEWEST_DRAWN", 25)
    made = fitted(scans_of(tmp_path, people, values), people)
    keys, has = people.keys(people.has[GROUP]), people.has[GROUP]
    spread = [
        np.std([x[sites[has] == code].mean(axis=0) for code in np.unique(sites)], axis=0).mean()
        for x in (values[has], made.read(keys))
    ]
    assert spread[1] < 0.4 * spread[0]


def test_gaps_tell_nothing_of_the_site(tmp_path):
    people = cohort(times=2)
    values = values_of(people)
    values[np.random.default_rng(3).random(values.shape) < 0.3] = np.nan
    lacking = np.isnan(values)
    scans = scans_of(tmp_path, people, values)
    scans = replace(scans, makers=(scans.makers[1], Zeros()))
    has = people.has[GROUP]
    made = fitted(scans, people).read(people.keys(has))
    assert (made[lacking[has]] == 0).all()
    # What is known is as alike as without gaps: means of sites agree within their errors.
    known = np.where(lacking[has], np.nan, made)
    means = [np.nanmean(known[people.site[has] == code], axis=0) for code in (OLD, OLD + 1)]
    assert np.abs(means[0] - means[1]).mean() < 0.25


def test_site_or_phase():
    people = cohort()
    unknown = replace(people, site=np.where(np.arange(len(people.eid)) < 3, -1, people.site))
    assert (scanners_of(unknown, SITE)[:3] == -1).all()
    phase = replace(unknown, phase=np.arange(len(people.eid)) % 2)
    by_phase = Harmonise(by="phase")
    assert sorted(np.unique(scanners_of(phase, by_phase)))[:3] == [-1, 1102500, 1102501]
    check_scanners(phase, by_phase)
    with pytest.raises(InputError, match=r"data_engineering.phases"):
        check_scanners(people, by_phase)


def test_encodings_are_made_alike_where_they_are_known():
    people = cohort()
    x = values_of(people)[:, :5].astype(float)
    x[7] = np.nan
    having = people.has[GROUP]
    found = made_alike(x, people, having, SITE)
    np.testing.assert_array_equal(found[~having], x[~having])
    assert np.isnan(found[7]).all() and np.isfinite(np.delete(found, 7, axis=0)).all()
    learn = having & people.train & (np.arange(len(x)) != 7)
    apart = [
        np.abs(
            y[learn & (people.site == OLD)].mean(axis=0)
            - y[learn & (people.site == OLD + 1)].mean(axis=0)
        )
        for y in (x, found)
    ]
    assert apart[1].max() < 0.1 < apart[0].max()
    tested = people.part == "test"
    moved = x.copy()
    moved[tested] += 50
    again = made_alike(moved, people, having, SITE)
    np.testing.assert_array_equal(again[people.train & having], found[people.train & having])


def prints(people, tmp_path, **settings):
    groups = {GROUP: GroupScans(("rsfmri",), tmp_path / "none", tmp_path / "store")}
    work = work_of(people, changed(MODELLING, **settings), Scans(groups, "q"))
    return {item.name: item.fingerprint for item in items.step_items(work)}


def test_models_depend_on_it(tmp_path):
    invented = invented_cohort()
    people = people_of(invented)
    site = np.where(np.arange(len(people.eid)) % 2, OLD, OLD + 1)
    people = replace(people, site=site)
    RecordStore(tmp_path / "store").write("rsfmri", (9_000_001, 2), np.ones(3, np.float32), {})
    plain = prints(people, tmp_path)
    alike = prints(people, tmp_path, harmonise__by="site")
    elsewhere = replace(people, site=np.roll(site, 1))
    assert plain.keys() == alike.keys() and plain != alike
    assert prints(elsewhere, tmp_path) == plain
    assert prints(elsewhere, tmp_path, harmonise__by="site") != alike
