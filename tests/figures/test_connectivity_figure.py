import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid

from ukb_brain.figures.connectivity import draw_connectivity, matrix_of

GRID = study_grid()


def edges(regions, modality="rsfmri", names=None):
    names = names or [f"region {k}" for k in range(regions)]
    rows, columns = np.tril_indices(regions, -1)
    return pd.DataFrame(
        {
            "modality": modality,
            "region": [names[k] for k in columns],
            "other": [names[k] for k in rows],
            "mean": np.arange(len(rows)) - 2.0,
        }
    )


def test_edges_lie_between_the_regions_that_they_name():
    names = ["b", "d", "a", "c"]
    table = edges(4, names=names)
    matrix = matrix_of(table)
    assert [*matrix.index] == [*matrix.columns] == names
    for region, other, mean in table[["region", "other", "mean"]].to_numpy():
        assert matrix.loc[region, other] == matrix.loc[other, region] == mean
    assert np.isnan(np.diag(matrix)).all()


@pytest.mark.parametrize(("regions", "named"), [(6, 6), (100, 34)])
def test_regions_have_their_names(regions, named):
    figure = draw_connectivity(edges(regions), GRID, "ukb")
    axes = figure.axes[0]
    assert axes.get_title() == "rsfMRI Connectivity"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == named
    assert names[:2] == ["region 0", "region 1" if regions == 6 else "region 3"]


def test_synthetic_regions_are_stamped_and_none_is_said():
    stamped = draw_connectivity(edges(4), GRID, "synthetic")
    assert any(text.get_gid() == "stamp" for text in stamped.texts)
    none = draw_connectivity(edges(4)[:0], GRID, "ukb")
    assert not none.axes
    assert any("No connectivity of ten" in text.get_text() for text in none.texts)
