"""How sure a score is: bootstrap, intervals, permutations, corrections."""
