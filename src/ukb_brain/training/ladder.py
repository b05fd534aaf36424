"""An input must never cost: each cell falls back on, or blends with, the cells of its subsets.

The cells of a target are walked from few inputs to many. A cell's base is the mean of its refined
simpler cells (one input fewer), weighted by how well each does; the cell keeps of its own score
what is surely better than the base. Weights rest on scores of people whom no fit has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ukb_brain.training.people import Floats, Mask

# What a fitted slope must gain, in units of its squared standard error, to pay for itself with
# people not yet seen: once for what it gains here by chance, once for its error there (AIC).
PRICE = 2.0


@dataclass(frozen=True)
class Refined:
    """A cell's score after the cells of its subsets have had their say.

    Attributes
    ----------
    scores : ndarray of shape (n,)
        Standardised; NaN for who lacks an input.
    weights : dict of str to float
        By inputs, of the fitted scores whose mean it is: its own and those of subsets of its
        inputs. They are positive and sum to 1.
    own : float
        From 0, the simpler cells alone, to 1, the cell as it was fitted.
    gain : float
        Mean squared error that the cell as it was fitted had beyond the refined one, of the people
        on whom weights were chosen, in variances of the target.
    """

    scores: Floats
    weights: dict[str, float]
    own: float
    gain: float


def refine(
    scores: Mapping[str, Floats],
    y: Floats,
    weights: Floats,
    chosen_on: Mask,
    usable: Mapping[str, Mask],
    parts_of: Mapping[str, frozenset[str]],
) -> dict[str, Refined]:
    """Refine all cells of a target.

    Parameters
    ----------
    scores : mapping of str to ndarray of shape (n,)
        By inputs: standardised scores by fits that have not seen the person. A cell without a
        finite score failed and is left out.
    y : ndarray of shape (n,)
        Standardised like the scores; read where ``chosen_on`` is true.
    weights : ndarray of shape (n,)
        Of people; those that make classes equal for a binary target.
    chosen_on : ndarray of shape (n,)
        People on whom weights are chosen: of training and validation, with a known target.
    usable : mapping of str to ndarray of shape (n,)
        By inputs: people who have them all, whose scores are finite unless the cell failed.
    parts_of : mapping of str to frozenset of str
        By inputs: imaging groups and blocks.

    Returns
    -------
    dict of str to Refined
        By inputs, few before many. A cell without a simpler one stays as it is.

    Notes
    -----
    The base weights simpler cells by ``exp(-(deviance - least deviance) / 2)``, as Akaike weights
    do (Burnham and Anderson 2002, section 2.9), with the effective number of people: simpler cells
    that can hardly be told apart are averaged, which costs less than choosing the luckiest, and
    one that lacks a useful input has no say.
    """
    refined: dict[str, Refined] = {}
    fitted = [inputs for inputs, score in scores.items() if np.isfinite(score).any()]
    for inputs in sorted(fitted, key=lambda name: (len(parts_of[name]), name)):
        own, rows = scores[inputs], usable[inputs] & chosen_on
        simpler = _simpler(inputs, refined, parts_of)
        if not simpler:
            refined[inputs] = Refined(own, {inputs: 1.0}, 1.0, 0.0)
            continue
        shares = _shares([refined[name].scores[rows] for name in simpler], y[rows], weights[rows])
        base = np.sum([s * refined[k].scores for k, s in zip(simpler, shares, strict=True)], axis=0)
        kept = own_share(own[rows], base[rows], y[rows], weights[rows])
        # NaN times 0 is NaN: whoever lacks an input has no score, even where only the base is kept.
        mixed = base + kept * (own - base)
        sources = {inputs: kept}
        for name, share in zip(simpler, shares, strict=True):
            for source, weight in refined[name].weights.items():
                sources[source] = sources.get(source, 0.0) + (1 - kept) * share * weight
        losses = [_loss(score[rows], y[rows], weights[rows]) for score in (own, mixed)]
        used = {name: weight for name, weight in sources.items() if weight > 0}
        refined[inputs] = Refined(mixed, used, kept, losses[0] - losses[1])
    return refined


def own_share(own: Floats, base: Floats, y: Floats, weights: Floats) -> float:
    """Share, from 0 to 1, of a cell's own score that is kept beside its base.

    Both scores, (n,), are by fits that have not seen these people. The share is the slope of
    ``y - base`` on ``own - base``, clipped, times 1 - 2/z², z being the slope over its standard
    error (White 1980, valid for any weights). 0 where z² is below 2, where by Akaike's criterion
    the slope is not worth its error: an input that adds nothing changes nothing.
    """
    step, left = own - base, y - base
    size = float(weights @ step**2)
    if size <= 1e-12 * float(weights @ y**2):
        return 0.0
    slope = float(weights @ (step * left)) / size
    variance = float(np.sum((weights * step * (left - slope * step)) ** 2)) / size**2
    if slope <= 0 or slope**2 <= PRICE * variance:
        return 0.0
    return min(slope, 1.0) * (1 - PRICE * variance / slope**2)


def _simpler(
    inputs: str, refined: Mapping[str, Refined], parts_of: Mapping[str, frozenset[str]]
) -> list[str]:
    """List the largest subsets of a cell: those with one input fewer, where none failed."""
    below = [name for name in refined if parts_of[name] < parts_of[inputs]]
    return [name for name in below if not any(parts_of[name] < parts_of[k] for k in below)]


def _shares(candidates: list[Floats], y: Floats, weights: Floats) -> Floats:
    """Akaike weights of scores."""
    losses = np.array([_loss(score, y, weights) for score in candidates])
    people = weights.sum() ** 2 / (weights**2).sum()
    tiny = np.finfo(float).tiny
    shares = np.exp(-0.5 * people * np.log((losses + tiny) / (losses.min() + tiny)))
    return shares / shares.sum()


def _loss(score: Floats, y: Floats, weights: Floats) -> float:
    return float(np.average((y - score) ** 2, weights=weights))
