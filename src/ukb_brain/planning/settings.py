"""Typed parameters of the cost planner."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ukb_brain.settings_base import Settings


def _listed(value: Any) -> Any:
    # `--params` cannot give a list, so one name or number may stand for a list of one.
    return (value,) if isinstance(value, str | int) else value


class Planning(Settings):
    """What the planner is asked.

    Attributes
    ----------
    participants : int
        People with all scans, of all parts of the split.
    sites : int
        Folds of leave-one-site-out, which a plan cannot read off a table.
    edges : int
        Length of a connectivity vector.
    presets : tuple of str
        Sizes to plan for. The run's own preset is planned with whatever else was overridden.
    devices : tuple of int
        Numbers of GPUs, or of processes where there is no GPU.
    dedicated_cells : int
        Networks of the dedicated strategy, drawn as there; 0 is one for each cell of the grid.
    seconds : float
        About how long work items that are alike may be tried. What takes longer is tried with fewer
        people.
    card_tflops : float, optional
        Operations (10¹²) that a card which is not here sustains each second: hours of networks are
        then their operations over these.
    """

    participants: int = Field(default=23_810, ge=50)
    sites: int = Field(default=4, ge=2)
    edges: int = Field(default=64_620, ge=1)
    presets: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    devices: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = (1, 2, 4, 8, 16, 32, 64)
    dedicated_cells: int = Field(default=0, ge=0)
    seconds: float = Field(default=6.0, gt=0)
    card_tflops: float | None = Field(default=None, gt=0)
