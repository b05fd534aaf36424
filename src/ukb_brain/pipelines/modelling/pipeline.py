"""Wiring of modelling."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from ukb_brain.pipelines.modelling.nodes import (
    collect,
    fit_cells,
    fit_kernels,
    multiply_scans,
    take_tangents,
    train_dedicated_networks,
    train_encoders,
)
from ukb_brain.training.people import gather_people
from ukb_brain.training.scans import gather_scans

STORES = ["intermediate.volumes", "intermediate.connectivity"]
TABLES = ["primary.splits", "primary.participants", "primary.quality"]
WORK = ["model.folder", "people"]
GRID, HOW, SEED = "params:grid", ["params:modelling", "params:compute"], "params:seed"
FITTED = ["model.encoders", "model.grams", "model.cells", "model.dedicated"]
COLLECTED = ["predictions", "unrefined", "cell_fits"]


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire stores, blocks and splits to models and predictions."""
    blocks = ["primary.targets", "feature.blocks", "feature.block_scaling"]
    nodes: list[tuple[Callable[..., Any], list[str], str | list[str]]] = [
        (gather_people, [*blocks, *TABLES, GRID], "people"),
        (gather_scans, [*STORES, "primary.quality", GRID], "scans"),
        (take_tangents, [*WORK, "scans", *HOW], "model.tangents"),
        (
            train_encoders,
            [*WORK, "scans", "model.tangents", GRID, *HOW, SEED],
            "model.encoders",
        ),
        (multiply_scans, [*WORK, "scans", "model.tangents", *HOW], "model.grams"),
        (fit_kernels, [*WORK, "model.grams", GRID, *HOW], "model.kernels"),
        (fit_cells, [*WORK, "model.encoders", "model.kernels", GRID, *HOW], "model.cells"),
        (train_dedicated_networks, [*WORK, "scans", GRID, *HOW, SEED], "model.dedicated"),
        (
            collect,
            ["people", *FITTED, GRID, SEED],
            [f"model_output.{name}" for name in COLLECTED],
        ),
    ]
    return Pipeline([Node(f, given, made, name=f.__name__) for f, given, made in nodes])
