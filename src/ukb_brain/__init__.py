"""Measure how much of a person can be read from their brain, with which data, how surely."""

__version__ = "0.1.0"
