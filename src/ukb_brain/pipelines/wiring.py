"""How pipelines are wired: functions of the library, by what they read and what they make."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline


def step(function: Callable[..., Any], reads: str, makes: str, name: str = "") -> Node:
    """Make a function a node, which bears its name.

    ``reads`` and ``makes`` are names of datasets, separated by spaces: arguments in their order,
    and results.
    """
    outputs = makes.split() if " " in makes else makes
    return Node(function, reads.split(), outputs, name=name or function.__name__)


def box(name: str, *steps: Node | Pipeline) -> Pipeline:
    """Put nodes into one box of Kedro-Viz, which opens; names of datasets stay as they are.

    A box may not wait for what waits for it.
    """
    return Pipeline(steps, namespace=name, prefix_datasets_with_namespace=False)
