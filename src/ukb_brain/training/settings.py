"""Typed parameters of modelling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ukb_brain.imaging.modalities import Kind
from ukb_brain.part_of_grid import names_of
from ukb_brain.settings_base import Settings

LINEAR: Final = "linear"
KERNELS: Final = "kernels"
AMORTISED: Final = "amortised"
DEDICATED: Final = "dedicated"
STRATEGIES = (LINEAR, KERNELS, AMORTISED, DEDICATED)
# Regressions on encodings, a member of the average.
HEADS: Final = "head"
# Inputs of a matrix that takes a whole connectivity vector; the study's has 64,620.
WIDE = 10_000
# Fewer soft bins tell next to nothing.
LEAST_BINS = 10
# Without any penalty columns that depend on each other have no solution.
Positive = Annotated[float, Field(gt=0)]


class Augment(Settings):
    """Changes of volumes on the device, drawn anew for each person and step.

    Attributes
    ----------
    shift : int
        Largest translation along each axis, in voxels of the network's grid: by whole ones, but by
        any length where volumes are interpolated anyway.
    flip : bool
        Whether left and right are swapped in half of the cases.
    rotation : float
        Largest turn about each axis, in degrees.
    scaling : float
        Largest relative change of size.
    elastic : float
        Largest displacement along each axis by a smooth random field, in voxels.
    bias : float
        Largest logarithm of a smooth random field by which intensities are multiplied.
    intensity, noise : float
        Standard deviations of a factor around 1, and of what is added to each voxel of the brain.
        Factors are of intensities above the background.
    """

    shift: int = Field(default=0, ge=0)
    flip: bool = False
    rotation: float = Field(default=0.0, ge=0, le=180)
    scaling: float = Field(default=0.0, ge=0, lt=1)
    elastic: float = Field(default=0.0, ge=0)
    bias: float = Field(default=0.0, ge=0)
    intensity: float = Field(default=0.0, ge=0)
    noise: float = Field(default=0.0, ge=0)

    @property
    def warps(self) -> bool:
        """Whether volumes are interpolated."""
        return bool(self.rotation or self.scaling or self.elastic)

    @property
    def nothing(self) -> bool:
        """Whether volumes stay as they are."""
        return self == Augment()


class Loop(Settings):
    """How a network is trained.

    Attributes
    ----------
    least_steps : int
        Few people make few steps an epoch: there are more epochs until the largest number of steps
        is this. The best epoch is kept either way.
    mean_square_penalty, wide_penalty : float
        Times the mean square of each weight matrix, added to the loss; the second, where given,
        of matrices with more than `WIDE` inputs.
    schedule : {"cosine", "constant"}
        After the warm-up.
    warm_up : float
        As a share of all steps.
    clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the running mean of weights that is kept as the model; 0 keeps the weights.
    patience : int
        Epochs without a better validation loss after which training stops; 0 goes to the end. The
        best epoch is kept either way; the last where there are no validation people.
    precision : {"auto", "float32", "bf16", "fp16"}
        ``auto`` is bf16 on CUDA cards and processors that have it, fp16 on other cards, and
        float32 elsewhere.
    channels_last, compile : bool
        Memory layout of volumes; whether torch compiles the network.
    balance : {"weights", "undersample", "none"}
        Of classes. Undersampling is the study's, and for a single target.
    clamp_percentiles : (float, float), optional
        Labels of continuous targets are clamped to these of training people. Never for scoring.
    label_scale : {"sd", "range"}
        Labels of continuous targets have mean 0 and SD 1 in training people, or reach from -1 to
        1 there, as the study's do.
    bins : int
        Continuous targets are read as the mean of so many soft bins between the .5 and 99.5
        percentiles of training people's labels, and three beyond each end, trained by
        Kullback-Leibler divergence, as SFCN's 40; 0 is none: one number, trained by squared error.
        Validation people judge the number that is read either way.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    least_steps: int = Field(default=0, ge=0)
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    mean_square_penalty: float = Field(default=0.0, ge=0)
    wide_penalty: float | None = Field(default=None, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: float = Field(default=0.15, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=0, ge=0)
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    balance: Literal["weights", "undersample", "none"] = "weights"
    clamp_percentiles: tuple[float, float] | None = None
    label_scale: Literal["sd", "range"] = "sd"
    bins: int = Field(default=0, ge=0)
    augment: Augment = Augment()

    @field_validator("bins")
    @classmethod
    def _has_bins_between_the_ends(cls, bins: int) -> int:
        if 0 < bins < LEAST_BINS:
            raise ValueError(
                f"bins of continuous targets are none (0) or at least {LEAST_BINS}, of which six "
                f"lie beyond the labels, and not {bins}"
            )
        return bins

    def epochs_for(self, people: int) -> int:
        """Largest number of epochs with so many people to train on."""
        steps = max(1, people // min(self.batch_size, max(1, people)))
        return max(self.epochs, -(-self.least_steps // steps))


def without_null(given: Any) -> Any:
    """Leave out what a mapping, or one within it, has as None."""
    if not isinstance(given, Mapping):
        return given
    return {name: without_null(value) for name, value in given.items() if value is not None}


def _whole_path(given: str) -> str:
    # A job of a batch system may start in another folder.
    return str(Path(given).expanduser().absolute())


class Network(Settings):
    """Which encoders a network has.

    Attributes
    ----------
    volume, vector, table : str
        Names of the encoders of volumes, of connectivity and of traits.
    head : {"light", "study", "linear"}
        Of a cell's own network.
    together : bool
        Whether one encoder takes the volumes of all imaging groups as channels, as the study's
        does, rather than each its own. For cells only: what one group is worth would not be known.
    options : dict of str to dict
        Further settings of an encoder, by ``volume``, ``vector`` and ``table``; null takes out
        one that a preset has, or all of them.
    embedding : int
        Length of an encoder's output, where it is not fixed by the encoder.
    dropout : float
        Within encoders and head, where the encoder does not fix it.
    pooling : int
        Volumes are averaged over cubes of so many voxels before.
    extensions : tuple of str
        Modules of yours, imported before networks are built, that register further encoders.
    start : dict of str to str
        Files of weights, in safetensors, that encoders start from, by imaging group (where
        ``together``, by all groups with volumes, joined by ``+``). What agrees by name and shape is
        taken. A null takes out one that a preset has.
    """

    volume: str = "light"
    vector: str = "light"
    table: str = "study"
    head: Literal["light", "study", "linear"] = "light"
    together: bool = False
    options: Annotated[dict[str, dict[str, float | int]], BeforeValidator(without_null)] = Field(
        default_factory=dict
    )
    embedding: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    pooling: int = Field(default=1, ge=1)
    extensions: tuple[str, ...] = ()
    start: Annotated[
        dict[str, Annotated[str, AfterValidator(_whole_path)]], BeforeValidator(without_null)
    ] = Field(default_factory=dict)


class Networks(Settings):
    """What is trained, and how.

    Attributes
    ----------
    seeds : int
        Ensemble of so many, each with its own scores in ``performance_all``.
    cache_gb : float
        Vectors, and volumes that are pooled, are kept in memory if they take no more than this, and
        read anew otherwise. Volumes that are fed as the store has them never are: it is as quick.
    """

    network: Network
    loop: Loop
    seeds: int = Field(default=1, ge=1)
    cache_gb: float = Field(default=2.0, ge=0)


class Pretrain(Settings):
    """Whether encoders of volumes first learn to fill in what was hidden of training people.

    Attributes
    ----------
    epochs : int
        0 is not at all.
    share : float
        Of all cubes, so much is hidden of each person, drawn anew for each step.
    cube : int
        Edge of what is hidden, in voxels as the network is fed them.
    learning_rate : float, optional
        That of the loop where there is none.
    """

    epochs: int = Field(default=0, ge=0)
    share: float = Field(default=0.6, gt=0, lt=1)
    cube: int = Field(default=4, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)


class Refine(Settings):
    """Whether each domain of targets has low-rank changes of the shared encoders of its own.

    They are kept where validation people are read better by them.

    Attributes
    ----------
    rank : int
        Of what is added to the weights of each linear layer and convolution; 0 is not at all.
    epochs : int
        For each domain, at most: for all of them no more than five times those of the loop.
    patience : int
        As in the loop.
    learning_rate : float, optional
        That of the loop where there is none.
    """

    rank: int = Field(default=0, ge=0)
    epochs: int = Field(default=10, ge=1)
    patience: int = Field(default=3, ge=0)
    learning_rate: float | None = Field(default=None, gt=0)


class Encoders(Networks):
    """The network with an encoder for each imaging group, trained on all targets together.

    Attributes
    ----------
    cross_fits : int
        Networks, each trained without one part of training families.
    pretrain : Pretrain
        What comes before.
    refine : Refine
        What comes after.
    """

    cross_fits: int = Field(default=4, ge=2)
    pretrain: Pretrain = Pretrain()
    refine: Refine = Refine()

    @model_validator(mode="after")
    def _has_an_encoder_for_each_group(self) -> Self:
        if self.network.together:
            raise ValueError(
                "encoders.network.together is for the dedicated strategy: shared encoders serve "
                "cells with some imaging groups only, so each group needs one of its own"
            )
        return self


class Dedicated(Networks):
    """One network for each cell, trained from scratch: the study's way.

    Attributes
    ----------
    cells : int
        Number of cells, drawn by a fixed rule that spreads them over domains and inputs; 0 is all.
    """

    cells: int = Field(default=0, ge=0)


class Penalties(Settings):
    """Choices of the ridge penalty, per person, of what comes from images and from blocks.

    Features have unit variance.
    """

    images: tuple[Positive, ...] = Field(min_length=1)
    traits: tuple[Positive, ...] = Field(min_length=1)


class Kernels(Settings):
    """Kernel ridge regression at full rank: linear, and what is not.

    Attributes
    ----------
    pooling : int
        Volumes are averaged over cubes of so many voxels before.
    penalties : tuple of float
        Of images to choose from, for kernels with a mean of 1 on the diagonal: about what is not
        read over what is. The training mean is always a choice.
    widened : int
        How often a smaller penalty is tried where the smallest was best.
    radial : tuple of float
        Widths of radial kernels, in mean distances between people.
    traits : tuple of float
        Penalties of blocks to choose from, per person, for columns of unit variance.
    exact_people : int
        Kernels are between all people who are learnt from, up to so many. Where there are more,
        they are with as many of them as memory allows, and regressions are on their components.
    memory_gb : float
        Scans are multiplied in tiles of people that take no more than this, and the components of
        everybody take no more.
    """

    pooling: int = Field(ge=1)
    penalties: tuple[Positive, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    traits: tuple[Positive, ...] = (0.003, 0.03, 0.5, 1000.0)
    widened: int = Field(default=6, ge=0)
    radial: tuple[Positive, ...] = (1.0,)
    exact_people: int = Field(default=30_000, ge=3)
    memory_gb: float = Field(default=2.0, gt=0)


def _kind(given: Any) -> Any:
    return "correlation" if given == "fisher_z" else given


class Harmonise(Settings):
    """Whether sites are made alike, by ComBat; nothing is fitted on any but training people.

    Attributes
    ----------
    by : {"none", "site", "phase"}
        ``site`` is the assessment centre, ``phase`` also the time between two changes of its
        scanner (``data_engineering.phases``).
    least_people : int
        A site with fewer training people passes its people through as they are. So does one that
        is left out, if it has fewer people who are set aside (``splitting.set_aside``).
    """

    by: Literal["none", "site", "phase"] = "none"
    least_people: int = Field(default=10, ge=2)


class Modelling(Settings):
    """Strategies, and what they share.

    Attributes
    ----------
    strategies : tuple of str
        Which of ``linear``, ``kernels``, ``amortised`` and ``dedicated`` are run. Amortised is
        averaged with linear, and with kernels where they are run. Linear is run beside both where
        it is not named: it costs seconds, and is what they must beat.
    connectivity : {"tangent", "correlation", "partial"}
        What connectivity is read as where there are time series and their modality has no ``kind``:
        vectors in tangent space, or Fisher's z of correlations (``fisher_z`` is another name) or
        partial ones. The dedicated strategy reads correlations in place of tangent space, as the
        study did. UK Biobank's own matrices are read as they are.
    harmonise : Harmonise
        Of vectors and encodings; volumes stay.
    cross_fits : int
        Parts of training families, each left out once, on which penalties, shares, the ladder and
        calibration are chosen.
    kernels : Kernels
        For the linear strategy and the kernels strategy.
    heads : Penalties
        Of the cells' regressions on encodings.
    average : tuple of str
        What the amortised strategy may average: ``head``, ``linear``, ``kernels``.
    ladder : bool
        Whether a cell of the amortised strategy falls back on the cells of its subsets.
    """

    strategies: Annotated[
        tuple[Literal["linear", "kernels", "amortised", "dedicated"], ...],
        BeforeValidator(names_of),
    ] = Field(default=(LINEAR, KERNELS, AMORTISED), min_length=1)
    connectivity: Annotated[Kind, BeforeValidator(_kind)] = "tangent"
    harmonise: Harmonise = Harmonise()
    cross_fits: int = Field(default=5, ge=2)
    kernels: Kernels
    encoders: Encoders
    dedicated: Dedicated
    heads: Penalties
    average: tuple[Literal["head", "linear", "kernels"], ...] = Field(
        default=(HEADS, LINEAR, KERNELS), min_length=1
    )
    ladder: bool = True

    @field_validator("strategies")
    @classmethod
    def _with_what_they_rest_on(cls, strategies: tuple[str, ...]) -> tuple[str, ...]:
        needs_linear = {AMORTISED, KERNELS} & {*strategies} and LINEAR not in strategies
        return (LINEAR, *strategies) if needs_linear else strategies
