"""How the generator draws each imaging modality: the intensity of tissues, and what changes it."""

from __future__ import annotations

from dataclasses import dataclass

from ukb_brain.synthetic.factors import Group


@dataclass(frozen=True)
class Contrast:
    """How one modality's image comes of tissues.

    Attributes
    ----------
    group : str
        Whose factors change it. What the diffusion group shows was registered nonlinearly.
    fluid, lesions : float
        Intensity of fluid, and how much lesions add.
    fields : dict of str to (float, float)
        Intensities of grey and of white matter, by the name of the field that changes them.
    noise : float
        Standard deviation of one voxel's noise.
    unit : float
        Of the file, in which white matter of a T1 has 1.
    """

    group: Group
    fields: dict[str, tuple[float, float]]
    noise: float
    fluid: float = 0.0
    lesions: float = 0.0
    unit: float = 1000.0


CONTRASTS = {
    "t1": Contrast(
        "structural", {"t1_grey": (0.62, 0.0), "t1_white": (0.0, 1.0)}, 0.05, 0.25, -0.05
    ),
    "flair": Contrast(
        "structural", {"flair_grey": (0.80, 0.0), "flair_white": (0.0, 0.66)}, 0.06, 0.12, 0.13
    ),
    "dwi": Contrast("diffusion", {"fa": (0.15, 0.48)}, 0.03, unit=1.0),
}
# In the order in which maps of change have them.
FIELDS = {name: key for key, contrast in CONTRASTS.items() for name in contrast.fields}


def contrasts_of(group: Group) -> tuple[str, ...]:
    """Name the modalities of an imaging group that are drawn."""
    return tuple(key for key, contrast in CONTRASTS.items() if contrast.group == group)
