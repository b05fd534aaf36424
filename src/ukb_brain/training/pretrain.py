"""Encoders of volumes learn to fill in what was hidden of a brain, before any target is shown.

Cubes of voxels show the mean of training people in place of the person's own, in all channels, and
the loss is of what a light decoder says of them (masked autoencoders: He et al., CVPR 2022; masked
image modelling: Xie et al., CVPR 2022). Nothing is asked of an encoder but that it is one: the
decoder reads its embedding, and the last volume of channels that it makes on the way there, since
an embedding alone holds no texture.

Shapes: N people, G imaging groups with volumes, C channels, (X, Y, Z) voxels, F features at (a, b,
c) places.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ukb_brain.errors import InputError
from ukb_brain.networks.cost import network_cost
from ukb_brain.training.augment import background
from ukb_brain.training.feed import CodedVolumes
from ukb_brain.training.inputs import NetworkData
from ukb_brain.training.loop import Report, train
from ukb_brain.training.people import Mask
from ukb_brain.training.settings import Encoders, Loop, Pretrain
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, VOLUMES, Inputs, Rows, Trainer

Shape = tuple[int, ...]
# Where its state is, within the folder of the work item.
FOLDER = "pretraining"
# Beside a volume, by its name: which of its cubes are hidden.
HIDDEN = "{} hidden"
# Edge of the grid that is read from an embedding; most voxels along an edge that are read from one
# place of the features, beyond which neighbours are alike.
COARSE, FINEST = 4, 8
# How labels are scaled and balanced, of which there are none.
NO_LABELS = Loop(epochs=1, batch_size=2)
# People of whom the mean is, and of whom it is read at a time.
MEAN_OF, READ = 256, 32


def require_cubes(voxels: Shape, settings: Pretrain) -> None:
    """Refuse cubes of which a volume holds but one, which cannot be hidden and seen.

    Raises
    ------
    InputError
        With both sizes.
    """
    if math.prod(_cubes(voxels, settings.cube)) < 2:
        grid = " × ".join(map(str, voxels))
        raise InputError(
            f"modelling.encoders.pretrain.cube is {settings.cube}, and networks are fed volumes of "
            f"{grid} voxels, of which nothing would be left to see: hide smaller cubes, or pool "
            "less (modelling.encoders.network.pooling)."
        )


def _cubes(voxels: Shape, cube: int) -> Shape:
    return tuple(-(-size // cube) for size in voxels)


def pretrain(
    encoders: nn.ModuleDict,
    data: NetworkData,
    fitted: Mask,
    held: Mask,
    settings: Encoders,
    device: torch.device,
    seed: int,
    folder: Path,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train the encoders of volumes, in place, or go on where a killed process left it.

    Parameters
    ----------
    fitted, held : ndarray of shape (n,)
        People who are learnt from, as far as they have volumes; people by whom it is judged at the
        end, and nothing is chosen.
    folder : Path
        Of the work item.

    Returns
    -------
    dict
        For the card: ``n_fitted``, ``flops``, the ``curve`` of training, and the mean squared error
        of what was hidden of validation people, ``validation``, beside that of naming the mean,
        ``of_mean``. ``reason`` is why it failed, and empty if it did not. Empty without volumes.
    """
    names = [name for name in data.volumes if name in encoders]
    if not names:
        return {}
    has = np.stack([data.people.has[name] for name in names], axis=1)
    rows, judged = (np.flatnonzero(some & has.any(axis=1)) for some in (fitted, held))
    shapes = {name: data.shapes[name] for name in names}
    for shape in shapes.values():
        require_cubes(shape[1:], settings.pretrain)
    torch.manual_seed(seed)
    means = {name: _mean(data, name, rows, device) for name in names}
    network = Filling({name: encoders[name] for name in names}, shapes, means)
    volumes = HiddenVolumes(data, names, settings.pretrain)
    cost = network_cost(network, volumes.shapes)
    loop = _loop_of(settings)
    tasks = FillingTasks(names, has)
    trainer = Trainer(network, volumes, tasks, loop, device, seed)
    state = folder / FOLDER
    state.mkdir(exist_ok=True)
    # With nobody to choose by, the last epoch is kept.
    trained = train(trainer, rows, judged[:0], state, report)
    curve = trained.curves["train"]
    flops = float(cost.training_flops) * len(rows) * len(curve)
    card = {"n_fitted": len(rows), "flops": flops, "curve": curve, "reason": trained.reason}
    if trained.reason:
        return card
    network.load_state_dict(trained.state)
    filled = trainer.evaluate(judged)
    with torch.no_grad():
        # Which then says the mean.
        for parameter in network.decoders.parameters():
            parameter.zero_()
    return card | {"validation": filled, "of_mean": trainer.evaluate(judged)}


def _loop_of(settings: Encoders) -> Loop:
    own = settings.pretrain
    changes = {"epochs": own.epochs, "least_steps": 0, "patience": 0, "compile": False}
    rate = own.learning_rate or settings.loop.learning_rate
    return settings.loop.model_copy(update=changes | {"learning_rate": rate})


@torch.no_grad()
def _mean(data: NetworkData, name: str, rows: Rows, device: torch.device) -> Tensor:
    """Mean volume (1, C, X, Y, Z) of training people who have the group."""
    some = rows[data.people.has[name][rows]][:MEAN_OF]
    total = torch.zeros(data.shapes[name], device=device)
    for start in range(0, len(some), READ):
        held = data.read(some[start : start + READ], None)[name]
        held = held.values(device) if isinstance(held, CodedVolumes) else held.to(device)
        total += held.float().sum(0)
    return (total / max(1, len(some)))[None]


class HiddenVolumes:
    """Volumes of some groups, of each person all that there are, and which cubes are hidden.

    Parameters
    ----------
    data : NetworkData
        Whose volumes they are.
    names : list of str
        Of the groups.
    settings : Pretrain
        How much is hidden.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Of one person's inputs, by name.
    """

    def __init__(self, data: NetworkData, names: Sequence[str], settings: Pretrain) -> None:
        self.data, self.names, self.share = data, names, settings.share
        volumes = {name: data.shapes[name] for name in names}
        self.cubes = {
            HIDDEN.format(name): _cubes(shape[1:], settings.cube) for name, shape in volumes.items()
        }
        self.shapes = volumes | self.cubes

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Inputs:
        """Read some people's volumes; of who is judged the same is hidden every time."""
        inputs = self.data.read(rows, None)
        hidden = {
            name: torch.from_numpy(np.stack([self._drawn(shape, row, rng) for row in rows]))
            for name, shape in self.cubes.items()
        }
        there = torch.ones(len(rows), len(self.names))
        return {name: inputs[name] for name in self.names} | hidden | {MASK: there}

    def _drawn(self, shape: Shape, row: int, rng: np.random.Generator | None) -> NDArray[np.bool_]:
        number = math.prod(shape)
        some = np.zeros(number, dtype=bool)
        some[: min(max(1, round(self.share * number)), number - 1)] = True
        own = np.random.default_rng(row) if rng is None else rng
        return own.permutation(some).reshape(shape)


class FillingTasks(Tasks):
    """What is hidden is its own label: of each group that a person has the network gives the loss.

    Parameters
    ----------
    names : list of str
        Of the groups.
    has : ndarray of shape (n, G)
        Who has which.
    """

    def __init__(self, names: Sequence[str], has: Mask) -> None:
        nothing = dict.fromkeys(names, np.zeros(len(has)))
        anybody: Mask = np.any(has, axis=1)
        super().__init__(nothing, dict.fromkeys(names, False), anybody, NO_LABELS)
        self.weights = torch.from_numpy(has).float()

    def losses(self, predicted: Tensor, rows: Tensor, used: Tensor) -> tuple:
        """Sum losses, and people, of each group: both of shape (G,)."""
        weights = self.weights[rows]
        return (predicted * weights).sum(0), weights.sum(0)

    # By what people are judged, where that is not what is learnt.
    errors = losses


class Filling(nn.Module):
    """Encoders of volumes, each with a decoder.

    Parameters
    ----------
    encoders : dict of str to Module
        By imaging group.
    shapes : dict of str to tuple of int
        Of one person's volumes (C, X, Y, Z).
    means : dict of str to Tensor of shape (1, C, X, Y, Z)
        What hidden voxels show, and what is not to be filled in.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        shapes: Mapping[str, Shape],
        means: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.layers = {name: last_places(encoders[name], shape) for name, shape in shapes.items()}
        self.decoders = nn.ModuleDict(
            {
                name: Decoder(shape, encoders[name], self.layers[name][1])
                for name, shape in shapes.items()
            }
        )
        for name, mean in means.items():
            self.register_buffer(f"mean_{name}", mean)

    def forward(self, inputs: Mapping[str, Tensor], used: Tensor | None = None) -> Tensor:
        """Mean squared errors (N, G) of what is hidden of brains, from volumes and hidden cubes."""
        each = [
            self._errors(name, inputs[name], inputs[HIDDEN.format(name)]) for name in self.layers
        ]
        return torch.stack(each, dim=1)

    def _errors(self, name: str, volumes: Tensor, cubes: Tensor) -> Tensor:
        mean: Tensor = self.get_buffer(f"mean_{name}")
        hidden = spread(cubes[:, None], volumes.shape[2:]) > 0
        with noted(self.encoders[name], self.layers[name][0]) as features:
            embedding = self.encoders[name](torch.where(hidden, mean, volumes))
        filled = self.decoders[name](embedding, features[-1] if features else None).float()
        # Outside the brain there is nothing to fill in.
        scored = hidden & (volumes != background(volumes))
        squares = torch.where(scored, (filled - (volumes - mean)) ** 2, 0.0)
        return squares.flatten(1).sum(1) / scored.flatten(1).sum(1).clamp(min=1)


class Decoder(nn.Module):
    """What an embedding says of a volume, coarsely, and what each place of the features says.

    Both begin with nothing, so that at first the mean is said.
    """

    def __init__(self, shape: Shape, encoder: nn.Module, features: Shape) -> None:
        super().__init__()
        self.channels, *self.voxels = shape
        self.blocks = [-(-size // -(-size // COARSE)) for size in self.voxels]
        length: Any = encoder.embedding
        self.coarse = nn.Linear(length, self.channels * math.prod(self.blocks))
        self.parts: list[int] = []
        if features:
            wide, *places = features
            edges = [-(-size // n) for size, n in zip(self.voxels, places, strict=True)]
            self.parts = [-(-edge // -(-edge // FINEST)) for edge in edges]
            self.fine = nn.Conv3d(wide, self.channels * math.prod(self.parts), 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, embedding: Tensor, features: Tensor | None) -> Tensor:
        """Fill in (N, C, X, Y, Z) from embeddings (N, E) and features (N, F, a, b, c)."""
        blocks = self.coarse(embedding).reshape(-1, self.channels, *self.blocks)
        filled = spread(blocks, self.voxels)
        if features is None:
            return filled
        n, _, *places = features.shape
        parts = self.fine(features).reshape(n, self.channels, *self.parts, *places)
        sizes = [part * place for part, place in zip(self.parts, places, strict=True)]
        parts = parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, self.channels, *sizes)
        return filled + spread(parts, self.voxels)


def spread(places: Tensor, voxels: Sequence[int]) -> Tensor:
    """Give each place (N, C, a, b, c) to equally many of the voxels (N, C, X, Y, Z)."""
    for axis, size in enumerate(voxels, start=2):
        times = -(-size // places.shape[axis])
        if times > 1:
            shape = list(places.shape)
            shape.insert(axis + 1, times)
            places = places.unsqueeze(axis + 1).expand(shape).flatten(axis, axis + 1)
        places = places.narrow(axis, 0, size)
    return places


def last_places(encoder: nn.Module, shape: Shape) -> tuple[str, Shape]:
    """Find the layer of an encoder that gives its last volume of channels.

    Returns
    -------
    name : str
        Of the layer; empty if there is none.
    shape : tuple of int
        What it gives for one person (F, a, b, c); empty if there is none.
    """
    sketch = copy.deepcopy(encoder).to("meta").eval()
    found: list[tuple[str, Shape]] = [("", ())]
    for name, layer in sketch.named_modules():

        def note(_: nn.Module, __: Any, given: Any, name: str = name) -> None:
            if name and isinstance(given, Tensor) and given.ndim == VOLUMES:
                found.append((name, tuple(given.shape[1:])))

        layer.register_forward_hook(note)
    with torch.no_grad():
        sketch(torch.empty(1, *shape, device="meta"))
    return found[-1]


@contextmanager
def noted(encoder: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Within, note what a layer gives; nothing where there is no name."""
    given: list[Tensor] = []
    if not layer:
        yield given
        return
    hook = encoder.get_submodule(layer).register_forward_hook(lambda _, __, out: given.append(out))
    try:
        yield given
    finally:
        hook.remove()
