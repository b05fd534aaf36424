from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from ukb_brain import cli


class Nilearn:
    """Stands in for nilearn's function, which needs the internet."""

    def __init__(self, error=None):
        self.asked, self.error = [], error

    def __call__(self, **asked):
        self.asked.append(asked)
        if self.error:
            raise self.error
        return {"phenotypic": range(1035)}


def get(monkeypatch, nilearn, *arguments):
    monkeypatch.setattr("nilearn.datasets.fetch_abide_pcp", nilearn)
    return CliRunner().invoke(cli.cli, ["get-abide", *map(str, arguments)])


def test_what_is_asked_of_nilearn(monkeypatch, tmp_path):
    nilearn = Nilearn()
    done = get(monkeypatch, nilearn, "--folder", tmp_path / "raw")
    assert done.exit_code == 0 and "1,035 people" in done.output
    assert nilearn.asked == [
        {
            "data_dir": tmp_path / "raw",
            "pipeline": "cpac",
            "band_pass_filtering": False,
            "global_signal_regression": False,
            "derivatives": ["rois_cc200", "rois_ho"],
            "quality_checked": False,
        }
    ]


def test_nilearn_has_such_a_function():
    import inspect

    from nilearn.datasets import fetch_abide_pcp

    inspect.signature(fetch_abide_pcp).bind(
        data_dir="", pipeline="cpac", band_pass_filtering=False, global_signal_regression=False,
        derivatives=[], quality_checked=False,
    )  # fmt: skip


def test_other_atlases(monkeypatch, tmp_path):
    nilearn = Nilearn()
    get(monkeypatch, nilearn, "--folder", tmp_path, "--atlas", "aal")
    assert nilearn.asked[0]["derivatives"] == ["rois_aal"]
    assert get(monkeypatch, nilearn, "--atlas", "glasser").exit_code == 2


def test_no_network_is_one_line(monkeypatch, tmp_path):
    done = get(monkeypatch, Nilearn(ConnectionError("a\nb")), "--folder", tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ABIDE cannot be fetched from s3.amazonaws.com")
    assert done.output.count("\n") == 1


def test_kedro_lists_the_command():
    project = find_kedro_project(cli.Path(__file__).parent)
    bootstrap_project(project)
    assert "get-abide" in KedroCLI(project_path=project).list_commands(None)
