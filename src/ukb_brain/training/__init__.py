"""Strategies: components, encoders, regressions of all cells, calibration."""
