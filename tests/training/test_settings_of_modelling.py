import pytest
from modelling_cases import MODELLING, changed
from pydantic import ValidationError

from ukb_brain.training.settings import Loop, Network


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


@pytest.mark.parametrize(
    ("people", "epochs"), [(1000, 10), (960, 10), (530, 19), (64, 150), (10, 150), (1, 150)]
)
def test_few_people_are_trained_on_for_more_epochs(people, epochs):
    loop = Loop(epochs=10, batch_size=64, least_steps=150)
    assert loop.epochs_for(people) == epochs
    assert Loop(epochs=10, batch_size=64).epochs_for(people) == 10


def test_options_that_a_preset_has_for_another_encoder_are_taken_out_by_null():
    options = {"volume": {"stem": None, "width": 8}, "vector": None}
    assert Network(options=options).options == {"volume": {"width": 8}}
