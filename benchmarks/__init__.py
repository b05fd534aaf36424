"""Measurements: each benchmark prints its figures and goal and records them in results.json."""
