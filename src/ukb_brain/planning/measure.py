"""Everything that is measured for a plan, in one process like those that do the work."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ukb_brain.planning.case import Case
from ukb_brain.planning.kernels import measure_inverses
from ukb_brain.planning.reading import measure_reading
from ukb_brain.planning.regressions import CellsRate, measure_cells
from ukb_brain.planning.steps import StepRate, measure_steps


@dataclass(frozen=True)
class Rates:
    """Everything that was measured for a case.

    Attributes
    ----------
    encoders : StepRate
        Of the network that all targets share.
    dedicated : dict of tuple of str to StepRate
        By imaging groups of the cell.
    cells : dict of str to CellsRate
        For a target of the base domain (``base``) and another (``other``).
    reading : dict of int to dict of str to float
        Seconds a person by pooling, then by imaging group.
    process_bytes : float
        Of a process that has done nothing yet.
    inverses : float
        Operations a second of inverting matrices, and of multiplying scans.
    """

    encoders: StepRate
    dedicated: Mapping[tuple[str, ...], StepRate]
    cells: Mapping[str, CellsRate]
    reading: Mapping[int, Mapping[str, float]]
    process_bytes: float
    inverses: float


def measure(case: Case, device: str, stored: Path | None) -> Rates:
    """Measure everything that a case needs, in a few minutes at most.

    Parameters
    ----------
    case : Case
        What is planned.
    device : str
        Where networks would be trained.
    stored : Path, optional
        Folder of the run's own stores.

    Returns
    -------
    Rates
    """
    before, planning = resident_bytes(), case.planning
    where = torch.device(device)
    return Rates(
        measure_steps(case.encoders, planning, where),
        {g: measure_steps(case.dedicated(g), planning, where) for g in case.group_sets},
        {name: measure_cells(case, target) for name, target in kinds_of_target(case).items()},
        {pooling: measure_reading(case, pooling, stored) for pooling in sorted(case.poolings)},
        before,
        measure_inverses(),
    )


def kinds_of_target(case: Case) -> dict[str, str]:
    """Pick a target of the base domain and one of another, where there is one.

    Parameters
    ----------
    case : Case
        Its grid.

    Returns
    -------
    dict of str to str
        ``base`` and ``other``, each a key of the grid.
    """
    grid = case.grid
    base = [key for key, target in grid.targets.items() if target.domain == grid.base_domain]
    other = [key for key, target in grid.targets.items() if target.domain != grid.base_domain]
    return {name: keys[0] for name, keys in (("base", base), ("other", other)) if keys}


def resident_bytes() -> float:
    """Memory of this process.

    Returns
    -------
    float
        Now where the system tells (Linux), and 0 elsewhere.
    """
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0.0
    return int(status.read_text().split()[1]) * resource.getpagesize()
