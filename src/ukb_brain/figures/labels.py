"""Short names of what a grid is made of."""

from __future__ import annotations

from ukb_brain.grid import Grid


def modality_names(grid: Grid) -> dict[str, str]:
    """Give the modalities' names by their keys."""
    return {key: m.name for group in grid.imaging.values() for key, m in group.items()}


def group_names(grid: Grid, between: str = "+") -> dict[str, str]:
    """Name imaging groups, by their keys, by all the modalities that they have."""
    return {
        key: between.join(m.name.replace(" Connectivity", "") for m in group.values())
        for key, group in grid.imaging.items()
    }
