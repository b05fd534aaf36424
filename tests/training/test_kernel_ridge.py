"""Closed forms of kernel ridge, held to fits made anew with numpy."""

import numpy as np
import pytest
import torch

from ukb_brain.training.kernel_ridge import (
    FREE,
    fit_known,
    groups_of,
    invert,
    left_out,
    times,
    with_columns,
)

N, Q = 40, 3


def problem(seed, missing):
    rng = np.random.default_rng(seed)
    images, traits = rng.normal(size=(N, 70)), rng.normal(size=(N, Q))
    y = images[:, :5].sum(1) + traits[:, 0] + rng.normal(size=N) + 3
    known = np.ones(N, dtype=bool)
    known[rng.permutation(N)[:missing]] = False
    return images @ images.T / 70, np.column_stack([np.ones(N), traits]), y, known


def by_hand(kernel, columns, penalties, penalty, y, rows):
    """Scores of everybody by a fit of some people: the saddle-point equations as they are."""
    A = kernel[np.ix_(rows, rows)] / penalty + np.eye(len(rows))
    T = columns[rows]
    top = np.hstack([A, T])
    bottom = np.hstack([T.T, -np.diag(penalties)])
    right = np.concatenate([y[rows], np.zeros(columns.shape[1])])
    solution = np.linalg.solve(np.vstack([top, bottom]), right)
    dual, coefficients = solution[: len(rows)], solution[len(rows) :]
    return kernel[:, rows] @ dual / penalty + columns @ coefficients


@pytest.mark.parametrize("missing", [0, 7])
@pytest.mark.parametrize("penalty", [0.1, 10.0, np.inf])
def test_who_is_left_out_is_scored_as_by_a_fit_made_anew(missing, penalty):
    kernel, columns, y, known = problem(1, missing)
    penalties = np.array([FREE, 0.5, 0.5, 2.0])
    # Families of one, two, three, seven and eight people.
    parts = np.repeat(np.arange(17), [1] * 8 + [2] * 4 + [3] * 3 + [7, 8])[np.argsort(y)]
    plain, T = invert(torch.from_numpy(kernel), penalty), torch.from_numpy(columns)
    # Without images there is nothing to invert.
    assert (plain is None) == np.isinf(penalty)
    inverse = with_columns(plain, T, times(plain, T), torch.from_numpy(penalties))
    y_of = torch.from_numpy(np.where(known, y, -99.0))[:, None]
    groups = groups_of(parts)
    assert [tuple(some.shape) for some in groups] == [(8, 1), (4, 2), (3, 3), (1, 7), (1, 8)]
    found = left_out(inverse, y_of, groups, torch.from_numpy(known))[:, 0]
    expected = np.empty(N)
    for part in range(17):
        rows = np.flatnonzero(known & (parts != part))
        mine = known & (parts == part)
        expected[mine] = by_hand(kernel, columns, penalties, penalty, y, rows)[mine]
    everybody = by_hand(kernel, columns, penalties, penalty, y, np.flatnonzero(known))
    expected[~known] = everybody[~known]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)
    dual, coefficients = fit_known(inverse, y_of, torch.from_numpy(known))
    scores = kernel @ dual.numpy() / penalty + columns @ coefficients.numpy()
    np.testing.assert_allclose(scores[:, 0], everybody, atol=1e-9)
