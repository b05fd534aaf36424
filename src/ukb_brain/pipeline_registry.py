"""The project's pipelines; a pipeline that cannot be imported stops every command."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

GENERATORS = ("synthetic_cohort",)
# Asked for by name only.
APART = ("bundle", "check", "compare", "evidence", "plan", "published", "purge", "search")


def register_pipelines() -> dict[str, Pipeline]:
    """Collect one pipeline a folder; ``__default__`` is everything after the raw files."""
    pipelines = find_pipelines(raise_errors=True)
    apart = {*GENERATORS, *APART, "__default__"}
    after_raw = [pipeline for name, pipeline in pipelines.items() if name not in apart]
    pipelines["__default__"] = sum(after_raw, start=Pipeline([]))
    return pipelines
