import pytest
from modelling_cases import MODELLING, changed
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("linear", ("linear",)),
        (["dedicated"], ("dedicated",)),
        ("amortised", ("linear", "amortised")),
        ("kernels", ("linear", "kernels")),
        ("dedicated+linear", ("dedicated", "linear")),
        (["amortised", "dedicated"], ("linear", "amortised", "dedicated")),
    ],
)
def test_strategies_bring_what_they_rest_on(given, run):
    assert changed(MODELLING, strategies=given).strategies == run


@pytest.mark.parametrize("given", [[], "", ["linnear"]])
def test_some_strategy_that_there_is_must_be_run(given):
    with pytest.raises(ValidationError, match="strategies"):
        changed(MODELLING, strategies=given)
