"""Dotted paths into the settings: what they may name, their values now, and changed settings."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution
from pydantic import ValidationError
from sklearn.model_selection import ParameterGrid

from ukb_brain.errors import InputError
from ukb_brain.search.settings import Space, ends_of
from ukb_brain.training.network import build_encoders
from ukb_brain.training.settings import Modelling

Shapes = Mapping[str, tuple[int, ...]]
# What a study can judge: encoders by one network, heads on encoders that are there.
OPEN = {
    "encoders": ("encoders.network.", "encoders.loop.", "encoders.pretrain."),
    "heads": ("cross_fits", "heads.", "ladder"),
}
CLOSED = {
    "encoders.loop.balance": "trials are compared by a loss that it changes",
    "encoders.loop.clamp_percentiles": "trials are compared by a loss that it changes",
    "encoders.loop.label_scale": "trials are compared by a loss that it changes",
    "encoders.network.together": "each imaging group needs an encoder of its own",
    "encoders.network.start": "it names files: set it in the parameters of modelling",
    "encoders.network.extensions": "it names modules: set it in the parameters of modelling",
}
OPTIONS, KINDS = "encoders.network.options.", ("volume", "vector", "table")
REMEDY = "Correct it in conf/base/parameters_search.yml."


def values_now(settings: Modelling) -> dict[str, Any]:
    """Name every setting by its dotted path, with its value as JSON has it.

    An option of an encoder that is left at its default is not there.
    """
    return dict(_leaves(settings.model_dump(mode="json")))


def _leaves(nested: Mapping[str, Any], way: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{way}{key}.")
        else:
            yield way + key, value


def put(nested: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values where their dotted paths say, in place."""
    for path, value in values.items():
        *way, last = path.split(".")
        inner = nested
        for key in way:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return nested


def changed(settings: Modelling, values: Mapping[str, Any]) -> Modelling:
    """Set some settings by dotted path; `pydantic.ValidationError` where that is not valid."""
    return Modelling(**put(settings.model_dump(mode="json"), values))


def check_space(study: str, space: Space, settings: Modelling) -> None:
    """Refuse in one line paths that do not exist or cannot be judged, and values not valid.

    Raises
    ------
    InputError
        If there is any.
    """
    allowed = ", ".join(o + "…" if o[-1] == "." else o for o in OPEN[study])
    there = values_now(settings)
    for path, parameter in space.items():
        what = f"search.{study}.space has {path!r}"
        closed = next(
            (why for name, why in CLOSED.items() if f"{path}.".startswith(f"{name}.")), ""
        )
        if closed:
            raise InputError(f"{what}, which cannot be searched: {closed}. {REMEDY}")
        if not any(path == o or (o[-1] == "." and path.startswith(o)) for o in OPEN[study]):
            raise InputError(
                f"{what}, which this study cannot vary; expected {allowed} of the settings of "
                f"modelling. {REMEDY}"
            )
        # Which options an encoder has is known where it is built.
        kind, *option = path.removeprefix(OPTIONS).split(".")
        is_option = path.startswith(OPTIONS) and kind in KINDS and len(option) == 1
        if path not in there and not is_option:
            way = path.rpartition(".")[0] + "."
            near = {p.removeprefix(way).split(".")[0] for p in there if p.startswith(way)}
            raise InputError(
                f"{what}, which is no setting of modelling; beside it there are "
                f"{', '.join(sorted(near)) or 'nothing'}. {REMEDY}"
            )
        for value in ends_of(parameter):
            try:
                changed(settings, {path: value})
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise InputError(f"{what} with the value {value!r}: {why}. {REMEDY}") from None


def check_networks(space: Space, settings: Modelling, shapes_of: Callable[[int], Shapes]) -> None:
    """Build the networks at the ends of a space that was checked, so that none fails after hours.

    They are of every combination of choices, with all else low, and with all else high.

    Parameters
    ----------
    shapes_of : callable
        Gives the shapes of one person's inputs for a number of voxels that are pooled.

    Raises
    ------
    InputError
        With the values that do not go together.
    """
    mine = {path: p for path, p in space.items() if path.startswith("encoders.network.")}
    for end in (0, -1):
        options = {
            path: ends_of(p) if isinstance(p, CategoricalDistribution) else [ends_of(p)[end]]
            for path, p in mine.items()
        }
        for values in ParameterGrid(options):
            network = changed(settings, values).encoders.network
            try:
                build_encoders(network, shapes_of(network.pooling))
            except (InputError, ValueError, RuntimeError) as error:
                why = str(error).splitlines()[0].rstrip(".")
                raise InputError(
                    f"search.encoders.space allows {values or 'the settings as they are'}, with "
                    f"which no network can be built: {why}. {REMEDY}"
                ) from None
