"""What a run would cost by rates measured before, on another day: nothing is timed here."""

from __future__ import annotations

import math
from dataclasses import replace

from pydantic import Field

from ukb_brain.planning.case import Case
from ukb_brain.planning.measure import Rates, kinds_of_target, resident_bytes
from ukb_brain.planning.regressions import CellsRate, regression_flops
from ukb_brain.planning.steps import StepRate, assumed_rate
from ukb_brain.settings_base import Settings
from ukb_brain.training.items import cells_by_target

HALF = 2  # bytes of a stored voxel


class NetworkRate(Settings):
    """How fast a kind of device trains.

    Attributes
    ----------
    tflops : float
        Operations (10¹²) that one sustains each second.
    person : float
        Seconds a person that go to everything else.
    """

    tflops: float = Field(gt=0)
    person: float = Field(ge=0)


class StoredRates(Settings):
    """Rates of an earlier measurement.

    Attributes
    ----------
    cpu, card : NetworkRate
        Of one process on processors, and of one card.
    regressions_gflops, inverses_gflops : float
        Operations (10⁹) a second of one process.
    read_mb : float
        Megabytes a second from a store.
    read_person : float
        Seconds a person and imaging group besides.
    preprocess_person, preprocess_megavoxel : float
        Seconds of one process a person, and more for each million voxels of the common grid.
    """

    cpu: NetworkRate
    card: NetworkRate
    regressions_gflops: float = Field(gt=0)
    inverses_gflops: float = Field(gt=0)
    read_mb: float = Field(gt=0)
    read_person: float = Field(ge=0)
    preprocess_person: float = Field(ge=0)
    preprocess_megavoxel: float = Field(ge=0)

    def preprocessing(self, voxels: tuple[int, int, int], people: int) -> float:
        """Seconds of one process to preprocess everybody's scans.

        Parameters
        ----------
        voxels : tuple of int
            Of the common grid.
        people : int
            Visits with scans.

        Returns
        -------
        float
        """
        each = self.preprocess_person + self.preprocess_megavoxel * math.prod(voxels) / 1e6
        return each * people


def rates_from(case: Case, stored: StoredRates, device: str) -> Rates:
    """Give a case the rates that `measure` would find, from stored ones.

    Parameters
    ----------
    case : Case
        What is planned; of its strategies only those it has are counted.
    stored : StoredRates
        Of an earlier measurement.
    device : {"cpu", "cuda", "mps"}
        Where networks would be trained.

    Returns
    -------
    Rates
        Right within a factor, where `measure` is right within a quarter.
    """
    network = stored.cpu if device == "cpu" else stored.card
    forms = {groups: case.dedicated(groups) for groups in case.group_sets}
    return Rates(
        _network(assumed_rate(case.encoders, network.tflops), network, device),
        {g: _network(assumed_rate(f, network.tflops), network, device) for g, f in forms.items()},
        {name: _cells(case, target, stored) for name, target in kinds_of_target(case).items()},
        {pooling: _reading(case, pooling, stored) for pooling in case.poolings},
        resident_bytes(),
        stored.inverses_gflops * 1e9,
    )


def _network(counted: StepRate, rate: NetworkRate, device: str) -> StepRate:
    train, predict = counted.person + rate.person, counted.predict + rate.person / 3
    return replace(counted, person=train, predict=predict, device=device)


def _cells(case: Case, target: str, stored: StoredRates) -> CellsRate:
    cells, second = cells_by_target(case.grid)[target], stored.regressions_gflops * 1e9
    count = regression_flops(case, cells, case.parts.train)
    return CellsRate(count / second, 0.0, count)


def _reading(case: Case, pooling: int, stored: StoredRates) -> dict[str, float]:
    # Stores hold whole volumes; pooling comes after reading.
    sizes = {group: HALF * math.prod(shape) for group, shape in case.shapes(1).items()}
    return {g: stored.read_person + size / stored.read_mb / 1e6 for g, size in sizes.items()}
