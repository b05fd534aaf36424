from ukb_brain.networks.grids import halvings


def test_halvings_are_those_of_halving_and_rounding_up():
    for edge in range(1, 300):
        n, rest = 0, edge
        while rest > 2:
            n, rest = n + 1, (rest + 1) // 2
        assert halvings(edge) == n
