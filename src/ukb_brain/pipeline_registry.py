"""The project's pipelines; a pipeline that cannot be imported stops every command."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

GENERATORS = ("synthetic_cohort",)
# Asked for by name only.
APART = ("bundle", "check", "compare", "evidence", "plan", "published", "purge", "search")


def register_pipelines() -> dict[str, Pipeline]:
    """Collect the pipelines; ``__default__`` is everything after the raw files.

    Returns
    -------
    dict of str to Pipeline
        One pipeline a folder of ``ukb_brain.pipelines``, and ``__default__``.
    """
    pipelines = find_pipelines(raise_errors=True)
    pipelines["__default__"] = sum(
        (
            pipeline
            for name, pipeline in pipelines.items()
            if name not in (*GENERATORS, *APART, "__default__")
        ),
        start=Pipeline([]),
    )
    return pipelines
