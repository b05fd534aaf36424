"""How pipelines are wired: functions of the library, by what they read and what they make."""

from collections.abc import Callable, Mapping
from typing import Any

from kedro.pipeline import Node, Pipeline


def step(
    function: Callable[..., Any],
    reads: str,
    makes: str,
    name: str = "",
    short: Mapping[str, str] | None = None,
) -> Node:
    """Make a function a node, which bears its name.

    Parameters
    ----------
    reads, makes : str
        Names of datasets, separated by spaces: arguments in their order, and results.
    short : dict of str to str
        Words that stand for longer names among those that are read.
    """
    inputs = [(short or {}).get(word, word) for word in reads.split()]
    outputs = makes.split() if " " in makes else makes
    return Node(function, inputs, outputs, name=name or function.__name__)


def box(name: str, *steps: Node | Pipeline) -> Pipeline:
    """Put nodes into one box of Kedro-Viz, which opens; names of datasets stay as they are.

    A box may not wait for what waits for it.
    """
    return Pipeline(steps, namespace=name, prefix_datasets_with_namespace=False)
