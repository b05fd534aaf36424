"""ComBat: numbers of several sites made alike in location and scale.

Johnson et al., Biostatistics 2007;8:118-127; Fortin et al., NeuroImage 2018;167:104-120. A number
is standardised by the mean of everybody and the variance within sites. At a site of n people it
then has a mean g and a variance d, of which the site's other numbers say what to expect:

    g* = (n t g + d* m) / (n t + d*)        d* = (sum of (z - g*)² / 2 + b) / (n / 2 + a - 1)

m and t are mean and variance of g over the site's numbers, a and b those of an inverse gamma law
with the mean and variance of d over them; the two are repeated until they agree. A new site has
the same rule, with what its own people say.

No trait is "preserved": age and sex are what the map reads, and whatever goes with them would tell
models what test people are like.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
# Numbers that are taken at a time.
NUMBERS = 4096
# A number that varies less at some site, beside all its variance, is left as it is.
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Alike:
    """What makes sites alike: ``x * scale + shift``. Numbers of other sites stay.

    Attributes
    ----------
    sites : ndarray of shape (s,)
    scale, shift : ndarray of shape (s, numbers)
    """

    sites: Codes
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    def apply(self, values: NDArray[np.floating], site: Codes) -> NDArray[np.float32]:
        """Change numbers, of shape (n, numbers), of people who are each at a site."""
        found = np.array(values, dtype=np.float32)
        for code, scale, shift in zip(self.sites, self.scale, self.shift, strict=True):
            rows = site == code
            found[rows] = found[rows] * scale + shift
        return found


def fit_combat(
    values: NDArray[np.floating], site: Codes, others: NDArray[np.floating], other_site: Codes
) -> Alike:
    """Find what makes sites alike.

    Parameters
    ----------
    values, site : ndarray of shape (n, numbers) and (n,)
        Of training people, without gaps; at least two a site.
    others, other_site : ndarray of shape (k, numbers) and (k,)
        Of people at sites that no training person was at; may be none. Nothing but their own
        site's location and scale depends on them.
    """
    known, place = np.unique(site, return_inverse=True)
    within = [values[place == k].var(axis=0, dtype=np.float64) for k in range(len(known))]
    usable = np.min(within, axis=0) > LEAST_VARIANCE * values.var(axis=0, dtype=np.float64)
    mean = values[:, usable].mean(axis=0, dtype=np.float64)
    sd = np.sqrt(np.average(within, axis=0, weights=np.bincount(place)))[usable]
    new = np.unique(other_site)
    sites = np.concatenate([known, new])
    scale = np.ones((len(sites), values.shape[1]), dtype=np.float32)
    shift = np.zeros_like(scale)
    for k, code in enumerate(sites):
        if (len(known) == 1 and k == 0) or not usable.any():
            # The one training site is what everybody is made like.
            continue
        some = values[site == code] if k < len(known) else others[other_site == code]
        g, d = _location_and_variance(some[:, usable], mean, sd)
        scale[k, usable] = 1 / np.sqrt(d)
        shift[k, usable] = mean - (mean + sd * g) / np.sqrt(d)
    return Alike(sites, scale, shift)


def _location_and_variance(
    values: NDArray[np.floating], mean: Floats, sd: Floats
) -> tuple[Floats, Floats]:
    """Estimate g* and d* of one site, each of shape (numbers,), from its people."""
    # Needed where sites are made alike, and nowhere else.
    from neuroCombat.neuroCombat import aprior, bprior, find_parametric_adjustments

    n, numbers = values.shape
    one_site: dict[str, Any] = {"n_batch": 1, "batch_info": [list(range(n))], "ref_level": None}

    def pieces() -> Iterator[tuple[slice, Floats]]:
        for start in range(0, numbers, NUMBERS):
            at = slice(start, start + NUMBERS)
            yield at, ((values[:, at] - mean[at]) / sd[at]).T

    g = np.concatenate([z.mean(axis=1) for _, z in pieces()])
    d = np.concatenate([z.var(axis=1, ddof=1) for _, z in pieces()])
    if numbers < 2 or not d.std() > 0:
        # There are no others to say what to expect.
        return g, np.where(d > 0, d, 1)
    prior = {
        "gamma_bar": [g.mean()],
        "t2": [g.var(ddof=1)],
        "a_prior": [aprior(d)],
        "b_prior": [bprior(d)],
    }
    found = []
    for at, z in pieces():
        of_piece = prior | {"gamma_hat": [g[at]], "delta_hat": [d[at]]}
        found.append(find_parametric_adjustments(z, of_piece, one_site, False))
    location, variance = np.concatenate(found, axis=2)
    return location[0], variance[0]
