"""Strategies: kernels, encoders, regressions of all cells, calibration."""
