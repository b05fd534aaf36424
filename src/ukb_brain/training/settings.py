"""Typed parameters of modelling."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Without any penalty columns that depend on each other have no solution.
Positive = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Components(Settings):
    """Principal components of each imaging group.

    Attributes
    ----------
    numbers : dict of str to int
        Components by imaging group; fewer where training people or features are fewer.
    pooling : int
        Volumes are averaged over cubes of so many voxels before.
    batch_size : int
        People in memory at a time.
    """

    numbers: dict[str, int]
    pooling: int = Field(ge=1)
    batch_size: int = Field(default=512, ge=2)


class Encoders(Settings):
    """The network with an encoder for each imaging group, trained on all targets together.

    Attributes
    ----------
    epochs, batch_size : int
        Length of training, people per step.
    pooling : int
        Volumes are averaged over cubes of so many voxels before.
    stem : int
        Edge of the cubes of voxels that the first layer turns into channels.
    width, embedding : int
        Channels after the stem; length of an imaging group's embedding.
    dropout, learning_rate, weight_decay, warm_up : float
        Of training; the last as a share of all steps.
    cache_gb : float
        Scans are kept in memory if they take no more than this, and read anew otherwise.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    pooling: int = Field(ge=1)
    stem: int = Field(ge=1)
    width: int = Field(ge=1)
    embedding: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warm_up: float = Field(default=0.15, gt=0, lt=1)
    cache_gb: float = Field(default=2.0, ge=0)


class Penalties(Settings):
    """Choices of the ridge penalty, per person, for features of unit variance.

    Attributes
    ----------
    images, traits : tuple of float
        For what comes from images and from blocks.
    """

    images: tuple[Positive, ...] = Field(min_length=1)
    traits: tuple[Positive, ...] = Field(min_length=1)


class Modelling(Settings):
    """Both strategies of the default run.

    Attributes
    ----------
    fold : int
        Of the splits.
    cross_fits : int
        Parts of training families, each left out once, on which penalties, blends and calibration
        are chosen.
    encoder_cross_fits : int
        Encoders, each trained without one part of training families.
    components : Components
        For the linear strategy.
    encoders : Encoders
        For the amortised strategy.
    linear, heads : Penalties
        Of the cells' regressions in each strategy.
    blends : tuple of float
        Shares of the head, beside the linear strategy, that a target may choose from.
    """

    fold: int = Field(default=0, ge=0)
    cross_fits: int = Field(default=5, ge=2)
    encoder_cross_fits: int = Field(default=3, ge=2)
    components: Components
    encoders: Encoders
    linear: Penalties
    heads: Penalties
    blends: tuple[float, ...] = Field(min_length=1)
