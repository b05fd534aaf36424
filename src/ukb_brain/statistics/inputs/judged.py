"""Which cells of a target are held against each other: the fullest, and those without a part."""

from collections.abc import Sequence
from dataclasses import dataclass

from ukb_brain.grid import Inputs

# The part of the pair that differs by every imaging group.
ALL_IMAGES = "all images"


@dataclass(frozen=True)
class Pair:
    """Two cells of a target that differ by one part, or by all images.

    Attributes
    ----------
    part : str
        The imaging group or block that only the larger has, or `ALL_IMAGES`.
    """

    larger: int
    smaller: int
    part: str


def judged_pairs(inputs: Sequence[Inputs]) -> list[Pair]:
    """Pair a target's fullest cell with the cells that lack one part of it, or all its images.

    Returns
    -------
    list of Pair
        In the order of the parts, then of all images together (`ALL_IMAGES`), where those are
        several groups; a pair whose smaller cell is not given is left out.
    """
    if not inputs:
        return []
    place = {(one.groups, one.blocks): at for at, one in enumerate(inputs)}
    full = max(inputs, key=lambda one: len(one.groups) + len(one.blocks))
    without = {
        part: tuple(tuple(one for one in of if one != part) for of in (full.groups, full.blocks))
        for part in (*full.groups, *full.blocks)
    }
    if len(full.groups) > 1:
        without[ALL_IMAGES] = ((), full.blocks)
    at = place[full.groups, full.blocks]
    return [Pair(at, place[rest], part) for part, rest in without.items() if rest in place]


def judged_inputs(inputs: Sequence[Inputs]) -> list[Inputs]:
    """List the cells of a target whose predictions before the ladder are kept.

    Returns
    -------
    list of Inputs
        In the given order: those of `judged_pairs`, and those with as few blocks as may be, with
        all images and with none, on which the gain beyond confounds is judged.
    """
    pairs = judged_pairs(inputs)
    used = {at for pair in pairs for at in (pair.larger, pair.smaller)}
    groups = max((one.groups for one in inputs), key=len, default=())
    for some in (groups, ()):
        mine = [at for at, one in enumerate(inputs) if one.groups == some]
        used |= set(sorted(mine, key=lambda at: len(inputs[at].blocks))[:1])
    return [one for at, one in enumerate(inputs) if at in used]
