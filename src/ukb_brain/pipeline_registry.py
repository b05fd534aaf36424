"""The project's pipelines; a pipeline that cannot be imported stops every command."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from ukb_brain.pipelines.wiring import box

GENERATORS = ("synthetic_cohort",)
# Asked for by name only.
APART = ("bundle", "check", "compare", "evidence", "plan", "published", "purge", "search", "verify")


def register_pipelines() -> dict[str, Pipeline]:
    """Collect the pipelines, one a folder; ``__default__`` is everything after the raw files.

    Each is a box of Kedro-Viz, and its name comes before those of its nodes.
    """
    found = find_pipelines(raise_errors=True)
    boxes = {name: box(name, one) for name, one in found.items() if name != "__default__"}
    usual = [boxed for name, boxed in boxes.items() if name not in (*GENERATORS, *APART)]
    return boxes | {"__default__": sum(usual, start=Pipeline([]))}
