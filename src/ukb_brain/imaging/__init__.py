"""Imaging: affines, grids, resampling, intensity, quality and connectivity."""
