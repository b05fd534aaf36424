from kedro.pipeline import Pipeline


def create_pipeline(**kwargs):
    return Pipeline([])
