import io

import numpy as np
import pandas as pd
import pytest
from figure_cases import stays_on_the_page, words
from matplotlib.image import imread
from reporting_cases import family_draws, invented, reported, study_grid

from ukb_brain.datasets.images import FigureDataset
from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.heat_maps import draw_heat_maps, inputs_of, score_table
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.figures.stamp import NOTICE, group_names
from ukb_brain.grid import Grid
from ukb_brain.statistics.inputs.mixed_models import analysable, fit_domains
from ukb_brain.statistics.scores.performance import score_map
from ukb_brain.statistics.scores.skill import fullest_cells, with_skill, without_imaging

GRID = study_grid()


def drawn(name, source, performance=None):
    performance = reported() if performance is None else performance
    if name == "coefficients":
        return draw_coefficients(fit_domains(analysable(performance), GRID), GRID, source)
    draw = {"heat maps": draw_heat_maps, "legibility": draw_legibility}[name]
    return draw(performance, GRID, source)


def pixels(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    return imread(io.BytesIO(buffer.getvalue()))[..., :3]


@pytest.mark.parametrize("name", ["heat maps", "legibility", "coefficients"])
def test_synthetic_figures_are_stamped_and_real_ones_are_not(name):
    synthetic, real = drawn(name, "synthetic"), drawn(name, "ukb")
    assert NOTICE in words(synthetic)
    assert "SYNTHETIC" in words(synthetic)
    assert not [w for w in words(real) if "SYNTHETIC" in w]
    differing = np.abs(pixels(synthetic) - pixels(real)).max(axis=-1) > 0.02
    assert differing.mean() > 0.02


@pytest.mark.parametrize("name", ["heat maps", "legibility", "coefficients"])
def test_no_label_leaves_the_page(name):
    assert stays_on_the_page(drawn(name, "synthetic"))


def test_the_map_shows_every_cell_once():
    texts = words(drawn("heat maps", "ukb"))
    scores = with_skill(reported())["score"].dropna()
    for value, count in (
        scores.map(lambda s: f"{s:z.2f}".replace("0.", ".", 1).replace("-", "−"))
        .value_counts()
        .items()
    ):
        assert texts.count(value) >= count
    assert texts.count("·") == reported()["status"].ne("ok").sum()


def test_a_colour_has_one_skill_on_the_scales_of_both_kinds():
    figure = drawn("heat maps", "ukb")
    figure.draw_without_rendering()
    (bar,) = (axes for axes in figure.axes if "continuous target" in axes.get_xlabel())
    (above,) = bar.child_axes
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert [label.get_text() for label in above.get_xticklabels()] == [
        f"{(tick + 1) / 2:g}" for tick in ticks
    ]
    places = [axes.transData.transform([(tick, 0) for tick in ticks]) for axes in (bar, above)]
    np.testing.assert_allclose(places[0][:, 0], places[1][:, 0])


def test_score_table_is_inputs_by_targets():
    table = with_skill(reported())
    wide = score_table(table, "serology", GRID, "skill")
    assert wide.shape == (32, 4)
    row, column = 5, 2
    name, key = inputs_of("serology", GRID)[row].name, GRID.targets_of("serology")[column]
    cell = table.set_index(["target", "inputs"]).loc[key, name]
    assert wide[row, column] == cell["r2"] == cell["skill"]


def test_skill_puts_auc_and_r2_on_one_scale():
    table = with_skill(reported()).set_index(["target", "inputs"]).sort_index()
    sex = table.loc[("sex", "DWI")]
    assert sex["skill_low"] == 2 * sex["roc_auc_low"] - 1
    assert (sex["metric"], table.loc[("age", "DWI"), "metric"]) == ("AUC", "R²")
    assert table.xs("guilty")["skill"].isna().all()


def test_fullest_inputs_are_chosen_by_rule():
    full, bare = fullest_cells(reported(), GRID), without_imaging(reported(), GRID)
    assert full["target"].tolist() == list(GRID.targets)
    by_target = full.set_index("target")["inputs"]
    everything = "rsfMRI Connectivity + DWI + FLAIR + T1"
    assert by_target["age"] == everything
    assert by_target["hb"] == f"{everything} + Non-imaging data (C + D + P)"
    assert len(bare) == 21
    assert set(bare.loc[bare["domain"] == "disease", "inputs"]) == {"Non-imaging data (C + P + S)"}


def test_figures_take_a_grid_that_grew_and_results_that_are_missing():
    document = GRID.model_dump()
    document["domains"]["lifestyle"] = {"letter": "L"}
    document["targets"]["alcohol"] = {
        "name": "Alcohol", "domain": "lifestyle", "kind": "binary", "field": 1558,
        "rule": "any_of", "values": (1,),
    }  # fmt: skip
    grown = Grid(**document)
    empty = reported().assign(lifestyle=False)
    draw_heat_maps(empty, grown, "ukb").draw_without_rendering()
    draw_legibility(empty, grown, "ukb").draw_without_rendering()
    models = fit_domains(analysable(empty), grown)
    assert "0 target(s)" in models.query("domain == 'lifestyle'")["model"].iloc[0]
    draw_coefficients(models, grown, "ukb").draw_without_rendering()


def test_figures_of_a_run_without_any_result():
    nothing = reported().copy()
    columns = nothing.columns[nothing.columns.str.contains("roc_auc|r2|accuracy")]
    nothing[columns] = np.nan
    nothing["status"] = "one class in test"
    for name in ("heat maps", "legibility", "coefficients"):
        drawn(name, "synthetic", nothing).draw_without_rendering()


def test_figure_dataset_writes_whole_png_files_and_previews_them(tmp_path):
    path = tmp_path / "new folder" / "figure.png"
    dataset = FigureDataset(filepath=str(path), save_args={"dpi": 50})
    dataset.save(drawn("coefficients", "ukb"))
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    dataset.save(drawn("coefficients", "ukb"))
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["figure.png"]
    assert len(dataset.preview()) > 1000


def test_figure_dataset_keeps_the_old_file_when_saving_fails(tmp_path):
    class Broken:
        def savefig(self, path, **kwargs):
            path.write_bytes(b"half")
            raise OSError("disk")

    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    with pytest.raises(Exception, match="disk"):
        FigureDataset(filepath=str(path)).save(Broken())
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_a_target_far_below_chance_is_an_arrow_and_a_number():
    low = reported().copy()
    low.loc[low["target"] == "age", ["r2", "r2_low", "r2_high"]] = -3.0, -9.0, -1.0
    figure = drawn("legibility", "ukb", low)
    left = figure.axes[0].get_xlim()[0]
    arrows = [line for line in figure.axes[0].lines if line.get_marker() == "<"]
    assert [line.get_xdata().tolist() for line in arrows] == [[left]]
    assert "R² −3.00 [−9.00, −1.00]" in words(figure)


def test_negative_scores_are_written_with_a_minus():
    low = pd.DataFrame(reported())
    low.loc[low["target"] == "age", "r2"] = -0.25
    low.loc[low["target"] == "weight", "r2"] = -0.004
    texts = words(drawn("heat maps", "ukb", low))
    assert texts.count("−.25") == 7
    assert texts.count(".00") >= 7
    assert "−.00" not in texts


@pytest.mark.parametrize(
    "chosen",
    [
        {"only": ["age", "functional"]},
        {"leave_out": ["constitutional", "disease"]},
        {"only": ["hb", "worry", "t1"]},
        {"leave_out": ["flair"]},
    ],
)
def test_figures_of_a_part_of_the_grid(chosen):
    part = Grid(**(GRID.model_dump() | chosen))
    tables = invented(part, strategies=("amortised",))
    performance = score_map(*tables, part, "amortised", family_draws(tables))
    draw_heat_maps(performance, part, "ukb").draw_without_rendering()
    draw_legibility(performance, part, "ukb").draw_without_rendering()
    figure = draw_coefficients(fit_domains(analysable(performance), part), part, "ukb")
    figure.draw_without_rendering()
    words = {label.get_text() for axes in figure.axes for label in axes.get_yticklabels()}
    groups = {
        group: " + ".join(m.name.removesuffix(" Connectivity") for m in held.values())
        for group, held in part.imaging.items()
    }
    assert set(groups.values()) <= words
    # What is left out has no row: neither a group, nor a modality in its group's name.
    assert not ({"T1 + FLAIR", "DWI", "rsfMRI"} - set(groups.values())) & words


def test_a_group_of_many_modalities_is_named_by_itself():
    whole = study_grid()
    grid = Grid(**(whole.model_dump() | {"also": "md+lesions+idps"}))
    assert group_names(whole)["structural"] == "T1+FLAIR"
    names = {"structural": "Structural", "diffusion": "DWI+MD", "functional": "rsfMRI"}
    assert group_names(grid) == names | {"idps": "IDPs"}
