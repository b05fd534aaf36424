"""Encoders by name: a closed list, which a module of yours extends.

An encoder is made by a *builder*, a function of the shape of one person's input, the length of the
embedding, the rate of dropout, and options with defaults::

    from torch import nn
    from ukb_brain.networks.registry import register

    @register("volume", "mine")
    def mine(shape, embedding, dropout, width=16):
        return Mine(shape, embedding, dropout, width)

What it returns maps (N, *shape) to (N, ``embedding``), where ``embedding`` is a whole number that
the module has as an attribute. List the module that holds this under ``network.extensions``, and
write ``volume: mine`` and ``options: {volume: {width: 32}}`` in YAML.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from ukb_brain.errors import InputError
from ukb_brain.networks import convnext, light, published, study

Builder = Callable[..., nn.Module]

GIVEN = ("shape", "embedding", "dropout")
# By kind of input: volumes (C, X, Y, Z), connectivity (n,), traits (n,).
_BUILDERS: dict[str, dict[str, Builder]] = {
    "volume": {
        "light": light.VolumeEncoder,
        "study": study.study_volume,
        "sfcn": published.SFCN,
        "resnet": published.ResNet,
        "convnext": convnext.ConvNeXt,
    },
    "vector": {
        "light": light.VectorEncoder,
        "study": study.study_vector,
        "linear": light.LinearEncoder,
    },
    "table": {"study": study.study_table, "linear": light.LinearEncoder},
}


def names(kind: str) -> tuple[str, ...]:
    """List the encoders of a kind, the project's own first; `InputError` if there is no such kind.

    Kinds are ``volume``, ``vector`` and ``table``.
    """
    return tuple(_of_kind(kind))


def register(kind: str, name: str) -> Callable[[Builder], Builder]:
    """Decorate a builder, as in this module's docstring, so that settings can choose it by name.

    Raises
    ------
    InputError
        If the name is taken, there is no such kind, or the builder's parameters are not as there.
    """
    if name in _of_kind(kind):
        raise InputError(
            f"There is already an encoder {name!r} of kind {kind!r}; register yours under another "
            "name."
        )

    def add(builder: Builder) -> Builder:
        first = tuple(inspect.signature(builder).parameters)[: len(GIVEN)]
        # A flag is an int in Python, but settings hold numbers only.
        bad = [k for k, v in _options(builder).items() if type(v) not in (int, float)]
        if first != GIVEN or bad:
            raise InputError(
                f"The builder of encoder {name!r} has parameters {inspect.signature(builder)}; "
                f"expected ({', '.join(GIVEN)}) and then options, each with a number as default."
            )
        _BUILDERS[kind][name] = builder
        return builder

    return add


def build_encoder(
    kind: str,
    name: str,
    shape: tuple[int, ...],
    embedding: int,
    dropout: float,
    options: Mapping[str, float | int],
) -> nn.Module:
    """Build an encoder, which maps (N, *shape) to (N, its ``embedding``).

    Parameters
    ----------
    kind : {"volume", "vector", "table"}
        Of input.
    name : str
        One of `names`.
    shape : tuple of int
        Of one person's input.
    embedding, dropout : int, float
        Where the encoder does not fix them.
    options : dict of str to number
        Further settings of this encoder.

    Raises
    ------
    InputError
        If there is no such encoder or option, an option is out of range, or the shape is too small
        for the encoder.
    """
    builder = _of_kind(kind).get(name)
    if builder is None:
        raise InputError(
            f"There is no encoder {name!r} of kind {kind!r}; expected one of "
            f"{', '.join(names(kind))}. One of your own needs its module in network.extensions."
        )
    chosen = _checked(kind, name, _options(builder), options)
    encoder = builder(shape, embedding, dropout, **chosen)
    if not isinstance(getattr(encoder, "embedding", None), int):
        raise InputError(
            f"Encoder {name!r} of kind {kind!r} has no whole number `embedding`; set it to the "
            "length of its output."
        )
    return encoder


def load_extensions(modules: Sequence[str]) -> None:
    """Import modules that register further encoders; what is imported already stays as it is.

    Raises
    ------
    InputError
        If there is no such module, or it imports something that is not there.
    """
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise InputError(
                f"network.extensions has {module!r}, which is not the name of a module; expected "
                "a name with dots, such as my_package.my_networks."
            )
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InputError(
                f"network.extensions has {module!r}, which cannot be imported: there is no module "
                f"{error.name!r}. Install it, or add the folder that holds it to PYTHONPATH."
            ) from error


def _of_kind(kind: str) -> dict[str, Builder]:
    if kind not in _BUILDERS:
        raise InputError(
            f"There are no encoders of kind {kind!r}; expected one of {', '.join(_BUILDERS)}."
        )
    return _BUILDERS[kind]


def _options(builder: Builder) -> dict[str, object]:
    """Defaults of a builder's options."""
    parameters = list(inspect.signature(builder).parameters.values())[len(GIVEN) :]
    return {p.name: p.default for p in parameters}


def _checked(
    kind: str, name: str, known: Mapping[str, object], options: Mapping[str, float | int]
) -> dict[str, float | int]:
    """Refuse options that the encoder cannot have; those with a whole default become whole."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"Encoder {name!r} of kind {kind!r} has no option {', '.join(map(repr, unknown))}; "
            f"expected {', '.join(known) or 'no options'}. What a preset sets for another "
            f"encoder is taken out in YAML: network: {{options: {{{kind}: null}}}}."
        )
    chosen = dict(options)
    for option, value in options.items():
        if not isinstance(known[option], int):
            continue
        if not float(value).is_integer() or value < 1:
            raise InputError(
                f"Option {option!r} of encoder {name!r} of kind {kind!r} is {value}; expected a "
                "whole number of at least 1."
            )
        chosen[option] = int(value)
    return chosen
