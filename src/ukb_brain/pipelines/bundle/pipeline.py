"""Wiring of the bundle."""

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.bundle.nodes import gather_exportable


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node.

    Parameters
    ----------
    **kwargs : object
        Not used; Kedro may pass some.

    Returns
    -------
    Pipeline
        From the folder of reports to an archive of what may leave.
    """
    return Pipeline(
        [
            Node(
                gather_exportable,
                inputs=[
                    "reporting.folder",
                    "primary.participants",
                    "params:reporting",
                    "params:source",
                ],
                outputs="bundle_contents",
                name="gather_exportable",
            )
        ]
    )
