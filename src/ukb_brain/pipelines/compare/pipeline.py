"""Wiring of the comparison of two runs."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.compare.nodes import compare


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From two performance tables to one of differences.
    """
    return Pipeline(
        [
            Node(
                compare,
                inputs=[
                    "reporting.performance",
                    "compare.other",
                    "params:reporting",
                    "params:source",
                ],
                outputs=["compare.cells", "compare.text"],
                name="compare_maps",
            )
        ]
    )
