"""Many people at once: not as the cohort draws them, one by one, but by the same model."""

from ukb_brain.synthetic.people import VARIATES, latents, traits


def population(n, rng):
    """Variates, latents and traits of n unrelated people."""
    e = dict(zip(VARIATES, rng.standard_normal((len(VARIATES), n)), strict=True))
    z = latents(e)
    return e, z, traits(z, e)
