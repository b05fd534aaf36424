import logging
import warnings
from types import SimpleNamespace

import pytest

from ukb_brain.hooks import ProjectHooks


class Loader(dict):
    runtime_params: dict


def context(runtime=None, source="synthetic"):
    loader = Loader(globals={"data_root": "data", "preset": "demo", "source": source})
    loader.runtime_params = runtime
    return SimpleNamespace(config_loader=loader)


@pytest.mark.parametrize(
    ("runtime", "source", "said"),
    [
        (None, "synthetic", ["data root data ", "preset demo", "SYNTHETIC"]),
        ({"data_root": "elsewhere", "preset": "study64"}, "ukb", ["elsewhere", "study64", "ukb"]),
    ],
)
def test_a_run_says_in_one_line_on_what_it_works(caplog, runtime, source, said):
    with warnings.catch_warnings():
        hooks = ProjectHooks()
    hooks.after_context_created(context(runtime, source))
    with caplog.at_level(logging.INFO, logger="ukb_brain"):
        hooks.before_pipeline_run({"env": "test", "pipeline_names": ["reporting"]})
    (line,) = caplog.messages
    for words in [*said, "environment test", "reporting"]:
        assert words in line


def test_known_warnings_are_silent_and_others_are_not():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ProjectHooks()
        warnings.warn("One or more dataset names contain '.' characters, which", stacklevel=1)
        warnings.warn("Option '--pipeline' is deprecated and will be", stacklevel=1)
        warnings.warn("something new", stacklevel=1)
    assert [str(w.message) for w in caught] == ["something new"]
